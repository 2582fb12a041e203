package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/sync/httpapi"
)

// factory is a scorer of fixed capacity: every tick it takes from what was handed to it what it can do in that time, and answers it at the tick's end.
type factory struct {
	world    *world
	capacity atomic.Int64 // orders a second; 0 is a standstill

	mu     sync.Mutex
	orders []httpapi.Request // guarded by mu: in the order in which they came
}

const tick = 2 * time.Millisecond

func newFactory(capacity int) *factory {
	f := &factory{world: newWorld()}
	f.capacity.Store(int64(capacity))
	f.world.scorer = func(r httpapi.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.orders = append(f.orders, r)
	}
	return f
}

func (f *factory) run(ctx context.Context) {
	credit := 0.0
	for ctx.Err() == nil {
		f.mu.Lock()
		credit = min(credit, 1) + float64(f.capacity.Load())*tick.Seconds()
		n := min(int(credit), len(f.orders))
		done := f.orders[:n]
		f.orders = f.orders[n:]
		f.mu.Unlock()
		credit -= float64(n)
		time.Sleep(tick)
		for _, r := range done {
			f.world.decide(r)
		}
	}
}

// tally is what came of the orders of one phase, whenever it came.
type tally struct {
	mu       sync.Mutex
	answered []time.Duration // guarded by mu, as the rest
	refused  []time.Duration
	pending  int
	retry    []int // seconds
}

func (s *tally) add(code int, retry string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch code {
	case http.StatusOK:
		s.answered = append(s.answered, took)
	case http.StatusAccepted:
		s.pending++
	case http.StatusServiceUnavailable:
		n, _ := strconv.Atoi(retry)
		s.refused, s.retry = append(s.refused, took), append(s.retry, n)
	}
}

func worst[T int | time.Duration](all []T) T {
	if len(all) == 0 {
		return 0
	}
	return slices.Max(all)
}

// load is a stream of callers, each with an order of its own, none of whom waits for another.
type load struct {
	handler http.Handler
	sent    int
	all     sync.WaitGroup
}

// offer sends rate orders a second for so long.
func (l *load) offer(rate int, d time.Duration, headers ...string) *tally {
	s, began := &tally{}, time.Now()
	for i := range int(float64(rate) * d.Seconds()) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		l.one(s, headers...)
	}
	return s
}

func (l *load) one(s *tally, headers ...string) {
	l.sent++
	body := orderJSON(fmt.Sprint("order-", l.sent), 1)
	l.all.Go(func() {
		began := time.Now()
		answer := post(l.handler, body, headers...)
		s.add(answer.Code, answer.Header().Get("Retry-After"), time.Since(began))
	})
}

// underLoad runs an API before a factory in virtual time.
func underLoad(t *testing.T, capacity int, play func(t *testing.T, f *factory, l *load)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFactory(capacity)
		l := &load{handler: httpapi.New(f.world.cfg)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.run(ctx); close(done) }()
		play(t, f, l)
		l.all.Wait()
		stop()
		<-done
		time.Sleep(time.Second) // places that are kept for who has left
		wantNobodyWaiting(t, f.world.desk)
	})
}

func TestNobodyIsRefusedBelowTheCapacity(t *testing.T) {
	underLoad(t, 1000, func(t *testing.T, _ *factory, l *load) {
		calm := l.offer(900, 4*time.Second)
		l.all.Wait()
		if len(calm.answered) != 3600 || worst(calm.answered) > 20*time.Millisecond {
			t.Errorf("%d of 3600 were answered, the last after %v", len(calm.answered), worst(calm.answered))
		}
	})
}

// TestOverloadCostsNoGoodput offers ten times what can be done, from one moment to the next, and then little again.
func TestOverloadCostsNoGoodput(t *testing.T) {
	for _, capacity := range []int{300, 1000, 3000} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			underLoad(t, capacity, func(t *testing.T, f *factory, l *load) {
				l.offer(capacity/2, time.Second)
				first := l.offer(10*capacity, 2*time.Second)
				steady := l.offer(10*capacity, 3*time.Second)
				time.Sleep(300 * time.Millisecond) // the queue runs empty
				after := l.offer(capacity/2, time.Second)
				l.all.Wait()
				if got, want := len(steady.answered), 3*capacity; got < want*95/100 {
					t.Errorf("%d of the %d that can be done were answered", got, want)
				}
				if steady.pending > 0 || worst(steady.answered) > 400*time.Millisecond {
					t.Errorf("%d who were let in ran out of time; the slowest answer took %v", steady.pending, worst(steady.answered))
				}
				if got := len(first.answered); got < capacity {
					t.Errorf("%d of the %d that can be done were answered in the first two seconds", got, 2*capacity)
				}
				if slow := max(worst(first.refused), worst(steady.refused)); slow > 10*time.Millisecond {
					t.Errorf("a refusal took %v", slow)
				}
				if least, most := slices.Min(steady.retry), worst(steady.retry); least < 1 || most < 5 || most > 30 {
					t.Errorf("Retry-After is from %d to %d s, where ten times too many ask", least, most)
				}
				if len(after.answered) != capacity/2 || worst(after.answered) > 20*time.Millisecond {
					t.Errorf("after the overload %d of %d were answered, the last after %v", len(after.answered), capacity/2, worst(after.answered))
				}
				if m := f.world; m.metric(t, "verdict_http_refused_total", "reason=queue") != float64(len(first.refused)+len(steady.refused)) ||
					m.metric(t, "verdict_http_admitted_total") != float64(f.world.sent()) {
					t.Error("the metrics say something else")
				}
			})
		})
	}
}

func TestABurstThatCanBeAnsweredInTimeIsTaken(t *testing.T) {
	underLoad(t, 3000, func(t *testing.T, _ *factory, l *load) {
		for range 3 { // at first, when nothing is known, and later
			var burst tally
			for range 500 { // 170 ms of work
				l.one(&burst)
			}
			l.all.Wait()
			if len(burst.answered) != 500 {
				t.Errorf("%d of 500 were answered, %d refused", len(burst.answered), len(burst.refused))
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// TestAStandstillLeavesNothingBehind has the scorer stand still for 10 s, while callers go on to come.
func TestAStandstillLeavesNothingBehind(t *testing.T) {
	underLoad(t, 1000, func(t *testing.T, f *factory, l *load) {
		l.offer(500, time.Second)
		f.capacity.Store(0)
		l.offer(500, time.Second)
		late := l.offer(500, 9*time.Second)
		if waiting := f.world.desk.Stats().Waiting; waiting > 100 {
			t.Errorf("%d callers wait after 10 s of standstill", waiting)
		}
		f.capacity.Store(1000)
		l.offer(500, 2*time.Second) // what was let in meanwhile is decided too
		after := l.offer(500, time.Second)
		l.all.Wait()
		if len(late.answered) != 0 || worst(late.refused) > 10*time.Millisecond || late.pending > 1500 {
			t.Errorf("during the standstill: %d answered, refused within %v, %d told to come back for the decision", len(late.answered), worst(late.refused), late.pending)
		}
		if len(after.answered) != 500 {
			t.Errorf("two seconds after it %d of 500 are answered, %d refused", len(after.answered), len(after.refused))
		}
	})
}

// TestWithKafkaAwayCallersDoNotPileUp has every submission fail after the second that Kafka is given.
func TestWithKafkaAwayCallersDoNotPileUp(t *testing.T) {
	underLoad(t, 1000, func(t *testing.T, f *factory, l *load) {
		var away atomic.Bool
		f.world.submit = func(ctx context.Context) error {
			if !away.Load() {
				return nil
			}
			<-ctx.Done()
			return errAway
		}
		l.offer(500, time.Second)
		away.Store(true)
		l.offer(500, 2*time.Second)
		out := l.offer(500, 5*time.Second)
		waiting := f.world.desk.Stats().Waiting
		away.Store(false)
		l.offer(500, 2*time.Second)
		after := l.offer(500, time.Second)
		l.all.Wait()
		if len(out.refused) != 2500 || waiting > 50 {
			t.Errorf("%d of 2500 were refused, %d waited at the end", len(out.refused), waiting)
		}
		slices.Sort(out.refused)
		if p90 := out.refused[len(out.refused)*9/10]; p90 > 10*time.Millisecond {
			t.Errorf("a tenth of the refusals took over %v", p90)
		}
		if len(after.answered) != 500 {
			t.Errorf("two seconds after it %d of 500 are answered", len(after.answered))
		}
	})
}

// TestAShortWaitIsRefusedWhereALongOneIsNot has callers of both kinds before a queue of 100 ms.
func TestAShortWaitIsRefusedWhereALongOneIsNot(t *testing.T) {
	underLoad(t, 1000, func(t *testing.T, f *factory, l *load) {
		l.offer(1500, 400*time.Millisecond) // a queue builds up, of 200 ms
		var short, long, none tally
		l.one(&short, "Prefer: wait=0.1")
		l.one(&long)
		l.one(&none, "Prefer: respond-async")
		l.all.Wait()
		if len(short.refused) != 1 || len(long.answered) != 1 || none.pending != 1 {
			t.Errorf("short: %d refused; long: %d answered; none: %d pending", len(short.refused), len(long.answered), none.pending)
		}
	})
}

// TestABatchGivesWayToSingleOrders sends batches without a pause beside single callers who come at half the capacity.
func TestABatchGivesWayToSingleOrders(t *testing.T) {
	underLoad(t, 1000, func(t *testing.T, f *factory, l *load) {
		stop := make(chan struct{})
		var batched atomic.Int64
		for worker := range 3 {
			l.all.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					var all []string
					for i := range 200 {
						all = append(all, orderJSON(fmt.Sprint("batch-", worker, "-", n, "-", i), 1))
					}
					answer := call(l.handler, http.MethodPost, "/v1/decisions/batch", "["+strings.Join(all, ",")+"]", "Prefer: wait=2")
					batched.Add(int64(strings.Count(answer.Body.String(), `"status":200`)))
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		single := l.offer(500, 3*time.Second)
		close(stop)
		l.all.Wait()
		if len(single.answered) != 1500 || worst(single.answered) > 250*time.Millisecond {
			t.Errorf("%d of 1500 single orders were answered, %d refused, the slowest after %v", len(single.answered), len(single.refused), worst(single.answered))
		}
		if batched.Load() < 1000 {
			t.Errorf("%d orders of batches were answered beside them", batched.Load())
		}
	})
}

// slowBody is a body that never comes to its end.
type slowBody struct{ gone <-chan struct{} }

func (s slowBody) Read([]byte) (int, error) {
	<-s.gone
	return 0, io.ErrUnexpectedEOF
}

// TestBodiesHoldBoundedMemory has callers announce large bodies that never come, and one with a small order come last.
func TestBodiesHoldBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.cfg.MaxBytes, w.cfg.MaxInFlightBytes = 64<<10, 640<<10
		h := httpapi.New(w.cfg)
		ctx, hangUp := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		for range 10 {
			slow.Go(func() {
				r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/decisions", slowBody{ctx.Done()})
				r.ContentLength = 64 << 10
				r.Header.Set("Content-Type", "application/json")
				h.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		synctest.Wait()
		refused := post(h, orderJSON("a", 1))
		wantStatus(t, refused, http.StatusServiceUnavailable)
		if problemIn(t, refused).Code != "overloaded" || refused.Header().Get("Retry-After") == "" {
			t.Errorf("%v %s", refused.Header(), refused.Body)
		}
		for _, path := range []string{"/livez", "/readyz"} {
			wantStatus(t, call(h, http.MethodGet, path, ""), http.StatusOK)
		}
		if w.metric(t, "verdict_http_refused_total", "reason=bytes") != 1 {
			t.Error("not counted")
		}
		hangUp()
		slow.Wait()
		wantStatus(t, post(h, orderJSON("a", 1)), http.StatusOK)
	})
}

// One of two scorers dies: its orders stand still until its partitions are given away, and those of the other's go on.
func TestOrdersThatStandStillAreAheadOfNobody(t *testing.T) {
	underLoad(t, 2000, func(t *testing.T, f *factory, l *load) {
		l.offer(1000, time.Second)
		l.all.Wait()
		alive := f.world.scorer
		f.world.scorer = func(r httpapi.Request) {
			if r.Order.ID[len(r.Order.ID)-1]%2 == 0 {
				return // lies on a partition of the dead one's
			}
			alive(r)
		}
		dead := l.offer(1000, 5*time.Second)
		l.all.Wait()
		if len(dead.refused) > 50 || worst(dead.answered) > 20*time.Millisecond {
			t.Errorf("%d of 5000 were refused, the last answer took %v; %d pending", len(dead.refused), worst(dead.answered), dead.pending)
		}
	})
}
