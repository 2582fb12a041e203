package await_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/sync/await"
)

func TestDeskHandsEachCallerItsOwnReply(t *testing.T) {
	const callers = 2_000
	type request struct {
		id          schemas.OrderID
		correlation []byte
	}
	desk := await.New(await.Config{})
	asked := make(chan request, callers)
	var scored, answered sync.WaitGroup
	scored.Go(func() { // the scorer answers in random order, from several goroutines
		var all []request
		for range callers {
			all = append(all, <-asked)
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for part := range 4 {
			scored.Go(func() {
				for i := part; i < len(all); i += 4 {
					if !desk.Resolve(all[i].correlation, await.Reply{OrderID: all[i].id, Body: []byte(all[i].id)}) {
						t.Errorf("nobody waits for order %s", all[i].id)
					}
				}
			})
		}
	})
	for i := range callers {
		answered.Go(func() {
			id := schemas.OrderID(fmt.Sprint("order-", i))
			w, first, err := desk.Join(id, uint64(i))
			if err != nil || !first {
				t.Errorf("joining %s: first %v, error %v", id, first, err)
				return
			}
			defer w.Leave()
			asked <- request{id, w.Correlation()}
			<-w.Done()
			if got := w.Reply(); w.Err() != nil || got.OrderID != id || string(got.Body) != string(id) {
				t.Errorf("order %s got the reply of %s (error %v)", id, got.OrderID, w.Err())
			}
		})
	}
	answered.Wait()
	scored.Wait()
	wantStats(t, desk, await.Stats{})
}

func TestDeskLetsRepeatsShareOneSubmission(t *testing.T) {
	desk := await.New(await.Config{})
	one := join(t, desk, "a", 1, true)
	two := join(t, desk, "a", 1, false)
	if diff := cmp.Diff(one.Correlation(), two.Correlation()); diff != "" {
		t.Fatalf("correlation ids differ: %s", diff)
	}
	wantStats(t, desk, await.Stats{Waiting: 2, Orders: 1})

	one.Acknowledge()
	one.Acknowledge() // once is enough, twice is harmless
	<-two.Acknowledged()
	want := await.Reply{OrderID: "a", Body: []byte("{}")}
	if !desk.Resolve(one.Correlation(), want) {
		t.Fatal("the reply found nobody")
	}
	for _, w := range []*await.Wait{one, two} {
		<-w.Done()
		if diff := cmp.Diff(want, w.Reply()); diff != "" || w.Err() != nil {
			t.Errorf("reply (-want +got), error %v:\n%s", w.Err(), diff)
		}
	}
	if desk.Resolve(one.Correlation(), want) {
		t.Error("a second reply was delivered")
	}
	wantStats(t, desk, await.Stats{Unmatched: 1})

	again := join(t, desk, "a", 1, true) // the order is not in flight any more: a new submission, under a new correlation id
	if cmp.Equal(again.Correlation(), one.Correlation()) {
		t.Error("a correlation id was used twice")
	}
}

func TestDeskRefusesAnotherOrderUnderTheSameID(t *testing.T) {
	desk := await.New(await.Config{})
	w := join(t, desk, "a", 1, true)
	if _, _, err := desk.Join("a", 2); !errors.Is(err, await.ErrConflict) {
		t.Fatalf("joining with other content: %v", err)
	}
	w.Leave()
	join(t, desk, "a", 2, true)
}

func TestDeskIsBoundedByCallersNotOrders(t *testing.T) {
	desk := await.New(await.Config{Max: 2})
	one := join(t, desk, "a", 1, true)
	join(t, desk, "a", 1, false)
	for _, id := range []schemas.OrderID{"a", "b"} {
		if _, _, err := desk.Join(id, 1); !errors.Is(err, await.ErrFull) {
			t.Fatalf("third caller, order %s: %v", id, err)
		}
	}
	one.Leave()
	join(t, desk, "b", 1, true)
}

func TestDeskMatchesByCorrelationAlone(t *testing.T) {
	desk := await.New(await.Config{})
	w := join(t, desk, "a", 1, true)
	other := join(t, desk, "b", 1, true)
	long := append([]byte{}, append(w.Correlation(), 0)...)
	for name, id := range map[string][]byte{"none": nil, "short": w.Correlation()[:15], "long": long, "unknown": make([]byte, 16), "the order's id": []byte("a")} {
		if desk.Resolve(id, await.Reply{OrderID: "a"}) {
			t.Errorf("%s: a reply was delivered", name)
		}
	}
	if desk.Resolve(other.Correlation(), await.Reply{OrderID: "a"}) {
		t.Error("a reply that names another order was delivered")
	}
	select {
	case <-w.Done():
		t.Error("the wait ended")
	case <-other.Done():
		t.Error("the other wait ended")
	default:
	}
	wantStats(t, desk, await.Stats{Waiting: 2, Orders: 2, Unmatched: 5, Mismatched: 1})
}

func TestAbortEndsAllWaitsOfThatSubmissionOnly(t *testing.T) {
	desk := await.New(await.Config{})
	away := errors.New("kafka is away")
	one, two, other := join(t, desk, "a", 1, true), join(t, desk, "a", 1, false), join(t, desk, "b", 1, true)
	desk.Abort(one, away)
	for _, w := range []*await.Wait{one, two} {
		<-w.Done()
		if !errors.Is(w.Err(), away) {
			t.Errorf("error %v", w.Err())
		}
		select {
		case <-w.Acknowledged():
			t.Error("an aborted submission counts as acknowledged")
		default:
		}
	}
	join(t, desk, "a", 1, true)
	desk.Abort(one, away) // of a submission that is over: must not touch the new one
	desk.Resolve(other.Correlation(), await.Reply{OrderID: "b"})
	desk.Abort(other, away)
	if other.Err() != nil {
		t.Error("an abort after the reply took it back")
	}
	wantStats(t, desk, await.Stats{Waiting: 1, Orders: 1})
}

func TestDeskAnswersWhoStaysWhenTheFirstLeaves(t *testing.T) {
	desk := await.New(await.Config{})
	one, two := join(t, desk, "a", 1, true), join(t, desk, "a", 1, false)
	one.Leave()
	one.Leave() // must not count twice
	wantStats(t, desk, await.Stats{Waiting: 1, Orders: 1})
	if !desk.Resolve(one.Correlation(), await.Reply{OrderID: "a"}) {
		t.Fatal("the reply found nobody")
	}
	<-two.Done()
	two.Leave()
	wantStats(t, desk, await.Stats{})
}

func TestLeavingBeforeTheReplyKeepsNothing(t *testing.T) {
	desk := await.New(await.Config{})
	before := runtime.NumGoroutine()
	var late [][]byte
	for i := range 100 {
		w := join(t, desk, schemas.OrderID(fmt.Sprint(i)), 1, true)
		late = append(late, w.Correlation())
		w.Leave()
	}
	wantStats(t, desk, await.Stats{})
	for _, id := range late {
		if desk.Resolve(id, await.Reply{}) {
			t.Fatal("a late reply found somebody")
		}
	}
	wantStats(t, desk, await.Stats{Unmatched: 100})
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

// A reply, an abort and the callers' leaving may all come at one moment. Whatever wins, a caller that saw Done has a whole answer and the desk ends empty.
func TestDeskSurvivesRepliesThatRaceWithLeaving(t *testing.T) {
	desk := await.New(await.Config{})
	away := errors.New("away")
	for i := range 2_000 {
		id := schemas.OrderID(fmt.Sprint("order-", i%3))
		one, two := join(t, desk, id, 1, true), join(t, desk, id, 1, false)
		var all sync.WaitGroup
		all.Go(func() { desk.Resolve(one.Correlation(), await.Reply{OrderID: id, Body: []byte(id)}) })
		all.Go(func() { desk.Abort(one, away) })
		all.Go(func() { one.Acknowledge(); one.Leave() })
		all.Go(func() {
			select {
			case <-two.Done():
				if err := two.Err(); err == nil && string(two.Reply().Body) != string(id) || err != nil && !errors.Is(err, away) {
					t.Errorf("half an answer: %v, error %v", two.Reply(), err)
				}
			default:
			}
			two.Leave()
		})
		all.Wait()
		if got := desk.Stats(); got.Waiting != 0 || got.Orders != 0 {
			t.Fatalf("round %d: %+v", i, got)
		}
	}
}

func TestCallersLeaveAtTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := await.New(await.Config{})
		answered := func(w *await.Wait, deadline time.Duration) bool {
			defer w.Leave()
			select {
			case <-w.Done():
				return true
			case <-time.After(deadline):
				return false
			}
		}
		scorer := func(w *await.Wait, id schemas.OrderID, after time.Duration) {
			time.Sleep(after) // virtual time
			desk.Resolve(w.Correlation(), await.Reply{OrderID: id})
		}
		began := time.Now()
		in, late := join(t, desk, "in", 1, true), join(t, desk, "late", 1, true)
		go scorer(in, "in", 499*time.Millisecond)
		go scorer(late, "late", 501*time.Millisecond)
		if !answered(in, 500*time.Millisecond) || time.Since(began) != 499*time.Millisecond {
			t.Errorf("the reply before the deadline came after %v, or not at all", time.Since(began))
		}
		if answered(late, time.Millisecond) || time.Since(began) != 500*time.Millisecond {
			t.Errorf("the wait without a reply ended after %v", time.Since(began))
		}
		synctest.Wait()
		time.Sleep(time.Second)
		wantStats(t, desk, await.Stats{Unmatched: 1})
	})
}

func join(t *testing.T, desk *await.Desk, id schemas.OrderID, content uint64, wantFirst bool) *await.Wait {
	t.Helper()
	w, first, err := desk.Join(id, content)
	if err != nil || first != wantFirst {
		t.Fatalf("joining %s: first %v, error %v", id, first, err)
	}
	return w
}

func wantStats(t *testing.T, desk *await.Desk, want await.Stats) {
	t.Helper()
	if diff := cmp.Diff(want, desk.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func BenchmarkDesk(b *testing.B) {
	b.Run("one caller", func(b *testing.B) {
		desk := await.New(await.Config{})
		b.ReportAllocs()
		for b.Loop() {
			roundTrip(b, desk, "order")
		}
	})
	b.Run("parallel, 5000 waiting", func(b *testing.B) {
		desk := await.New(await.Config{})
		for i := range 5_000 {
			if _, _, err := desk.Join(schemas.OrderID(fmt.Sprint("waits-", i)), 1); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			id := schemas.OrderID(fmt.Sprint("order-", rand.Uint64()))
			for pb.Next() {
				roundTrip(b, desk, id)
			}
		})
	})
}

func roundTrip(b *testing.B, desk *await.Desk, id schemas.OrderID) {
	b.Helper()
	w, _, err := desk.Join(id, 1)
	if err != nil {
		b.Fatal(err)
	}
	w.Acknowledge()
	desk.Resolve(w.Correlation(), await.Reply{OrderID: id})
	<-w.Done()
	w.Leave()
}

func TestARefusalWithoutAnOrderIDReachesItsCaller(t *testing.T) {
	desk := await.New(await.Config{})
	w, _, err := desk.Join("o", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Leave()
	if desk.Resolve(w.Correlation(), await.Reply{}) {
		t.Fatal("a decision that names no order was taken")
	}
	if !desk.Resolve(w.Correlation(), await.Reply{Code: "order_conflict", Detail: "why"}) {
		t.Fatal("the refusal was not taken")
	}
	<-w.Done()
	if got := w.Reply(); got.Code != "order_conflict" || got.Detail != "why" {
		t.Fatalf("%+v", got)
	}
}

func TestAnOrderThatKafkaHasKeepsItsIDWhenItsCallersHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := await.New(await.Config{})
		promise := func(id schemas.OrderID, content uint64) *await.Wait {
			w, first, err := desk.Join(id, content)
			if err != nil || !first {
				t.Fatalf("%s: first %v, error %v", id, first, err)
			}
			w.Acknowledge()
			w.Leave()
			return w
		}
		replied, sentAgain, kept := promise("a", 1), promise("b", 1), promise("c", 1)
		watch := func(id schemas.OrderID) *await.Wait {
			w, _, err := desk.Join(id, 2)
			if !errors.Is(err, await.ErrConflict) {
				t.Fatalf("%s with another content: %v", id, err)
			}
			w.Leave() // changes nothing
			return w
		}
		a, b, c := watch("a"), watch("b"), watch("c")
		if desk.Resolve(replied.Correlation(), await.Reply{OrderID: "a", Body: []byte("1")}) {
			t.Error("a reply that nobody waits for was given to somebody")
		}
		<-a.Done()
		if a.Err() != nil || string(a.Reply().Body) != "1" {
			t.Errorf("reply %+v, error %v", a.Reply(), a.Err())
		}
		promise("b", 1) // the same order again has a submission of its own
		<-b.Done()
		if b.Err() == nil {
			t.Error("who watches the first submission is not told to look again")
		}
		watch("b")
		desk.Resolve(sentAgain.Correlation(), await.Reply{OrderID: "b"})
		watch("b") // that was the reply to the first
		time.Sleep(time.Minute)
		promise("c", 2) // forgotten
		<-c.Done()
		if c.Err() == nil || desk.Resolve(kept.Correlation(), await.Reply{OrderID: "c"}) {
			t.Error("what is forgotten still counts")
		}
		if s := desk.Stats(); s.Waiting != 0 || s.Orders != 0 || s.Unmatched != 3 {
			t.Errorf("%+v", s)
		}
	})
}
