package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// Each status and code of the API, what goes with it, and that a refusal leaves nothing behind.
func TestEveryStatus(t *testing.T) {
	away := func(context.Context) error { return errAway }
	refuse := func(w *world, code string) {
		w.scorer = func(r httpapi.Request) {
			w.desk.Resolve(r.Correlation, await.Reply{OrderID: r.Order.ID, Code: code, Detail: "the scorer says no"})
		}
	}
	const decisions, batches, labels = "POST /v1/decisions", "POST /v1/decisions/batch", "POST /v1/labels"
	const previews = "POST /v1/preview"
	lines := []string{"Content-Type: application/x-ndjson"}
	label := `{"order_id":"o1","fraud":true,"known_at":"2026-02-28T00:00:00Z"}`
	tests := []struct {
		name    string
		given   func(*world)
		call    string
		body    string
		headers []string
		status  int
		code    string // of a problem
		sent    int    // orders that Kafka got
		want    map[string]string
		errors  []string // pointers
	}{
		{name: "decided", call: decisions, body: orderJSON("o1", 5), status: 200, sent: 1, want: map[string]string{"Content-Type": "application/json"}},
		{
			name: "wait over", given: func(w *world) { w.scorer = silent }, call: decisions, body: orderJSON("o1", 5), headers: []string{"Prefer: wait=0.001"},
			status: 202, sent: 1, want: map[string]string{"Location": "/v1/decisions/o1", "Preference-Applied": "wait=0.001", "Content-Type": "application/json"},
		},
		{
			name: "not waited for", given: func(w *world) { w.scorer = silent }, call: decisions, body: orderJSON("o1", 5), headers: []string{"Prefer: respond-async"},
			status: 202, sent: 1, want: map[string]string{"Location": "/v1/decisions/o1", "Preference-Applied": "respond-async"},
		},

		{name: "no body", call: decisions, body: "", headers: []string{"Content-Type: application/json"}, status: 400, code: "empty"},
		{name: "not JSON", call: decisions, body: `{"order_id":`, status: 400, code: "json_syntax"},
		{name: "trailing bytes", call: decisions, body: orderJSON("o1", 5) + "x", status: 400, code: "json_syntax"},
		{name: "two documents", call: decisions, body: orderJSON("o1", 5) + orderJSON("o2", 5), status: 400, code: "json_syntax"},
		{name: "duplicate key", call: decisions, body: `{"order_id":"o1","order_id":"o2"}`, status: 400, code: "json_duplicate"},
		{name: "too deep", call: decisions, body: strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000), status: 400, code: "json_depth"},
		{name: "bad UTF-8", call: decisions, body: strings.Replace(orderJSON("o1", 5), "c1", "\xff", 1), status: 400, code: "json_syntax"},
		{name: "no such resource", call: "GET /v1/orders", status: 404, code: "route_unknown"},
		{name: "the docs page", call: "GET /docs", status: 200, want: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{name: "an empty batch", call: batches, body: " [ ] ", status: 200},
		{name: "one order as a batch", call: batches, body: orderJSON("o1", 5), status: 400, code: "json_syntax"},
		{name: "half a batch", call: batches, body: "[" + orderJSON("o1", 5), status: 400, code: "json_syntax"},
		{name: "bytes behind a batch", call: batches, body: "[]x", status: 400, code: "json_syntax"},
		{name: "a batch of nothing", call: batches, body: "", headers: []string{"Content-Type: application/json"}, status: 400, code: "json_syntax"},
		{name: "a batch that is too deep", call: batches, body: strings.Repeat("[", 20_000), status: 400, code: "json_syntax"},
		{name: "too many orders", given: func(w *world) { w.cfg.MaxBatch = 2 }, call: batches, body: "[1,2,3]", status: 413, code: "too_many"},
		{name: "too many lines", given: func(w *world) { w.cfg.MaxBatch = 2 }, call: batches, body: "1\n2\n3", headers: lines, status: 413, code: "too_many"},
		{name: "too large a batch", given: func(w *world) { w.cfg.MaxBatchBytes = 100 }, call: batches, body: padded("[]", 101), status: 413, code: "too_large"},
		{name: "a batch as text", call: batches, body: "[]", headers: []string{"Content-Type: text/plain"}, status: 415, code: "content_type"},
		{name: "lines in another charset", call: batches, body: "1", headers: []string{"Content-Type: application/x-ndjson; charset=latin1"}, status: 415, code: "content_type"},
		{name: "an order as lines", call: decisions, body: orderJSON("o1", 5), headers: lines, status: 415, code: "content_type"},
		{name: "no such method of a batch", call: "PUT /v1/decisions/batch", body: "[]", status: 405, code: "method_not_allowed", want: map[string]string{"Allow": "POST, GET, HEAD"}},
		{name: "the decision of the order called batch", call: "GET /v1/decisions/batch", status: 404, code: "decision_unknown"},
		{name: "no such method", call: "PUT /v1/decisions", body: "{}", status: 405, code: "method_not_allowed", want: map[string]string{"Allow": "POST"}},
		{name: "reading only", call: "DELETE /v1/decisions/o1", status: 405, code: "method_not_allowed", want: map[string]string{"Allow": "GET, HEAD"}},
		{name: "no browser's question", call: "OPTIONS /v1/decisions", status: 405, code: "method_not_allowed", want: map[string]string{"Access-Control-Allow-Origin": ""}},
		{name: "refused as another order", given: func(w *world) { refuse(w, "order_conflict") }, call: decisions, body: orderJSON("o1", 5), status: 409, code: "order_conflict", sent: 1},
		{
			name: "another order in flight", given: func(w *world) { mustJoin(t, w, "o1") }, call: decisions, body: orderJSON("o1", 5),
			status: 409, code: "order_conflict",
		},
		{name: "too large", call: decisions, body: orderJSON("o1", strings.Repeat(" ", 64<<10)+"5"), status: 413, code: "too_large", want: map[string]string{"Connection": "close"}},
		{name: "as large as allowed", call: decisions, body: padded(orderJSON("o1", 5), 64<<10), status: 200, sent: 1},
		{name: "a byte more", call: decisions, body: padded(orderJSON("o1", 5), 64<<10+1), status: 413, code: "too_large"},
		{name: "a form", call: decisions, body: "order_id=o1", headers: []string{"Content-Type: application/x-www-form-urlencoded"}, status: 415, code: "content_type"},
		{name: "no type", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Type: "}, status: 415, code: "content_type"},
		{name: "text", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Type: text/json"}, status: 415, code: "content_type"},
		{name: "almost JSON", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Type: application/jsonp"}, status: 415, code: "content_type"},
		{name: "other charset", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Type: application/json; charset=latin1"}, status: 415, code: "content_type"},
		{name: "charset", call: decisions, body: orderJSON("o1", 5), headers: []string{`Content-Type: Application/JSON; charset="UTF-8"`}, status: 200, sent: 1},
		{name: "JSON below", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Type: application/vnd.shop.order+json"}, status: 200, sent: 1},
		{name: "compressed", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Encoding: gzip"}, status: 415, code: "content_encoding"},
		{name: "said not to be compressed", call: decisions, body: orderJSON("o1", 5), headers: []string{"Content-Encoding: identity"}, status: 200, sent: 1},
		{
			name: "several faults", call: decisions, body: `{"order_id":"o1","occurred_at":"2026-01-31T12:00:00Z","customer_id":[],"amount":"x"}`,
			status: 422, code: "schema_mismatch", errors: []string{"/amount", "/customer_id", "/terminal_id"},
		},
		{name: "unknown field", call: decisions, body: strings.Replace(orderJSON("o1", 5), "{", `{"Amount":1,`, 1), status: 422, code: "json_unknown_field", errors: []string{"/Amount"}},
		{name: "bad id", call: decisions, body: orderJSON("o 1", 5), status: 422, code: "id_format", errors: []string{"/order_id"}},
		{name: "refused", given: func(w *world) { refuse(w, "value_range") }, call: decisions, body: orderJSON("o1", 5), status: 422, code: "value_range", sent: 1},
		{name: "Kafka away", given: func(w *world) { w.submit = away }, call: decisions, body: orderJSON("o1", 5), status: 503, code: "kafka_away"},
		{
			name: "too many", given: func(w *world) {
				w.desk = await.New(await.Config{Max: 1})
				w.cfg.Desk = w.desk
				mustJoin(t, w, "o0")
			}, call: decisions, body: orderJSON("o1", 5), status: 503, code: "overloaded",
		},
		{
			name: "registry away", given: func(w *world) {
				w.cfg.Decode = func([]byte) (schemas.Order, uint64, error) { return schemas.Order{}, 0, errAway }
			}, call: decisions, body: orderJSON("o1", 5), status: 503, code: "schema_unavailable",
		},
		{name: "store away", given: func(w *world) { w.lookup = away }, call: decisions, body: orderJSON("o1", 5), status: 200, sent: 1},

		{name: "kept decision is broken, the order comes again", given: func(w *world) { w.kept["o1"] = []byte("{") }, call: decisions, body: orderJSON("o1", 5), status: 200, sent: 1},

		{name: "unknown decision", call: "GET /v1/decisions/o1", status: 404, code: "decision_unknown"},
		{name: "impossible id", given: func(w *world) { w.lookup = away /* and is not asked */ }, call: "GET /v1/decisions/o%201", status: 404, code: "decision_unknown"},
		{name: "decisions cannot be read", given: func(w *world) { w.lookup = away }, call: "GET /v1/decisions/o1", status: 503, code: "store_away"},
		{
			name: "kept decision is broken", given: func(w *world) { w.kept["o1"] = []byte("{") }, call: "GET /v1/decisions/o1",
			status: 500, code: "decision_unreadable",
		},

		{name: "a preview", call: previews, body: orderJSON("o1", 5), status: 200},
		{name: "a preview of no JSON", call: previews, body: "{", status: 400, code: "json_syntax"},
		{name: "a preview of another order", call: previews, body: `{"order_id":"o1"}`, status: 422, code: "schema_mismatch", errors: []string{"/amount", "/customer_id", "/occurred_at", "/terminal_id"}},
		{name: "a preview without a store", given: func(w *world) { w.lookup = away }, call: previews, body: orderJSON("o1", 5), status: 503, code: "store_away"},

		{name: "a label", call: labels, body: label, status: 202},
		{name: "labels", call: labels, body: " [" + label + ", " + label + "]\n", status: 202},
		{name: "no labels", call: labels, body: "[]", status: 202},
		{name: "half an array", call: labels, body: "[" + label, status: 400, code: "json_syntax"},
		{name: "bytes behind an array", call: labels, body: "[" + label + "]]", status: 400, code: "json_syntax"},
		{name: "duplicate key in a label", call: labels, body: `[{"order_id":"o1","order_id":"o2"}]`, status: 400, code: "json_duplicate"},
		{name: "a bad label", call: labels, body: `{"order_id":"o1","fraud":"yes","known_at":"2026-02-28T00:00:00Z"}`, status: 422, code: "label_fraud", errors: []string{"/fraud"}},
		{
			name: "bad labels among good", call: labels, body: "[" + label + `,{"order_id":"o1","fraud":"no","known_at":"2026-02-28T00:00:00Z"},7]`,
			status: 422, code: "label_fraud", errors: []string{"/1/fraud", "/2"},
		},
		{name: "labels cannot be kept", given: func(w *world) { w.learn = errAway }, call: labels, body: label, status: 503, code: "kafka_away"},

		{name: "alive", call: "GET /livez", status: 200},
		{name: "alive, in short", call: "HEAD /livez", status: 200},
		{name: "not alive", given: func(w *world) { w.cfg.Live = func() error { return errAway } }, call: "GET /livez", status: 503, code: "not_live"},
		{name: "ready", given: func(w *world) { w.cfg.Ready = func() error { return nil } }, call: "GET /readyz", status: 200},
		{name: "not ready", given: func(w *world) { w.cfg.Ready = func() error { return errors.New("no reply partition yet") } }, call: "GET /readyz", status: 503, code: "not_ready"},
		{name: "metrics", call: "GET /metrics", status: 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			w.previews(t, 0)
			if test.given != nil {
				test.given(w)
			}
			before := w.desk.Stats()
			method, path, _ := strings.Cut(test.call, " ")
			answer := call(httpapi.New(w.cfg), method, path, test.body, test.headers...)
			wantStatus(t, answer, test.status)
			if w.sent() != test.sent {
				t.Errorf("%d orders were sent, want %d", w.sent(), test.sent)
			}
			if after := w.desk.Stats(); after.Waiting != before.Waiting || after.Orders != before.Orders {
				t.Errorf("at the desk before %+v, after %+v", before, after)
			}
			for name, value := range test.want {
				if got := answer.Header().Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
				if got := answer.Header().Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			if test.status < 400 {
				return
			}
			if len(w.labels) != 0 {
				t.Errorf("labels were published: %v", w.labels)
			}
			p := problemIn(t, answer)
			if p.Code != test.code || p.Status != test.status || p.Title != http.StatusText(test.status) || p.Detail == "" {
				t.Errorf("problem %+v, want code %s", p, test.code)
			}
			if got := answer.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type: %s", got)
			}
			if got := answer.Header().Get("Retry-After"); (got == "1") != (test.status == 503) {
				t.Errorf("Retry-After: %q", got)
			}
			if diff := cmp.Diff(test.errors, pointers(p)); test.errors != nil && diff != "" {
				t.Errorf("pointers of the errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecisionsCanBeReadAfterwards(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	first := post(api, orderJSON("o1", 49.5))
	wantStatus(t, first, 200)
	read := call(api, http.MethodGet, "/v1/decisions/o1", "")
	wantStatus(t, read, 200)
	if diff := cmp.Diff(first.Body.String(), read.Body.String()); diff != "" {
		t.Errorf("the two faces differ (-post +get):\n%s", diff)
	}
}

func TestLabelsArePublishedAsTheyCame(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	one, two := `{"order_id": "o1", "fraud": true, "known_at": "2026-02-28T00:00:00Z", "case": 7}`, `{"order_id":42,"fraud":false,"known_at":1772236800000}`
	answer := call(api, http.MethodPost, "/v1/labels", "["+one+" ,\n"+two+"]")
	wantStatus(t, answer, 202)
	if got := answer.Body.String(); got != `{"accepted":2}` {
		t.Errorf("answer %s", got)
	}
	if diff := cmp.Diff([]string{one, two}, w.rawLabels); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if len(w.labels) != 2 || w.labels[0].ID != "o1" || !w.labels[0].Fraud || w.labels[1].ID != "42" || w.labels[1].Fraud {
		t.Errorf("labels %+v", w.labels)
	}
}

func mustJoin(t *testing.T, w *world, id schemas.OrderID) {
	t.Helper()
	wait, _, err := w.desk.Join(id, 1)
	if err != nil {
		t.Fatal(err)
	}
	wait.Acknowledge()
}

func padded(body string, size int) string { return body + strings.Repeat(" ", size-len(body)) }

func pointers(p problem) (all []string) {
	for _, e := range p.Errors {
		all = append(all, e.Pointer)
	}
	return all
}

// Both kinds of order schema tell all that is wrong, by RFC 6901 pointers.
func TestEveryFaultOfAnOrderIsTold(t *testing.T) {
	for name, text := range map[string]string{
		"o.avsc": `{"type":"record","name":"o","fields":[{"name":"order_id","type":"string"},{"name":"n","type":{"type":"map","values":"double"}},{"name":"l","type":{"type":"array","items":"double"}},{"name":"b","type":"boolean"}]}`,
		"o.json": `{"type":"object","required":["order_id","b"],"properties":{"order_id":{"type":"string"},"b":{"type":"boolean"},"l":{"type":"array","items":{"type":"number"}},"n":{"type":"object","additionalProperties":{"type":"number"}}}}`,
	} {
		schema, err := schemas.ParseSchema(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		w.cfg.Decode = func(raw []byte) (schemas.Order, uint64, error) {
			_, err := schema.DecodeJSON(raw)
			return schemas.Order{}, 0, err
		}
		answer := post(httpapi.New(w.cfg), `{"order_id":true,"n":{"a/b":"x","c~d":"y","fine":1},"l":[1,"x",2,"y"]}`)
		wantStatus(t, answer, 422)
		got := pointers(problemIn(t, answer))
		slices.Sort(got)
		want := []string{"/b", "/l/1", "/l/3", "/n/a~1b", "/n/c~0d", "/order_id"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", name, diff, answer.Body)
		}
	}
}
