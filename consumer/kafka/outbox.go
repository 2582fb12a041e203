package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxUnderway is how many batches may be published and not acknowledged at once. One would do while an acknowledgement takes less than a step; the others are for a
// broker that is slow for a moment. Each is a poll's worth of memory.
const maxUnderway = 4

// maxFlight is how many bytes of messages are handed to the client at once. It is less than the client puts into one record batch, so that what a flight has for a
// partition is one record batch, which the brokers take or refuse as a whole.
const maxFlight = 768 << 10

// outbox is what was published and is not acknowledged by all in-sync replicas yet. The next step is at work meanwhile: waiting for the brokers at the end of each
// step was most of what a caller's order waited for. A batch's offsets are marked once all that was published for it, and for the batches before it, is
// acknowledged. What could not be written is kept here and is written again before anything else is.
//
// Messages of a key are written in their order: a reader sees their first copies in it. So one flight is under way at a time, and the next begins when the brokers
// have taken all of the one before; a message that was refused would otherwise be written behind later ones.
type outbox struct {
	group  *kgo.Client   // whose offsets are marked
	writes *producer     // what writes the messages
	fit    *fitting      // makes what is too large smaller
	slots  chan struct{} // one is taken by each batch of which messages are not acknowledged

	mu       sync.Mutex
	underway []*sending         // guarded by mu: in the order of their batches
	waiting  []message          // guarded by mu: for the next flight
	count    int                // guarded by mu: messages so far
	flying   int                // guarded by mu: messages of the flight that is under way
	unsent   []unsent           // guarded by mu: what the brokers did not take
	mending  bool               // guarded by mu: what they did not take is being written again
	wake     context.CancelFunc // guarded by mu: ends who waits, when something could not be written
}

// sending is one batch on its way.
type sending struct {
	left      int           // messages that are not acknowledged
	committed bool          // the batch is done, but for what is left
	batch     []*kgo.Record // what is marked when it is done
	from      []*kgo.Record // what the messages were made of
}

// message is one of a batch.
type message struct {
	of     *sending
	record *kgo.Record
	n      int // its place among all
}

// unsent is a message that the brokers did not take.
type unsent struct {
	message

	err error
}

func newOutbox(fit *fitting) *outbox {
	return &outbox{fit: fit, slots: make(chan struct{}, maxUnderway)}
}

// errStuck is why a batch is not sent: one before it could not be, and is written first.
var errStuck = errors.New("what was published before is not written yet")

// send has records written, made of those in from, and waits only while maxUnderway batches are on their way already, and none of them has failed.
func (o *outbox) send(ctx context.Context, records, from []*kgo.Record) (*sending, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.failed(cancel) {
		return nil, errStuck
	}
	select {
	case o.slots <- struct{}{}:
	case <-waiting.Done():
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for the brokers to acknowledge what was written before: %w", err)
		}
		return nil, errStuck
	}
	s := &sending{left: len(records), from: from}
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := len(o.underway) - 1; last >= 0 { // published again, without a commit between: the batch is marked with the later one
		o.underway[last].committed = true
	}
	o.underway = append(o.underway, s)
	for _, r := range records {
		o.waiting = append(o.waiting, message{s, r, o.count})
		o.count++
	}
	o.fly(ctx)
	return s, nil
}

// fly begins the next flight, if the one before has arrived. It goes on when ctx ends. The caller holds mu.
func (o *outbox) fly(ctx context.Context) {
	if o.flying > 0 || o.mending || len(o.unsent) > 0 || len(o.waiting) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	size := 0
	for o.flying < len(o.waiting) && (o.flying == 0 || size+footprint(o.waiting[o.flying].record) <= maxFlight) {
		size += footprint(o.waiting[o.flying].record)
		o.flying++
	}
	flight := slices.Clone(o.waiting[:o.flying])
	if o.waiting = o.waiting[o.flying:]; len(o.waiting) == 0 {
		o.waiting = nil
	}
	go o.writes.all(ctx, func(client *kgo.Client) {
		for _, m := range flight {
			client.Produce(ctx, m.record, func(_ *kgo.Record, err error) { o.landed(ctx, m, err) })
		}
	})
}

// footprint is at least how many bytes of a record batch a record takes.
func footprint(r *kgo.Record) int {
	size := 32 + len(r.Key) + len(r.Value) // lengths, its time, its place
	for _, h := range r.Headers {
		size += 10 + len(h.Key) + len(h.Value)
	}
	return size
}

// landed is given what became of a message of the flight.
func (o *outbox) landed(ctx context.Context, m message, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flying--
	o.told(m, err)
	o.fly(ctx)
}

// told is given what became of a message. The caller holds mu.
func (o *outbox) told(m message, err error) {
	if err == nil {
		if m.of.left--; m.of.left == 0 {
			<-o.slots
		}
		o.settle()
		return
	}
	o.unsent = append(o.unsent, unsent{m, err})
	if o.wake != nil {
		o.wake()
	}
}

// commit marks the offsets of a batch, or has them marked when all is acknowledged. A batch for which nothing was sent has no sending.
func (o *outbox) commit(s *sending, batch []*kgo.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s == nil {
		s = &sending{}
		o.underway = append(o.underway, s)
	}
	s.batch, s.committed = batch, true
	o.settle()
}

// settle marks what is done, in the order of the batches: the offset of a later one says that all before it are done. The caller holds mu.
func (o *outbox) settle() {
	done := 0
	for ; done < len(o.underway) && o.underway[done].left == 0 && o.underway[done].committed; done++ {
		o.group.MarkCommitRecords(o.underway[done].batch...)
	}
	o.underway = slices.Delete(o.underway, 0, done)
}

// failed says whether something could not be written. If not, wake is called as soon as something cannot.
func (o *outbox) failed(wake context.CancelFunc) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake = wake
	return len(o.unsent) > 0
}

// again writes what could not be written before, each message by itself; behind one that still cannot be, no other of its key. The error is why.
func (o *outbox) again(ctx context.Context) error {
	o.mu.Lock()
	todo := o.unsent
	o.unsent, o.mending = nil, len(todo) > 0
	o.mu.Unlock()
	if len(todo) == 0 {
		return nil
	}
	slices.SortFunc(todo, func(a, b unsent) int { return cmp.Compare(a.n, b.n) }) // the client tells of each partition in its order, and so does this of each try
	var why error
	for _, u := range todo {
		if why == nil || errors.Is(u.err, kerr.UnknownTopicID) {
			why = u.err
		}
	}
	failed := o.writes.mend(ctx, why)
	blocked := make(map[line]error)
	for _, u := range todo {
		at := line{u.record.Topic, string(u.record.Key)}
		err := blocked[at]
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = o.retry(ctx, &u)
		}
		if err != nil && blocked[at] == nil {
			blocked[at] = err
			failed = errors.Join(failed, fmt.Errorf("writing to %s: %w", u.record.Topic, err))
		}
		o.mu.Lock()
		o.told(u.message, err)
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mending = false
	o.fly(ctx)
	return failed
}

// line is what messages stand in, one behind the other.
type line struct{ topic, key string }

// retry writes a message, or what is smaller and stands for it.
func (o *outbox) retry(ctx context.Context, u *unsent) error {
	if errors.Is(u.err, kerr.MessageTooLarge) { // it may be others that were too large, those that went with it
		flushing, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = o.writes.client.Flush(flushing)
	}
	for record := u.record; ; {
		err := o.write(ctx, record)
		if err == nil {
			o.fit.wrote(u.record, record)
		}
		if !errors.Is(err, kerr.MessageTooLarge) {
			return err
		}
		smaller := o.fit.smaller(record, u.of.from)
		if smaller == nil {
			return err
		}
		record = smaller
	}
}

// write writes one message and waits until it is acknowledged, or until ctx ends: the client's own ProduceSync waits on for a record that was on the wire once,
// for as long as the brokers are away, and a process that is to stop would not. The message gets the time of now: the client counts from a record's time how long it
// may take, so one that has waited for longer than that before would time out at once, each time, and its lane stand still until the process is started anew.
func (o *outbox) write(ctx context.Context, record *kgo.Record) error {
	acked := make(chan error, 1)
	o.writes.all(ctx, func(client *kgo.Client) {
		client.Produce(ctx, afresh(record), func(_ *kgo.Record, err error) { acked <- err })
	})
	select {
	case err := <-acked:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// afresh is a record that the client takes for a new one: it gives one up by the time that it was given first.
func afresh(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// drain waits until nothing is on its way, for a second at most: what the brokers have refused stays here, and the group is still to be left.
func (o *outbox) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for range maxUnderway {
		select {
		case o.slots <- struct{}{}:
			defer func() { <-o.slots }()
		case <-ctx.Done():
			return
		}
	}
}
