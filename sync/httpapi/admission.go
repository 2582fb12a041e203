package httpapi

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/schemas"
)

// admission keeps what the process takes on within what it can do: requests are refused early, by what they would wait, rather than queued without a limit.
// Probes and metrics never meet it.
type admission struct {
	queue    *queue
	maxBytes int64
	bytes    atomic.Int64 // that requests under way hold, or may come to hold

	admitted                       prometheus.Counter
	tooLong, tooMuch, tooManyConns prometheus.Counter
}

// leastBytes is what a request counts for at least: its goroutine and the buffers of its connection. So the limit on bytes is one on requests too.
const leastBytes = 4 << 10

// longestRetry bounds what Retry-After asks for: an estimate for later than that says nothing.
const longestRetry = 30 * time.Second

func newAdmission(cfg *Config, m *metrics) *admission {
	return &admission{
		queue: newQueue(cfg.Wait / 4), maxBytes: cfg.MaxInFlightBytes, admitted: m.admitted,
		tooLong: m.turnedAway.WithLabelValues("queue"), tooMuch: m.turnedAway.WithLabelValues("bytes"), tooManyConns: m.turnedAway.WithLabelValues("connections"),
	}
}

// bound refuses a request before its body is read: on a connection too many, when bodies hold too much memory, or when the queue is too long for what the
// route does. A preview or a batch gives way to single orders: the first is refused at half the queue, the second waits for its turn (see admit).
func (a *api) bound(r *route) http.HandlerFunc {
	switch r.Path {
	case "/livez", "/readyz", "/metrics":
		return r.handle
	}
	heaviest := a.MaxBytes
	if r.Path == batchPath {
		heaviest = a.MaxBatchBytes
	}
	decides, previews := r.scope.has(ScopeDecide), r.scope.has(ScopePreview)
	handle := r.handle
	return func(w http.ResponseWriter, r *http.Request) {
		if isSurplus(r.Context()) {
			a.admission.tooManyConns.Inc()
			w.Header().Set("Connection", "close")
			writeProblem(w, unavailable("overloaded", "too many connections are open already"))
			return
		}
		if r.Method != http.MethodPost {
			handle(w, r)
			return
		}
		if wait := a.admission.queue.now(time.Now()); wait > 0 && (decides || previews) {
			allowed := a.allowed(a.patience(parsePrefer(r.Header["Prefer"])))
			if previews {
				allowed = a.behind(allowed)
			}
			if wait > allowed {
				writeProblem(w, a.admission.turnAway())
				return
			}
		}
		weight := bodyWeight(r.ContentLength, heaviest)
		defer a.admission.bytes.Add(-weight)
		if a.admission.bytes.Add(weight) > a.admission.maxBytes {
			a.admission.tooMuch.Inc()
			writeProblem(w, unavailable("overloaded", "the bodies of requests hold as much memory as they may already"))
			return
		}
		handle(w, r)
	}
}

// bodyWeight is how many bytes a body may come to hold; one that does not say how long it is may be as long as any.
func bodyWeight(length, heaviest int64) int64 {
	if length < 0 || length > heaviest {
		length = heaviest
	}
	return max(length, leastBytes)
}

// turnAway is the answer to an order that would wait too long.
func (a *admission) turnAway() problem {
	a.tooLong.Inc()
	p := unavailable("overloaded", "a decision would take longer than callers wait; send it again later")
	p.retryAfter = min(a.queue.refused(time.Now()), longestRetry)
	return p
}

// ticket is an order's place in the queue.
type ticket struct {
	place *place
	began time.Time
	wait  time.Duration // as estimated when it came
}

// allowed is the longest queue that an order may find: half the time that its caller waits (the other half is for what the estimate does not see), and
// MaxQueue at most. Who does not wait at all may find that.
func (a *api) allowed(patience time.Duration) time.Duration {
	if patience <= 0 {
		return a.MaxQueue
	}
	return min(a.MaxQueue, patience/2)
}

// behind is the same for what gives way to single callers: half of what a usual one of them may find, however long it waits itself.
func (a *api) behind(allowed time.Duration) time.Duration {
	return min(allowed, a.allowed(a.Wait)) / 2
}

// admit lets an order into the queue, or has the answer that it is not let in with. An order of a batch is not refused at once but waits for its turn.
func (a *api) admit(ctx context.Context, id schemas.OrderID, t *terms) (ticket, *answer) {
	now, q := time.Now(), a.admission.queue
	allowed := a.allowed(t.patience)
	if t.batched {
		allowed = a.behind(allowed)
	}
	for {
		place, wait, ok := q.enter(now, allowed)
		if ok {
			a.admission.admitted.Inc()
			return ticket{place: place, began: now, wait: wait}, nil
		}
		turn := now.Add(max(wait-allowed, time.Millisecond))
		if !t.batched || turn.After(t.ackBy) {
			refused := refusal(id, a.admission.turnAway())
			return ticket{}, &refused
		}
		select {
		case <-ctx.Done():
			a.metrics.gone.Inc()
			return ticket{}, &answer{order: id}
		case <-time.After(time.Until(turn)):
		}
		now = time.Now()
	}
}

// depart ends an order's place in the queue. One whose caller stopped waiting is in the scorer's queue all the same, so it keeps its place for as long
// as it was estimated to wait.
func (a *api) depart(t ticket, answered bool) {
	now, q := time.Now(), a.admission.queue
	if rest := t.wait - now.Sub(t.began); !answered && rest > 0 {
		time.AfterFunc(rest, func() { q.leave(t.place, time.Now(), false) })
		return
	}
	q.leave(t.place, now, answered)
}

// inSeconds is how Retry-After has a duration.
func inSeconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(math.Ceil(d.Seconds()))), 10)
}
