package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/consumer"
)

// spans runs the world's orders under a tracer and returns what it recorded.
func spans(t *testing.T, w *world) tracetest.SpanStubs {
	t.Helper()
	recorder := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(recorder))
	cfg := w.workerConfig()
	cfg.Tracer = provider.Tracer("test")
	worker, err := consumer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return recorder.GetSpans()
}

// named returns the spans of a name in a trace; "" is any.
func named(all tracetest.SpanStubs, trace, name string) tracetest.SpanStubs {
	return slices.DeleteFunc(slices.Clone(all), func(s tracetest.SpanStub) bool {
		return s.Name != name || trace != "" && s.SpanContext.TraceID().String() != trace
	})
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

const otherTrace = "00-00000000000000000000000000000abc-0000000000000def-01"

func TestAStepWritesASpanForEachTracedOrder(t *testing.T) {
	w := newWorld(t)
	w.order("secret-1", "secret-2", 50, 1).Headers = []consumer.Header{textHeader("traceparent", trace), textHeader("tracestate", "vendor=1")}
	w.order("b", "c2", 50, 2)
	w.order("c", "c3", 6000, 3).Headers = []consumer.Header{textHeader("traceparent", otherTrace)}
	all := spans(t, w)

	step := named(all, "", "step")
	if len(step) != 1 || len(step[0].Links) != 2 || step[0].Parent.IsValid() || attributes(step[0])["verdict.lane"] != "test" {
		t.Fatalf("the step: %+v", step)
	}
	for i, parent := range []string{trace, otherTrace} {
		id := parent[3:35]
		order := named(all, id, "process orders")
		if len(order) != 1 || order[0].Parent.SpanID().String() != parent[36:52] || !order[0].Parent.IsRemote() {
			t.Fatalf("trace %s: %+v", id, order)
		}
		if len(order[0].Links) != 1 || order[0].Links[0].SpanContext.SpanID() != step[0].SpanContext.SpanID() || step[0].Links[i].SpanContext.SpanID() != order[0].SpanContext.SpanID() {
			t.Errorf("trace %s: step and order are not linked", id)
		}
		for _, stage := range []string{"decode", "extract", "decide", "keep", "publish"} {
			child := named(all, id, stage)
			if len(child) != 1 || child[0].Parent.SpanID() != order[0].SpanContext.SpanID() || child[0].EndTime.Before(child[0].StartTime) || child[0].EndTime.After(order[0].EndTime) {
				t.Errorf("trace %s, stage %s: %+v", id, stage, child)
			}
		}
		if len(named(all, id, "learn"))+len(named(all, id, "commit")) != 0 {
			t.Errorf("trace %s has stages that are not of the order", id)
		}
	}
	order := named(all, trace[3:35], "process orders")[0]
	if order.SpanContext.TraceState().Get("vendor") != "1" {
		t.Error("the trace state is lost")
	}
	got := attributes(order)
	delete(got, "verdict.queue_seconds") // the world's clock is not the machine's
	want := map[string]string{
		"messaging.system": "kafka", "messaging.destination.name": "orders", "messaging.destination.partition.id": "0", "messaging.kafka.offset": "0",
		"verdict.lane": "test", "verdict.step.orders": "3", "verdict.action": "approve", "verdict.features": "t@1", "verdict.model": "t@1",
		"verdict.repeat": "false", "verdict.degraded": "false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%+v", all); strings.Contains(text, "secret") {
		t.Errorf("an id is in the spans: %s", text)
	}
}

func TestAStepWithoutATracedOrderWritesNoSpan(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.order("b", "c1", 50, 2).Headers = []consumer.Header{textHeader("traceparent", "00-not-a-trace")}
	w.order("c", "c1", 50, 3).Headers = []consumer.Header{textHeader("traceparent", trace[:53]+"00")} // its caller does not record it
	w.label("a", 4).Headers = []consumer.Header{textHeader("traceparent", trace)}
	if all := spans(t, w); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestAnOrdersTimeInTheQueueIsASpan(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	for i, ago := range []time.Duration{5 * time.Second, 48 * time.Hour, -time.Minute} {
		r := w.order(fmt.Sprint("o", i), "c1", 50, i)
		r.Time, r.Headers = now.Add(-ago), []consumer.Header{textHeader("traceparent", trace)}
	}
	all := spans(t, w)
	queue := named(all, "", "queue")
	if len(queue) != 1 || !queue[0].StartTime.Equal(now.Add(-5*time.Second)) {
		t.Errorf("spans of the queue: %+v", queue)
	}
	for _, s := range named(all, "", "process orders") {
		if s.EndTime.Sub(s.StartTime) > time.Hour || s.EndTime.Before(s.StartTime) {
			t.Errorf("a span of %s", s.EndTime.Sub(s.StartTime))
		}
	}
}

func TestADeadLettersSpanSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.record(consumer.Orders, "orders", `{"order_id":"a"}`).Headers = []consumer.Header{textHeader("traceparent", trace)}
	w.order("b", "c1", 50, 2).Headers = []consumer.Header{textHeader("traceparent", otherTrace)}
	all := spans(t, w)
	letter := named(all, trace[3:35], "process orders")
	if len(letter) != 1 || attributes(letter[0])["verdict.error.code"] == "" || attributes(letter[0])["verdict.action"] != "" {
		t.Fatalf("%+v", letter)
	}
	if len(named(all, trace[3:35], "extract")) != 0 || len(named(all, trace[3:35], "publish")) != 1 || len(named(all, otherTrace[3:35], "extract")) != 1 {
		t.Errorf("stages: %+v", all)
	}
}

// Whichever call fails, the spans of that try say that it failed, those of the last try that it did not, and no stage is told that the step did not come to.
func TestAFailedStepsSpansSayThatItFailed(t *testing.T) {
	for at := 1; at <= 4; at++ {
		w := newWorld(t)
		w.faults.at = at
		w.order("a", "c1", 50, 1).Headers = []consumer.Header{textHeader("traceparent", trace)}
		all := spans(t, w)
		tries := named(all, "", "process orders")
		if len(tries) != 2 || tries[0].Status.Description == "" || tries[1].Status.Description != "" {
			t.Fatalf("call %d: %+v", at, tries)
		}
		reached := slices.ContainsFunc(named(all, "", "publish"), func(s tracetest.SpanStub) bool { return s.Parent.SpanID() == tries[0].SpanContext.SpanID() })
		if reached != (at >= 3) { // calls: exchange, keep, publish, commit
			t.Errorf("call %d: the failed try has a span of publish: %v", at, reached)
		}
	}
}

func TestStagesAreMeasuredByLane(t *testing.T) {
	w, registry := newWorld(t), prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(registry)
	w.order("a", "c1", 50, 1).Time = time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC) // a minute before the clock of the bubble that run is in
	w.run()
	got := series(t, registry, "verdict_stage_duration_seconds")
	for _, stage := range []string{"decode", "extract", "decide", "keep", "publish", "commit", "queue"} {
		if _, there := got["verdict_stage_duration_seconds lane=test stage="+stage]; !there {
			t.Errorf("%s is not there: %v", stage, got)
		}
	}
	if queued := got["verdict_stage_duration_seconds lane=test stage=queue"]; queued != 60 {
		t.Errorf("%v s in the queue", queued)
	}
}

func TestOnlyABoundedTracestateIsCarriedThroughAndOnlyWithATrace(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ parent, state, carried string }{
		{trace, "vendor=1", "vendor=1"},
		{trace, "", ""},
		{trace, "no member", ""},
		{trace, "a=1,b=" + long + ",c=" + long + ",d=1", "a=1,b=" + long},
		{"malformed", "vendor=1", ""},
	} {
		w := newWorld(t)
		w.order("a", "c1", 50, 1).Headers = append(replyHeaders("replies", []byte("id"), 0), textHeader("traceparent", c.parent), textHeader("tracestate", c.state))
		w.run()
		for _, m := range w.transport.messages {
			if got := header(m, "tracestate"); got != c.carried {
				t.Errorf("%q: output %d has %q", c.state, m.To, got)
			}
		}
	}
}
