package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// faulty is an in-process Kafka that can be told to fail, with the topics of a site.
type faulty struct {
	*kfake.Cluster

	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	raw     *kgo.Client
	renewed prometheus.Counter
	letters *prometheus.CounterVec
}

// newFaulty makes one whose network is in memory, so that it can be had in virtual time.
func newFaulty(t *testing.T) *faulty {
	t.Helper()
	network := new(kfake.VirtualNetwork)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(network.Listen), kfake.SeedTopics(2, "orders", "decisions", "replies", "orders.dlq"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	raw, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.Dialer(network.DialContext))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	return &faulty{
		Cluster: c, dial: network.DialContext, raw: raw, renewed: prometheus.NewCounter(prometheus.CounterOpts{Name: "renewed_total", Help: "Renewed."}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "letters_total", Help: "Letters."}, []string{"code"}),
	}
}

func (f *faulty) config() kafka.TransportConfig {
	return kafka.TransportConfig{
		Connection: kafka.Connection{BootstrapServers: f.ListenAddrs(), Dial: f.dial}, Group: "group", CommitInterval: 100 * time.Millisecond,
		Consume: map[string]consumer.Stream{"orders": consumer.Orders}, Topics: kafka.Topics{Decisions: "decisions", Replies: "replies", DeadLetters: "orders.dlq"},
		Renewed: f.renewed, DeadLetters: f.letters,
	}
}

func (f *faulty) transport(t *testing.T, change func(*kafka.TransportConfig)) *kafka.Transport {
	t.Helper()
	cfg := f.config()
	if change != nil {
		change(&cfg)
	}
	tr, err := kafka.NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (f *faulty) send(t *testing.T, ctx context.Context, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		r := &kgo.Record{Topic: "orders", Partition: partition, Key: []byte("key of " + v[:1]), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "mine", Value: []byte("too")}}}
		if err := f.raw.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// work does what a worker does with a transport, until it is cancelled: each record becomes a decision, "decided " and its value, and what fails is tried again.
// It returns an error that ends a worker.
func work(ctx context.Context, tr *kafka.Transport, size func(value string) int) error {
	for ctx.Err() == nil {
		batch, err := tr.Poll(ctx)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		}
		for ctx.Err() == nil {
			err := tr.Publish(ctx, decided(batch, size))
			if err == nil {
				err = tr.Commit(ctx, batch)
			}
			if err == nil || errors.Is(err, consumer.ErrLost) {
				break
			}
			if errors.Is(err, consumer.ErrStop) {
				return err
			}
			pause(ctx, 20*time.Millisecond)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func decided(batch *consumer.Batch, size func(string) int) []consumer.Message {
	var out []consumer.Message
	for i := range batch.Records {
		r := &batch.Records[i]
		value := "decided " + string(r.Value)
		if size != nil {
			value += strings.Repeat(".", size(string(r.Value)))
		}
		out = append(out, consumer.Message{
			To: consumer.Decisions, Partition: -1, Key: r.Key, Value: []byte(value),
			Headers: []consumer.Header{{Key: consumer.HeaderOrderSource, Value: fmt.Appendf(nil, "%s/%d/%d", r.Topic, r.Partition, r.Offset)}},
		})
	}
	return out
}

// committed waits until the group's offset of a partition of orders is at.
func (f *faulty) committed(t *testing.T, ctx context.Context, partition int32, at int64) {
	t.Helper()
	for {
		offsets, err := kadm.NewClient(f.raw).FetchOffsets(ctx, "group")
		if err == nil {
			if o, ok := offsets.Lookup("orders", partition); ok && o.At == at {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("partition %d of the group never came to %d, but %v, %v", partition, at, offsets, err)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// written returns what read_committed readers find on a topic now, in the order of each partition.
func (f *faulty) written(t *testing.T, ctx context.Context, topic string) []*kgo.Record {
	t.Helper()
	ends, err := kadm.NewClient(f.raw).ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	var out []*kgo.Record
	// A reader that keeps control records sees the end of each partition, where markers lie.
	c, err := kgo.NewClient(kgo.SeedBrokers(f.ListenAddrs()...), kgo.Dialer(f.dial), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("reading %s: %v", topic, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset == end.Offset-1 {
				left--
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
	return out
}

func texts(records []*kgo.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// running runs work over a transport until the test has seen what it wants; the transport is closed then.
func running(t *testing.T, ctx context.Context, tr *kafka.Transport, size func(string) int, look func()) {
	t.Helper()
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- work(working, tr, size) }()
	look()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := tr.Close(closing); err != nil {
		t.Error(err)
	}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eachDelivery runs a test with both deliveries.
func eachDelivery(t *testing.T, test func(t *testing.T, exactly bool, set func(*kafka.TransportConfig))) {
	t.Helper()
	t.Run("at_least_once", func(t *testing.T) { test(t, false, func(*kafka.TransportConfig) {}) })
	t.Run("exactly_once", func(t *testing.T) {
		test(t, true, func(cfg *kafka.TransportConfig) { cfg.TransactionalID = "scorer" })
	})
}

// virtually runs a test in virtual time: what takes a minute takes none.
func virtually(t *testing.T, name string, test func(t *testing.T, ctx context.Context, f *faulty)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			test(t, ctx, newFaulty(t))
		})
	})
}

func TestADecisionThatIsTooLargeBecomesADeadLetterAndTheOthersGoOn(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int // of orders.dlq
		value string
	}{{"with its value", 100_000, "large"}, {"without, where that is too large as well", 1600, ""}} {
		eachDelivery(t, func(t *testing.T, _ bool, set func(*kafka.TransportConfig)) {
			t.Log(test.name)
			ctx := limited(t)
			f := newFaulty(t)
			f.limit(t, ctx, "decisions", 700)
			f.limit(t, ctx, "orders.dlq", test.limit)
			order := "large"
			if test.value == "" {
				order = strings.Repeat("large", 200)
			}
			f.send(t, ctx, 0, "a", "b", order, "c", "d")
			size := func(value string) int {
				if strings.HasPrefix(value, "large") {
					return 1000
				}
				return 100 // five of them are too large for one batch, each by itself is not
			}
			running(t, ctx, f.transport(t, set), size, func() { f.committed(t, ctx, 0, 5) })
			if got := f.written(t, ctx, "decisions"); len(got) != 4 {
				t.Errorf("decisions: %.60q", texts(got))
			}
			letters := f.written(t, ctx, "orders.dlq")
			if len(letters) != 1 || string(letters[0].Value) != test.value || string(letters[0].Key) != "key of l" {
				t.Fatalf("dead letters: %.60q", texts(letters))
			}
			headers := map[string]string{}
			for _, h := range letters[0].Headers {
				headers[h.Key] = string(h.Value)
			}
			if headers["verdict.error.code"] != "decision_too_large" || headers["verdict.source"] != "orders/0/2" || headers["mine"] != "too" {
				t.Errorf("its headers are %v", headers)
			}
			if n := counted(t, f.letters); n != 1 {
				t.Errorf("%v are counted", n)
			}
		})
	}
}

// limit sets a topic's max.message.bytes.
func (f *faulty) limit(t *testing.T, ctx context.Context, topic string, bytes int) {
	t.Helper()
	value := fmt.Sprint(bytes)
	if _, err := kadm.NewClient(f.raw).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic); err != nil {
		t.Fatal(err)
	}
}

// once says how the records of a run of n orders are not each decided once: exactly, or at least.
func once(records []*kgo.Record, orders []string, exactly bool) error {
	seen := map[string]int{}
	for _, r := range records {
		seen[string(r.Value)]++
	}
	for _, o := range orders {
		if n := seen["decided "+o]; n == 0 || exactly && n > 1 {
			return fmt.Errorf("order %s has %d decisions", o, n)
		}
	}
	if len(seen) != len(orders) {
		return fmt.Errorf("%d decisions of %d orders", len(seen), len(orders))
	}
	return nil
}

// TestNoFaultOfTheBrokersLosesAnOrder plants one fault after the other under a transport at work. With transactions each order has one decision, whatever happens.
func TestNoFaultOfTheBrokersLosesAnOrder(t *testing.T) {
	eachDelivery(t, func(t *testing.T, exactly bool, set func(*kafka.TransportConfig)) {
		for name, faults := range map[string][]kfake.Fault{
			"EndTxn unknown":              {{Keys: keys(kmsg.EndTxn), TopLevel: true, Err: kerr.UnknownServerError, Count: 2}},
			"EndTxn not coordinator":      {{Keys: keys(kmsg.EndTxn), TopLevel: true, Err: kerr.NotCoordinator, Count: 3}},
			"EndTxn timed out":            {{Keys: keys(kmsg.EndTxn), TopLevel: true, Err: kerr.RequestTimedOut, Count: 2}},
			"EndTxn concurrent":           {{Keys: keys(kmsg.EndTxn), TopLevel: true, Err: kerr.ConcurrentTransactions, Count: 5}},
			"EndTxn abortable":            {{Keys: keys(kmsg.EndTxn), TopLevel: true, Err: kerr.TransactionAbortable, Count: 1}},
			"InitProducerID concurrent":   {{Keys: keys(kmsg.InitProducerID), TopLevel: true, Err: kerr.ConcurrentTransactions, Count: 5}},
			"InitProducerID not allowed":  {{Keys: keys(kmsg.InitProducerID), TopLevel: true, Err: kerr.TransactionalIDAuthorizationFailed, Count: 2}},
			"Produce not leader":          {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.NotLeaderForPartition, Count: 2}},
			"Produce not enough replicas": {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.NotEnoughReplicas, Count: 2}},
			"Produce after append":        {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.NotEnoughReplicasAfterAppend, Count: 2}},
			"Produce not allowed":         {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.TopicAuthorizationFailed, Count: 2}},
			"Produce stale epoch":         {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.InvalidProducerEpoch, Count: 1}},
			"Produce out of sequence":     {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.OutOfOrderSequenceNumber, Count: 1}},
			"Produce unknown id":          {{Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.UnknownProducerID, Count: 1}},
			"TxnOffsetCommit unstable":    {{Keys: keys(kmsg.TxnOffsetCommit), Err: kerr.CoordinatorLoadInProgress, Count: 2}},
			"TxnOffsetCommit stale":       {{Keys: keys(kmsg.TxnOffsetCommit), Err: kerr.IllegalGeneration, Count: 1}},
			"TxnOffsetCommit epoch":       {{Keys: keys(kmsg.TxnOffsetCommit), Err: kerr.InvalidProducerEpoch, Count: 1}},
			"OffsetCommit not there":      {{Keys: keys(kmsg.OffsetCommit), Err: kerr.NotCoordinator, Count: 3}},
			"OffsetFetch not coordinator": {{Keys: keys(kmsg.OffsetFetch), Err: kerr.NotCoordinator, Count: 3}},
			"Heartbeat rebalance":         {{Keys: keys(kmsg.Heartbeat), TopLevel: true, Err: kerr.RebalanceInProgress, Count: 1}},
			"Heartbeat unknown member":    {{Keys: keys(kmsg.Heartbeat), TopLevel: true, Err: kerr.UnknownMemberID, Count: 1}},
			"Fetch not leader":            {{Keys: keys(kmsg.Fetch), Topic: "orders", Err: kerr.NotLeaderForPartition, Count: 3}},
			"Fetch not allowed":           {{Keys: keys(kmsg.Fetch), Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: 3}},
		} {
			virtually(t, name, func(t *testing.T, ctx context.Context, f *faulty) {
				var orders []string
				send := func(n int) {
					for range n {
						o := fmt.Sprint("o", len(orders))
						orders = append(orders, o)
						f.send(t, ctx, 0, o)
					}
				}
				send(5)
				f.Fault(faults...)
				tr := f.transport(t, func(cfg *kafka.TransportConfig) {
					cfg.MaxPollRecords = 3
					set(cfg)
				})
				running(t, ctx, tr, nil, func() {
					f.committed(t, ctx, 0, 5)
					f.Fault(faults...)
					send(5)
					f.committed(t, ctx, 0, 10)
				})
				if err := once(f.written(t, ctx, "decisions"), orders, exactly); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestBrokersThatTakeNothingForLongStopTheirPartitionAndLoseNothing has the brokers refuse what is written for longer than the client tries by itself.
func TestBrokersThatTakeNothingForLongStopTheirPartitionAndLoseNothing(t *testing.T) {
	eachDelivery(t, func(t *testing.T, exactly bool, set func(*kafka.TransportConfig)) {
		for name, fault := range map[string]kfake.Fault{
			"not enough replicas": {Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.NotEnoughReplicas, Count: -1},
			"not the leader":      {Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.NotLeaderForPartition, Count: -1},
			"right taken":         {Keys: keys(kmsg.Produce), Topic: "decisions", Err: kerr.TopicAuthorizationFailed, Count: -1},
			"offsets":             {Keys: []kmsg.Key{kmsg.OffsetCommit, kmsg.TxnOffsetCommit}, Topic: "orders", Err: kerr.NotCoordinator, Count: -1},
		} {
			virtually(t, name, func(t *testing.T, ctx context.Context, f *faulty) {
				var orders []string
				for i := range 100 {
					orders = append(orders, fmt.Sprint("o", i))
				}
				refused := f.Fault(fault)
				f.send(t, ctx, 0, orders...)
				tr := f.transport(t, func(cfg *kafka.TransportConfig) {
					cfg.MaxPollRecords = 5
					set(cfg)
				})
				running(t, ctx, tr, nil, func() {
					time.Sleep(100 * time.Second) // virtual; the client gives a record up after 30 s
					refused.Remove()
					f.committed(t, ctx, 0, 100)
				})
				if err := once(f.written(t, ctx, "decisions"), orders, exactly); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestATransactionThatWasCommittedWithoutAnAnswerIsNotDoneAgain loses the brokers' answer to the end of a transaction that they have carried out.
func TestATransactionThatWasCommittedWithoutAnAnswerIsNotDoneAgain(t *testing.T) {
	for name, lost := range map[string]int64{"one answer": 1, "many": 50} {
		virtually(t, name, func(t *testing.T, ctx context.Context, f *faulty) {
			deaf := &deafDialer{dial: f.dial, key: kmsg.EndTxn.Int16()}
			var orders []string
			for i := range 20 {
				orders = append(orders, fmt.Sprint("o", i))
			}
			f.send(t, ctx, 0, orders[:10]...)
			tr := f.transport(t, func(cfg *kafka.TransportConfig) {
				cfg.TransactionalID, cfg.MaxPollRecords, cfg.Dial = "scorer", 3, deaf.dialContext
			})
			running(t, ctx, tr, nil, func() {
				f.committed(t, ctx, 0, 10)
				deaf.left.Store(lost)
				f.send(t, ctx, 0, orders[10:]...)
				f.committed(t, ctx, 0, 20)
			})
			if err := once(f.written(t, ctx, "decisions"), orders, true); err != nil {
				t.Error(err)
			}
			if deaf.left.Load() == lost {
				t.Error("no answer was lost: this showed nothing")
			}
		})
	}
}

// TestATransactionIsGivenUpWhenTheProcessEnds and no broker answers what was written: the client alone would wait for ever.
func TestATransactionIsGivenUpWhenTheProcessEnds(t *testing.T) {
	virtually(t, "deaf", func(t *testing.T, ctx context.Context, f *faulty) {
		deaf := &deafDialer{dial: f.dial, key: kmsg.Produce.Int16()}
		f.send(t, ctx, 0, "a", "b")
		tr := f.transport(t, func(cfg *kafka.TransportConfig) { cfg.TransactionalID, cfg.Dial = "scorer", deaf.dialContext })
		var ends time.Time
		running(t, ctx, tr, nil, func() {
			f.committed(t, ctx, 0, 2)
			deaf.left.Store(1 << 40)
			f.send(t, ctx, 0, "c")
			time.Sleep(10 * time.Second) // virtual
			ends = time.Now()
		})
		if took := time.Since(ends); took > 15*time.Second {
			t.Errorf("it ends after %s", took)
		}
		if deaf.left.Load() == 1<<40 {
			t.Error("no answer was lost: this showed nothing")
		}
	})
}

// TestTheFirstBatchOfPartitionsThatWereGivenIsTaken, and no other.
func TestTheFirstBatchOfPartitionsThatWereGivenIsTaken(t *testing.T) {
	eachDelivery(t, func(t *testing.T, _ bool, set func(*kafka.TransportConfig)) {
		virtually(t, "given", func(t *testing.T, ctx context.Context, f *faulty) {
			for range 2 { // the second time it is given to another
				tr := f.transport(t, set)
				for i := range 3 {
					f.send(t, ctx, 0, "a")
					batch := &consumer.Batch{}
					for len(batch.Records) == 0 {
						var err error
						if batch, err = tr.Poll(ctx); err != nil {
							t.Fatal(err)
						}
						if err := tr.Publish(ctx, nil); err != nil && len(batch.Records) == 0 {
							continue // of transactions, the first alone
						}
					}
					if batch.Taken != (i == 0) {
						t.Errorf("batch %d is taken: %v", i, batch.Taken)
					}
					if err := tr.Commit(ctx, batch); err != nil {
						t.Fatal(err)
					}
				}
				if err := tr.Close(ctx); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// deafDialer makes connections that end when the answer to a request is to be read.
type deafDialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	key  int16        // of the requests
	left atomic.Int64 // answers that are still to be lost
}

func (d *deafDialer) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dial(ctx, network, address)
	return &deafConn{Conn: c, of: d}, err
}

type deafConn struct {
	net.Conn

	of   *deafDialer
	deaf atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if len(b) > 6 && int16(binary.BigEndian.Uint16(b[4:])) == c.of.key && c.of.left.Load() > 0 {
		c.of.left.Add(-1)
		c.deaf.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.deaf.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// TestADeadLetterTopicThatFailsStopsThePartitionAndDropsNothing has orders whose decisions are too large, and nowhere to put them.
func TestADeadLetterTopicThatFailsStopsThePartitionAndDropsNothing(t *testing.T) {
	eachDelivery(t, func(t *testing.T, _ bool, set func(*kafka.TransportConfig)) {
		virtually(t, "refused", func(t *testing.T, ctx context.Context, f *faulty) {
			f.limit(t, ctx, "decisions", 700)
			refused := f.Fault(kfake.Fault{Keys: keys(kmsg.Produce), Topic: "orders.dlq", Err: kerr.TopicAuthorizationFailed, Count: -1})
			f.send(t, ctx, 0, "a", "large", "b")
			size := func(value string) int { return map[bool]int{true: 1000}[value == "large"] }
			running(t, ctx, f.transport(t, set), size, func() {
				time.Sleep(5 * time.Minute) // virtual
				if offsets, err := kadm.NewClient(f.raw).FetchOffsets(ctx, "group"); err != nil {
					t.Error(err)
				} else if o, _ := offsets.Lookup("orders", 0); o.At > 1 {
					t.Errorf("the group is at %d, and the dead letter is not written", o.At)
				}
				refused.Remove()
				f.committed(t, ctx, 0, 3)
			})
			if letters := f.written(t, ctx, "orders.dlq"); len(letters) != 1 || string(letters[0].Value) != "large" {
				t.Errorf("dead letters: %q", texts(letters))
			}
			if got := f.written(t, ctx, "decisions"); len(got) != 2 {
				t.Errorf("decisions: %.20q", texts(got))
			}
		})
	})
}

func keys(k kmsg.Key) []kmsg.Key { return []kmsg.Key{k} }

func TestAProducerThatIsRefusedForGoodIsReplaced(t *testing.T) {
	ctx := limited(t)
	f := newFaulty(t)
	f.send(t, ctx, 0, "a", "b")
	f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed, Count: 2})
	running(t, ctx, f.transport(t, nil), nil, func() { f.committed(t, ctx, 0, 2) })
	if got := texts(f.written(t, ctx, "decisions")); len(got) != 2 {
		t.Errorf("decisions: %q", got)
	}
	if counted(t, f.renewed) == 0 {
		t.Error("no client was replaced: this showed nothing")
	}
}

// counted returns the sum of what a collector counts or shows.
func counted(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
