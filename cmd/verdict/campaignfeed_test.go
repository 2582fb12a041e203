//go:build unix

package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stream is what is written in a run. Every share is of all records.
type stream struct {
	n, rate   int
	seed      uint64
	copies    float64 // the same order again, up to some hundred records later
	conflicts float64 // another content under an id that was used
	late      float64 // by up to two hours of event time
	bad       float64 // bytes that are no order
	hot       float64 // of the four hot customers
	fresh     float64 // of customers and terminals that nobody has seen yet
}

func (s stream) orDefaults(n, rate int, seed uint64) stream {
	s.n, s.rate, s.seed = n, rate, seed
	s.copies, s.late, s.hot = cmp.Or(s.copies, 0.01), cmp.Or(s.late, 0.02), cmp.Or(s.hot, 0.05)
	s.conflicts, s.bad = cmp.Or(s.conflicts, 0.001), cmp.Or(s.bad, 0.005)
	return s
}

// made is an order record, before it is written.
type made struct {
	partition int32
	key       string
	value     []byte
	fate      string // header: what must become of it
}

// feeder writes orders, labels, copies, bad records, and transactions that are aborted. All orders of a customer, and of a terminal, lie on one partition, so that
// what each must see of the others does not depend on how partitions are read. Labels become known in a stretch of event time that no order has come to
// yet, and are learned before any does.
type feeder struct {
	c       *campaign
	stream  stream
	rng     *rand.Rand
	client  *kgo.Client
	aborter *kgo.Client
	admin   *kadm.Client
	clock   time.Time
	recent  []made // that copies and conflicts are made of
	pending []made // copies to come
	labels  []knownLabel
	written atomic.Int64 // acknowledged records of which something must come
	learned time.Time    // labels known before this were learned
	given   int          // of those, how many are not waited for
	failed  sync.Once
}

type knownLabel struct {
	at    time.Time
	id    string
	value []byte
}

const (
	campaignPartitions = 4
	labelsAhead        = 5 * time.Minute // of event time: a stretch, for which labels are learned ahead
	inFlight           = 4000            // orders that are written and not decided
)

func newFeeder(t *testing.T, c *campaign, s stream) *feeder {
	t.Helper()
	f := &feeder{c: c, stream: s, rng: rand.New(rand.NewPCG(s.seed, 8)), clock: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.client = c.site.client(t, kgo.ProducerLinger(5*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()))
	f.admin = kadm.NewClient(f.client)
	f.aborter = c.site.client(t, kgo.TransactionalID(c.site.prefix+"aborted"), kgo.TransactionTimeout(10*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return f
}

// run writes the whole stream.
func (f *feeder) run(t *testing.T, ctx context.Context) {
	t.Helper()
	began := time.Now()
	f.learned = f.clock
	for i := range f.stream.n {
		f.clock = f.clock.Add(time.Duration(f.rng.IntN(3)) * time.Second)
		if !f.clock.Before(f.learned) {
			f.learn(t, ctx)
		}
		f.write(t, ctx, f.next(i))
		if i%400 == 399 {
			f.abort(ctx, i)
		}
		if i%50 == 49 {
			f.wait(ctx, began.Add(time.Duration(i)*time.Second/time.Duration(f.stream.rate)))
		}
		if ctx.Err() != nil {
			t.Errorf("%d of %d orders were written", i, f.stream.n)
			return
		}
	}
	for _, m := range f.pending {
		f.write(t, ctx, m)
	}
	if err := f.client.Flush(ctx); err != nil {
		t.Errorf("writing orders: %v", err)
	}
}

// wait holds the stream to its rate, and to what may be in flight. Where nothing is decided for long, it goes on: what is in flight may be lost, or the fault be one
// that ends with the stream.
func (f *feeder) wait(ctx context.Context, due time.Time) {
	time.Sleep(time.Until(due))
	left, since := -1, time.Now()
	for ctx.Err() == nil {
		inputs, open := f.c.oracle.Open()
		now := int(f.written.Load()) - inputs + open - f.given
		if now < inFlight {
			return
		}
		if now != left {
			left, since = now, time.Now()
		}
		if time.Since(since) > f.c.patience {
			f.given += now
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// next makes the next record.
func (f *feeder) next(i int) made {
	if len(f.pending) > 0 && f.rng.IntN(100) == 0 {
		m := f.pending[0]
		f.pending = f.pending[1:]
		return m
	}
	draw := f.rng.Float64()
	s := &f.stream
	switch {
	case draw < s.bad:
		return f.bad(i)
	case draw < s.bad+s.conflicts && len(f.recent) > 0:
		m := f.recent[f.rng.IntN(len(f.recent))]
		m.value = append([]byte(`{"currency":"XXX",`), m.value[1:]...)
		m.fate = "dead"
		return m
	case draw < s.bad+s.conflicts+s.copies && len(f.recent) > 0:
		m := f.recent[f.rng.IntN(len(f.recent))]
		if f.rng.IntN(2) == 0 {
			f.pending = append(f.pending, m)
		}
		return m
	}
	return f.order(fmt.Sprint("order-", i), i)
}

// order makes an order of a group of customers and terminals that share a partition.
func (f *feeder) order(id string, i int) made {
	partition := int32(f.rng.IntN(campaignPartitions))
	customer, terminal := fmt.Sprintf("c%d-%d", partition, f.rng.IntN(500)), fmt.Sprintf("t%d-%d", partition, f.rng.IntN(200))
	switch draw := f.rng.Float64(); {
	case draw < f.stream.hot:
		customer = fmt.Sprintf("hot%d", partition)
	case draw < f.stream.hot+f.stream.fresh:
		customer, terminal = fmt.Sprintf("fresh%d-%d", partition, i), fmt.Sprintf("fresh%d-%d", partition, i)
	}
	at := f.clock
	if f.rng.Float64() < f.stream.late {
		at = at.Add(-time.Duration(f.rng.IntN(7200)) * time.Second)
	}
	m := made{partition: partition, key: customer, fate: "decided", value: fmt.Appendf(nil,
		`{"order_id":%q,"occurred_at":%q,"customer_id":%q,"terminal_id":%q,"amount":%v}`, id, at.Format(time.RFC3339), customer, terminal, float64(f.rng.IntN(30_000))/100)}
	if f.rng.IntN(20) == 0 {
		f.label(id)
	}
	if len(f.recent) < 300 {
		f.recent = append(f.recent, m)
	} else {
		f.recent[i%300] = m
	}
	return m
}

// label has it known, in one of the stretches to come, that an order was a fraud; sometimes it is withdrawn later.
func (f *feeder) label(id string) {
	known := f.learned.Add(time.Duration(f.rng.Int64N(int64(3 * labelsAhead))))
	add := func(at time.Time, fraud bool) {
		f.labels = append(f.labels, knownLabel{at, id, fmt.Appendf(nil, `{"order_id":%q,"fraud":%v,"known_at":%q}`, id, fraud, at.Format(time.RFC3339Nano))})
	}
	add(known, true)
	if f.rng.IntN(4) == 0 {
		add(known.Add(labelsAhead), false)
	}
}

// bad makes bytes that are no order.
func (f *feeder) bad(i int) made {
	values := [][]byte{
		{},
		{0, 1, 2},
		{0, 0, 0, 0, 9, 2, 2},
		[]byte("{"), []byte(`{"order_id":"x","order_id":"x"}`), []byte(`{"occurred_at":"2025-01-01T00:00:00Z"}`),
		[]byte(`{"order_id":"a b","occurred_at":"2025-01-01T00:00:00Z","customer_id":"1","terminal_id":"1","amount":1}`),
		fmt.Appendf(nil, `{"order_id":"bad-%d","occurred_at":"2199-01-01T00:00:00Z","customer_id":"hot0","terminal_id":"1","amount":1}`, i),
	}
	return made{partition: int32(f.rng.IntN(campaignPartitions)), value: values[f.rng.IntN(len(values))], fate: "dead"}
}

// write sends a record; what it must become stands in a header, for the reader to tell the oracle.
func (f *feeder) write(t *testing.T, ctx context.Context, m made) {
	t.Helper()
	r := &kgo.Record{Topic: f.c.site.topic("orders"), Partition: m.partition, Key: []byte(m.key), Value: m.value, Headers: []kgo.RecordHeader{{Key: "campaign.fate", Value: []byte(m.fate)}}}
	f.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			f.failed.Do(func() { t.Errorf("writing an order: %v", err) })
			return
		}
		f.written.Add(1)
	})
}

// abort writes orders in a transaction that is aborted: they never were.
func (f *feeder) abort(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if f.aborter.BeginTransaction() != nil {
		return
	}
	for n := range 3 {
		partition := int32((i + n) % campaignPartitions)
		value := fmt.Appendf(nil, `{"order_id":"aborted-%d-%d","occurred_at":%q,"customer_id":"hot%d","terminal_id":"t%d-1","amount":99}`, i, n, f.clock.Format(time.RFC3339), partition, partition)
		f.aborter.Produce(ctx, &kgo.Record{Topic: f.c.site.topic("orders"), Partition: partition, Key: fmt.Appendf(nil, "hot%d", partition), Value: value}, nil)
	}
	_ = f.aborter.Flush(ctx) // while the broker is away there is no transaction to abort
	_ = f.aborter.EndTransaction(ctx, kgo.TryAbort)
}

// learn writes the labels of the next stretch of event time and waits until the scorers have learned them, and have been told so by Kafka.
func (f *feeder) learn(t *testing.T, ctx context.Context) {
	t.Helper()
	f.learned = f.clock.Add(labelsAhead)
	var later []knownLabel
	wrote := false
	for i, l := range f.labels {
		if !l.at.Before(f.learned) {
			later = append(later, l)
			continue
		}
		wrote = true
		f.client.Produce(ctx, &kgo.Record{Topic: f.c.site.topic("labels"), Partition: int32(i % campaignPartitions), Key: []byte(l.id), Value: l.value}, func(_ *kgo.Record, err error) {
			if err != nil {
				f.failed.Do(func() { t.Errorf("writing a label: %v", err) })
			}
		})
	}
	f.labels = later
	if !wrote {
		return
	}
	if err := f.client.Flush(ctx); err != nil {
		t.Errorf("writing labels: %v", err)
		return
	}
	for ctx.Err() == nil && !f.knows(ctx) {
		time.Sleep(20 * time.Millisecond)
	}
}

// knows says whether the group has committed all labels.
func (f *feeder) knows(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	topic := f.c.site.topic("labels")
	ends, err := f.admin.ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		return false
	}
	done, err := f.admin.FetchOffsets(ctx, f.c.site.topic("group"))
	if err != nil {
		return false
	}
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		o, ok := done.Lookup(topic, end.Partition)
		all = all && (end.Offset == 0 || ok && o.At >= end.Offset)
	})
	return all
}
