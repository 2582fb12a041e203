package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// CallerConfig is what a Caller is made of.
type CallerConfig struct {
	Connection
	Topics         Topics
	ReplyPartition int32 // of Topics.Replies; -1 takes any: two callers on one partition read each other's replies and ignore them

	// Resolve is given each reply of the partition, on one goroutine. Headers with an error code make code and detail; value is then nil.
	Resolve func(correlation, value []byte, code, detail string)
}

// Caller sends orders of waiting callers and receives the replies. It reads one partition from its end, without a group: a reply that nobody waits for
// any more is not wanted, and a partition that needs no group is there at once. Safe for concurrent use.
type Caller struct {
	cfg       CallerConfig
	client    *kgo.Client
	partition int32
	done      chan struct{}

	mu   sync.Mutex
	fail error // guarded by mu: why replies cannot be read at the moment
}

// NewCaller finds the end of its reply partition and starts to read from there; when it returns, no reply to a later Send can be missed.
func NewCaller(ctx context.Context, cfg CallerConfig) (*Caller, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, producing()...)
	opts = append(opts,
		// An idempotent producer cannot give up a record that it has tried to send, so an order whose caller was told 503 would be written when the broker
		// is back. Without, it is dropped unless it is on the wire at that moment. What idempotence is for, an order written twice, is no harm here.
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5),
		kgo.FetchMaxWait(5*time.Second), kgo.FetchMinBytes(1), // read uncommitted: a reply is wanted as soon as it is written
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, cfg.Topics.Replies)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("finding the end of %s: %w", cfg.Topics.Replies, err)
	}
	n := int32(len(ends[cfg.Topics.Replies]))
	c := &Caller{cfg: cfg, client: client, partition: cfg.ReplyPartition, done: make(chan struct{})}
	if c.partition < 0 {
		c.partition = rand.N(n) //nolint:gosec // spreads load, keeps no secret
	}
	end, ok := ends.Lookup(cfg.Topics.Replies, c.partition)
	if !ok {
		client.Close()
		return nil, fmt.Errorf("reply partition %d: topic %s has %d", c.partition, cfg.Topics.Replies, n)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topics.Replies: {c.partition: kgo.NewOffset().At(end.Offset)}})
	go c.receive() //nolint:gosec,contextcheck // G118: it lives as long as the client, not as long as the context of this call
	return c, nil
}

// receive hands out replies until the client is closed.
func (c *Caller) receive() {
	defer close(c.done)
	for {
		fetches := c.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		err := fetches.Err()
		c.mu.Lock()
		c.fail = err
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
}

// Send writes an order to the topic of waiting callers, with the headers that ask for a reply here, and returns when Kafka has acknowledged it. When ctx
// ends first, the order may still be written later: it is then decided like any other, and a repeat of it gets that decision.
func (c *Caller) Send(ctx context.Context, r Request) error {
	headers := make([]kgo.RecordHeader, 0, 5)
	headers = append(headers,
		kgo.RecordHeader{Key: consumer.HeaderCorrelation, Value: r.Correlation},
		kgo.RecordHeader{Key: consumer.HeaderReplyTopic, Value: []byte(c.cfg.Topics.Replies)},
		kgo.RecordHeader{Key: consumer.HeaderReplyPartition, Value: binary.BigEndian.AppendUint32(nil, uint32(c.partition))},
	)
	if !r.Deadline.IsZero() {
		headers = append(headers, kgo.RecordHeader{Key: consumer.HeaderDeadline, Value: strconv.AppendInt(nil, r.Deadline.UnixMilli(), 10)})
	}
	if r.Traceparent != "" {
		headers = append(headers, kgo.RecordHeader{Key: consumer.HeaderTraceparent, Value: []byte(r.Traceparent)})
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

// Ready says why replies cannot be had: nil when the partition is being read and the cluster answers.
func (c *Caller) Ready(ctx context.Context) error {
	c.mu.Lock()
	err := c.fail
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("reading replies: %w", err)
	}
	select {
	case <-c.done:
		return errors.New("the reply reader has ended")
	default:
		return c.client.Ping(ctx)
	}
}

// Close ends the client; orders that are on their way are acknowledged first.
func (c *Caller) Close(ctx context.Context) error {
	err := within(ctx, func() error {
		err := c.client.Flush(ctx)
		c.client.Close()
		<-c.done
		return err
	})
	if err != nil {
		return fmt.Errorf("handing the last orders to Kafka: %w", err)
	}
	return nil
}
