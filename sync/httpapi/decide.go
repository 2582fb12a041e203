package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

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
	order, content, err := a.Decode(raw)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	wish := parsePrefer(r.Header["Prefer"])
	began, patience := time.Now(), a.patience(wish)
	deadline := began.Add(patience)
	if applied := wish.applied(patience); applied != "" {
		w.Header().Set("Preference-Applied", applied)
	}
	body, fault := a.kept(r.Context(), order.ID, content)
	if fault != nil {
		writeProblem(w, *fault)
		return
	}
	if body != nil {
		w.Header().Set("Verdict-Repeat", "true")
		writeJSON(w, http.StatusOK, body)
		return
	}
	wait, first, err := a.Desk.Join(order.ID, content)
	if err != nil {
		a.metrics.refused.Inc()
		writeProblem(w, joinProblem(err))
		return
	}
	defer wait.Leave()
	if first {
		a.submit(r, wait, Request{Order: order, Raw: raw, Correlation: wait.Correlation(), Deadline: deadline, Traceparent: traceparent(r.Header)})
	}
	switch a.await(r.Context(), wait, deadline, began.Add(a.AckTimeout)) {
	case answered:
		a.answer(w, wait)
	case timeout:
		a.postpone(w, r, order.ID, content)
	case unacknowledged:
		a.metrics.refused.Inc()
		writeProblem(w, unavailable("kafka_away", "the order could not be handed over; send it again"))
	case gone:
		a.metrics.gone.Inc()
	}
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
	record, ok, err := a.Lookup(limited, id)
	if err != nil && ctx.Err() != nil {
		return nil, err // the caller has gone: that says nothing of the store
	}
	a.lookups.saw(err)
	if err != nil || !ok {
		return nil, err
	}
	return record, nil
}

// submit hands the order to Kafka for all who share the wait, so it does not end when this caller goes.
func (a *api) submit(r *http.Request, wait *await.Wait, order Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.AckTimeout)
	defer cancel()
	err := a.Submit(ctx, order)
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

// answer passes on how the wait ended: with the decision, the scorer's refusal, or a submission that failed.
func (a *api) answer(w http.ResponseWriter, wait *await.Wait) {
	if wait.Err() != nil { // the one who submitted has counted and logged it
		a.metrics.refused.Inc()
		writeProblem(w, unavailable("kafka_away", "the order could not be handed over; send it again"))
		return
	}
	a.metrics.answered.Inc()
	reply := wait.Reply()
	if reply.Code != "" {
		writeProblem(w, problem{Status: statusOf(reply.Code), Code: reply.Code, Detail: reply.Detail})
		return
	}
	writeJSON(w, http.StatusOK, reply.Body)
}

// postpone tells a caller whose wait is over where the decision will be, unless it is there already: the reply may have been late or lost.
func (a *api) postpone(w http.ResponseWriter, r *http.Request, id schemas.OrderID, content uint64) {
	body, fault := a.kept(r.Context(), id, content)
	switch {
	case fault != nil:
		a.metrics.answered.Inc()
		writeProblem(w, *fault)
	case body != nil:
		a.metrics.answered.Inc()
		writeJSON(w, http.StatusOK, body)
	default:
		a.metrics.timeout.Inc()
		w.Header().Set("Location", "/v1/decisions/"+string(id)) // an id has no byte that a path would need escaped
		writeJSON(w, http.StatusAccepted, pendingBody(id))
	}
}

// pendingBody is written by hand: an id has no byte that JSON would need escaped.
func pendingBody(id schemas.OrderID) []byte {
	return []byte(`{"order_id":"` + string(id) + `","status":"pending"}`)
}

func joinProblem(err error) problem {
	if errors.Is(err, await.ErrConflict) {
		return problem{Status: http.StatusConflict, Code: codeConflict, Detail: "another order with this id is being decided"}
	}
	return unavailable("overloaded", "too many callers wait already")
}
