package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// shuffler is a scorer that answers many orders at once, in random order, from several goroutines, and tells every desk of every reply, as if all
// API processes read all reply partitions.
type shuffler struct {
	orders chan httpapi.Request
	desks  []*await.Desk
}

func (s *shuffler) run(n int) {
	all := make([]httpapi.Request, 0, n)
	for range n {
		all = append(all, <-s.orders)
	}
	rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	var done sync.WaitGroup
	for part := range 4 {
		done.Go(func() {
			for i := part; i < n; i += 4 {
				for _, d := range s.desks {
					d.Resolve(all[i].Correlation, await.Reply{OrderID: all[i].Order.ID, Body: schemas.AppendPublic(nil, decision(all[i]))})
				}
			}
		})
	}
	done.Wait()
}

func TestThousandCallersEachGetTheirOwnOrdersDecision(t *testing.T) {
	const callers = 1_000
	w := newWorld()
	scorer := &shuffler{orders: make(chan httpapi.Request, callers), desks: []*await.Desk{w.desk}}
	w.scorer = func(r httpapi.Request) { scorer.orders <- r }
	w.cfg.Wait = 10 * time.Second // the slowest machine still answers all
	_, client := serve(t, w.cfg)
	var all sync.WaitGroup
	all.Go(func() { scorer.run(callers) })
	for i := range callers {
		all.Go(func() {
			id := fmt.Sprint("order-", i)
			answer, err := send(t.Context(), client, strings.NewReader(orderJSON(id, i)))
			if err != nil {
				t.Error(err)
				return
			}
			wantOrder(t, answer, id)
		})
	}
	all.Wait()
	wantNobodyWaiting(t, w.desk)
	if got := w.metric(t, "verdict_http_waits_total", "outcome=answered"); got != callers {
		t.Errorf("%v waits were answered", got)
	}
}

// Two API processes ask the same scorer for different and for the same orders, and both see every reply.
func TestTwoProcessesNeverSwapAnswers(t *testing.T) {
	const callers = 500 // of each process; every second order is asked for at both
	one, two := newWorld(), newWorld()
	scorer := &shuffler{orders: make(chan httpapi.Request, 2*callers), desks: []*await.Desk{one.desk, two.desk}}
	var all sync.WaitGroup
	all.Go(func() { scorer.run(2 * callers) })
	for p, w := range []*world{one, two} {
		w.scorer = func(r httpapi.Request) { scorer.orders <- r }
		w.cfg.Wait = 10 * time.Second
		api := httpapi.New(w.cfg)
		for i := range callers {
			all.Go(func() {
				id := fmt.Sprint("order-", i)
				if i%2 == 1 {
					id = fmt.Sprint("order-", i, "-of-", p)
				}
				wantOrder(t, post(api, orderJSON(id, i)), id)
			})
		}
	}
	all.Wait()
	for _, w := range []*world{one, two} {
		wantNobodyWaiting(t, w.desk)
		if s := w.desk.Stats(); s.Unmatched != callers || s.Mismatched != 0 { // each of the other's replies, and none of its own
			t.Errorf("%+v", s)
		}
	}
}

func wantOrder(t *testing.T, answer *httptest.ResponseRecorder, id string) {
	t.Helper()
	var d struct {
		OrderID string `json:"order_id"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &d); err != nil || answer.Code != 200 || d.OrderID != id {
		t.Errorf("order %s: status %d, %s", id, answer.Code, answer.Body)
	}
}

func TestRepeatsInFlightShareOneSubmission(t *testing.T) {
	const callers = 50
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) { time.AfterFunc(100*time.Millisecond, func() { w.decide(r) }) }
		api := httpapi.New(w.cfg)
		bodies := make([]string, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				spelled := [...]string{"49.5", "49.50", "4.95e1"}[i%3] // one amount, however it is written
				bodies[i] = post(api, orderJSON("o1", spelled)).Body.String()
			})
		}
		synctest.Wait()
		if got := post(api, orderJSON("o1", 7)); got.Code != http.StatusConflict {
			t.Errorf("another order under the same id: status %d", got.Code)
		}
		all.Wait()
		for _, b := range bodies {
			if b != bodies[0] || !strings.Contains(b, `"order_id":"o1"`) {
				t.Errorf("answers differ: %s and %s", bodies[0], b)
			}
		}
		if w.sent() != 1 {
			t.Errorf("%d submissions", w.sent())
		}
		wantNobodyWaiting(t, w.desk)
	})
}

func TestRepeatsOfADecidedOrderGetTheFirstDecision(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	first := post(api, orderJSON("o1", 49.5))
	again := post(api, orderJSON("o1", "49.50"))
	wantStatus(t, first, 200)
	wantStatus(t, again, 200)
	if first.Body.String() != again.Body.String() {
		t.Errorf("answers differ: %s and %s", first.Body, again.Body)
	}
	if first.Header().Get("Verdict-Repeat") != "" || again.Header().Get("Verdict-Repeat") != "true" {
		t.Error("Verdict-Repeat does not tell the repeat")
	}
	other := post(api, orderJSON("o1", 7))
	wantStatus(t, other, http.StatusConflict)
	if p := problemIn(t, other); p.Code != "order_conflict" {
		t.Errorf("problem %+v", p)
	}
	if w.sent() != 1 {
		t.Errorf("%d submissions", w.sent())
	}
}

func TestRepeatsAreScoredAgainWhenTheStoreIsAway(t *testing.T) {
	w := newWorld()
	w.lookup = func(context.Context) error { return errAway }
	api := httpapi.New(w.cfg)
	wantStatus(t, post(api, orderJSON("o1", 5)), 200)
	wantStatus(t, post(api, orderJSON("o1", 5)), 200)
	if w.sent() != 2 {
		t.Errorf("%d submissions", w.sent())
	}
	if got := w.metric(t, "verdict_http_dependency_failures_total", "call=lookup"); got != 2 {
		t.Errorf("%v failed lookups were counted", got)
	}
	w.lookup = func(context.Context) error { return nil }
	post(api, orderJSON("o1", 5))
	if log := w.log.String(); strings.Count(log, "WARN") != 1 || strings.Count(log, "works again") != 1 || strings.Contains(log, "o1") {
		t.Errorf("the log should tell once that the store fails, once that it works, and no order:\n%s", log)
	}
}

// What a caller gets, and when, by what it prefers and by how long Kafka, the scorer and the store take.
func TestAnswersComeByTheirDeadline(t *testing.T) {
	const never = time.Hour
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	tests := []struct {
		name              string
		prefer            string
		ack, reply, store time.Duration
		lost              bool // the decision is kept, its reply never comes
		status            int
		after             time.Duration
	}{
		{name: "decided in time", ack: ms(5), reply: ms(20), status: 200, after: ms(25)},
		{name: "usual wait", ack: ms(5), reply: never, status: 202, after: ms(500)},
		{name: "short wait", prefer: "wait=0.05", ack: ms(5), reply: ms(60), status: 202, after: ms(50)},
		{name: "long wait", prefer: "wait=3", ack: ms(5), reply: ms(2000), status: 200, after: ms(2005)},
		{name: "too long a wait", prefer: "wait=3600", ack: ms(5), reply: never, status: 202, after: 10 * time.Second},
		{name: "no wait", prefer: "respond-async", ack: ms(5), reply: ms(20), status: 202, after: ms(5)},
		{name: "both", prefer: "respond-async, wait=0.1", ack: ms(5), reply: ms(20), status: 200, after: ms(25)},
		{name: "zero wait", prefer: "wait=0", ack: ms(5), reply: ms(20), status: 202, after: ms(5)},
		{name: "Kafka slower than the caller", prefer: "wait=0.05", ack: ms(300), reply: never, status: 503, after: ms(50)},
		{name: "Kafka a little slower than an impatient caller", prefer: "wait=0.01", ack: ms(30), reply: never, status: 202, after: ms(30)},
		{name: "Kafka slower, and the promise is all that is asked", prefer: "respond-async", ack: ms(300), reply: never, status: 202, after: ms(300)},
		{name: "Kafka silent", ack: never, reply: never, status: 503, after: ms(500)},
		{name: "Kafka silent, no wait", prefer: "respond-async", ack: never, reply: never, status: 503, after: time.Second},
		{name: "Kafka silent, long wait", prefer: "wait=5", ack: never, reply: never, status: 503, after: time.Second},
		{name: "store silent", ack: ms(5), reply: ms(20), store: never, status: 200, after: ms(75)},
		{name: "store silent, nothing decided", ack: ms(5), reply: never, store: never, status: 202, after: ms(550)},
		{name: "reply lost", ack: ms(5), reply: ms(20), lost: true, status: 200, after: ms(500)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.submit = func(ctx context.Context) error { return pause(ctx, test.ack) }
				w.lookup = func(ctx context.Context) error { return pause(ctx, test.store) }
				var replies []*time.Timer
				w.scorer = func(r httpapi.Request) {
					act := w.decide
					if test.lost {
						act = w.keep
					}
					replies = append(replies, time.AfterFunc(test.reply, func() { act(r) }))
				}
				var headers []string
				if test.prefer != "" {
					headers = append(headers, "Prefer: "+test.prefer)
				}
				began := time.Now()
				answer := post(httpapi.New(w.cfg), orderJSON("o1", 5), headers...)
				if took := time.Since(began); answer.Code != test.status || took != test.after {
					t.Errorf("status %d after %v, want %d after %v", answer.Code, took, test.status, test.after)
				}
				wantNobodyWaiting(t, w.desk)
				time.Sleep(time.Second) // a submission goes on without its caller
				synctest.Wait()
				for _, r := range replies {
					r.Stop()
				}
			})
		})
	}
}

// pause takes d, or until the context ends: what a client of Kafka or of the store does.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func TestADecisionComesAfterItsDeadlineByGET(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) { time.AfterFunc(2*time.Second, func() { w.decide(r) }) }
		api := httpapi.New(w.cfg)
		pending := post(api, orderJSON("o1", 5))
		wantStatus(t, pending, http.StatusAccepted)
		if got := pending.Body.String(); got != `{"order_id":"o1","status":"pending"}` {
			t.Errorf("body %s", got)
		}
		where := pending.Header().Get("Location")
		wantStatus(t, call(api, http.MethodGet, where, ""), http.StatusNotFound)
		time.Sleep(2 * time.Second) // virtual
		wantStatus(t, call(api, http.MethodGet, where, ""), http.StatusOK)
	})
}

func TestAllWhoShareAFailedSubmissionAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.submit = func(ctx context.Context) error {
			_ = pause(ctx, 10*time.Millisecond)
			return errAway
		}
		api := httpapi.New(w.cfg)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if got := post(api, orderJSON("o1", 5)); got.Code != http.StatusServiceUnavailable {
					t.Errorf("status %d", got.Code)
				}
			})
		}
		all.Wait()
		wantNobodyWaiting(t, w.desk)
		if log := w.log.String(); strings.Count(log, "WARN") != 1 {
			t.Errorf("the log does not tell it once:\n%s", log)
		}
	})
}

func TestTheSecondCallerIsAnsweredWhenTheFirstHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.submit = func(ctx context.Context) error { return pause(ctx, 100*time.Millisecond) }
		w.scorer = func(r httpapi.Request) { time.AfterFunc(100*time.Millisecond, func() { w.decide(r) }) }
		api := httpapi.New(w.cfg)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { callContext(first, api, http.MethodPost, "/v1/decisions", orderJSON("o1", 5)) })
		synctest.Wait()
		all.Go(func() { wantOrder(t, post(api, orderJSON("o1", 5)), "o1") })
		synctest.Wait()
		leave() // while Kafka has not acknowledged yet
		all.Wait()
		if w.sent() != 1 {
			t.Errorf("%d submissions", w.sent())
		}
		if got := w.metric(t, "verdict_http_waits_total", "outcome=gone"); got != 1 {
			t.Errorf("%v callers have gone", got)
		}
		wantNobodyWaiting(t, w.desk)
	})
}

// Who shares a submission that Kafka has not acknowledged is promised nothing before it has, and waits for that no longer than who submitted.
func TestSharersArePromisedNothingBeforeTheAcknowledgement(t *testing.T) {
	for name, test := range map[string]struct {
		ack    time.Duration
		status int
		after  time.Duration
		prefer string
	}{
		"acknowledged late": {ack: 300 * time.Millisecond, status: http.StatusAccepted, after: 350 * time.Millisecond, prefer: "wait=0.35"},
		"never":             {ack: time.Minute, status: http.StatusServiceUnavailable, after: 50 * time.Millisecond, prefer: "wait=0.05"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.scorer = silent
				w.submit = func(context.Context) error { // a client of Kafka that does not heed its context
					time.Sleep(test.ack) // virtual
					return nil
				}
				api := httpapi.New(w.cfg)
				began := time.Now()
				var all sync.WaitGroup
				all.Go(func() { post(api, orderJSON("o1", 5)) })
				synctest.Wait()
				answer := post(api, orderJSON("o1", 5), "Prefer: "+test.prefer)
				if took := time.Since(began); answer.Code != test.status || took != test.after {
					t.Errorf("status %d after %v, want %d after %v", answer.Code, took, test.status, test.after)
				}
				all.Wait()
				wantNobodyWaiting(t, w.desk)
				time.Sleep(test.ack) // a submission goes on without its caller
			})
		})
	}
}

func TestACallerThatGoesDuringALookupIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.lookup = func(ctx context.Context) error { return pause(ctx, time.Hour) }
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		callContext(ctx, httpapi.New(w.cfg), http.MethodGet, "/v1/decisions/o1", "")
		if got := w.metric(t, "verdict_http_dependency_failures_total", "call=lookup"); got != 0 || w.log.String() != "" {
			t.Errorf("%v failed lookups, log %q", got, w.log.String())
		}
	})
}

func TestLabelsOfACallerThatGoesAreStillPublishedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		published := false
		w.cfg.Learn = func(ctx context.Context, _ []schemas.Label, _ [][]byte) error {
			err := pause(ctx, 100*time.Millisecond)
			published = err == nil
			return err
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		callContext(ctx, httpapi.New(w.cfg), http.MethodPost, "/v1/labels", `{"order_id":"o1","fraud":true,"known_at":"2026-02-28T00:00:00Z"}`)
		if !published {
			t.Error("publishing was cut short")
		}
	})
}

func TestNewRefusesAnUnusableConfig(t *testing.T) {
	whole := newWorld().cfg
	whole.Registerer = nil
	httpapi.New(whole)
	for name, spoil := range map[string]func(*httpapi.Config){
		"no Decode":        func(c *httpapi.Config) { c.Decode = nil },
		"no Submit":        func(c *httpapi.Config) { c.Submit = nil },
		"no Lookup":        func(c *httpapi.Config) { c.Lookup = nil },
		"no Learn":         func(c *httpapi.Config) { c.Learn = nil },
		"no Desk":          func(c *httpapi.Config) { c.Desk = nil },
		"order schema []":  func(c *httpapi.Config) { c.OrderSchema = json.RawMessage("[]") },
		"order schema {":   func(c *httpapi.Config) { c.OrderSchema = json.RawMessage("{") },
		"order schema nil": func(c *httpapi.Config) { c.OrderSchema = json.RawMessage("null") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			spoil(&cfg)
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			httpapi.New(cfg)
		})
	}
}

func TestMetricsHoldNoIDs(t *testing.T) {
	w := newWorld()
	w.cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "as a handler that sets no status\n")
	})
	api := httpapi.New(w.cfg)
	for i := range 50 {
		post(api, orderJSON(fmt.Sprint("secret-", i), i))
		call(api, http.MethodGet, fmt.Sprint("/v1/decisions/secret-", i), "")
		call(api, http.MethodGet, fmt.Sprint("/secret-", i), "")
	}
	call(api, http.MethodGet, "/metrics", "")
	w.scorer = silent
	post(api, orderJSON("secret-x", 5), "Prefer: respond-async")
	for name, want := range map[string]float64{
		"code=2xx route=/v1/decisions": 51, "code=2xx route=/v1/decisions/{order_id}": 50, "code=4xx route=other": 50, "code=2xx route=/metrics": 1,
	} {
		if got := w.metric(t, "verdict_http_request_seconds", strings.Fields(name)...); got != want {
			t.Errorf("%s: %v requests, want %v", name, got, want)
		}
	}
	if got := w.metric(t, "verdict_http_waits_total", "outcome=timeout"); got != 1 {
		t.Errorf("%v waits timed out", got)
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), "secret") {
			t.Errorf("an id is in %s", f)
		}
	}
}

func BenchmarkPOST(b *testing.B) { benchmarkPOST(b, newWorld()) }

// BenchmarkTracedPOST records every request; what the queue of spans does not take is dropped.
func BenchmarkTracedPOST(b *testing.B) {
	w := newWorld()
	w.cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter())).Tracer("")
	benchmarkPOST(b, w)
}

func benchmarkPOST(b *testing.B, w *world) {
	b.Helper()
	w.cfg.Registerer = prometheus.NewRegistry()
	cfg := w.cfg
	public := []byte(`{"order_id":"o1","action":"approve"}`)
	kafka, order := w.desk, schemas.Order{ID: "o1"}
	cfg.Decode = func(raw []byte) (schemas.Order, uint64, error) { return order, uint64(len(raw)), nil } // the codec has benchmarks of its own
	cfg.Lookup = func(context.Context, schemas.OrderID) ([]byte, bool, error) { return nil, false, nil }
	cfg.Submit = func(_ context.Context, r httpapi.Request) error {
		kafka.Resolve(r.Correlation, await.Reply{OrderID: r.Order.ID, Body: public})
		return nil
	}
	api := httpapi.New(cfg)
	body := orderJSON("o1", 5)
	template := httptest.NewRequest(http.MethodPost, "/v1/decisions", http.NoBody)
	template.Header.Set("Content-Type", "application/json")
	template.ContentLength = int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		r := template.WithContext(template.Context())
		r.Body = io.NopCloser(strings.NewReader(body))
		answer := &discard{header: http.Header{}}
		if api.ServeHTTP(answer, r); answer.status != 200 {
			b.Fatal(answer.status)
		}
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
