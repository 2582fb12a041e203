package consumer

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"verdict/schemas"
)

// stage is a part of a step.
type stage uint8

const (
	decodeStage stage = iota
	learnStage
	extractStage
	decideStage
	keepStage
	publishStage
	commitStage
	queueStage // not of the step: what its oldest order had to wait for it
	stages
)

func (s stage) String() string {
	return [...]string{"decode", "learn", "extract", "decide", "keep", "publish", "commit", "queue"}[s]
}

// timing is when a stage of the step at hand began and ended; zero when the step has not come to it.
type timing struct{ began, ended time.Time }

// timings are of all stages of the step at hand.
type timings [stages]timing

// done notes that a stage is over, in the metrics and for who traces the step.
func (w *Worker) done(s stage, began time.Time) {
	now := time.Now()
	w.timings[s] = timing{began, now}
	w.observers[s].Observe(now.Sub(began).Seconds())
}

// longestQueue is how long an order's span may reach back to where its record was written. A day's backlog in it would make a trace that nobody can read, and a
// record's time is what its producer says; it is then told as an attribute alone.
const longestQueue = time.Hour

// traced is an order of the step at hand whose trace is recorded.
type traced struct {
	span trace.Span
	end  time.Time
}

// trace writes the spans of a step that has just ended, with err or without. A step serves many orders, and each has a trace of its own: so an order that came with
// a trace context, when its trace is recorded, gets a span of what was done for it, from its record to its answer, with the step's stages as children. They
// took as long for every order of the step. The step itself is a span of its own, in a trace of its own, linked with those of its orders.
func (w *Worker) trace(ctx context.Context, batch *Batch, err error) {
	if w.cfg.Tracer == nil {
		return
	}
	k := &w.work
	w.traced = w.traced[:0]
	for i, n := 0, 0; i < len(batch.Records); i++ {
		r := &batch.Records[i]
		at := -1 // its place among the orders; none for a label and a dead letter
		if n < len(k.records) && k.records[n] == r {
			at = n
			n++
		}
		if r.Stream == Orders {
			w.traceOrder(ctx, r, at, err)
		}
	}
	if len(w.traced) == 0 {
		return
	}
	links := make([]trace.Link, len(w.traced))
	for i := range w.traced {
		links[i] = trace.Link{SpanContext: w.traced[i].span.SpanContext()}
	}
	_, step := w.cfg.Tracer.Start(ctx, "step", trace.WithNewRoot(), trace.WithTimestamp(w.began()), trace.WithLinks(links...), trace.WithAttributes(
		attribute.String("verdict.lane", w.cfg.Lane), attribute.Int("messaging.batch.message_count", len(batch.Records)),
	))
	for i := range w.traced {
		o := &w.traced[i]
		if step.SpanContext().IsSampled() {
			o.span.AddLink(trace.Link{SpanContext: step.SpanContext()})
		}
		o.span.End(trace.WithTimestamp(o.end))
		*o = traced{}
	}
	fail(step, err)
	step.End()
}

// began is when the step at hand began.
func (w *Worker) began() time.Time { return w.timings[decodeStage].began }

// traceOrder begins the span of an order and writes those of its stages, where its trace is recorded. It is at this place of the step's orders; -1 says that it
// could not be decoded.
func (w *Worker) traceOrder(ctx context.Context, r *Record, at int, err error) {
	a := readAsk(r.Headers)
	if a.trace == nil {
		return
	}
	parent := trace.ContextWithRemoteSpanContext(ctx, schemas.SpanContext(string(a.trace.Value), a.tracestate()))
	from, queued := w.began(), w.began().Sub(r.Time)
	if queued > 0 && queued < longestQueue {
		from = r.Time
	}
	ctx, span := w.cfg.Tracer.Start(parent, "process "+r.Topic, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(from))
	if !span.IsRecording() {
		return
	}
	o := traced{span: span, end: w.began()}
	span.SetAttributes(
		attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", r.Topic),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(int(r.Partition))), attribute.Int64("messaging.kafka.offset", r.Offset),
		attribute.String("verdict.lane", w.cfg.Lane), attribute.Int("verdict.step.orders", len(w.work.orders)), attribute.Float64("verdict.queue_seconds", queued.Seconds()),
	)
	if from.Before(w.began()) {
		w.child(ctx, queueStage, timing{from, w.began()})
	}
	for _, s := range [...]stage{decodeStage, learnStage, extractStage, decideStage, keepStage, publishStage} {
		if at < 0 && s != decodeStage && s != publishStage {
			continue // a dead letter has not seen them
		}
		if t := w.timings[s]; !t.ended.IsZero() { // the step has come to it
			w.child(ctx, s, t)
			o.end = t.ended
		}
	}
	w.tell(span, r, at)
	fail(span, err)
	w.traced = append(w.traced, o)
}

// child writes the span of a stage.
func (w *Worker) child(ctx context.Context, s stage, t timing) {
	kind := trace.SpanKindInternal
	switch s {
	case extractStage, keepStage: // what they take is the store's time, nearly all
		kind = trace.SpanKindClient
	case publishStage:
		kind = trace.SpanKindProducer
	default:
	}
	_, span := w.cfg.Tracer.Start(ctx, s.String(), trace.WithSpanKind(kind), trace.WithTimestamp(t.began))
	span.End(trace.WithTimestamp(t.ended))
}

// tell says what became of an order: nothing of the order itself.
func (w *Worker) tell(span trace.Span, r *Record, at int) {
	k := &w.work
	for i := range k.letters {
		if k.letters[i].record == r {
			span.SetAttributes(attribute.String("verdict.error.code", k.letters[i].why.Code))
			return
		}
	}
	if at < 0 || at >= len(k.standing) {
		return
	}
	d := &k.decisions[at]
	span.SetAttributes(
		attribute.String("verdict.action", string(d.Action)), attribute.String("verdict.features", d.Features.String()), attribute.String("verdict.model", d.Model.String()),
		attribute.Bool("verdict.repeat", k.extracted[at].Repeat), attribute.Bool("verdict.degraded", len(d.Degraded) > 0),
	)
}

// fail says that a step failed. What failed is in the log: a text from outside may hold what no trace should.
func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "the step failed")
	}
}
