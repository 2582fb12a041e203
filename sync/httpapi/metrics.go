package httpapi

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/sync/await"
)

// metrics are the API's own. Their labels are routes, classes of status and the few words below: no id, no text.
type metrics struct {
	requests                         *prometheus.HistogramVec
	failures                         *prometheus.CounterVec
	turnedAway                       *prometheus.CounterVec
	admitted                         prometheus.Counter
	answered, timeout, gone, refused prometheus.Counter // how waits end

	decode, lookup, submit, scorer, reply, total prometheus.Observer // what a caller's time goes to
}

func newMetrics(registry prometheus.Registerer, desk *await.Desk, access *Access) *metrics {
	waits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "verdict_http_waits_total",
		Help: "Waits for a decision by how they ended: answered, timeout (202), gone (the caller went away), refused (503 or 409 before any wait).",
	}, []string{"outcome"})
	stages := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "verdict_http_stage_seconds",
		Help: "Orders decided while a single caller waited, by what its time went to: decode, lookup (is it decided already), scorer (from handing it to Kafka to its decision, " +
			"by the scorer's clock; submit is the part of it until Kafka acknowledges), reply (from the decision being made, through keeping and publishing it, to the caller), and the total.",
		// From 0.1 ms by factors of 2 to 6.5 s: the same as of a step's stages, which they are looked at with.
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
	}, []string{"stage"})
	m := &metrics{
		decode: stages.WithLabelValues("decode"),
		lookup: stages.WithLabelValues("lookup"),
		submit: stages.WithLabelValues("submit"),
		scorer: stages.WithLabelValues("scorer"),
		reply:  stages.WithLabelValues("reply"),
		total:  stages.WithLabelValues("total"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "verdict_http_request_seconds",
			Help: "Duration of HTTP requests by route and class of status; none: no answer, the caller went away.",
			// From a decision's few milliseconds past the default wait (0.5 s) to the longest (10 s).
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"route", "code"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "verdict_http_dependency_failures_total",
			Help: "Calls to what the API stands on that failed: submit and learn (Kafka), lookup (the store of decisions), preview (the store of features).",
		}, []string{"call"}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "verdict_http_refused_total",
			Help: "Requests that were turned away before they were read: unauthenticated (401), forbidden (403), rate (429), and with 503 queue (a decision would take too long), bytes and connections (as many as may be).",
		}, []string{"reason"}),
		admitted: prometheus.NewCounter(prometheus.CounterOpts{Name: "verdict_http_admitted_total", Help: "Orders that were let into the queue for a decision."}),
		answered: waits.WithLabelValues("answered"),
		timeout:  waits.WithLabelValues("timeout"),
		gone:     waits.WithLabelValues("gone"),
		refused:  waits.WithLabelValues("refused"),
	}
	if registry != nil {
		registry.MustRegister(m.requests, stages, m.failures, m.turnedAway, m.admitted, waits,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "verdict_http_access_stale",
				Help: "Files of keys, token keys and certificates that have changed into what cannot be used: what they were before is at work.",
			}, access.stale),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "verdict_http_waits_in_flight", Help: "Callers that wait for a decision now."},
				func() float64 { return float64(desk.Stats().Waiting) }),
			ignored("unmatched", func() float64 { return float64(desk.Stats().Unmatched) }),
			ignored("mismatched", func() float64 { return float64(desk.Stats().Mismatched) }),
		)
	}
	return m
}

// queueIs registers the queue's estimate.
func (m *metrics) queueIs(registry prometheus.Registerer, q *queue) {
	if registry == nil {
		return
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "verdict_http_queue_seconds",
		Help: "How long an order that comes now is estimated to wait for its decision; 0 when too few wait to say.",
	}, func() float64 { return q.now(time.Now()).Seconds() }))
}

func ignored(reason string, count func() float64) prometheus.CounterFunc {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name:        "verdict_http_replies_ignored_total",
		Help:        "Replies that were given to nobody: unmatched (nobody waits any more), mismatched (another order than was asked for).",
		ConstLabels: prometheus.Labels{"reason": reason},
	}, count)
}

// guard returns the guard of this access, which counts here.
func (m *metrics) guard(access Access) *guard {
	return &guard{
		Access:          access,
		unauthenticated: m.turnedAway.WithLabelValues("unauthenticated"),
		forbidden:       m.turnedAway.WithLabelValues("forbidden"),
		rated:           m.turnedAway.WithLabelValues("rate"),
	}
}

// observe measures a route. Its series are looked up once, not in each request.
func (m *metrics) observe(route string, h http.HandlerFunc) http.HandlerFunc {
	var byClass [6]prometheus.Observer
	for i, class := range [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		byClass[i] = m.requests.WithLabelValues(route, class)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		began, seen := time.Now(), &statusSeen{ResponseWriter: w}
		if r.ContentLength != 0 && r.ProtoMajor == 1 {
			seen.body = &bodySeen{ReadCloser: r.Body, request: r}
			r.Body = seen.body
		}
		defer func() { byClass[seen.status/100].Observe(time.Since(began).Seconds()) }()
		h(seen, r)
	}
}

// statusSeen remembers the status that was written, 0 when none was.
type statusSeen struct {
	http.ResponseWriter
	status int
	body   *bodySeen // nil when nothing is to be read
}

func (s *statusSeen) WriteHeader(status int) {
	s.status = status
	if s.body != nil {
		s.body.leave(s.ResponseWriter)
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write is what a handler that leaves the status to net/http calls first.
func (s *statusSeen) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(p)
}

// Unwrap is how http.ResponseController finds the connection.
func (s *statusSeen) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// dependency is something outside that the API calls. Each failure is counted; the log has only the first of a row and the call that works again,
// since an outage of Kafka fails thousands of calls a second.
type dependency struct {
	name     string
	log      *slog.Logger
	failures prometheus.Counter
	failing  atomic.Bool
}

func (d *dependency) saw(err error) {
	if err == nil {
		if d.failing.Load() && d.failing.CompareAndSwap(true, false) {
			d.log.Info("works again", "call", d.name)
		}
		return
	}
	d.failures.Inc()
	if d.failing.CompareAndSwap(false, true) {
		d.log.Warn("fails, and is tried with each request", "call", d.name, "error", err)
	}
}
