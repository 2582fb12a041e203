package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestTheAPIRefusesWhatLiesTooFarFromNow sends an order of the far future, an old one, and a copy of that after the config has set a limit to age.
func TestTheAPIRefusesWhatLiesTooFarFromNow(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	api := "api: {listen: \"127.0.0.1:0\", wait: 20s, max_wait: 30s}\n"
	far := `{"order_id":"far","occurred_at":"2199-01-01T00:00:00Z","customer_id":"1","terminal_id":"2","amount":1}`
	refused := func(p *process, order, detail string) {
		t.Helper()
		code, text := p.call(ctx, http.MethodPost, "/v1/decisions", order, nil)
		var problem struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
			Errors []struct {
				Pointer string `json:"pointer"`
			} `json:"errors"`
		}
		if err := json.Unmarshal(text, &problem); err != nil {
			t.Fatal(err)
		}
		if code != http.StatusUnprocessableEntity || problem.Code != "timestamp_range" || problem.Detail != "the order's event time "+detail ||
			len(problem.Errors) != 1 || problem.Errors[0].Pointer != "/occurred_at" {
			t.Fatalf("%d %s", code, text)
		}
	}

	p := start(t, "serve", "-c", s.config(t, "", api))
	p.ready(ctx)
	refused(p, far, "lies more than 1d ahead of its record's time")
	code, first := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("old", 1, 10), nil)
	if code != http.StatusOK {
		t.Fatalf("an old order, and no limit to age: %d %s", code, first)
	}
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}

	p = start(t, "serve", "-c", s.config(t, "", api+"events: {max_age: 1h, max_ahead: 0s}"))
	p.ready(ctx)
	refused(p, orderJSON("other", 1, 10), "lies more than 1h before its record's time")
	if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("old", 1, 10), nil); code != http.StatusOK || string(text) != string(first) {
		t.Fatalf("a copy got %d %s, first was %s", code, text, first)
	}
	if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", far, nil); code != http.StatusOK {
		t.Fatalf("no limit ahead: %d %s", code, text)
	}
	s.produce(t, ctx, s.client(t), "orders", []byte(orderJSON("old-too", 1, 10)))
	letter := s.next(t, ctx, s.client(t, fromStart(s, "orders.dlq")...))
	if code := slices.IndexFunc(letter.Headers, func(h kgo.RecordHeader) bool {
		return h.Key == "verdict.error.code" && string(h.Value) == "timestamp_range"
	}); code < 0 || string(letter.Value) != orderJSON("old-too", 1, 10) {
		t.Fatalf("%s %v", letter.Value, letter.Headers)
	}
	until(t, ctx, func() bool { return p.metric(ctx, `verdict_dead_letters_total{code="timestamp_range"}`) == 1 }) // what the API refused left nothing
}
