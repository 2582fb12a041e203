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
