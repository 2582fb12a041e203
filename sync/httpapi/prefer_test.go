package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"verdict/sync/httpapi"
)

func TestPreferIsReadAsRFC7240Has(t *testing.T) {
	const usual = 500 * time.Millisecond
	tests := []struct {
		lines   []string
		wait    time.Duration
		applied string
	}{
		{nil, usual, ""},
		{[]string{"wait=0.05"}, 50 * time.Millisecond, "wait=0.05"},
		{[]string{"wait=2"}, 2 * time.Second, "wait=2"},
		{[]string{"WAIT = \"1.5\""}, 1500 * time.Millisecond, "wait=1.5"},
		{[]string{`wait="\1"`}, time.Second, "wait=1"},
		{[]string{"wait=1;foo=\"a,b\";bar"}, time.Second, "wait=1"},
		{[]string{"wait=10.001"}, 10 * time.Second, "wait=10"},
		{[]string{"wait=" + strings.Repeat("9", 400)}, 10 * time.Second, "wait=10"},
		{[]string{"wait=0"}, 0, "wait=0"},
		{[]string{"respond-async"}, 0, "respond-async"},
		{[]string{"Respond-Async=\"\""}, 0, "respond-async"},
		{[]string{"respond-async, wait=1"}, time.Second, "respond-async, wait=1"},
		{[]string{"respond-async", "wait=1"}, time.Second, "respond-async, wait=1"},
		{[]string{`return=minimal, foo="a, wait=3", , wait=1`}, time.Second, "wait=1"},
		{[]string{`foo="\", wait=3", wait=1`}, time.Second, "wait=1"},
		{[]string{"wait=1, wait=2"}, time.Second, "wait=1"}, // only the first counts
		{[]string{"wait=x, wait=2"}, usual, ""},
		{[]string{"wait"}, usual, ""},
		{[]string{"wait="}, usual, ""},
		{[]string{"wait=-1"}, usual, ""},
		{[]string{"wait=1e1"}, usual, ""},
		{[]string{"wait=0x1"}, usual, ""},
		{[]string{"wait=NaN"}, usual, ""},
		{[]string{"wait=Inf"}, usual, ""},
		{[]string{"wait=1_0"}, usual, ""},
		{[]string{"wait=.5"}, usual, ""},
		{[]string{"wait=1.2.3"}, usual, ""},
		{[]string{"wait=1 2"}, usual, ""},
		{[]string{`wait="1`}, usual, ""},
		{[]string{"waits=1, respond-asynch"}, usual, ""},
		{[]string{"\x00\xff,\"", "="}, usual, ""},
	}
	for _, test := range tests {
		wait, applied := httpapi.Preferred(httpapi.Config{}, test.lines)
		if wait != test.wait || applied != test.applied {
			t.Errorf("%q: wait %v, applied %q; want %v, %q", test.lines, wait, applied, test.wait, test.applied)
		}
	}
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=0.05", "respond-async, wait=10", `foo="a,b\"c"; x=y, wait="1"`, "wait=99999999999999999999", "\"", "wait=\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cfg := httpapi.Config{}
		wait, applied := httpapi.Preferred(cfg, []string{line})
		if wait < 0 || wait > 10*time.Second {
			t.Fatalf("%q: wait %v", line, wait)
		}
		// What was applied means the same when it is asked for.
		if again, same := httpapi.Preferred(cfg, []string{applied}); applied != "" && (again != wait || same != applied) {
			t.Fatalf("%q was applied as %q, which is applied as %q", line, applied, same)
		}
		// A list in two lines is the list in one.
		two, _ := httpapi.Preferred(cfg, []string{"foo, " + line, "wait=7"})
		if strings.Count(line, `"`) == 0 {
			if one, _ := httpapi.Preferred(cfg, []string{"foo, " + line + ", wait=7"}); one != two {
				t.Fatalf("%q: in one line %v, in two %v", line, one, two)
			}
		}
	})
}

func TestOnlyAWellFormedTraceparentIsPassedOn(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for value, passed := range map[string]bool{
		good:                               true,
		"01" + good[2:]:                    true,
		"01" + good[2:] + "-more":          true,
		good + "-more":                     false,
		"ff" + good[2:]:                    false,
		strings.ToUpper(good):              false,
		good[:54]:                          false,
		"":                                 false,
		strings.Replace(good, "b", "g", 1): false,
		strings.Replace(good, "-", "_", 1): false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		"01" + good[2:] + "-" + strings.Repeat("x", 1_000):        false,
	} {
		want := ""
		if passed {
			want = value
		}
		if got := httpapi.Traceparent(http.Header{"Traceparent": {value}}); got != want {
			t.Errorf("%q: got %q", value, got)
		}
	}
}

func TestTheSubmissionCarriesWhatTheScorerNeeds(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	w := newWorld()
	body := orderJSON("o1", "49.50")
	began := time.Now()
	wantStatus(t, post(httpapi.New(w.cfg), body, "Traceparent: "+trace, "Prefer: wait=2"), 200)
	r := w.submitted[0]
	if r.Order.ID != "o1" || string(r.Raw) != body || len(r.Correlation) != 16 || r.Traceparent != trace {
		t.Errorf("submitted %+v", r)
	}
	if wait := r.Deadline.Sub(began); wait < 2*time.Second || wait > 3*time.Second {
		t.Errorf("the deadline is after %v", wait)
	}
}
