package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/consumer"
	"verdict/preprocess"
)

// machine is one thing that both lanes need (Redis, a processor): it does one piece of work at a time, in the order in which they came.
type machine struct{ free chan struct{} }

func newMachine() *machine {
	m := &machine{free: make(chan struct{}, 1)}
	m.free <- struct{}{}
	return m
}

func (m *machine) work(d time.Duration) {
	<-m.free
	time.Sleep(d)
	m.free <- struct{}{}
}

const (
	perOrder = 100 * time.Microsecond // of the machine's time
	most     = 500                    // orders of an async poll at full speed: 50 ms of work
)

// behind is a lane with a backlog that never ends.
type behind struct {
	turns   *consumer.Precedence
	decided atomic.Int64
	batches []int
	machine *machine
}

func (e *behind) Poll(ctx context.Context) (*consumer.Batch, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	n := most
	if limit := e.turns.Limit(); limit > 0 {
		n = min(n, limit)
	}
	b := &consumer.Batch{Records: make([]consumer.Record, n)}
	for i := range b.Records {
		id := int(e.decided.Load()) + i
		b.Records[i] = consumer.Record{Topic: "orders", Offset: int64(id), Value: orderText(fmt.Sprint("async-", id))}
	}
	e.batches = append(e.batches, n)
	return b, nil
}

func (e *behind) Publish(_ context.Context, messages []consumer.Message) error {
	e.machine.work(time.Duration(len(messages)) * perOrder)
	e.decided.Add(int64(len(messages)))
	return nil
}

func (e *behind) Commit(context.Context, *consumer.Batch) error { return nil }

// calling is the lane of callers, whose orders come one at a time.
type calling struct {
	asked   chan time.Time
	waited  []time.Duration
	sent    time.Time
	n       int
	machine *machine
}

func (c *calling) Poll(ctx context.Context) (*consumer.Batch, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c.sent = <-c.asked:
	}
	c.n++
	return &consumer.Batch{Records: []consumer.Record{{Topic: "orders.sync", Offset: int64(c.n), Value: orderText(fmt.Sprint("sync-", c.n))}}}, nil
}

func (c *calling) Publish(context.Context, []consumer.Message) error {
	c.machine.work(perOrder)
	c.waited = append(c.waited, time.Since(c.sent))
	return nil
}

func (c *calling) Commit(context.Context, *consumer.Batch) error { return nil }

func orderText(id string) []byte {
	return fmt.Appendf(nil, `{"order_id":%q,"occurred_at":"2026-11-01T10:00:00Z","customer_id":%q,"amount":5}`, id, id)
}

// lanes runs both lanes beside each other while ask asks, in virtual time.
func lanes(t *testing.T, turns *consumer.Precedence, ask func(asked chan<- time.Time, async *behind)) (async *behind, callers *calling) {
	t.Helper()
	m := newMachine()
	async, callers = &behind{turns: turns, machine: m}, &calling{asked: make(chan time.Time, 1000), machine: m}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	for transport, first := range map[consumer.Transport]bool{async: false, callers: true} {
		w := newWorld(t)
		cfg := w.workerConfig()
		cfg.Transport, cfg.Precedence, cfg.First, cfg.Ledger = transport, turns, first, nil
		cfg.Extractor = preprocess.NewExtractor(w.features, w.store, time.Hour)
		worker, err := consumer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- worker.Run(ctx) }()
	}
	ask(callers.asked, async)
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return async, callers
}

// TestACallersOrderFindsAtMostOneSmallBatchBeforeIt also says that the lane that yields goes on, at its share.
func TestACallersOrderFindsAtMostOneSmallBatchBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := consumer.NewPrecedence(consumer.PrecedenceConfig{Share: 0.2, Batch: 50})
		var asked int
		async, callers := lanes(t, turns, func(asking chan<- time.Time, async *behind) {
			for range 200 { // 10 s, at no beat of the other lane's
				time.Sleep(49*time.Millisecond + 310*time.Microsecond)
				asking <- time.Now()
				asked++
			}
			time.Sleep(time.Second)
		})
		if len(callers.waited) != asked {
			t.Fatalf("%d of %d callers were answered", len(callers.waited), asked)
		}
		// The first may find a large batch: nobody was expected.
		if worst := slices.Max(callers.waited[1:]); worst > 50*perOrder+perOrder {
			t.Errorf("a caller waited %v, longer than one small batch", worst)
		}
		// At the share of 0.2 the machine does 2,000 orders/s of its 10,000, and it was left to the lane alone only before the first caller.
		if got := float64(async.decided.Load()) / 10.9; got < 1800 || got > 2400 {
			t.Errorf("%.0f orders/s of the backlog were decided, of 2000 that are its share", got)
		}
	})
}

func TestWithoutCallersTheOtherLaneIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := consumer.NewPrecedence(consumer.PrecedenceConfig{})
		async, _ := lanes(t, turns, func(chan<- time.Time, *behind) { time.Sleep(5 * time.Second) })
		if async.decided.Load() < 49_500 || slices.Min(async.batches) != most {
			t.Errorf("%d of 50000 orders were decided, in batches of %d and more", async.decided.Load(), slices.Min(async.batches))
		}
	})
}

func TestTheOtherLaneIsAtFullSpeedASecondAfterTheLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := consumer.NewPrecedence(consumer.PrecedenceConfig{})
		var before int64
		async, _ := lanes(t, turns, func(asking chan<- time.Time, async *behind) {
			asking <- time.Now()
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			before = async.decided.Load()
			time.Sleep(time.Second)
		})
		if got := async.decided.Load() - before; got < 9000 {
			t.Errorf("%d orders were decided in the second after, of 10000", got)
		}
	})
}

// TestALongStepDoesNotEarnALongRest has a step take a minute, as an outage does: labels come through this lane too.
func TestALongStepDoesNotEarnALongRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := consumer.NewPrecedence(consumer.PrecedenceConfig{Share: 0.01})
		async, _ := lanes(t, turns, func(asking chan<- time.Time, async *behind) {
			<-async.machine.free // somebody else has it
			for range 60 {
				asking <- time.Now()
				time.Sleep(time.Second)
			}
			async.machine.free <- struct{}{}
			for range 20 {
				time.Sleep(500 * time.Millisecond)
				asking <- time.Now()
			}
		})
		if got := len(async.batches); got < 30 {
			t.Errorf("%d batches in the 10 s after a step of a minute", got)
		}
	})
}
