package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// CallerConfig is what a Caller is made of.
type CallerConfig struct {
	Connection
	Topics         Topics
	ReplyPartition int32   // of Topics.Replies; -1 takes what Leases say. Callers that share one read each other's replies and ignore them
	Leases         *Leases // nil takes a partition at random
	// LongestWait is how long after its order was sent a caller may still wait for a reply: for so long a partition that was left is read on. 0 is 30 s.
	LongestWait time.Duration

	// Resolve is given each reply of the partition, on one goroutine. Headers with an error code make code and detail; value is then nil.
	Resolve func(correlation, value []byte, code, detail string)
	// Moved, when set, is told which partition new orders ask for, and how many read it (0: not known): at first, and when it becomes another. It is called on one
	// goroutine at a time.
	Moved func(partition int32, sharers int)
}

// Caller sends orders of waiting callers and receives the replies. It reads one partition from its end, without a group: a reply that nobody waits for
// any more is not wanted, and a partition that needs no group is there at once. Safe for concurrent use.
type Caller struct {
	cfg       CallerConfig
	client    *kgo.Client
	probe     *Probe
	partition atomic.Int32 // that new orders ask for
	sharers   atomic.Int32 // who read it; 0 is not known
	received  chan struct{}

	tend tender // changes the partition

	mu   sync.Mutex
	fail fault // guarded by mu
}

// fault is why replies could not be read, and when that was.
type fault struct {
	err error
	at  time.Time
}

// fetchWait is how long a fetch waits for replies. It costs no latency, as a fetch ends with the first byte; but a partition that is added while one is under way
// waits for its end.
const fetchWait = 500 * time.Millisecond

// ErrReplyPartition says that the topic of the replies has no such partition, which waiting does not mend.
var ErrReplyPartition = errors.New("no such reply partition")

// NewCaller finds the end of its reply partition and starts to read from there; when it returns, no reply to a later Send can be missed.
func NewCaller(ctx context.Context, cfg CallerConfig) (*Caller, error) {
	if cfg.LongestWait <= 0 {
		cfg.LongestWait = 30 * time.Second
	}
	if cfg.ReplyPartition >= 0 {
		cfg.Leases = nil
	}
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, producing()...)
	opts = append(opts,
		// An idempotent producer cannot give up a record that it has tried to send, so an order whose caller was told 503 would be written when the broker
		// is back. Without, it is dropped unless it is on the wire at that moment. What idempotence is for, an order written twice, is no harm here.
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5),
		kgo.FetchMaxWait(fetchWait), kgo.FetchMinBytes(1), // read uncommitted: a reply is wanted as soon as it is written
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	c := &Caller{cfg: cfg, client: client, probe: NewProbe(client.Ping), received: make(chan struct{})}
	if err := c.begin(ctx); err != nil {
		client.Close()
		return nil, err
	}
	go c.receive()  //nolint:gosec,contextcheck // G118: it lives as long as the client, not as long as the context of this call
	c.tend.start(c) //nolint:contextcheck // as above
	return c, nil
}

// begin picks the partition and begins to read it.
func (c *Caller) begin(ctx context.Context) error {
	ends, err := c.ends(ctx)
	for try := 0; young(err) && try < youngTries && pause(ctx, backoff(try)); try++ {
		ends, err = c.ends(ctx)
	}
	if err != nil {
		return err
	}
	n := int32(len(ends))
	at := place{partition: c.cfg.ReplyPartition}
	if at.partition < 0 {
		at = c.tend.first(ctx, c.cfg.Leases, n)
	}
	if at.partition >= n {
		return fmt.Errorf("reply partition %d: topic %s has %d: %w", at.partition, c.cfg.Topics.Replies, n, ErrReplyPartition)
	}
	c.read(at.partition, ends)
	c.reached(at)
	return nil
}

// young tells whether err is what brokers say of a topic that was made a moment ago, and that not all of them know yet.
func young(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable) || errors.Is(err, kerr.NotLeaderForPartition)
}

// youngTries is how often such a topic is asked for again: about three seconds, then it is told.
const youngTries = 7

// ends returns the end of each partition of the replies.
func (c *Caller) ends(ctx context.Context) (map[int32]kadm.ListedOffset, error) {
	listed, err := kadm.NewClient(c.client).ListEndOffsets(ctx, c.cfg.Topics.Replies)
	if err == nil {
		err = listed.Error()
	}
	if err == nil && len(listed[c.cfg.Topics.Replies]) == 0 {
		err = kerr.UnknownTopicOrPartition
	}
	if err != nil {
		return nil, fmt.Errorf("finding the end of %s: %w", c.cfg.Topics.Replies, err)
	}
	return listed[c.cfg.Topics.Replies], nil
}

// read adds a partition to what is read, from its end on.
func (c *Caller) read(partition int32, ends map[int32]kadm.ListedOffset) {
	c.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{
		c.cfg.Topics.Replies: {partition: kgo.NewOffset().At(ends[partition].Offset)},
	})
}

// reached makes new orders ask for a partition that is being read.
func (c *Caller) reached(at place) {
	c.partition.Store(at.partition)
	c.shared(at.sharers)
	if c.cfg.Moved != nil {
		c.cfg.Moved(at.partition, at.sharers)
	}
}

func (c *Caller) shared(sharers int) { c.sharers.Store(int32(sharers)) }

// Sharers returns how many processes read the partition that new orders ask for, this one counted; 0 when that is not known.
func (c *Caller) Sharers() int { return int(c.sharers.Load()) }

// receive hands out replies until the client is closed.
func (c *Caller) receive() {
	defer close(c.received)
	for {
		fetches := c.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		err := fetches.Err()
		c.mu.Lock()
		c.fail = fault{err, time.Now()}
		c.mu.Unlock()
		fetches.EachRecord(c.resolve)
	}
}

func (c *Caller) resolve(r *kgo.Record) {
	var correlation []byte
	var code, detail string
	for _, h := range r.Headers {
		switch h.Key {
		case consumer.HeaderCorrelation:
			correlation = h.Value
		case consumer.HeaderErrorCode:
			code = string(h.Value)
		case consumer.HeaderErrorDetail:
			detail = string(h.Value)
		}
	}
	c.cfg.Resolve(correlation, r.Value, code, detail)
}

// Request is an order of a waiting caller.
type Request struct {
	Key         []byte
	Order       []byte    // the record's value
	Correlation []byte    // comes back with the reply
	Deadline    time.Time // until when the caller waits: the scorer need not reply later. Zero is for ever
	Traceparent string    // W3C trace context; "" is none
	Tracestate  string    // of it; "" is none
}

// Send writes an order to the topic of waiting callers, with the headers that ask for a reply here, and returns when Kafka has acknowledged it. When ctx
// ends first, the order may still be written later: it is then decided like any other, and a repeat of it gets that decision.
func (c *Caller) Send(ctx context.Context, r Request) error {
	headers := make([]kgo.RecordHeader, 0, 6)
	headers = append(headers,
		kgo.RecordHeader{Key: consumer.HeaderCorrelation, Value: r.Correlation},
		kgo.RecordHeader{Key: consumer.HeaderReplyTopic, Value: []byte(c.cfg.Topics.Replies)},
		kgo.RecordHeader{Key: consumer.HeaderReplyPartition, Value: binary.BigEndian.AppendUint32(nil, uint32(c.partition.Load()))},
	)
	if !r.Deadline.IsZero() {
		headers = append(headers, kgo.RecordHeader{Key: consumer.HeaderDeadline, Value: strconv.AppendInt(nil, r.Deadline.UnixMilli(), 10)})
	}
	if r.Traceparent != "" {
		headers = append(headers, kgo.RecordHeader{Key: consumer.HeaderTraceparent, Value: []byte(r.Traceparent)})
	}
	if r.Tracestate != "" {
		headers = append(headers, kgo.RecordHeader{Key: consumer.HeaderTracestate, Value: []byte(r.Tracestate)})
	}
	return c.produce(ctx, &kgo.Record{Topic: c.cfg.Topics.Sync, Partition: -1, Key: r.Key, Value: r.Order, Headers: headers})
}

// Label writes a label, under its order's id, and returns when Kafka has acknowledged it.
func (c *Caller) Label(ctx context.Context, id string, label []byte) error {
	return c.produce(ctx, &kgo.Record{Topic: c.cfg.Topics.Labels, Partition: -1, Key: []byte(id), Value: label})
}

func (c *Caller) produce(ctx context.Context, r *kgo.Record) error {
	topic, acked := r.Topic, make(chan error, 1)
	// Not ProduceSync: it waits on after ctx for a record that may be on the wire already, for as long as the broker is away.
	c.client.Produce(ctx, r, func(_ *kgo.Record, err error) { acked <- err })
	select {
	case err := <-acked:
		if err != nil {
			return fmt.Errorf("writing to %s: %w", topic, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writing to %s: %w", topic, ctx.Err())
	}
}

// failedFor is how long a fault counts that was not followed by a reply: the client tells one that goes on again and again, and says nothing when it is over.
const failedFor = 10 * time.Second

// Ready says why replies cannot be had: nil when the partition is being read and the cluster answers. It returns within a second.
func (c *Caller) Ready(ctx context.Context) error {
	c.mu.Lock()
	fail := c.fail
	c.mu.Unlock()
	if fail.err != nil && time.Since(fail.at) < failedFor {
		return fmt.Errorf("reading replies: %w", fail.err)
	}
	select {
	case <-c.received:
		return errors.New("the reply reader has ended")
	default:
		return c.probe.Ready(ctx)
	}
}

// Close gives the lease back and ends the client; orders that are on their way are acknowledged first.
func (c *Caller) Close(ctx context.Context) error {
	c.tend.stop(ctx, c)
	err := within(ctx, func() error {
		err := c.client.Flush(ctx)
		c.client.Close()
		<-c.received
		return err
	})
	if err != nil {
		return fmt.Errorf("handing the last orders to Kafka: %w", err)
	}
	return nil
}
