// Package kafka is verdict's way to Kafka, and the only one that knows the client library: where orders and labels are polled and decisions are
// published (Transport), where a caller's order is sent and its reply received (Caller), and the creation of topics.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// Topics are the names of verdict's topics. All are required but those of a side that is not used.
type Topics struct {
	Orders      string `koanf:"orders"`
	Sync        string `koanf:"orders_sync"`
	Labels      string `koanf:"labels"`
	Decisions   string `koanf:"decisions"`
	Replies     string `koanf:"replies"`
	DeadLetters string `koanf:"orders_dlq"`
	Resolved    string `koanf:"orders_dlq_done"` // which dead letters are done with, for verdict dlq; empty is orders_dlq + ".done"
}

// ResolvedOr returns the name of the topic that says which dead letters are done with.
func (t *Topics) ResolvedOr() string { return cmp.Or(t.Resolved, t.DeadLetters+".done") }

// TransportConfig is what a Transport is made of.
type TransportConfig struct {
	Connection
	Group           string
	GroupInstanceID string        // static membership (group.instance.id): a restart keeps the partitions; must differ between processes
	SessionTimeout  time.Duration // how long the group waits for a member that fell silent; 0 is 10 s, as a scorer is back sooner than Kafka's 45 s
	MaxPollRecords  int           // 0 is 500: about 20 ms of work, which is how long a rebalance may have to wait
	Limit           func() int    // asked at each poll: at most so many records, and never more than MaxPollRecords; nil, or 0, is MaxPollRecords
	CommitInterval  time.Duration // how often offsets of finished batches are sent; 0 is 100 ms. A crash repeats that much, without effect
	Consume         map[string]consumer.Stream
	Topics          Topics
	// TransactionalID, when set, has what a batch becomes published in one transaction with the offsets of its records. No other client may have the same.
	TransactionalID      string
	TransactionalIDGiven bool                   // by somebody: another process may have the same, and the older of them ends
	AcceptGap            bool                   // go on behind a gap in the log that a partition has when it is assigned
	Alarms               *Alarms                // why partitions stand still; nil tells nobody
	RepliesLost          prometheus.Counter     // nil counts nothing
	DeadLetters          *prometheus.CounterVec // :: code, of orders whose decision was too large; nil counts nothing
	Renewed              prometheus.Counter     // clients that another one took the place of; nil counts nothing
}

// Transport is a consumer.Transport over Kafka: one member of a group, and the producer of what it decides.
type Transport struct {
	cfg     TransportConfig
	client  *kgo.Client
	asked   atomic.Pointer[kgo.Client] // the same, for probes
	probe   *Probe
	replies *replier
	fit     *fitting
	outbox  *outbox        // nil where tx is not
	tx      *transactions  // nil: at least once
	next    map[spot]int64 // what is read next, of partitions that something was read of
	taken   sync.Map       // :: spot → nil: partitions that were given to this member, and not read of since
	polled  []*kgo.Record  // of the last Poll, until they are committed
	sending *sending       // what was published since; nil is nothing
	batch   consumer.Batch

	measured atomic.Bool // metrics of a client are registered, and only one's may be: an older one may close after its successor is there
	metered  bool        // those of client
}

// NewTransport connects lazily: an unreachable cluster shows at the first Poll, which waits for it.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 10 * time.Second
	}
	if cfg.MaxPollRecords == 0 {
		cfg.MaxPollRecords = 500
	}
	if cfg.CommitInterval == 0 {
		cfg.CommitInterval = 100 * time.Millisecond
	}
	if cfg.Alarms == nil {
		cfg.Alarms = NewAlarms(nil)
	}
	t := &Transport{cfg: cfg, next: make(map[spot]int64), fit: &fitting{topics: cfg.Topics, consume: cfg.Consume, letters: cfg.DeadLetters}}
	t.probe = NewProbe(t.Ping)
	if cfg.TransactionalID != "" {
		t.tx = newTransactions(&t.cfg)
		writes, err := t.writer(kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5)) // a reply that is written twice is no harm
		if err != nil {
			return nil, fmt.Errorf("making a Kafka client for replies: %w", err)
		}
		t.replies = newReplier(&t.cfg, &producer{client: writes})
	} else {
		t.outbox = newOutbox(t.fit) // before the client, whose group may give up partitions at once
	}
	if err := t.connect(); err != nil {
		return nil, err
	}
	return t, nil
}

// connect makes the client that is a member of the group.
func (t *Transport) connect() error {
	t.metered = t.measured.CompareAndSwap(false, true)
	opts, err := t.options(t.metered)
	if err != nil {
		return err
	}
	opts = append(opts, kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
		for topic, partitions := range given {
			for _, p := range partitions {
				t.taken.Store(spot{topic, p}, nil)
			}
		}
	}))
	if t.tx != nil {
		t.tx.moved.Store(false)
		opts = append(opts, t.tx.options()...)
		moved := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			t.tx.moved.Store(true)
			t.gaveUp(client, partitions)
		}
		opts = append(opts, kgo.OnPartitionsRevoked(moved), kgo.OnPartitionsLost(moved))
		if t.tx.session, err = kgo.NewGroupTransactSession(opts...); err != nil {
			return fmt.Errorf("making a Kafka client: %w", err)
		}
		t.client = t.tx.session.Client()
		t.asked.Store(t.client)
		return nil
	}
	opts = append(opts,
		keeping(),
		kgo.AutoCommitMarks(), // only what Commit marked is committed, in the background and before a partition is given up
		kgo.AutoCommitInterval(t.cfg.CommitInterval),
		// Of what is lost, and not given up, nothing can be committed.
		kgo.OnPartitionsRevoked(t.revoked), kgo.OnPartitionsLost(func(_ context.Context, client *kgo.Client, lost map[string][]int32) { t.gaveUp(client, lost) }))
	if t.client, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	t.asked.Store(t.client)
	writes := &producer{client: t.client, group: t.client, log: t.cfg.Log, count: t.cfg.Renewed, linger: t.cfg.Linger}
	writes.make = func() (*kgo.Client, error) { return t.writer(keeping()) }
	t.outbox.group, t.outbox.writes, t.replies = t.client, writes, newReplier(&t.cfg, writes)
	return nil
}

// options are those of a member of the group.
func (t *Transport) options(measured bool) ([]kgo.Opt, error) {
	cfg := &t.cfg
	c := cfg.Connection
	if !measured {
		c.Registry = nil
	}
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	topics := make([]string, 0, len(cfg.Consume))
	for topic := range cfg.Consume {
		topics = append(topics, topic)
	}
	opts = append(opts, producing()...)
	opts = append(opts,
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(topics...),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(cfg.SessionTimeout/3),
		kgo.BlockRebalanceOnPoll(), // a batch in work keeps its partitions until its offsets are marked
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a gap in the log is an alarm: the default jumps over it in silence
		kgo.FetchIsolationLevel(isolation()),
		// A long poll returns with the first byte, so its length costs no latency, but a partition that is assigned while one is under way waits for its
		// end: with the default of 5 s one start in four had its first order 5 s late.
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMinBytes(1),
		// Labels lie behind what was fetched of orders before them. The default of 1 MiB a partition is 20,000 orders in all, which a lane that yields to callers
		// takes 20 s for.
		kgo.FetchMaxPartitionBytes(256<<10),
	)
	if cfg.GroupInstanceID != "" {
		opts = append(opts, kgo.InstanceID(cfg.GroupInstanceID))
	}
	return opts, nil
}

// writer makes a client that only writes. It measures nothing: the metrics are those of the client that reads.
func (t *Transport) writer(more ...kgo.Opt) (*kgo.Client, error) {
	c := t.cfg.Connection
	c.Registry = nil
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(append(opts, producing()...), more...)...)
}

// isolation is which records are polled: an order of a transaction that was aborted is none.
func isolation() kgo.IsolationLevel {
	if bugReadUncommitted {
		return kgo.ReadUncommitted()
	}
	return kgo.ReadCommitted()
}

// Poll waits for records and returns up to MaxPollRecords of them, none after IdlePoll, and none while something could not be written: Publish then tries that
// again. The batch is valid until the next Poll.
func (t *Transport) Poll(ctx context.Context) (*consumer.Batch, error) {
	t.client.AllowRebalance()
	fetches := t.poll(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	troubled, err := t.faults(ctx, fetches)
	if err != nil {
		return nil, err
	}
	if troubled && fetches.NumRecords() == 0 {
		pause(ctx, troubleWait)
	}
	t.polled = make([]*kgo.Record, 0, fetches.NumRecords()) // the last ones may be on their way still
	t.batch.Records, t.batch.Taken = t.batch.Records[:0], false
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			_, taken := t.taken.LoadAndDelete(spot{p.Topic, p.Partition})
			t.batch.Taken = t.batch.Taken || taken
			t.next[spot{p.Topic, p.Partition}] = p.Records[n-1].Offset + 1
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		t.polled = append(t.polled, r)
		t.batch.Records = append(t.batch.Records, record(r, t.cfg.Consume[r.Topic]))
	})
	if bugAckEarly {
		t.client.MarkCommitRecords(t.polled...)
		_ = t.client.CommitMarkedOffsets(ctx)
	}
	return &t.batch, nil
}

// troubleWait is how long a poll takes that brings nothing but a fault: what a broker refuses is asked for again at once by the client, some thousand times a second.
const troubleWait = 100 * time.Millisecond

// IdlePoll is how long a poll waits for records before it returns without: so that whoever watches the worker sees that it is alive.
const IdlePoll = 10 * time.Second

func (t *Transport) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, IdlePoll)
	defer cancel()
	if t.tx != nil && !t.tx.settled || t.outbox != nil && t.outbox.failed(cancel) {
		return nil
	}
	return t.client.PollRecords(ctx, t.most())
}

// most is how many records the next poll may return.
func (t *Transport) most() int {
	if t.cfg.Limit == nil {
		return t.cfg.MaxPollRecords
	}
	if n := t.cfg.Limit(); n > 0 {
		return min(n, t.cfg.MaxPollRecords)
	}
	return t.cfg.MaxPollRecords
}

// faults returns what of a poll's errors ends the worker. A partition of which records are gone stops; the rest (a topic or a right that is missing for now) the
// client asks for again by itself. It says whether there was any fault.
func (t *Transport) faults(ctx context.Context, fetches kgo.Fetches) (troubled bool, fatal error) {
	fetches.EachError(func(topic string, partition int32, err error) {
		cut := (*kgo.ErrDataLoss)(nil)
		switch at := (spot{topic, partition}); {
		case (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && topic == "": // nothing came
			return
		case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kerr.FencedInstanceID):
			fatal = fmt.Errorf("polling: %w: %w", consumer.ErrStop, err)
		case errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kerr.UnknownTopicID), errors.As(err, &cut):
			t.lost(ctx, at, err)
		default:
			t.cfg.Alarms.fail(at, err)
			if t.cfg.Log != nil {
				t.cfg.Log.Warn("polling", "topic", topic, "partition", partition, "error", err)
			}
		}
		troubled = true
	})
	return troubled, fatal
}

func record(r *kgo.Record, stream consumer.Stream) consumer.Record {
	out := consumer.Record{Stream: stream, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value}
	if len(r.Headers) > 0 {
		out.Headers = make([]consumer.Header, len(r.Headers))
		for i, h := range r.Headers {
			out.Headers[i] = consumer.Header{Key: h.Key, Value: h.Value}
		}
	}
	return out
}

// Publish sends all messages, replies first, and waits for none of them; what the brokers did not take of an earlier batch is written before, and while that
// fails so does this. With transactions it waits for all, and replies are sent by Commit. A decision that is larger than the brokers take becomes a dead letter of
// its order, and a dead letter that is so is written without its value, and says so.
func (t *Transport) Publish(ctx context.Context, messages []consumer.Message) error {
	if t.tx != nil {
		return t.begin(ctx, messages)
	}
	if err := t.outbox.again(ctx); err != nil {
		return err
	}
	records, replies := split(messages, &t.cfg.Topics)
	if len(replies) > 0 {
		t.outbox.writes.all(ctx, func(*kgo.Client) {
			for _, r := range replies {
				t.replies.send(ctx, r)
			}
		})
	}
	if len(records) == 0 {
		return nil
	}
	var err error
	t.sending, err = t.outbox.send(ctx, records, t.polled)
	return err
}

// outgoing returns a message as it is written. The value is not copied.
func outgoing(m *consumer.Message, topics *Topics) *kgo.Record {
	r := &kgo.Record{Topic: m.Topic, Partition: m.Partition, Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
	for i, h := range m.Headers {
		r.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	if r.Topic == "" {
		r.Topic = [...]string{consumer.Decisions: topics.Decisions, consumer.Replies: topics.Replies, consumer.DeadLetters: topics.DeadLetters}[m.To]
	}
	return r
}

// Commit marks the batch as done once all that was published for it is acknowledged; its offsets are sent within CommitInterval, and before its partitions are
// given up. With transactions it ends that of the batch and returns when the brokers have committed it, or says that the batch is read again.
func (t *Transport) Commit(ctx context.Context, _ *consumer.Batch) error {
	if t.tx != nil {
		return t.end(ctx)
	}
	t.outbox.commit(t.sending, t.polled)
	t.sending, t.polled = nil, nil
	return nil
}

// revoked lets what is on its way arrive before partitions go to another member, which would write it again; it would be equal.
func (t *Transport) revoked(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	t.gaveUp(client, partitions)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	t.outbox.drain(ctx)
	if err := client.CommitMarkedOffsets(ctx); err != nil && t.cfg.Log != nil {
		t.cfg.Log.Warn("committing before partitions are given up", "error", err)
	}
}

// Close sends the offsets that are marked, leaves the group (a static member stays in it) and ends the client. When ctx ends first, because the cluster is
// silent, it returns without. Offsets that were not sent are an error: what was done since the last commit is then done again after the next start, without effect.
// That the group was not left is none; it finds out by the session.
func (t *Transport) Close(ctx context.Context) error {
	var failed error
	writes := t.replies.writes
	if t.tx == nil { // a transaction that is not committed is aborted by who comes next, or by the brokers
		failed = within(ctx, func() error {
			t.outbox.drain(ctx)
			return t.client.CommitMarkedOffsets(ctx)
		})
	}
	left := within(ctx, func() error {
		t.replies.flush(ctx)
		writes.close()
		t.client.CloseAllowingRebalance()
		return nil
	})
	if failed != nil {
		return fmt.Errorf("committing the offsets of what was done: %w", failed)
	}
	if left != nil && t.cfg.Log != nil {
		t.cfg.Log.Warn("leaving the group: it does not answer, and finds out by itself", "group", t.cfg.Group, "error", left)
	}
	return nil
}

// within calls a part of the client that heeds no context, and waits for it until ctx ends; it then goes on by itself until the process ends.
func within(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ping says whether a broker answers.
func (t *Transport) Ping(ctx context.Context) error { return t.asked.Load().Ping(ctx) }

// Ready says why no broker answers: nil when one does. It returns within a second, and is safe to be called concurrently.
func (t *Transport) Ready(ctx context.Context) error { return t.probe.Ready(ctx) }
