package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"verdict/schemas"
)

// traceparent returns the request's W3C trace context when there is one and it is well formed, else "": a trace is then begun anew. Of two there is none, as
// W3C has it.
func traceparent(h http.Header) string {
	if lines := h["Traceparent"]; len(lines) == 1 && schemas.WellFormedTrace(lines[0]) {
		return lines[0]
	}
	return ""
}

// tracestate returns what of the request's tracestate is carried on: it may stand in several lines, and means nothing without a traceparent.
func tracestate(h http.Header, traceparent string) string {
	if lines := h["Tracestate"]; traceparent != "" && len(lines) > 0 {
		return schemas.CarriedTracestate(strings.Join(lines, ","))
	}
	return ""
}

// traced makes a span of each request of a route that a caller pays for: in the caller's trace, or in a new one. Without a tracer it is the route's own handler.
func (a *api) traced(r *route) http.HandlerFunc {
	handle := r.handle
	if a.Tracer == nil || r.scope == 0 || r.scope == ScopeAdmin {
		return handle
	}
	name := r.Method + " " + r.Path
	fixed := trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", r.Path))
	return func(w http.ResponseWriter, r *http.Request) {
		parent := traceparent(r.Header)
		ctx := trace.ContextWithRemoteSpanContext(r.Context(), schemas.SpanContext(parent, tracestate(r.Header, parent)))
		ctx, span := a.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), fixed)
		seen := &statusSeen{ResponseWriter: w}
		defer func() {
			span.SetAttributes(attribute.Int("http.response.status_code", seen.status))
			if seen.status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}()
		handle(seen, r.WithContext(ctx))
	}
}

// span begins a span below the one of ctx, where that is recorded. Elsewhere it costs nothing, and gives a span that does nothing.
func (a *api) span(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if a.Tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, noop.Span{}
	}
	return a.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

// end ends a span. What failed is in the log: the text of an error may hold what no trace should.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// context puts the trace that a record of Kafka carries into the request: that of ctx's span, or the caller's own where no spans are made.
func (r *Request) context(ctx context.Context, t *terms) {
	r.Traceparent, r.Tracestate = t.traceparent, t.tracestate
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.Traceparent, r.Tracestate = schemas.Traceparent(span), span.TraceState().String()
	}
}

// times are when an order that one caller waits for came how far. A member of a batch has none: what it waits for is the others.
type times struct {
	began   time.Time // its bytes are there
	decoded time.Time
	looked  time.Time // the store has said that it is new
	sent    time.Time // handed to Kafka, which stamps its record with this time
	acked   time.Time // Kafka has it; zero when another caller had sent it
}

// measure notes what a caller's time has gone to, of an order that was decided while it waited. Submit is a part of scorer, which begins with it; the other
// stages make up the total. What lies between two clocks is not measured when they are too far apart to say.
func (m *metrics) measure(t *times, decision []byte) {
	if t.began.IsZero() {
		return
	}
	now := time.Now()
	m.decode.Observe(t.decoded.Sub(t.began).Seconds())
	m.lookup.Observe(t.looked.Sub(t.decoded).Seconds())
	m.total.Observe(now.Sub(t.began).Seconds())
	if t.acked.IsZero() {
		return
	}
	m.submit.Observe(t.acked.Sub(t.sent).Seconds())
	if decided, ok := schemas.DecidedAt(decision); ok && !decided.Before(t.sent) && !decided.After(now) {
		m.scorer.Observe(decided.Sub(t.sent).Seconds())
		m.reply.Observe(now.Sub(decided).Seconds())
	}
}
