package httpapi_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/schemas"
	"verdict/sync/httpapi"
)

// previews makes the world give previews, of which each takes that long.
func (w *world) previews(t testing.TB, took time.Duration) {
	t.Helper()
	layout, err := schemas.NewLayout(schemas.Version{Name: "card", Version: "1"}, []string{"amount", "mean"})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Preview = func(ctx context.Context, order schemas.Order, _ uint64) (schemas.Preview, error) {
		if err := pause(ctx, took); err != nil {
			return schemas.Preview{}, err
		}
		if err := w.lookup(ctx); err != nil {
			return schemas.Preview{}, err
		}
		d := *decision(httpapi.Request{Order: order})
		d.Inputs = schemas.FeatureVector{Layout: layout, Values: []float64{5, math.NaN()}}
		return schemas.Preview{Decision: d, Base: -1, Contributions: []schemas.Reason{{Feature: "amount", Value: 5, Contribution: 1.5}}}, nil
	}
}

func preview(h http.Handler, body string) int {
	return call(h, http.MethodPost, "/v1/preview", body).Code
}

func TestPreviewTellsWhatWouldBeDecidedAndSendsNothing(t *testing.T) {
	w := newWorld()
	w.previews(t, 0)
	answer := call(httpapi.New(w.cfg), http.MethodPost, "/v1/preview", orderJSON("o1", 5), "Prefer: wait=1")
	wantStatus(t, answer, 200)
	var got struct {
		OrderID       string              `json:"order_id"`
		Action        string              `json:"action"`
		Inputs        map[string]*float64 `json:"inputs"`
		Base          float64             `json:"base"`
		Contributions []schemas.Reason    `json:"contributions"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.OrderID != "o1" || got.Action != "review" || *got.Inputs["amount"] != 5 || got.Inputs["mean"] != nil || got.Base != -1 || len(got.Contributions) != 1 {
		t.Errorf("%s", answer.Body)
	}
	if w.sent() != 0 || len(w.kept) != 0 {
		t.Errorf("%d orders were sent, %d decisions kept", w.sent(), len(w.kept))
	}
	wantNobodyWaiting(t, w.desk)
}

func TestPreviewsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.previews(t, time.Second)
		api := httpapi.New(w.cfg)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if got := preview(api, orderJSON("o1", 5)); got != 200 {
					t.Errorf("status %d", got)
				}
			})
		}
		synctest.Wait()
		answer := call(api, http.MethodPost, "/v1/preview", orderJSON("o1", 5))
		if answer.Code != 503 || problemIn(t, answer).Code != "overloaded" {
			t.Errorf("the seventeenth: %d %s", answer.Code, answer.Body)
		}
		all.Wait()
		if got := preview(api, orderJSON("o1", 5)); got != 200 {
			t.Errorf("afterwards: %d", got)
		}
	})
}

func TestACallerThatGoesDuringAPreviewIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.previews(t, time.Hour)
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		callContext(ctx, httpapi.New(w.cfg), http.MethodPost, "/v1/preview", orderJSON("o1", 5))
		if got := w.metric(t, "verdict_http_dependency_failures_total", "call=preview"); got != 0 || strings.Contains(w.log.String(), "preview") {
			t.Errorf("%v failures, log %q", got, w.log.String())
		}
	})
}

func TestPreviewIsNotThereWhenNotConfigured(t *testing.T) {
	api := httpapi.New(newWorld().cfg)
	wantStatus(t, call(api, http.MethodPost, "/v1/preview", orderJSON("o1", 5)), 404)
	if doc := call(api, http.MethodGet, "/openapi.json", ""); strings.Contains(doc.Body.String(), "/v1/preview") {
		t.Error("the document lists /v1/preview")
	}
}
