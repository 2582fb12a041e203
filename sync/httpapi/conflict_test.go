package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// refuseConflict is the scorer's answer to an order whose id was decided with another content.
func (w *world) refuseConflict(r httpapi.Request) {
	w.desk.Resolve(r.Correlation, await.Reply{OrderID: r.Order.ID, Code: "order_conflict", Detail: "another order with this id has been decided"})
}

// later posts at once and gives the answer when all is awaited.
func later(all *sync.WaitGroup, api http.Handler, body string, headers ...string) **httptest.ResponseRecorder {
	var answer *httptest.ResponseRecorder
	all.Go(func() { answer = post(api, body, headers...) })
	synctest.Wait()
	return &answer
}

// Another process had the same id with the content that is decided, while here one of another content was the first.
func TestWhoseContentIsDecidedIsNoConflictThoughAnotherWaitsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) {
			time.AfterFunc(200*time.Millisecond, func() {
				w.keep(orderOf(t, w, orderJSON("o1", 5))) // as the other process asked for
				w.refuseConflict(r)
			})
		}
		api := httpapi.New(w.cfg)
		var all sync.WaitGroup
		other := later(&all, api, orderJSON("o1", 77))
		same := later(&all, api, orderJSON("o1", 5))
		all.Wait()
		wantStatus(t, *other, http.StatusConflict)
		wantStatus(t, *same, http.StatusOK)
		if (*same).Header().Get("Verdict-Repeat") != "true" || w.sent() != 1 {
			t.Errorf("header %v, %d sent", (*same).Header(), w.sent())
		}
		wantNobodyWaiting(t, w.desk)
	})
}

func TestAConflictIsToldWhenTheOtherIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) { time.AfterFunc(200*time.Millisecond, func() { w.decide(r) }) }
		api, began := httpapi.New(w.cfg), time.Now()
		var all sync.WaitGroup
		first := later(&all, api, orderJSON("o1", 5))
		second := later(&all, api, orderJSON("o1", 6), "Prefer: wait=5")
		all.Wait()
		wantStatus(t, *first, http.StatusOK)
		wantStatus(t, *second, http.StatusConflict)
		if took := time.Since(began); took != 200*time.Millisecond || w.sent() != 1 {
			t.Errorf("after %v, %d sent", took, w.sent())
		}
	})
}

// Nothing came of the first, so the second is an order like any other.
func TestAnotherContentIsSentWhenTheFirstCouldNotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		failing := true
		w.submit = func(ctx context.Context) error {
			_ = pause(ctx, 10*time.Millisecond)
			if failing {
				failing = false
				return errAway
			}
			return nil
		}
		api := httpapi.New(w.cfg)
		var all sync.WaitGroup
		first := later(&all, api, orderJSON("o1", 5))
		second := later(&all, api, orderJSON("o1", 6))
		all.Wait()
		wantStatus(t, *first, http.StatusServiceUnavailable)
		wantStatus(t, *second, http.StatusOK)
		wantNobodyWaiting(t, w.desk)
	})
}

// The other has not reached Kafka by the deadline: whether it is a conflict is not known.
func TestAConflictWithWhatKafkaDoesNotHaveIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.submit = func(ctx context.Context) error { return pause(ctx, time.Hour) }
		api, began := httpapi.New(w.cfg), time.Now()
		var all sync.WaitGroup
		later(&all, api, orderJSON("o1", 5))
		second := later(&all, api, orderJSON("o1", 6), "Prefer: wait=0.1")
		all.Wait()
		wantStatus(t, *second, http.StatusServiceUnavailable)
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("all was over after %v", took)
		}
		time.Sleep(time.Second) // submissions go on without their callers
		wantNobodyWaiting(t, w.desk)
	})
}

// The first caller has been promised a decision and has gone: until it is there the id is taken.
func TestAnotherContentConflictsWithWhatWasPromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) { time.AfterFunc(2*time.Second, func() { w.decide(r) }) }
		api := httpapi.New(w.cfg)
		wantStatus(t, post(api, orderJSON("o1", 5), "Prefer: respond-async"), http.StatusAccepted)
		wantStatus(t, post(api, orderJSON("o1", 6), "Prefer: respond-async"), http.StatusConflict)
		wantStatus(t, post(api, orderJSON("o1", 6), "Prefer: wait=0.2"), http.StatusConflict)
		began := time.Now()
		wantStatus(t, post(api, orderJSON("o1", 6), "Prefer: wait=5"), http.StatusConflict)
		if took := time.Since(began); took != 1800*time.Millisecond {
			t.Errorf("it was told after %v", took)
		}
		wantStatus(t, post(api, orderJSON("o1", 5)), http.StatusOK)
		if w.sent() != 1 {
			t.Errorf("%d sent", w.sent())
		}
		wantNobodyWaiting(t, w.desk)
	})
}

// orderOf is a request as the API makes one of a body.
func orderOf(t *testing.T, w *world, body string) httpapi.Request {
	t.Helper()
	order, _, err := w.cfg.Decode([]byte(body))
	if err != nil {
		t.Error(err)
	}
	return httpapi.Request{Order: order}
}
