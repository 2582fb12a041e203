package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// outcome is one of a batch, as a client reads it.
type outcome struct {
	Status   int             `json:"status"`
	OrderID  string          `json:"order_id"`
	Action   string          `json:"action"`
	Repeat   bool            `json:"repeat"`
	Location string          `json:"location"`
	Title    string          `json:"title"`
	Code     string          `json:"code"`
	Detail   string          `json:"detail"`
	Errors   []schemas.Fault `json:"errors"`
}

// brief is what most tests ask of an outcome.
func (o *outcome) brief() string {
	return strings.TrimSpace(fmt.Sprint(o.Status, " ", o.OrderID, o.Location, " ", o.Code))
}

func batch(h http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	return call(h, http.MethodPost, "/v1/decisions/batch", body, headers...)
}

func arrayOf(orders ...string) string { return "[" + strings.Join(orders, ",") + "]" }

func outcomesIn(t *testing.T, answer *httptest.ResponseRecorder) []outcome {
	t.Helper()
	wantStatus(t, answer, http.StatusOK)
	var all []outcome
	if strings.Contains(answer.Header().Get("Content-Type"), "ndjson") {
		for line := range strings.Lines(answer.Body.String()) {
			var o outcome
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, o)
		}
		return all
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &all); err != nil || all == nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	return all
}

func briefs(all []outcome) []string {
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = all[i].brief()
	}
	return texts
}

func wantOutcomes(t *testing.T, answer *httptest.ResponseRecorder, want ...string) []outcome {
	t.Helper()
	got := outcomesIn(t, answer)
	if diff := cmp.Diff(want, briefs(got)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	return got
}

func TestBatchHasAnOutcomeForEachOrderInOrder(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	post(api, orderJSON("o0", 5))
	answer := batch(api, arrayOf(
		orderJSON("o1", 5), ` {"order_id": "o2"}`, "7", orderJSON("o3", 5), `{"order_id":"o4","order_id":"o4"}`, orderJSON("o0", 5), orderJSON("o0", 6),
		orderJSON("o5", strings.Repeat(" ", 64<<10)+"5"), orderJSON("o6", "\"\xff\""),
	))
	got := wantOutcomes(t, answer, "200 o1", "422  schema_mismatch", "422  schema_mismatch", "200 o3", "400  json_duplicate", "200 o0", "409 o0 order_conflict",
		"413  too_large", "400  json_syntax")
	if answer.Header().Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type %s", answer.Header().Get("Content-Type"))
	}
	if got[0].Repeat || !got[5].Repeat || got[0].Action != "review" {
		t.Errorf("outcomes %+v", got)
	}
	if len(got[1].Errors) != 4 || got[1].Title == "" || got[1].Detail == "" {
		t.Errorf("faults of the second: %+v", got[1])
	}
	if w.sent() != 3 {
		t.Errorf("%d orders were sent", w.sent())
	}
	wantNobodyWaiting(t, w.desk)
}

func TestBatchOfLinesIsAnsweredInLines(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	const lines = "Content-Type: application/x-ndjson"
	answer := batch(api, orderJSON("o1", 5)+"\n{half\n\r\n  "+orderJSON("o2", 5)+" \r\n"+orderJSON("o3", 5)+" 7\n\n"+orderJSON("o4", 5), lines)
	wantOutcomes(t, answer, "200 o1", "400  json_syntax", "200 o2", "400  json_syntax", "200 o4")
	if got := answer.Header().Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %s", got)
	}
	if body := answer.Body.String(); !strings.HasSuffix(body, "}\n") {
		t.Errorf("the last line has no end: %q", body)
	}
	for _, body := range []string{"", "\n \r\n"} {
		if answer := batch(api, body, lines); answer.Code != 200 || answer.Body.Len() != 0 {
			t.Errorf("%q: %d %q", body, answer.Code, answer.Body)
		}
	}
}

func TestOrdersOfOneIDInABatchAreOneOrder(t *testing.T) {
	for range 20 {
		w := newWorld()
		api := httpapi.New(w.cfg)
		same := orderJSON("o1", 5)
		wantOutcomes(t, batch(api, arrayOf(same, orderJSON("o1", 6), same, orderJSON("o2", 5), same)), "200 o1", "409 o1 order_conflict", "200 o1", "200 o2", "200 o1")
		if w.sent() != 2 {
			t.Fatalf("%d orders were sent", w.sent())
		}
	}
}

// While the first of them waits, the others share its wait or conflict with it.
func TestOrdersOfOneIDInABatchShareOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		same, began := orderJSON("o1", 5), time.Now()
		answer := batch(httpapi.New(w.cfg), arrayOf(same, orderJSON("o1", 6), same), "Prefer: wait=0.2")
		wantOutcomes(t, answer, "202 o1/v1/decisions/o1", "409 o1 order_conflict", "202 o1/v1/decisions/o1")
		if w.sent() != 1 || time.Since(began) != 200*time.Millisecond {
			t.Errorf("%d sent, after %v", w.sent(), time.Since(began))
		}
		wantNobodyWaiting(t, w.desk)
	})
}

func TestABatchHasOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.submit = func(ctx context.Context) error { return pause(ctx, 20*time.Millisecond) }
		w.scorer = func(r httpapi.Request) {
			if !strings.HasSuffix(string(r.Order.ID), "7") {
				w.decide(r)
			}
		}
		var orders, want []string
		for i := range 500 {
			id := "o" + strconv.Itoa(i)
			orders = append(orders, orderJSON(id, 5))
			if want = append(want, "200 "+id); i%10 == 7 {
				want[i] = "202 " + id + "/v1/decisions/" + id
			}
		}
		began := time.Now()
		answer := batch(httpapi.New(w.cfg), arrayOf(orders...), "Prefer: wait=0.5")
		wantOutcomes(t, answer, want...)
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if got := answer.Header().Get("Preference-Applied"); got != "wait=0.5" {
			t.Errorf("Preference-Applied: %q", got)
		}
		for _, r := range w.submitted {
			if !r.Deadline.Equal(began.Add(500 * time.Millisecond)) {
				t.Fatalf("the deadline of %s is %v after the beginning", r.Order.ID, r.Deadline.Sub(began))
			}
		}
		wantNobodyWaiting(t, w.desk)
	})
}

func TestABatchIsNotWaitedForWhenItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		began := time.Now()
		answer := batch(httpapi.New(w.cfg), arrayOf(orderJSON("o1", 5), orderJSON("o2", 5)), "Prefer: respond-async")
		wantOutcomes(t, answer, "202 o1/v1/decisions/o1", "202 o2/v1/decisions/o2")
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestOrdersOfBatchesAreOnTheirWayInABoundedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var mu sync.Mutex
		under, most := 0, 0
		w.submit = func(ctx context.Context) error {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			defer func() { mu.Lock(); under--; mu.Unlock() }()
			return pause(ctx, 10*time.Millisecond)
		}
		api := httpapi.New(w.cfg)
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				var orders []string
				for i := range 500 {
					orders = append(orders, orderJSON(fmt.Sprint("o", n, "-", i), 5))
				}
				for _, o := range outcomesIn(t, batch(api, arrayOf(orders...))) {
					if o.Status != 200 {
						t.Errorf("%+v", o)
					}
				}
			})
		}
		all.Wait()
		if most != 128 {
			t.Errorf("%d orders were on their way at once", most)
		}
	})
}

// When Kafka takes no orders a batch ends when a single order would, not one acknowledgement after the other.
func TestABatchEndsWhenKafkaIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.submit = func(ctx context.Context) error { return pause(ctx, time.Hour) }
		var orders []string
		for i := range 500 {
			orders = append(orders, orderJSON("o"+strconv.Itoa(i), 5))
		}
		began := time.Now()
		for _, o := range outcomesIn(t, batch(httpapi.New(w.cfg), arrayOf(orders...))) {
			if o.Status != 503 || o.Code != "kafka_away" && o.Code != "overloaded" {
				t.Fatalf("%+v", o)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		wantNobodyWaiting(t, w.desk)
		time.Sleep(10 * time.Second) // virtual: writes end at the moment at which they are given up, or right after it
	})
}

// (A goroutine that went on would be found by synctest.)
func TestABatchWhoseCallerGoesLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		var orders []string
		for i := range 500 {
			orders = append(orders, orderJSON("o"+strconv.Itoa(i), 5))
		}
		ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer leave()
		answer := callContext(ctx, httpapi.New(w.cfg), http.MethodPost, "/v1/decisions/batch", arrayOf(orders...))
		if answer.Body.Len() != 0 {
			t.Errorf("it was answered: %s", answer.Body)
		}
		wantNobodyWaiting(t, w.desk)
		if got := w.metric(t, "verdict_http_waits_total", "outcome=gone"); got != 500 {
			t.Errorf("%v have gone", got)
		}
		time.Sleep(10 * time.Second) // virtual: writes of those who have gone end by themselves
	})
}

func TestABatchBeyondWhatTheDeskHoldsIsRefusedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		w.desk = await.New(await.Config{Max: 2})
		w.cfg.Desk = w.desk
		got := outcomesIn(t, batch(httpapi.New(w.cfg), arrayOf(orderJSON("o1", 5), orderJSON("o2", 5), orderJSON("o3", 5)), "Prefer: wait=0.1"))
		statuses := []int{got[0].Status, got[1].Status, got[2].Status}
		if slices.Sort(statuses); !slices.Equal(statuses, []int{202, 202, 503}) {
			t.Errorf("statuses %v", statuses)
		}
	})
}

// A batch is as if its orders had been posted one by one: the same outcomes, in either form.
func TestABatchSaysWhatSinglePostsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bodies := rapid.SliceOfN(rapid.SampledFrom([]string{
			orderJSON("o1", 5), orderJSON("o1", 6), orderJSON("o2", 5), orderJSON("o3", 7.5), `{"order_id":"o4"}`, "null", "[]", `"x"`, orderJSON("o 5", 5), `{"a":1,"a":2}`,
		}), 0, 12).Draw(t, "bodies")
		one := httpapi.New(newWorld().cfg)
		var want []string
		for _, body := range bodies {
			answer := post(one, body)
			var o outcome
			if err := json.Unmarshal(answer.Body.Bytes(), &o); err != nil {
				t.Fatal(err)
			}
			o.Status = answer.Code
			if want = append(want, fmt.Sprint(o.Status, " ", o.Action, " ", o.Code, " ", o.Detail, " ", o.Errors)); o.Status == 200 {
				want[len(want)-1] += o.OrderID
			}
		}
		for _, form := range []string{"application/json", "application/x-ndjson"} {
			body := arrayOf(bodies...)
			if form != "application/json" {
				body = strings.Join(bodies, "\n")
			}
			answer := batch(httpapi.New(newWorld().cfg), body, "Content-Type: "+form)
			text := answer.Body.String()
			if form != "application/json" {
				text = arrayOf(strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
			}
			var got []outcome
			if err := json.Unmarshal([]byte(text), &got); err != nil || answer.Code != 200 {
				t.Fatalf("%d %v: %s", answer.Code, err, text)
			}
			var texts []string
			for _, o := range got {
				if texts = append(texts, fmt.Sprint(o.Status, " ", o.Action, " ", o.Code, " ", o.Detail, " ", o.Errors)); o.Status == 200 {
					texts[len(texts)-1] += o.OrderID
				}
			}
			// In a batch the second of an id may conflict with the one in flight, and says so in other words than one with the decided.
			for _, all := range [][]string{want, texts} {
				for i := range all {
					all[i] = strings.NewReplacer("is being decided", "*", "has been decided", "*").Replace(all[i])
				}
			}
			if diff := cmp.Diff(want, texts); diff != "" {
				t.Fatalf("%s (-one by one +batch):\n%s", form, diff)
			}
		}
	})
}
