package main_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

func orderJSON(id string, customer int, amount float64) string {
	return fmt.Sprintf(`{"order_id":%q,"occurred_at":"2026-11-01T10:00:00Z","customer_id":"%d","terminal_id":"7","amount":%v}`, id, customer, amount)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestAThousandCallersAtTwoProcessesEachGetTheirOwnDecision sends each order with an amount of its own, which its decision on the topic must carry.
func TestAThousandCallersAtTwoProcessesEachGetTheirOwnDecision(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	api := "api: {listen: \"127.0.0.1:0\", wait: 20s, max_wait: 30s, reply_partition: 1}" // both on one partition: each reads the other's replies too
	processes := []*process{
		start(t, "serve", "--role", "api", "-c", s.config(t, "", api)),
		start(t, "serve", "--role", "api", "-c", s.config(t, "", api)),
	}
	scorer := start(t, "serve", "--role", "scorer", "-c", s.config(t, "", ""))
	for _, p := range append(processes, scorer) {
		p.ready(ctx)
	}
	const callers = 1000
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			id := fmt.Sprintf("order-%d", i)
			code, text := processes[i%2].call(ctx, http.MethodPost, "/v1/decisions", orderJSON(id, i, float64(i)+0.25), nil)
			if code != http.StatusOK {
				t.Errorf("%s: %d %s", id, code, text)
				return
			}
			if got := decode(t, text); got.OrderID != id {
				t.Errorf("the caller of %s got the decision of %s", id, got.OrderID)
			}
		})
	}
	wg.Wait()
	decided := s.decisions(t, ctx, callers)
	for i := range callers {
		id := fmt.Sprintf("order-%d", i)
		if got := decided[id].Inputs["amount"]; got == nil || *got != float64(i)+0.25 {
			t.Fatalf("%s was decided with another order's amount: %v", id, got)
		}
	}
}

func TestAStoppedScorerGives202AtTheDeadlineAndTheDecisionByGetAfterwards(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	api := start(t, "serve", "--role", "api", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0"}`))
	api.ready(ctx)
	began := time.Now()
	code, text := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("late", 1, 10), map[string]string{"Prefer": "wait=0.3"})
	if took := time.Since(began); code != http.StatusAccepted || took < 300*time.Millisecond || took > time.Second {
		t.Fatalf("%d after %s: %s", code, took, text)
	}
	if code, _ := api.get(ctx, "/v1/decisions/late"); code != http.StatusNotFound {
		t.Fatalf("a decision that nobody made: %d", code)
	}
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", ""))
	for {
		code, text = api.get(ctx, "/v1/decisions/late")
		if code == http.StatusOK {
			break
		}
		if code != http.StatusNotFound {
			t.Fatalf("%d %s", code, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := decode(t, text); got.OrderID != "late" || got.Inputs != nil {
		t.Fatalf("%s", text)
	}
	again, repeated := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("late", 1, 10), nil)
	if again != http.StatusOK || string(repeated) != string(text) {
		t.Fatalf("a repeat got %d %s, first was %s", again, repeated, text)
	}
	if code, text := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("late", 1, 11), nil); code != http.StatusConflict {
		t.Fatalf("another content under the id: %d %s", code, text)
	}
}

// TestACallerIsToldThatTheScorerRefusedItsOrder asks for two contents under one id at two processes, while there is no scorer that could tell either.
func TestACallerIsToldThatTheScorerRefusedItsOrder(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	api := "api: {listen: \"127.0.0.1:0\", wait: 20s, max_wait: 30s}"
	one, other := start(t, "serve", "--role", "api", "-c", s.config(t, "", api)), start(t, "serve", "--role", "api", "-c", s.config(t, "", api))
	one.ready(ctx)
	other.ready(ctx)
	if code, text := one.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("twice", 1, 10), map[string]string{"Prefer": "respond-async"}); code != http.StatusAccepted {
		t.Fatalf("%d %s", code, text)
	}
	type result struct {
		code int
		text []byte
	}
	refused := make(chan result, 1)
	go func() {
		code, text := other.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("twice", 1, 11), nil)
		refused <- result{code, text}
	}()
	until(t, ctx, func() bool { return other.metric(ctx, "verdict_http_waits_in_flight") == 1 })
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", ""))
	if got := <-refused; got.code != http.StatusConflict {
		t.Fatalf("%d %s", got.code, got.text)
	}
}

func TestAnInterruptedProcessDrainsAndEndsWell(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	p := start(t, "serve", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 10s}`))
	p.ready(ctx)
	const orders = 200
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() {
			code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON(fmt.Sprintf("o%d", i), i, 5), nil)
			if code != http.StatusOK && code != http.StatusAccepted && code != 0 && code != http.StatusServiceUnavailable {
				t.Errorf("%d %s", code, text)
			}
		})
	}
	if err := p.interrupt(); err != nil {
		t.Errorf("ended with %v", err)
	}
	wg.Wait()
}
