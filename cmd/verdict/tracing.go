package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// flushPatience is how long a process that stops waits for its last spans to be taken.
const flushPatience = time.Second

// tracing is where a process's spans go. It is configured by OpenTelemetry's own variables (OTEL_…), which its libraries read themselves: endpoint, headers,
// certificates, sampler, resource, sizes of the queue. Spans wait in a bounded queue for a goroutine that sends them, and are dropped when it is full: so a
// collector that is slow or away costs nothing but its spans.
type tracing struct {
	tracer   trace.Tracer // nil: nobody asked for spans
	provider *sdktrace.TracerProvider
}

// newTracing reads the environment. What is wrong with it is logged and leaves tracing off: it is no reason not to decide.
func newTracing(ctx context.Context, role string, log *slog.Logger) *tracing {
	wanted, err := tracesWanted(os.Getenv)
	if err == nil && !wanted {
		return &tracing{}
	}
	var exporter sdktrace.SpanExporter
	if err == nil {
		exporter, err = newExporter(ctx)
	}
	if err != nil {
		log.Error("tracing stays off", "error", err)
		return &tracing{}
	}
	from, err := newResource(ctx, role)
	if err != nil {
		log.Warn("what the spans say of this process is incomplete", "error", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(from), sdktrace.WithBatcher(&patientExporter{SpanExporter: exporter, log: log}))
	log.Info("spans of orders are sent", "by", tracesProtocol())
	return &tracing{tracer: provider.Tracer("verdict"), provider: provider}
}

// close sends the last spans, for a second at most, though ctx may have ended.
func (t *tracing) close(ctx context.Context, log *slog.Logger) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushPatience)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("the last spans were not sent", "error", err)
	}
}

// tracesWanted says whether the environment asks for spans: by naming the exporter, or an endpoint for traces.
func tracesWanted(env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch name := env("OTEL_TRACES_EXPORTER"); name {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: otlp and none are known", name)
	}
}

func tracesProtocol() string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return "http/protobuf"
}

// newExporter connects lazily.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	switch protocol := tracesProtocol(); protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: http/protobuf and grpc are known", protocol)
	}
}

// newResource returns what all spans say of this process; the environment (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes before our own names.
func newResource(ctx context.Context, role string) (*resource.Resource, error) {
	name := "verdict"
	if role != "all" {
		name += "-" + role
	}
	ours := []attribute.KeyValue{attribute.String("service.name", name)}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		ours = append(ours, attribute.String("service.version", build.Main.Version))
	}
	return resource.New(ctx, resource.WithAttributes(ours...), resource.WithTelemetrySDK(), resource.WithFromEnv())
}

// patientExporter says that spans cannot be sent when that begins, once a minute while it lasts, and when it is over.
type patientExporter struct {
	sdktrace.SpanExporter
	log *slog.Logger

	mu     sync.Mutex
	told   time.Time // guarded by mu: when it was last said; zero when spans can be sent
	failed int       // guarded by mu: spans that were lost since it began
}

// ExportSpans sends spans, or loses them.
func (p *patientExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := p.SpanExporter.ExportSpans(ctx, spans)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		if !p.told.IsZero() {
			p.log.Info("spans can be sent again", "lost", p.failed)
		}
		p.told, p.failed = time.Time{}, 0
		return nil
	case errors.Is(err, context.Canceled):
		return nil // the process stops, and close tells
	}
	p.failed += len(spans)
	if time.Since(p.told) >= time.Minute {
		p.told = time.Now()
		p.log.Warn("spans cannot be sent, and are lost; orders are decided all the same", "lost", p.failed, "error", err)
	}
	return nil // it has been told: the library would write it to stderr each time
}
