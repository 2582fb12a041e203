package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is a collector of spans.
type otlp struct {
	url string

	mu    sync.Mutex
	spans []span // guarded by mu
}

type span struct {
	*traces.Span
	service string
}

// newCollector serves OTLP until the test ends, and names itself in the environment of processes that are started from now on.
func newCollector(t *testing.T) *otlp {
	t.Helper()
	c := &otlp{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, from := range request.ResourceSpans {
			for _, scope := range from.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans = append(c.spans, span{s, attribute(from.Resource.Attributes, "service.name")})
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	return c
}

func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			return fmt.Sprint(a.Value.GetStringValue())
		}
	}
	return ""
}

// of returns the spans of a trace.
func (c *otlp) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s span) bool { return fmt.Sprintf("%x", s.TraceId) != trace })
}

func (c *otlp) all() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// paths returns each span as the names from the root of its trace down to it, with the service that made it.
func paths(all []span) []string {
	byID := map[string]span{}
	for _, s := range all {
		byID[string(s.SpanId)] = s
	}
	var out []string
	for _, s := range all {
		path := s.Name
		for above, ok := byID[string(s.ParentSpanId)]; ok; above, ok = byID[string(above.ParentSpanId)] {
			path = above.Name + " > " + path
		}
		out = append(out, s.service+": "+path)
	}
	slices.Sort(out)
	return out
}

func TestACallersTraceGoesThroughBothHopsTheStoreAndTheScorer(t *testing.T) {
	c := newCollector(t)
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	scorer := start(t, "serve", "--role", "scorer", "-c", s.config(t, "", ""))
	api := start(t, "serve", "--role", "api", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 10s, max_wait: 20s}`))
	scorer.ready(ctx)
	api.ready(ctx)

	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	code, text := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("secret-order", 77_777, 10), map[string]string{
		"traceparent": "00-" + id + "-" + parent + "-01", "tracestate": "vendor=1",
	})
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	post, process := "POST /v1/decisions", "POST /v1/decisions > submit > process "+s.topic("orders.sync")
	want := []string{
		"verdict-api: " + post, "verdict-api: " + post + " > decode", "verdict-api: " + post + " > lookup", "verdict-api: " + post + " > submit", "verdict-api: " + post + " > wait",
		"verdict-scorer: " + process, "verdict-scorer: " + process + " > decide", "verdict-scorer: " + process + " > decode", "verdict-scorer: " + process + " > extract",
		"verdict-scorer: " + process + " > keep", "verdict-scorer: " + process + " > publish", "verdict-scorer: " + process + " > queue",
	}
	// A record's time has no more than milliseconds: now and then an order was read in the one that it was written in, and the queue took none.
	complete := func() bool {
		got := paths(c.of(id))
		return slices.Equal(got, want) || slices.Equal(got, want[:len(want)-1])
	}
	settled := within(t, 30*time.Second)
	for !complete() {
		if settled.Err() != nil {
			t.Fatalf("spans of the trace:\n%s\nwant:\n%s", strings.Join(paths(c.of(id)), "\n"), strings.Join(want, "\n"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, s := range c.of(id) {
		if s.Name == post && fmt.Sprintf("%x", s.ParentSpanId) != parent {
			t.Errorf("the request's parent is %x", s.ParentSpanId)
		}
		if s.TraceState != "vendor=1" {
			t.Errorf("%s has trace state %q", s.Name, s.TraceState)
		}
	}
	record := s.next(t, ctx, s.client(t, fromStart(s, "decisions")...))
	headers := map[string]string{}
	for _, h := range record.Headers {
		headers[h.Key] = string(h.Value)
	}
	if !strings.HasPrefix(headers["traceparent"], "00-"+id) || headers["tracestate"] != "vendor=1" {
		t.Errorf("the decision's headers: %v", headers)
	}

	if code, text := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("other", 2, 10), nil); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	began := time.Now()
	if err := api.interrupt(); err != nil {
		t.Error(err)
	}
	if err := scorer.interrupt(); err != nil {
		t.Error(err)
	}
	t.Logf("stopped after %s", time.Since(began))
	steps, posts := 0, map[string]bool{}
	for _, s := range c.all() {
		switch s.Name {
		case "step":
			steps++
			if len(s.Links) == 0 || len(s.ParentSpanId) > 0 {
				t.Errorf("a step with %d links, parent %x", len(s.Links), s.ParentSpanId)
			}
		case post:
			posts[fmt.Sprintf("%x", s.TraceId)] = true
		}
		if text := s.String(); strings.Contains(text, "secret-order") || strings.Contains(text, "77777") {
			t.Errorf("an id is in %s", text)
		}
	}
	if steps != 2 || len(posts) != 2 {
		t.Errorf("%d steps, traces of requests: %v", steps, posts)
	}
}

func TestNoSpanIsMadeWhenNobodyAsksForSpans(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	s := newSite(t)
	ctx := within(t, time.Minute)
	p := start(t, "serve", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 10s, max_wait: 20s}`))
	p.ready(ctx)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("a", 1, 10), map[string]string{"traceparent": trace, "tracestate": "vendor=1"}); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if err := p.interrupt(); err != nil {
		t.Error(err)
	}
	if all := c.all(); len(all) != 0 {
		t.Errorf("%d spans", len(all))
	}
	record := s.next(t, ctx, s.client(t, fromStart(s, "decisions")...))
	headers := map[string]string{}
	for _, h := range record.Headers {
		headers[h.Key] = string(h.Value)
	}
	if headers["traceparent"] != trace || headers["tracestate"] != "vendor=1" {
		t.Errorf("what the caller gave is not carried through: %v", headers)
	}
}

// A collector that takes connections and never answers, one that is not there, and settings that mean nothing: orders are decided, and the process ends as soon.
func TestACollectorThatFailsFailsNothingElse(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hanging.Close() })
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	for name, env := range map[string]map[string]string{
		"hangs":            {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging.URL},
		"away":             {"OTEL_EXPORTER_OTLP_ENDPOINT": away.URL},
		"away, gRPC":       {"OTEL_EXPORTER_OTLP_ENDPOINT": away.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"unknown exporter": {"OTEL_TRACES_EXPORTER": "zipkin"},
		"unknown protocol": {"OTEL_EXPORTER_OTLP_ENDPOINT": away.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20") // a few requests fill it
			t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
			for key, value := range env {
				t.Setenv(key, value)
			}
			s := newSite(t)
			ctx := within(t, time.Minute)
			p := start(t, "serve", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 10s, max_wait: 20s}`))
			p.ready(ctx)
			for i := range 30 {
				if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON(fmt.Sprint("o", i), i, 10), nil); code != http.StatusOK {
					t.Fatalf("%d %s", code, text)
				}
			}
			stopped, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- p.interrupt() }()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("ended with %v", err)
				}
			case <-stopped.Done():
				t.Fatal("does not end")
			}
			if lines := strings.Count(p.log.String(), "span") + strings.Count(p.log.String(), "tracing"); lines == 0 || lines > 8 {
				t.Errorf("the log speaks of it %d times:\n%s", lines, p.log)
			}
		})
	}
}
