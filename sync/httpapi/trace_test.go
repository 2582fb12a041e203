package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

const callersTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// traced has the world's API make spans.
func (w *world) traced() *tracetest.InMemoryExporter {
	recorder := tracetest.NewInMemoryExporter()
	w.cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(recorder)).Tracer("test")
	return recorder
}

func names(all tracetest.SpanStubs) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

func TestARequestIsASpanInItsCallersTraceAndTheSubmissionIsTheScorersParent(t *testing.T) {
	w := newWorld()
	recorder := w.traced()
	wantStatus(t, post(httpapi.New(w.cfg), orderJSON("secret-1", 5), "traceparent: "+callersTrace, "tracestate: vendor=1"), 200)
	all := recorder.GetSpans()
	if got, want := names(all), []string{"POST /v1/decisions", "decode", "lookup", "submit", "wait"}; !slices.Equal(got, want) {
		t.Fatalf("spans %v, want %v", got, want)
	}
	root := all[len(all)-1]
	if schemas.Traceparent(root.Parent) != callersTrace || root.SpanKind != trace.SpanKindServer {
		t.Errorf("the request's span: %+v", root)
	}
	for _, s := range all[:len(all)-1] {
		if s.Parent.SpanID() != root.SpanContext.SpanID() {
			t.Errorf("%s is not below the request", s.Name)
		}
		if s.Name == "submit" && (w.submitted[0].Traceparent != schemas.Traceparent(s.SpanContext) || w.submitted[0].Tracestate != "vendor=1") {
			t.Errorf("the record carries %q, %q", w.submitted[0].Traceparent, w.submitted[0].Tracestate)
		}
	}
	if text := fmt.Sprintf("%+v", all); strings.Contains(text, "secret") {
		t.Errorf("something of the order is in its spans: %s", text)
	}
}

func TestARequestWithoutATraceBeginsOne(t *testing.T) {
	for name, headers := range map[string][]string{
		"none":      nil,
		"malformed": {"traceparent: 00-abc", "tracestate: vendor=1"},
		"zeros":     {"traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01"},
	} {
		w := newWorld()
		recorder := w.traced()
		wantStatus(t, post(httpapi.New(w.cfg), orderJSON("a", 5), headers...), 200)
		all := recorder.GetSpans()
		if root := all[len(all)-1]; root.Parent.IsValid() || root.SpanContext.TraceState().Len() > 0 || !strings.Contains(w.submitted[0].Traceparent, root.SpanContext.TraceID().String()) {
			t.Errorf("%s: %+v, submitted %+v", name, root, w.submitted[0])
		}
	}
}

// What the caller does not record is not recorded, and the scorer is told so.
func TestAnUnsampledTraceIsCarriedOnWithoutSpans(t *testing.T) {
	w := newWorld()
	recorder := w.traced()
	wantStatus(t, post(httpapi.New(w.cfg), orderJSON("a", 5), "traceparent: "+callersTrace[:53]+"00"), 200)
	got := w.submitted[0].Traceparent
	if len(recorder.GetSpans()) != 0 || !strings.HasPrefix(got, callersTrace[:35]) || !strings.HasSuffix(got, "-00") {
		t.Errorf("spans %v, submitted %s", names(recorder.GetSpans()), got)
	}
}

func TestProbesMetricsAndRefusedCallersMakeNoSpans(t *testing.T) {
	w := newWorld()
	recorder := w.traced()
	w.cfg.Metrics = http.NotFoundHandler()
	w.cfg.Access.Keys = httpapi.NewKeyRing(&httpapi.Keys{})
	api := httpapi.New(w.cfg)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/nothing"} {
		call(api, http.MethodGet, path, "")
	}
	wantStatus(t, post(api, orderJSON("a", 5), "traceparent: "+callersTrace), 401)
	if all := recorder.GetSpans(); len(all) != 0 {
		t.Errorf("%v", names(all))
	}
}

func TestASubmissionThatFailsIsSaidOfItsSpanWithoutTheErrorsText(t *testing.T) {
	w := newWorld()
	recorder := w.traced()
	w.submit = func(context.Context) error { return errors.New("secret") }
	wantStatus(t, post(httpapi.New(w.cfg), orderJSON("a", 5)), 503)
	for _, s := range recorder.GetSpans() {
		if failed := s.Name == "submit" || strings.HasPrefix(s.Name, "POST"); failed != (s.Status.Code == codes.Error) {
			t.Errorf("%s has status %v", s.Name, s.Status)
		}
		if strings.Contains(fmt.Sprintf("%+v", s), "secret") {
			t.Errorf("the error's text is in %+v", s)
		}
	}
}

func TestWithoutATracerTheCallersTraceIsCarriedAsItCame(t *testing.T) {
	w := newWorld()
	api := httpapi.New(w.cfg)
	wantStatus(t, post(api, orderJSON("a", 5), "traceparent: "+callersTrace, "tracestate: vendor=1 , other=2"), 200)
	wantStatus(t, post(api, orderJSON("b", 5), "tracestate: vendor=1"), 200)
	if r := w.submitted[0]; r.Traceparent != callersTrace || r.Tracestate != "vendor=1,other=2" {
		t.Errorf("submitted %q, %q", r.Traceparent, r.Tracestate)
	}
	if r := w.submitted[1]; r.Traceparent != "" || r.Tracestate != "" {
		t.Errorf("a state without a trace: %+v", r)
	}
}

// TestACallersTimeIsMeasuredByStage has each stage take a time of its own, on the clock of a bubble.
func TestACallersTimeIsMeasuredByStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		decode := w.cfg.Decode
		w.cfg.Decode = func(raw []byte) (schemas.Order, uint64, error) {
			time.Sleep(time.Millisecond)
			return decode(raw)
		}
		w.lookup = func(context.Context) error { time.Sleep(2 * time.Millisecond); return nil }
		w.submit = func(context.Context) error { time.Sleep(4 * time.Millisecond); return nil }
		ahead := time.Duration(0) // of the scorer's clock
		w.scorer = func(r httpapi.Request) {
			go func() {
				time.Sleep(8 * time.Millisecond)
				d := decision(r)
				d.DecidedAt = time.Now().Add(ahead)
				time.Sleep(16 * time.Millisecond)
				w.desk.Resolve(r.Correlation, await.Reply{OrderID: r.Order.ID, Body: schemas.AppendPublic(nil, d)})
			}()
		}
		api := httpapi.New(w.cfg)
		wantStatus(t, post(api, orderJSON("a", 5)), 200)
		for stage, ms := range map[string]float64{"decode": 1, "lookup": 2, "submit": 4, "scorer": 12, "reply": 16, "total": 31} {
			if got := w.seconds(t, stage); got < ms/1000-1e-9 || got > ms/1000+1e-9 {
				t.Errorf("%s took %v s, want %v ms", stage, got, ms)
			}
		}
		ahead = time.Hour
		wantStatus(t, post(api, orderJSON("b", 5)), 200)
		ahead = -time.Hour
		wantStatus(t, post(api, orderJSON("c", 5)), 200)
		wantStatus(t, call(api, http.MethodPost, "/v1/decisions/batch", "["+orderJSON("d", 5)+"]"), 200)
		if w.metric(t, "verdict_http_stage_seconds", "stage=total") != 3 || w.metric(t, "verdict_http_stage_seconds", "stage=scorer") != 1 {
			t.Errorf("orders whose stages cannot be told by two clocks, or that came in a batch, are measured")
		}
	})
}

// seconds returns the sum of a stage.
func (w *world) seconds(t *testing.T, stage string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "verdict_http_stage_seconds" && m.GetLabel()[0].GetValue() == stage {
				return m.GetHistogram().GetSampleSum()
			}
		}
	}
	return -1
}
