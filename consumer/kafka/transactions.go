package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// transactions publish what a batch becomes, and the offsets of its records, in one transaction of the brokers: readers of committed records find all of it, or
// nothing and the batch is read again. There is one at a time, begun when all of it is decided and ended at once, so that it is open for milliseconds.
//
// Replies are no part of it. They are written by a client of their own when the transaction is committed: nobody is told what is not on the topic, callers do not
// wait until the brokers have marked the commit on each partition, and a reply that cannot be written, as strangers can ask for, makes no transaction fail.
//
// A transaction of which it is not known whether it was committed is never ended a second time. Its client is closed and another one asks the brokers where the
// group stands; they tell it when everything that was under way is settled.
type transactions struct {
	id      string
	timeout time.Duration // after which the brokers abort one that is open
	session *kgo.GroupTransactSession
	moved   atomic.Bool // partitions were taken since the last transaction ended, so that the next is aborted

	// Owned by the goroutine that uses the Transport.
	open     bool
	began    time.Time
	ended    time.Time      // when the last one was committed
	rest     time.Duration  // from then to the next
	settled  bool           // the brokers know the client, and have ended what its predecessors left open
	broken   error          // why another client is needed
	undone   int            // transactions in a row that came to nothing
	replies  []*kgo.Record  // of the batch at hand
	sizes    map[string]int // :: topic/partition/offset of an order → how often what it became was too large
	replaced int            // decisions of the batch at hand that became dead letters, as they are too large
}

// endPatience is how long a transaction may take to end before a rebalance need not wait for it any more. Who was thrown out of the group would else wait for ever.
const endPatience = 2 * time.Second

// What is written to a partition before the brokers have marked the last commit on it, which they do after they have told of it, they hold for 20 ms before they ask again
// (add.partitions.to.txn.retry.backoff.ms). So between two transactions there is a rest, which grows when a write took so long and shrinks again: of a few milliseconds,
// most of which the next batch's decisions take anyway.
const (
	heldUp   = 15 * time.Millisecond // a write that took this long was held
	restStep = time.Millisecond
	restMost = 4 * time.Millisecond
)

func newTransactions(cfg *TransportConfig) *transactions {
	return &transactions{id: cfg.TransactionalID, timeout: cfg.SessionTimeout, sizes: make(map[string]int)}
}

// options are those of a client of transactions, over those of one without.
func (x *transactions) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.TransactionalID(x.id), kgo.TransactionTimeout(x.timeout), kgo.RecordDeliveryTimeout(x.timeout),
		// The next transaction often begins while the brokers still mark the end of the last one; they say so, and are asked again after this. The default of 20 ms
		// would be most of what a transaction takes.
		kgo.ConcurrentTransactionsBackoff(time.Millisecond),
	}
}

// settle makes another client when one is needed, and has the brokers end what was left open: until they have, they do not tell where the group stands.
func (t *Transport) settle(ctx context.Context) error {
	x := t.tx
	if x.undone > 0 && !pause(ctx, backoff(x.undone-1)) {
		return ctx.Err()
	}
	if x.broken != nil {
		if err := t.renew(ctx); err != nil {
			return err
		}
	}
	asking, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	if _, _, err := t.client.ProducerID(asking); err != nil {
		x.undone++
		x.broken = err
		return fmt.Errorf("beginning transactions as %s: %w", x.id, err)
	}
	x.settled = true
	return nil
}

// renew puts another client in the place of one whose transaction ended in a way that is not known, or that can make none any more.
func (t *Transport) renew(ctx context.Context) error {
	x := t.tx
	if t.cfg.Log != nil {
		t.cfg.Log.Warn("going on with another Kafka client", "error", x.broken)
	}
	if t.cfg.Renewed != nil {
		t.cfg.Renewed.Inc()
	}
	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	old, metered := x.session, t.metered
	_ = within(closing, func() error { // or it closes later
		old.CloseAllowingRebalance()
		if metered {
			t.measured.Store(false)
		}
		return nil
	})
	t.polled, x.open, x.replies = nil, false, nil
	clear(t.next) // what was read and not committed is read again
	if err := t.connect(); err != nil {
		return err
	}
	x.broken = nil
	return nil
}

// begin opens a transaction and writes messages in it. When that fails nothing of it stays, and the error says that the batch is read again.
func (t *Transport) begin(ctx context.Context, messages []consumer.Message) error {
	x := t.tx
	switch {
	case !x.settled:
		return t.settle(ctx)
	case len(t.polled) == 0, len(messages) == 0: // labels alone: nothing to be published with their offsets
		return nil
	}
	if rest := x.rest - time.Since(x.ended); rest > 0 && !pause(ctx, rest) {
		return t.undone(ctx.Err())
	}
	x.began, x.replaced = time.Now(), 0
	if err := x.session.Begin(); err != nil {
		x.broken = fmt.Errorf("beginning a transaction: %w", err)
		return t.undone(x.broken)
	}
	x.open = true
	records, replies := split(messages, &t.cfg.Topics)
	x.replies = replies
	err := t.write(ctx, records)
	if err == nil {
		x.pace(time.Since(x.began))
		return nil
	}
	return t.abort(ctx, err)
}

// pace sets the rest by how long a write took.
func (x *transactions) pace(took time.Duration) {
	if took >= heldUp {
		x.rest = min(x.rest+restStep, restMost)
	} else {
		x.rest -= x.rest / 256
	}
}

// write writes the records of a transaction and waits for all of them. Those that were too large before go by themselves, and then as something smaller.
func (t *Transport) write(ctx context.Context, records []*kgo.Record) error {
	x := t.tx
	var together, alone []*kgo.Record
	for _, r := range records {
		if x.sizes[orderOf(r)] == 0 {
			together = append(together, r)
		} else {
			alone = append(alone, r)
		}
	}
	failed := t.produce(ctx, together...)
	for _, r := range alone {
		sent := r
		for range x.sizes[orderOf(r)] - 1 {
			if smaller := t.fit.smaller(sent, t.polled); smaller != nil {
				sent = smaller
			}
		}
		if sent.Topic != r.Topic {
			x.replaced++
		}
		failed = errors.Join(failed, t.produce(ctx, sent))
	}
	return failed
}

// produce writes records of a transaction and waits for them, until ctx ends: the client itself waits for ever for a record that it has sent and has no answer to.
func (t *Transport) produce(ctx context.Context, records ...*kgo.Record) error {
	var results kgo.ProduceResults
	done, client := make(chan struct{}), t.client
	go func() {
		defer close(done)
		results = client.ProduceSync(ctx, records...)
	}()
	select {
	case <-done:
		return t.tx.note(results)
	case <-ctx.Done():
	}
	select {
	case <-done:
		return t.tx.note(results)
	case <-time.After(withdrawn):
		t.tx.broken = fmt.Errorf("writing to the brokers: %w", ctx.Err())
		return t.tx.broken
	}
}

// withdrawn is for how long a client is waited for that is no longer asked to write: it answers at once for what it has not sent.
const withdrawn = time.Second

// note returns the first failure, and remembers what was too large.
func (x *transactions) note(results kgo.ProduceResults) error {
	var first error
	for i := range results {
		err := results[i].Err
		if err == nil {
			continue
		}
		if errors.Is(err, kerr.MessageTooLarge) {
			x.sizes[orderOf(results[i].Record)]++
		}
		if first == nil {
			first = fmt.Errorf("writing to %s: %w", results[i].Record.Topic, err)
		}
	}
	return first
}

// end commits the transaction, with the offsets of the batch in it, and then has the replies sent.
func (t *Transport) end(ctx context.Context) error {
	x := t.tx
	if !x.open {
		return t.commitAlone(ctx)
	}
	committed, err := x.finish(ctx, kgo.TryCommit)
	moved := x.moved.Swap(false)
	switch {
	case committed:
	case err != nil:
		return t.unended(fmt.Errorf("committing a transaction: %w", err))
	case moved:
		return t.undone(errMoved)
	default:
		x.broken = errUnknown
		return t.undone(x.broken)
	}
	for _, r := range t.polled {
		delete(x.sizes, sourceOf(r))
	}
	if x.replaced > 0 && t.cfg.DeadLetters != nil {
		t.cfg.DeadLetters.WithLabelValues(codeTooLarge).Add(float64(x.replaced))
	}
	for _, r := range x.replies {
		t.replies.send(ctx, r)
	}
	x.undone, x.replies, t.polled, x.ended = 0, nil, nil, time.Now()
	return nil
}

// commitAlone commits the offsets of a batch that became nothing to be published. Not in a transaction: the brokers refuse one that only has offsets while they
// still mark the end of the last one.
func (t *Transport) commitAlone(ctx context.Context) error {
	if len(t.polled) == 0 {
		return nil
	}
	t.polled = nil
	if err := t.client.CommitUncommittedOffsets(ctx); err != nil {
		t.tx.broken = fmt.Errorf("committing offsets: %w", err) // which are read again: the client itself is beyond them
		return t.undone(t.tx.broken)
	}
	return nil
}

var (
	errMoved   = errors.New("partitions were given to another member of the group")
	errUnknown = errors.New("whether a transaction was committed is not known")
)

// finish ends the open transaction.
func (x *transactions) finish(ctx context.Context, how kgo.TransactionEndTry) (committed bool, err error) {
	x.open = false
	allow := time.AfterFunc(endPatience, x.session.AllowRebalance)
	defer allow.Stop()
	ctx, cancel := context.WithTimeout(ctx, x.timeout+5*time.Second)
	defer cancel()
	return x.session.End(ctx, how)
}

// abort undoes the open transaction, of which cause could not be done.
func (t *Transport) abort(ctx context.Context, cause error) error {
	x := t.tx
	if x.broken != nil { // the client still waits for an answer: it is not asked for more
		x.open = false
		return t.undone(cause)
	}
	_, err := x.finish(ctx, kgo.TryAbort)
	x.moved.Store(false)
	if err != nil {
		return t.unended(errors.Join(cause, fmt.Errorf("aborting a transaction: %w", err)))
	}
	if errors.Is(cause, kerr.UnknownTopicID) { // made anew: a client never writes to a topic under another id than the first
		x.broken = cause
	}
	return t.undone(cause)
}

// unended is for a transaction that the client could not end. Either the brokers have ended it, as it was open for too long: the process was stopped, or they were
// away. Or another process has the same transactional id, where somebody gave it one.
func (t *Transport) unended(err error) error {
	x := t.tx
	taken := errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidTxnState)
	if taken && t.cfg.TransactionalIDGiven && time.Since(x.began) < x.timeout {
		return fmt.Errorf("transactional id %s is in use by a process that started after this one, which ends so that one of them is left: %w: %w", x.id, consumer.ErrStop, err)
	}
	x.broken = err
	return t.undone(err)
}

// undone says that nothing of the batch is done, and that its records are read again.
func (t *Transport) undone(why error) error {
	x := t.tx
	x.undone++
	x.settled = false
	x.replies, t.polled = nil, nil
	return fmt.Errorf("%w: %w", consumer.ErrLost, why)
}
