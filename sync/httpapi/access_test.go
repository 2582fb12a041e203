package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/sync/httpapi"
)

// keyFor returns a new key and its line.
func keyFor(t testing.TB, name string, scopes httpapi.Scope, limit httpapi.Rate) (key, line string) {
	t.Helper()
	key = httpapi.NewKey()
	line, err := httpapi.KeyLine(key, name, scopes, limit)
	if err != nil {
		t.Fatal(err)
	}
	return key, line
}

func ringOf(t testing.TB, lines ...string) *httpapi.KeyRing {
	t.Helper()
	return httpapi.NewKeyRing(parsed(t, lines...))
}

func parsed(t testing.TB, lines ...string) *httpapi.Keys {
	t.Helper()
	keys, err := httpapi.ParseKeys("keys.txt", []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// everyScope are the scopes one by one.
func everyScope() []httpapi.Scope {
	return []httpapi.Scope{httpapi.ScopeDecide, httpapi.ScopeRead, httpapi.ScopePreview, httpapi.ScopeLabel, httpapi.ScopeAdmin}
}

// closedDocument returns what the OpenAPI document of an API with keys says of each route: what it asks for, "" when it is open.
func closedDocument(t *testing.T, api http.Handler) map[string]string {
	t.Helper()
	answer := call(api, http.MethodGet, "/openapi.json", "")
	wantStatus(t, answer, 200)
	var doc struct {
		Components struct{ SecuritySchemes map[string]any }
		Paths      map[string]map[string]struct {
			Security  []map[string][]string
			Responses map[string]any
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	needs := map[string]string{}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			needs[strings.ToUpper(method)+" "+path] = ""
			for _, one := range operation.Security {
				for scheme, scopes := range one {
					if doc.Components.SecuritySchemes[scheme] == nil {
						t.Errorf("%s %s: there is no scheme %s", method, path, scheme)
					}
					needs[strings.ToUpper(method)+" "+path] = strings.Join(scopes, ",")
				}
			}
			for _, status := range []string{"401", "403"} {
				if listed := operation.Responses[status] != nil; listed != (len(operation.Security) > 0) {
					t.Errorf("%s %s: %s listed %v", method, path, status, listed)
				}
			}
		}
	}
	return needs
}

// Every route is asked with every scope alone, with all others, with none, and by nobody; what it says of itself in the document is what it does.
func TestEachRouteTakesItsScopeAlone(t *testing.T) {
	w := newWorld()
	w.cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	w.previews(t, 0)
	w.cfg.Access.Keys = ringOf(t)
	api := httpapi.New(w.cfg)
	needs := closedDocument(t, api)
	known := map[string]string{ // the contract's; a route that is not here must be in the document all the same
		"POST /v1/decisions": "decide", "POST /v1/decisions/batch": "decide", "GET /v1/decisions/{order_id}": "read", "POST /v1/labels": "label", "GET /metrics": "admin",
		"POST /v1/preview": "preview",
		"GET /livez":       "", "GET /readyz": "", "GET /openapi.json": "",
	}
	for route, scope := range known {
		if got, listed := needs[route]; !listed || got != scope {
			t.Errorf("%s needs %q, want %q (listed: %v)", route, got, scope, listed)
		}
	}
	all := httpapi.Scope(0)
	for _, s := range everyScope() {
		all |= s
	}
	for route, need := range needs {
		method, path, _ := strings.Cut(route, " ")
		path = strings.Replace(path, "{order_id}", "o1", 1)
		body := ""
		if method == http.MethodPost {
			body = "{}"
		}
		wantAdmitted := func(scopes httpapi.Scope, admitted bool) {
			t.Helper()
			key, line := keyFor(t, "shop", scopes, httpapi.Rate{})
			w.cfg.Access.Keys.Replace(parsed(t, line))
			answer := call(api, method, path, body, "X-API-Key: "+key)
			if refused := answer.Code == 403 || answer.Code == 401; refused == admitted {
				t.Errorf("%s with %s: status %d", route, scopes, answer.Code)
			}
			if !admitted && !strings.Contains(answer.Header().Get("WWW-Authenticate"), `error="insufficient_scope", scope="`+need+`"`) {
				t.Errorf("%s with %s: %v", route, scopes, answer.Header())
			}
		}
		for _, s := range everyScope() {
			wantAdmitted(s, need == "" || s.String() == need)
			wantAdmitted(all&^s, need == "" || s.String() != need)
		}
		answer := call(api, method, path, body)
		if (answer.Code == 401) != (need != "") {
			t.Errorf("%s by nobody: status %d", route, answer.Code)
		}
		if need != "" && answer.Header().Get("WWW-Authenticate") != `Bearer realm="verdict"` {
			t.Errorf("%s by nobody: %v", route, answer.Header())
		}
	}
}

func TestAnAPIWithoutAccessIsOpen(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	wantStatus(t, post(api, orderJSON("o1", 5), "Authorization: Bearer whatever"), 200)
	if doc := call(api, http.MethodGet, "/openapi.json", "").Body.String(); strings.Contains(doc, "securitySchemes") || strings.Contains(doc, `"401"`) {
		t.Error("the document asks for credentials")
	}
}

func TestCredentialsAreTakenFromOnePlace(t *testing.T) {
	w := newWorld()
	key, line := keyFor(t, "shop", httpapi.ScopeDecide, httpapi.Rate{})
	w.cfg.Access.Keys = ringOf(t, line)
	api := httpapi.New(w.cfg)
	flipped := key[:len(key)-1] + string("0123456789abcdef0"[strings.IndexByte("0123456789abcdef", key[len(key)-1])+1])
	for name, test := range map[string]struct {
		headers []string
		status  int
	}{
		"bearer":               {[]string{"Authorization: Bearer " + key}, 200},
		"bearer in small":      {[]string{"Authorization: bearer  " + key + " "}, 200},
		"header":               {[]string{"X-API-Key: " + key}, 200},
		"both":                 {[]string{"Authorization: Bearer " + key, "X-API-Key: " + key}, 401},
		"basic":                {[]string{"Authorization: Basic " + key}, 401},
		"no scheme":            {[]string{"Authorization: " + key}, 401},
		"no key":               {[]string{"Authorization: Bearer"}, 401},
		"nobody":               {nil, 401},
		"another's secret":     {[]string{"X-API-Key: " + flipped}, 401},
		"longer":               {[]string{"X-API-Key: " + key + "0"}, 401},
		"in capitals":          {[]string{"X-API-Key: " + strings.ToUpper(key)}, 401},
		"the digest":           {[]string{"X-API-Key: " + strings.Fields(line)[3]}, 401},
		"an unknown id":        {[]string{"X-API-Key: " + httpapi.NewKey()}, 401},
		"a token, none wanted": {[]string{"Authorization: Bearer eyJhbGciOiJub25lIn0.e30."}, 401},
	} {
		answer := post(api, orderJSON("o1", 5), test.headers...)
		if answer.Code != test.status {
			t.Errorf("%s: status %d, want %d\n%s", name, answer.Code, test.status, answer.Body)
		}
		if strings.Contains(answer.Body.String(), key) || strings.Contains(answer.Body.String(), "shop") {
			t.Errorf("%s: the answer tells who it was: %s", name, answer.Body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/decisions", strings.NewReader(orderJSON("o1", 5)))
	r.Header["Authorization"] = []string{"Bearer " + key, "Bearer " + key}
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, r)
	wantStatus(t, answer, 401)
	if log := w.log.String(); strings.Contains(log, key) {
		t.Errorf("the log has the key: %s", log)
	}
}

func TestKeysChangeWhileRequestsRun(t *testing.T) {
	w := newWorld()
	before, line := keyFor(t, "shop", httpapi.ScopeDecide, httpapi.Rate{})
	after, next := keyFor(t, "shop", httpapi.ScopeDecide, httpapi.Rate{})
	w.cfg.Access.Keys = ringOf(t, line)
	api := httpapi.New(w.cfg)
	status := func(key string) int { return post(api, orderJSON("o1", 5), "X-API-Key: "+key).Code }
	for _, step := range []struct {
		lines []string
		want  [2]int
	}{
		{[]string{line}, [2]int{200, 401}},
		{[]string{line, next}, [2]int{200, 200}},
		{[]string{next}, [2]int{401, 200}},
		{nil, [2]int{401, 401}},
	} {
		w.cfg.Access.Keys.Replace(parsed(t, step.lines...))
		if got := [2]int{status(before), status(after)}; got != step.want {
			t.Errorf("with %d lines: %v, want %v", len(step.lines), got, step.want)
		}
	}
}

// unreadBody fails the test when it is read.
type unreadBody struct{ t *testing.T }

func (b unreadBody) Read([]byte) (int, error) {
	b.t.Error("the body of a refused request was read")
	return 0, nil
}

func TestTheRateOfACallerIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		slow, lineOfSlow := keyFor(t, "slow", httpapi.ScopeDecide, httpapi.Rate{PerSecond: 0.4, Burst: 2})
		other, lineOfOther := keyFor(t, "other", httpapi.ScopeDecide, httpapi.Rate{})
		w.cfg.Access = httpapi.Access{Keys: ringOf(t, lineOfSlow, lineOfOther), Rate: httpapi.Rate{PerSecond: 10}}
		api := httpapi.New(w.cfg)
		status := func(key string) (int, string) {
			answer := post(api, orderJSON("o1", 5), "X-API-Key: "+key)
			if answer.Code == 429 && problemIn(t, answer).Code != "rate" {
				t.Errorf("problem %+v", problemIn(t, answer))
			}
			return answer.Code, answer.Header().Get("Retry-After")
		}
		want := func(key string, status1 int, retry1 string) {
			t.Helper()
			if s, r := status(key); s != status1 || r != retry1 {
				t.Errorf("after %v: status %d, Retry-After %q; want %d, %q", time.Now(), s, r, status1, retry1)
			}
		}
		want(slow, 200, "")
		want(slow, 200, "")
		want(slow, 429, "3") // a token comes each 2.5 s: rounded up
		time.Sleep(1600 * time.Millisecond)
		want(slow, 429, "1")
		time.Sleep(899 * time.Millisecond)
		want(slow, 429, "1")
		time.Sleep(2 * time.Millisecond)
		want(slow, 200, "")
		want(slow, 429, "3")
		for range 10 { // the rate that stands for all, and another caller's bucket
			want(other, 200, "")
		}
		want(other, 429, "1")
		if got := w.metric(t, "verdict_http_refused_total", "reason=rate"); got != 5 {
			t.Errorf("%v requests were counted as too many", got)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/decisions", unreadBody{t})
		r.Header.Set("X-API-Key", slow)
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		wantStatus(t, answer, 429)
		// A rate that is raised counts from the next call on, for the bucket that there is.
		changed := strings.Replace(lineOfSlow, "rate=0.4/s burst=2", "rate=1000/s", 1)
		w.cfg.Access.Keys.Replace(parsed(t, changed))
		want(slow, 429, "1")
		time.Sleep(10 * time.Millisecond)
		want(slow, 200, "")
		want(slow, 200, "")
	})
}

func TestWithoutKeysTheRateIsAnAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		w.cfg.Access.Rate = httpapi.Rate{PerSecond: 1}
		api := httpapi.New(w.cfg)
		from := func(path, address string) int {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr = address
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, r)
			return answer.Code
		}
		for _, step := range []struct {
			address string
			want    int
		}{
			{"192.0.2.1:1000", 404},
			{"192.0.2.1:1001", 429},
			{"[::ffff:192.0.2.1]:1002", 429},
			{"192.0.2.2:1000", 404},
			{"[2001:db8:1:2:3::4]:1000", 404},
			{"[2001:db8:1:2:ffff::4]:1000", 429}, // the same /64
			{"[2001:db8:1:3:3::4]:1000", 404},
		} {
			if got := from("/v1/decisions/o1", step.address); got != step.want {
				t.Errorf("%s: status %d, want %d", step.address, got, step.want)
			}
		}
		for range 5 { // probes and scrapes are nobody's calls
			for _, path := range []string{"/livez", "/metrics", "/openapi.json"} {
				if got := from(path, "192.0.2.1:1000"); got != 200 {
					t.Errorf("%s: status %d", path, got)
				}
			}
		}
	})
}

func TestAnAddressThatFailsTooOftenIsSentAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		key, line := keyFor(t, "shop", httpapi.ScopeDecide, httpapi.Rate{})
		w.cfg.Access.Keys = ringOf(t, line)
		api := httpapi.New(w.cfg)
		statuses := map[int]int{}
		for range 50 {
			statuses[post(api, "{}", "X-API-Key: "+httpapi.NewKey()).Code]++
		}
		if diff := cmp.Diff(map[int]int{401: 20, 429: 30}, statuses); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
		// Who calls with a good key from there, behind the same proxy, is let in.
		wantStatus(t, post(api, orderJSON("o1", 5), "X-API-Key: "+key), 200)
		time.Sleep(time.Second)
		synctest.Wait()
		wantStatus(t, post(api, "{}"), 401)
		answer := post(api, "{}")
		wantStatus(t, answer, 429)
		if got := answer.Header().Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After %q", got)
		}
	})
}

func TestBucketsAreBounded(t *testing.T) {
	b := httpapi.NewBuckets()
	for i := range 100_000 {
		b.Take(fmt.Sprint("caller", i), httpapi.Rate{PerSecond: 1})
	}
	if got := b.Len(); got > 20_000 {
		t.Errorf("%d buckets are kept", got)
	}
	if b.Take("caller99999", httpapi.Rate{PerSecond: 0.001}) {
		t.Error("the latest caller has a new bucket already")
	}
}

func TestABatchIsPaidForLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.cfg.Access.Rate = httpapi.Rate{PerSecond: 10, Burst: 5}
		api := httpapi.New(w.cfg)
		var orders []string
		for i := range 20 {
			orders = append(orders, orderJSON(fmt.Sprint("o", i), 5))
		}
		wantStatus(t, call(api, http.MethodPost, "/v1/decisions/batch", "["+strings.Join(orders, ",")+"]"), 200)
		time.Sleep(1599 * time.Millisecond) // of the 20, 5 were there and 15 come in 1.5 s; then there must be one for the next call
		wantStatus(t, post(api, orders[0]), 429)
		time.Sleep(2 * time.Millisecond)
		wantStatus(t, post(api, orders[0]), 200)
		wantStatus(t, post(api, orders[0]), 429)
	})
}
