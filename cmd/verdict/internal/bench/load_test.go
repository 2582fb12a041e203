package bench_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"verdict/cmd/verdict/internal/bench"
	"verdict/schemas"
)

// target is a server that takes as long as service says for an order that reaches it at a time since it began.
type target struct {
	began   time.Time
	service func(since time.Duration) (time.Duration, bench.Outcome)
	seen    sync.Map // :: order id → true
	twice   atomic.Int64
	open    atomic.Int64
}

func (t *target) Open() bench.Line { t.open.Add(1); return line{t} }

type line struct{ *target }

func (l line) Close() { l.open.Add(-1) }

func (l line) Do(_ context.Context, order *bench.Order) bench.Outcome {
	if _, again := l.seen.LoadOrStore(string(order.ID), true); again {
		l.twice.Add(1)
	}
	took, outcome := l.service(time.Since(l.began))
	time.Sleep(took)
	return outcome
}

func someOrders(t interface{ Fatal(...any) }) *bench.Orders {
	orders := bench.NewOrders(bench.OrdersConfig{ID: schemas.ParsePath("order_id"), Time: schemas.ParsePath("occurred_at")})
	for i := range 3 {
		if err := orders.Add(fmt.Appendf(nil, `{"order_id":"o%d","occurred_at":"2026-01-01T00:00:00Z","amount":%d}`, i, i)); err != nil {
			t.Fatal(err)
		}
	}
	return orders
}

// A server that stalls for a second must show it in the latency of every order that was due meanwhile: the generator must not wait with it.
func TestAStallIsSeenByAllThatWasDueWithinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &target{began: time.Now(), service: func(since time.Duration) (time.Duration, bench.Outcome) {
			if stall := since - 4*time.Second; stall >= 0 && stall < time.Second {
				return time.Second - stall + time.Millisecond, bench.Decided // all are answered when it is over
			}
			return time.Millisecond, bench.Decided
		}}
		load := bench.New(bench.Config{Target: server, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		r := load.Run(t.Context(), bench.Stage{Rate: 1000, Length: 10 * time.Second})
		load.Close()
		if r.Intended != 10_000 || r.Counts[bench.Decided] != 10_000 {
			t.Fatalf("%d due, %v", r.Intended, r.Counts)
		}
		// One second of ten: a tenth of all orders waited, evenly from 1 s down to nothing.
		for q, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.89: time.Millisecond, 0.95: 500 * time.Millisecond, 0.99: 900 * time.Millisecond, 0.999: 990 * time.Millisecond} {
			if got := r.Quantile(q); got < want || got > want+want/50+2*time.Millisecond {
				t.Errorf("quantile %v: %v, want %v", q, got, want)
			}
		}
		if r.InFlight < 999 {
			t.Errorf("%d in flight: the stall held the generator up", r.InFlight)
		}
		if fault := r.Fault(); fault != "" {
			t.Error(fault)
		}
		if server.open.Load() != 0 {
			t.Error("lines are left open")
		}
	})
}

// What cannot be sent is counted, and no percentile looks better for it.
func TestABoundOnOrdersInFlightIsCountedAndNotHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &target{began: time.Now(), service: func(time.Duration) (time.Duration, bench.Outcome) { return time.Second, bench.Decided }}
		load := bench.New(bench.Config{Target: server, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep, MaxInFlight: 50})
		r := load.Run(t.Context(), bench.Stage{Rate: 100, Length: 10 * time.Second})
		load.Close()
		if got := r.Counts[bench.Decided]; got < 490 || got > 510 {
			t.Errorf("%d decided of 50 at a time for 10 s", got)
		}
		if r.Counts[bench.Decided]+r.Counts[bench.Unsent] != r.Intended || r.InFlight != 50 {
			t.Errorf("%v of %d, %d in flight", r.Counts, r.Intended, r.InFlight)
		}
		if got := r.Quantile(0.4).Round(10 * time.Millisecond); got != time.Second || r.Quantile(0.6) != bench.Never {
			t.Errorf("quantiles %v and %v", got, r.Quantile(0.6))
		}
	})
}

// Whatever a server does, each order that was due has one outcome, and each that was sent an id of its own.
func TestEveryOrderThatWasDueHasOneOutcome(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		arrivals := rapid.SampledFrom([]bench.Arrivals{bench.Even, bench.Poisson}).Draw(rt, "arrivals")
		rates := rapid.SliceOfN(rapid.Float64Range(0.5, 400), 1, 3).Draw(rt, "rates")
		most := rapid.IntRange(1, 60).Draw(rt, "in flight")
		slow := rapid.SliceOfN(rapid.Int64Range(0, 2_000), 1, 20).Draw(rt, "service in ms")
		seed := rapid.Uint64().Draw(rt, "seed")
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			server := &target{began: time.Now(), service: func(time.Duration) (time.Duration, bench.Outcome) {
				i := n.Add(1)
				return time.Duration(slow[int(i)%len(slow)]) * time.Millisecond, bench.Outcome(i % int64(bench.Unsent))
			}}
			load := bench.New(bench.Config{Target: server, Orders: someOrders(t), Arrivals: arrivals, Sleep: time.Sleep, MaxInFlight: most, Seed: seed})
			var sent int64
			for _, rate := range rates {
				r := load.Run(t.Context(), bench.Stage{Rate: rate, Length: 2 * time.Second})
				var sum int64
				for outcome, count := range r.Counts {
					sum += count
					if h := r.Latency[outcome]; outcome != bench.Unsent && h.TotalCount() != count {
						rt.Errorf("%v: %d counted, %d latencies", outcome, count, h.TotalCount())
					}
				}
				if sum != r.Intended || r.InFlight > int64(most) {
					rt.Errorf("%v of %d, %d in flight", r.Counts, r.Intended, r.InFlight)
				}
				if arrivals == bench.Even && r.Intended != ceil(2*rate) {
					rt.Errorf("%d due at %v/s", r.Intended, rate)
				}
				sent += r.Intended - r.Counts[bench.Unsent]
			}
			load.Close()
			if n.Load() != sent || server.twice.Load() != 0 {
				rt.Errorf("%d reached the server, %d under an id that was there, of %d", n.Load(), server.twice.Load(), sent)
			}
		})
	})
}

func ceil(f float64) int64 {
	n := int64(f)
	if float64(n) < f {
		n++
	}
	return n
}

func TestAnInterruptedStageEndsWithWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &target{began: time.Now(), service: func(time.Duration) (time.Duration, bench.Outcome) { return time.Millisecond, bench.Decided }}
		load := bench.New(bench.Config{Target: server, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		r := load.Run(ctx, bench.Stage{Rate: 100, Length: time.Hour})
		load.Close()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if r.Intended < 95 || r.Counts[bench.Decided] != r.Intended {
			t.Errorf("%v of %d", r.Counts, r.Intended)
		}
	})
}
