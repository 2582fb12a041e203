package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"verdict/schemas"
	"verdict/sync/await"
)

// decide answers POST /v1/decisions.
func (a *api) decide(w http.ResponseWriter, r *http.Request) {
	raw, fault := a.readJSON(w, r)
	if fault != nil {
		writeProblem(w, *fault)
		return
	}
	t := a.termsOf(r.Header)
	ans := a.decideOne(r.Context(), raw, &t)
	t.tell(w.Header(), ans.status)
	ans.write(w)
}

// terms is what a caller said of its order, or of all orders of its batch, beside the orders themselves.
type terms struct {
	deadline    time.Time     // when the wait is over
	patience    time.Duration // how long that is
	ackBy       time.Time     // until when Kafka may take to have the order
	traceparent string
	tracestate  string // "" without a traceparent
	batched     bool   // it is one of many, and gives way to single ones
	applied     string // what is said of Prefer; "" when nothing was preferred
}

// termsOf begins the wait.
func (a *api) termsOf(h http.Header) terms {
	wish, began := parsePrefer(h["Prefer"]), time.Now()
	patience := a.patience(wish)
	parent := traceparent(h)
	return terms{
		deadline: began.Add(patience), patience: patience, ackBy: began.Add(a.ackWait(patience)), traceparent: parent, tracestate: tracestate(h, parent), applied: wish.applied(patience),
	}
}

// leastAckWait is what Kafka has at least: a caller of less patience is better told 202 a little late than 503.
const leastAckWait = 50 * time.Millisecond

// ackWait is how long Kafka may take to acknowledge an order: no longer than its caller waits. Who does not wait at all asks for the promise alone, and has
// it when there is one.
func (a *api) ackWait(patience time.Duration) time.Duration {
	if patience <= 0 {
		return a.AckTimeout
	}
	return min(a.AckTimeout, max(patience, leastAckWait))
}

// tell says what was done of Prefer in an answer that is one.
func (t *terms) tell(h http.Header, status int) {
	if t.applied != "" && status < http.StatusBadRequest {
		h.Set("Preference-Applied", t.applied)
	}
}

// answer is what came of one order, before anything is said of it in the words of a route.
type answer struct {
	status int             // of HTTP; 0: the caller has gone, and nobody is to be told
	order  schemas.OrderID // "" when the order has none that could be read
	body   []byte          // the decision, when status is 200
	repeat bool            // the order had been decided before
	fault  *problem        // when status is 400 or above
}

func refusal(id schemas.OrderID, p problem) answer {
	return answer{status: p.Status, order: id, fault: &p}
}

// write says it as POST /v1/decisions does.
func (ans *answer) write(w http.ResponseWriter) {
	switch {
	case ans.status == 0:
	case ans.fault != nil:
		writeProblem(w, *ans.fault)
	case ans.status == http.StatusAccepted:
		w.Header().Set("Location", locationOf(ans.order))
		writeJSON(w, http.StatusAccepted, pendingBody(ans.order))
	default:
		if ans.repeat {
			w.Header().Set("Verdict-Repeat", "true")
		}
		writeJSON(w, ans.status, ans.body)
	}
}

// decideOne brings one order from its bytes to its answer. It is what all routes that ask for decisions share.
func (a *api) decideOne(ctx context.Context, raw []byte, t *terms) answer {
	began := time.Now()
	_, span := a.span(ctx, "decode", trace.SpanKindInternal)
	order, content, err := a.Decode(raw)
	end(span, err)
	if err != nil {
		return refusal("", problemOf(err))
	}
	e := entry{order: order, raw: raw, content: content, times: times{began: began, decoded: time.Now()}}
	a.enter(ctx, &e, t)
	return a.settle(ctx, &e, t)
}

// entry is an order that was taken: it waits, or has its answer already.
type entry struct {
	order   schemas.Order
	raw     []byte
	content uint64
	wait    *await.Wait // nil when rival or answer is there
	rival   *await.Wait // of the order in flight that has the same id and another content; nil: there is none
	answer  answer
	ticket  ticket // meant only with a wait
	times   times
}

// enter takes a place in the queue, asks whether the order is decided, takes a place at the desk, and returns when Kafka has the order or will not take it.
// Who entered must settle.
func (a *api) enter(ctx context.Context, e *entry, t *terms) {
	id := e.order.ID
	place, away := a.admit(ctx, id, t) // before the store is asked: that takes time too, and its share of an overload
	if away != nil {
		e.answer = *away
		return
	}
	body, fault := a.kept(ctx, id, e.content)
	e.times.looked = time.Now()
	switch {
	case fault != nil:
		a.depart(ticket{place: place.place}, false)
		e.answer = refusal(id, *fault)
		return
	case body != nil:
		a.depart(ticket{place: place.place}, false)
		e.answer = answer{status: http.StatusOK, order: id, body: body, repeat: true}
		return
	}
	wait, first, err := a.Desk.Join(id, e.content)
	switch {
	case errors.Is(err, await.ErrConflict):
		a.depart(ticket{place: place.place}, false)
		e.rival = wait
		return
	case err != nil:
		a.depart(ticket{place: place.place}, false)
		a.metrics.refused.Inc()
		e.answer = refusal(id, unavailable("overloaded", "too many callers wait already"))
		return
	}
	e.wait, e.ticket = wait, place
	if first {
		e.times.sent = time.Now()
		a.handOver(ctx, wait, Request{Order: e.order, Raw: e.raw, Correlation: wait.Correlation(), Deadline: t.deadline}, t)
		e.times.acked = time.Now()
	}
}

// settle waits for the answer of an order that was taken, and leaves the desk.
func (a *api) settle(ctx context.Context, e *entry, t *terms) answer {
	for e.rival != nil {
		if ans, known := a.outlast(ctx, e, t); known {
			return ans
		}
		e.rival = nil
		a.enter(ctx, e, t)
	}
	if e.wait == nil {
		return e.answer
	}
	defer e.wait.Leave()
	outcome := a.await(ctx, e.wait, t.deadline, t.ackBy)
	a.depart(e.ticket, outcome == answered && e.wait.Err() == nil)
	switch outcome {
	case answered:
		return a.ended(e)
	case timeout:
		return a.postpone(ctx, e)
	case unacknowledged:
		a.metrics.refused.Inc()
		return refusal(e.order.ID, notHandedOver())
	default:
		a.metrics.gone.Inc()
		return answer{order: e.order.ID}
	}
}

// outlast waits for what becomes of the order that has this one's id and another content. Who of the two is the repeat and who the conflict is for the first
// decision to say, which another process may have asked for: so a conflict is told when it is decided, or when the wait is over and Kafka has the other order.
// Not known is it when nothing came of the other.
func (a *api) outlast(ctx context.Context, e *entry, t *terms) (ans answer, known bool) {
	id := e.order.ID
	conflict := problem{Status: http.StatusConflict, Code: codeConflict, Detail: "another order with this id has been decided"}
	switch a.await(ctx, e.rival, t.deadline, t.ackBy) {
	case gone:
		a.metrics.gone.Inc()
		return answer{order: id}, true
	case unacknowledged:
		a.metrics.refused.Inc()
		return refusal(id, notHandedOver()), true
	case answered:
		if e.rival.Err() != nil || e.rival.Reply().Code != "" {
			return answer{}, false
		}
	case timeout:
		body, fault := a.kept(ctx, id, e.content)
		if body != nil {
			a.metrics.answered.Inc()
			return answer{status: http.StatusOK, order: id, body: body, repeat: true}, true
		}
		if fault == nil {
			conflict.Detail = "another order with this id is being decided"
		}
	}
	a.metrics.refused.Inc()
	return refusal(id, conflict), true
}

// kept returns the public decision that the order already has, nil when it has none. When the store cannot be asked the order counts as new, since
// the scorer, which keeps the first decision, then tells a repeat.
func (a *api) kept(ctx context.Context, id schemas.OrderID, content uint64) ([]byte, *problem) {
	record, err := a.lookup(ctx, id)
	if err != nil || record == nil {
		return nil, nil // lookup has counted and logged an error
	}
	first, err := schemas.DecodeDecision(record)
	if err != nil {
		a.lookups.saw(err)
		return nil, nil
	}
	if first.Content != content {
		return nil, &problem{Status: http.StatusConflict, Code: codeConflict, Detail: "another order with this id has been decided"}
	}
	body, err := schemas.PublicDecision(record)
	if err != nil {
		a.lookups.saw(err)
		return nil, nil
	}
	return body, nil
}

// lookup returns the kept record of an order, nil when there is none.
func (a *api) lookup(ctx context.Context, id schemas.OrderID) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, a.LookupTimeout)
	defer cancel()
	limited, span := a.span(limited, "lookup", trace.SpanKindClient)
	record, ok, err := a.Lookup(limited, id)
	end(span, err)
	if err != nil && ctx.Err() != nil {
		return nil, err // the caller has gone: that says nothing of the store
	}
	a.lookups.saw(err)
	if err != nil || !ok {
		return nil, err
	}
	return record, nil
}

// handOver submits the order, and returns when that is done or Kafka has had its time. The submission goes on, since others may share it.
func (a *api) handOver(ctx context.Context, wait *await.Wait, order Request, t *terms) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.submit(ctx, wait, order, t)
	}()
	timer := time.NewTimer(time.Until(t.ackBy))
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// submit hands the order to Kafka for all who share the wait, so it does not end when this caller goes.
func (a *api) submit(ctx context.Context, wait *await.Wait, order Request, t *terms) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.AckTimeout)
	defer cancel()
	ctx, span := a.span(ctx, "submit", trace.SpanKindProducer)
	order.context(ctx, t)
	err := a.Submit(ctx, order)
	end(span, err)
	a.submits.saw(err)
	if err != nil {
		a.Desk.Abort(wait, err)
		return
	}
	wait.Acknowledge()
}

type outcome uint8

const (
	answered outcome = iota
	timeout
	unacknowledged
	gone
)

// await waits for the reply until the deadline. At the deadline it goes on for as long as Kafka has not acknowledged the order, at most until ackBy: 202
// promises a decision, so the order must be durable, and 503 is not said while the order is likely to arrive yet. (It may even so: what was on the wire when
// the broker fell silent can reach it later. Then a repeat finds the one decision.)
func (a *api) await(ctx context.Context, wait *await.Wait, deadline, ackBy time.Time) outcome {
	ctx, span := a.span(ctx, "wait", trace.SpanKindInternal)
	defer span.End()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-wait.Done():
		return answered
	case <-ctx.Done():
		return gone
	case <-timer.C:
	}
	timer.Reset(time.Until(ackBy))
	select { // on its own, since ackBy may have passed too and select picks any that is ready
	case <-wait.Done():
		return answered
	case <-wait.Acknowledged():
		return timeout
	default:
	}
	select {
	case <-wait.Done():
		return answered
	case <-wait.Acknowledged():
		return timeout
	case <-ctx.Done():
		return gone
	case <-timer.C:
		return unacknowledged
	}
}

// ended tells how the wait ended: with the decision, the scorer's refusal, or a submission that failed.
func (a *api) ended(e *entry) answer {
	if e.wait.Err() != nil { // the one who submitted has counted and logged it
		a.metrics.refused.Inc()
		return refusal(e.order.ID, notHandedOver())
	}
	a.metrics.answered.Inc()
	reply := e.wait.Reply()
	if reply.Code != "" {
		return refusal(e.order.ID, problem{Status: statusOf(reply.Code), Code: reply.Code, Detail: reply.Detail})
	}
	a.metrics.measure(&e.times, reply.Body)
	return answer{status: http.StatusOK, order: e.order.ID, body: reply.Body}
}

// postpone tells a caller whose wait is over where the decision will be, unless it is there already: the reply may have been late or lost.
func (a *api) postpone(ctx context.Context, e *entry) answer {
	body, fault := a.kept(ctx, e.order.ID, e.content)
	switch {
	case fault != nil:
		a.metrics.answered.Inc()
		return refusal(e.order.ID, *fault)
	case body != nil:
		a.metrics.answered.Inc()
		return answer{status: http.StatusOK, order: e.order.ID, body: body}
	default:
		a.metrics.timeout.Inc()
		return answer{status: http.StatusAccepted, order: e.order.ID}
	}
}

// locationOf is where an order's decision is, or will be. An id has no byte that a path would need escaped.
func locationOf(id schemas.OrderID) string { return "/v1/decisions/" + string(id) }

// pendingBody is written by hand: an id has no byte that JSON would need escaped.
func pendingBody(id schemas.OrderID) []byte {
	return []byte(`{"order_id":"` + string(id) + `","status":"pending"}`)
}

func notHandedOver() problem {
	return unavailable("kafka_away", "Kafka has not acknowledged the order, which may still be decided; send it again: it has one decision all the same")
}
