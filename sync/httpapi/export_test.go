package httpapi

import (
	"net/http"
	"time"
)

// Preferred returns what the API makes of Prefer lines: the wait, and what it says was applied.
func Preferred(cfg Config, lines []string) (time.Duration, string) {
	a := &api{Config: cfg.withDefaults()}
	p := parsePrefer(lines)
	d := a.patience(p)
	return d, p.applied(d)
}

// Traceparent returns the trace context that is passed on.
func Traceparent(h http.Header) string { return traceparent(h) }

// Buckets are the buckets of callers, by name.
type Buckets struct{ inside buckets }

// NewBuckets returns none.
func NewBuckets() *Buckets { return &Buckets{} }

// Take says whether name has a token left.
func (b *Buckets) Take(name string, r Rate) bool {
	_, ok := take(b.inside.of(whose{name: name}, r), time.Now())
	return ok
}

// Len returns how many are kept.
func (b *Buckets) Len() int { return len(b.inside.young) + len(b.inside.aged) }

// Guarded puts the guard of this access before a handler.
func Guarded(access Access, need Scope, next http.HandlerFunc) http.HandlerFunc {
	return newMetrics(nil, nil, &access).guard(access).protect(need, next)
}
