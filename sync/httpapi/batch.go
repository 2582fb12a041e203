package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"verdict/schemas"
)

// batchLane is how many orders of batches, over all of them, are between the question whether they are decided and Kafka's acknowledgement: enough to
// fill the producer's requests, and few enough that the orders of single callers find the store and the producer free.
const batchLane = 128

// decideBatch answers POST /v1/decisions/batch: an outcome for each order, in their order. A JSON array is answered with one, JSON lines with lines. All
// orders share one wait.
func (a *api) decideBatch(w http.ResponseWriter, r *http.Request) {
	lines := isLines(r.Header.Get("Content-Type"))
	body, fault := a.readBody(w, r, batchTypes, a.MaxBatchBytes)
	if fault != nil {
		writeProblem(w, *fault)
		return
	}
	t := a.termsOf(r.Header)
	t.batched = true
	t.ackBy = time.Now().Add(a.AckTimeout) // its orders wait for their turn first
	cut := elements
	if lines {
		cut = linesOf
	}
	raw, err := cut(body, a.MaxBatch)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	charge(r.Context(), len(raw)-1)
	answers := a.decideAll(r.Context(), raw, &t)
	if r.Context().Err() != nil {
		return // nobody is there to be told
	}
	t.tell(w.Header(), http.StatusOK)
	if lines {
		write(w, http.StatusOK, "application/x-ndjson", appendOutcomes(nil, answers, '\n'))
		return
	}
	writeJSON(w, http.StatusOK, append(appendOutcomes([]byte("["), answers, ','), ']'))
}

// member is one order of a batch.
type member struct {
	raw     []byte
	order   schemas.Order
	content uint64
	next    *member // the next of the same id
	answer  answer
}

// decideAll returns the answers to orders that came together. They go to Kafka beside each other; those of one id go in their order, so that it is always
// the first of them that is decided.
func (a *api) decideAll(ctx context.Context, raw [][]byte, t *terms) []member {
	all := make([]member, len(raw))
	last := make(map[schemas.OrderID]*member, len(raw)) // :: order → the latest of its id
	var first []*member
	for i := range raw {
		m := &all[i]
		m.raw = raw[i]
		if !a.readMember(m) {
			continue
		}
		if before := last[m.order.ID]; before != nil {
			before.next = m
		} else {
			first = append(first, m)
		}
		last[m.order.ID] = m
	}
	var deciding sync.WaitGroup
	for _, m := range first {
		deciding.Go(func() { a.decideMembers(ctx, m, t) })
	}
	deciding.Wait()
	return all
}

// readMember decodes an order; false when it has its answer by that.
func (a *api) readMember(m *member) bool {
	if int64(len(m.raw)) > a.MaxBytes {
		m.answer = refusal("", tooLarge(a.MaxBytes))
		return false
	}
	var err error
	if m.order, m.content, err = a.Decode(m.raw); err != nil {
		m.answer = refusal("", problemOf(err))
		return false
	}
	return true
}

// decideMembers decides the orders of one id: all of them enter before the first is waited for, so they share its wait, or conflict with it.
func (a *api) decideMembers(ctx context.Context, first *member, t *terms) {
	var entries []entry
	for m := first; m != nil; m = m.next {
		entries = append(entries, a.enterBatched(ctx, m, t))
	}
	for i, m := 0, first; m != nil; i, m = i+1, m.next {
		m.answer = a.settle(ctx, &entries[i], t)
	}
}

// enterBatched enters an order when there is room in the lane of batches. Its wait for that ends with the time that Kafka has to acknowledge it.
func (a *api) enterBatched(ctx context.Context, m *member, t *terms) entry {
	e := entry{order: m.order, raw: m.raw, content: m.content, times: times{decoded: time.Now()}}
	select {
	case a.lane <- struct{}{}:
	default:
		timer := time.NewTimer(time.Until(t.ackBy))
		defer timer.Stop()
		select {
		case a.lane <- struct{}{}:
		case <-ctx.Done():
			a.metrics.gone.Inc()
			return entry{answer: answer{order: m.order.ID}}
		case <-timer.C:
			a.metrics.refused.Inc()
			return entry{answer: refusal(m.order.ID, unavailable("overloaded", "too many orders of batches are on their way already; send it again"))}
		}
	}
	defer func() { <-a.lane }()
	a.enter(ctx, &e, t)
	return e
}

// linesOf cuts JSON lines. Empty ones are none. Its error is a *schemas.Malformed.
func linesOf(body []byte, most int) ([][]byte, error) {
	var all [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(all) == most {
			return nil, tooMany(most)
		}
		all = append(all, line)
	}
	return all, nil
}

func tooMany(most int) error {
	return &schemas.Malformed{Code: "too_many", Detail: fmt.Sprintf("the body holds more than %d of them; none was taken", most)}
}

// appendOutcomes writes what came of each order, with a separator between them, and behind the last when that ends a line.
func appendOutcomes(dst []byte, all []member, separator byte) []byte {
	for i := range all {
		dst = appendOutcome(dst, &all[i].answer)
		if i < len(all)-1 || separator == '\n' {
			dst = append(dst, separator)
		}
	}
	return dst
}

// appendOutcome writes what POST /v1/decisions would have said of an order in one object: the status, and with it the members of the decision or of the
// problem, or where the decision will be.
func appendOutcome(dst []byte, ans *answer) []byte {
	dst = append(dst, `{"status":`...)
	dst = strconv.AppendInt(dst, int64(ans.status), 10)
	if ans.fault == nil && ans.status == http.StatusOK {
		if ans.repeat {
			dst = append(dst, `,"repeat":true`...)
		}
		return append(append(dst, ','), ans.body[1:]...) // the decision is an object, and has members
	}
	if ans.order != "" {
		dst = append(append(append(dst, `,"order_id":"`...), ans.order...), '"')
	}
	if ans.fault == nil {
		return append(append(append(dst, `,"location":"`...), locationOf(ans.order)...), `"}`...)
	}
	p := ans.fault
	text, err := json.Marshal(outcomeProblem{Title: http.StatusText(p.Status), Code: p.Code, Detail: p.Detail, Errors: p.Errors})
	if err != nil {
		panic("httpapi: " + err.Error()) // unreachable: strings
	}
	return append(append(dst, ','), text[1:]...)
}

// outcomeProblem is a problem without its status, which an outcome begins with.
type outcomeProblem struct {
	Title  string          `json:"title"`
	Code   string          `json:"code"`
	Detail string          `json:"detail,omitempty"`
	Errors []schemas.Fault `json:"errors,omitempty"`
}

// isLines says whether a content type is that of JSON lines, which has several names and no registered one.
func isLines(contentType string) bool {
	name, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !inUTF8(parameters) {
		return false
	}
	switch name {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines":
		return true
	default:
		return false
	}
}
