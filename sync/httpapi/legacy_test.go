package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/sync/httpapi"
)

// checkout is what a shop's service answered before, and what of it the tests compare byte for byte.
const checkout = `
- path: /fraud/check
  order: body.transaction
  wait: 200ms
  fields:
    order_id: body.txn.id
    occurred_at: body.txn.time
    terminal_id: 'header("X-Terminal") == "" ? "web" : header("X-Terminal")'
  answer:
    body: '{"result": action == "reject" ? "DENY" : "OK", "riskScore": fixed(score * 100, 1), "ref": order_id, "echo": body.txn.ref, "flags": reasons.map(r, r.feature)}'
    headers: {X-Engine: '"verdict/" + action'}
    content_type: application/json;charset=UTF-8
  pending:
    status: 200
    body: '{"result": "LATER", "see": location}'
  error:
    status: 'code == "order_conflict" ? 200 : status'
    body: '"ERR|" + code + "|" + string(status)'
    content_type: text/plain
- path: /score
  fields: {customer_id: '"python"'}
  answer: {status: 201, spaced: true, body: '{"score": score, "decision": decision.order_id, "again": repeat}'}
`

const checkoutRequest = `{"txn":{"id":"o1","time":"2026-01-31T12:00:00Z","ref":9007199254740993},"transaction":{"customer_id":"c1","amount":49.50}}`

func withRoutes(t *testing.T, w *world) http.Handler {
	t.Helper()
	routes, err := httpapi.LoadLegacy("routes.yaml", []byte(checkout))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Legacy = routes
	return httpapi.New(w.cfg)
}

func TestAnotherAPIsAnswersAreReproducedByteForByte(t *testing.T) {
	w := newWorld()
	api := withRoutes(t, w)
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		want             string
		also             map[string]string
	}{
		{
			name: "decided", path: "/fraud/check", body: checkoutRequest, headers: []string{"Content-Type: text/plain"}, status: 200,
			want: `{"result":"OK","riskScore":50.0,"ref":"o1","echo":9007199254740993,"flags":[]}`,
			also: map[string]string{"Content-Type": "application/json;charset=UTF-8", "X-Engine": "verdict/review", "Location": ""},
		},
		{name: "another content", path: "/fraud/check", body: strings.Replace(checkoutRequest, "49.50", "50", 1), status: 200, want: "ERR|order_conflict|409", also: map[string]string{"Content-Type": "text/plain"}},
		{name: "no order", path: "/fraud/check", body: `{}`, status: 422, want: "ERR|order_missing|422"},
		{name: "a field has no value", path: "/fraud/check", body: `{"transaction":{"customer_id":"c1","amount":5}}`, status: 422, want: "ERR|schema_mismatch|422"},
		{name: "not JSON", path: "/fraud/check", body: `{"a":1,`, status: 400, want: "ERR|json_syntax|400"},
		{name: "a key twice", path: "/fraud/check", body: `{"a":1,"a":2}`, status: 400, want: "ERR|json_duplicate|400"},
		{name: "no body", path: "/fraud/check", body: "", status: 400, want: "ERR|empty|400"},
		{name: "too large", path: "/fraud/check", body: padded(checkoutRequest, 65<<10), status: 413, want: "ERR|too_large|413"},
		{
			name: "as Python writes it", path: "/score", body: `{"order_id":"o2","occurred_at":"2026-01-31T12:00:00Z","terminal_id":"t1","amount":1}`, status: 201,
			want: `{"score": 0.5, "decision": "o2", "again": false}`, also: map[string]string{"Content-Type": "application/json"},
		},
		{
			name: "again", path: "/score", body: `{"order_id":"o2","occurred_at":"2026-01-31T12:00:00Z","terminal_id":"t1","amount":1}`, status: 201,
			want: `{"score": 0.5, "decision": "o2", "again": true}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := call(api, http.MethodPost, c.path, c.body, c.headers...)
			wantStatus(t, answer, c.status)
			if diff := cmp.Diff(c.want, answer.Body.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for name, value := range c.also {
				if got := answer.Header().Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
	if got := string(w.submitted[0].Raw); got != `{"customer_id":"c1","amount":49.5,"order_id":"o1","occurred_at":"2026-01-31T12:00:00Z","terminal_id":"web"}` {
		t.Errorf("sent %s", got)
	}
	if wrong := call(api, http.MethodPost, "/score", `{}`); problemIn(t, wrong).Code != "schema_mismatch" { // this route says nothing of errors
		t.Errorf("%d %s", wrong.Code, wrong.Body)
	}
	if get := call(api, http.MethodGet, "/score", ""); get.Code != 405 || get.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", get.Code, get.Header())
	}
	wantNobodyWaiting(t, w.desk)
}

func TestARouteWaitsAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		api := withRoutes(t, w)
		for _, c := range []struct {
			headers []string
			took    time.Duration
		}{{nil, 200 * time.Millisecond}, {[]string{"Prefer: wait=0.05"}, 50 * time.Millisecond}} {
			began := time.Now()
			answer := call(api, http.MethodPost, "/fraud/check", checkoutRequest, c.headers...)
			if got := answer.Body.String(); answer.Code != 200 || got != `{"result":"LATER","see":"/v1/decisions/o1"}` || time.Since(began) != c.took {
				t.Errorf("%v: %d %s after %v", c.headers, answer.Code, got, time.Since(began))
			}
		}
	})
}

func TestARouteThatCannotSayTheAnswerSaysSo(t *testing.T) {
	w := newWorld()
	routes, err := httpapi.LoadLegacy("routes.yaml", []byte(`
- {path: /a, answer: {body: body.nothing}}
- {path: /b, answer: {body: '"x"', status: '"200"'}}
- {path: /c, answer: {body: timestamp("2026-01-01T00:00:00Z")}}
`))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Legacy = routes
	api := httpapi.New(w.cfg)
	for _, path := range []string{"/a", "/b", "/c"} {
		answer := call(api, http.MethodPost, path, orderJSON("o1", 5))
		if answer.Code != 500 || problemIn(t, answer).Code != "answer_unshaped" || strings.Contains(w.log.String(), "o1") {
			t.Errorf("%s: %d %s\n%s", path, answer.Code, answer.Body, w.log.String())
		}
	}
}

func TestRoutesAreCheckedWithFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"- {order: body}":                              "routes.yaml:1: route: path is missing",
		"- {path: /v1/x}":                              "routes.yaml:1: path: /v1/x is this API's own",
		"- {path: /livez}":                             "routes.yaml:1: path: /livez is this API's own",
		"- {path: '/a/{b}'}":                           "is no path such as",
		"- {path: /a/}":                                "is no path such as",
		"- {path: a}":                                  "is no path such as",
		"- {path: /a}\n- {path: /a}":                   "routes.yaml:2: path: /a is the path of another route",
		"- path: /a\n  anser: {body: '1'}":             "routes.yaml:2: route: unknown key anser; did you mean answer?",
		"- path: /a\n  answer: {bdy: '1'}":             "routes.yaml:2: answer: unknown key bdy; did you mean body?",
		"- path: /a\n  answer: {status: 200}":          "routes.yaml:2: answer: body is missing",
		"- path: /a\n  answer: {body: scor}":           "routes.yaml:2: answer: body: column 1: unknown name scor; did you mean score?",
		"- path: /a\n  pending: {body: score}":         "unknown name score",
		"- path: /a\n  error: {body: '1', status: 99}": "routes.yaml:2: error: status: 99 is no status",
		"- path: /a\n  fields: {x: bdy}":               "routes.yaml:2: fields: x: column 1: unknown name bdy; did you mean body?",
		"- path: /a\n  answer: {body: '1', headers: {Content-Length: '1'}}": "is not for a route to set",
		"- path: /a\n  wait: -1s": "routes.yaml:2: wait:",
		"a: b":                    "routes: a list is wanted",
	} {
		_, err := httpapi.LoadLegacy("routes.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := httpapi.LoadLegacy("verdict.yaml", []byte("log: {level: info}\nsync:\n  routes:\n    - {path: /a}\n"), "sync", "routes"); err != nil {
		t.Error(err)
	}
}

func TestRoutesOfOtherAPIsAreInTheDocument(t *testing.T) {
	api := withRoutes(t, newWorld())
	doc := call(api, http.MethodGet, "/openapi.json", "").Body.String()
	if !strings.Contains(doc, `"/fraud/check"`) || !strings.Contains(doc, `"/score"`) {
		t.Errorf("%s", doc)
	}
}
