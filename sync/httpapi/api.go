// Package httpapi is the synchronous JSON API: it sends an order to Kafka, waits for the correlated decision, and says so in HTTP.
//
// It is thin and knows neither Kafka nor the store: all that it does to the outside it does through the functions of Config. One POST goes through
// decide.go from top to bottom. Handlers are plain net/http on the standard mux. Huma writes the OpenAPI document from the same table of routes
// (openapi.go) but handles no request: its own path would decode and check a body with its rules instead of the order schema's, and its error shape
// quotes the offending value, which here may be card data.
package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"verdict/schemas"
	"verdict/sync/await"
)

// Config is what the API is made of. Decode, Submit, Lookup, Learn and Desk must be set; the rest has defaults.
type Config struct {
	// Decode reads an order and the digest of its content. A *schemas.Malformed is the caller's fault; any other error is an outage.
	Decode func(raw []byte) (order schemas.Order, content uint64, err error)
	// Submit sends the order to the scorer and returns when Kafka has acknowledged it. It must return when ctx ends. On an error the API answers 503,
	// and an order that is not on the wire by then must not be written later.
	Submit func(ctx context.Context, r Request) error
	// Lookup returns the kept decision as schemas.AppendDecision wrote it, false when there is none.
	Lookup func(ctx context.Context, id schemas.OrderID) (record []byte, ok bool, err error)
	// Learn publishes labels, raw[i] being what labels[i] was read from, and returns when Kafka has acknowledged all of them.
	Learn func(ctx context.Context, labels []schemas.Label, raw [][]byte) error
	// Preview says what would be decided if the order came now, and changes nothing. Any error is an outage. Nil: /v1/preview is not served.
	Preview func(ctx context.Context, order schemas.Order, content uint64) (schemas.Preview, error)
	// Desk is where orders wait; whoever reads the replies calls its Resolve.
	Desk *await.Desk

	Ready func() error // why the process cannot serve now: its text is shown to whoever asks; nil function: always ready
	Live  func() error // why the process must be restarted; nil function: always live

	Wait          time.Duration // for a decision when the caller does not say; 0 is 500 ms, the longest that a checkout page should stand still
	MaxWait       time.Duration // the most that a caller may ask for; 0 is 10 s, below the usual 30 s and more of proxies
	AckTimeout    time.Duration // for Kafka's acknowledgement of an order or of labels; 0 is 1 s: a healthy cluster needs milliseconds
	LookupTimeout time.Duration // for a kept decision; 0 is 50 ms: without it the scorer still gives repeats their first decision
	BodyTimeout   time.Duration // for a request's body; 0 is 5 s, 64 KiB at the speed of a bad telephone line
	MaxBytes      int64         // of a body, and of an order in a batch; 0 is 64 KiB, some thirty times a card order
	MaxBatch      int           // orders in a batch; 0 is 500
	MaxBatchBytes int64         // of a batch; 0 is 4 MiB, 8 KiB for each of so many orders

	// MaxQueue is how long a decision may be expected to take, all in all, before orders are refused of callers who would wait for longer still; 0 is 1 s. Without
	// it a queue of patient callers would shut out all others.
	MaxQueue         time.Duration
	MaxInFlightBytes int64 // of the bodies of all requests under way, each for 4 KiB at least; 0 is 64 MiB, or two batches if that is more

	Legacy      []Legacy              // routes of other APIs, beside this one's own
	OrderSchema json.RawMessage       // JSON Schema of an order, for the OpenAPI document; empty: any object
	Access      Access                // who may call, and how often; zero: everyone, without a limit
	Metrics     http.Handler          // served at /metrics; nil: not served
	Registerer  prometheus.Registerer // gets the API's own metrics; nil: they are kept nowhere
	Tracer      trace.Tracer          // of requests; nil makes no spans, and the caller's trace context is carried through as it came
	Log         *slog.Logger          // tells when a dependency fails and when it works again; nil: slog.Default()
}

// Request is one order on its way to the scorer.
type Request struct {
	Order       schemas.Order
	Raw         []byte    // the body as it came
	Correlation []byte    // goes out as kafka_correlationId and must come back untouched; not to be changed
	Deadline    time.Time // of the caller: later nobody waits for the reply
	Traceparent string    // W3C trace context: of the span that sends the order, or as the caller gave it when no spans are made; "" when there is none
	Tracestate  string    // what is carried of the trace's state; "" is none
}

type api struct {
	Config
	metrics   *metrics
	guard     *guard
	submits   dependency
	lookups   dependency
	learning  dependency
	previews  dependency
	admission *admission

	lane       chan struct{} // holds a token for each order of a batch that is on its way to Kafka
	previewing chan struct{} // holds a token for each preview
}

// New returns the API. It panics when Config lacks what has no default, or when OrderSchema is not a JSON object: both are mistakes of the program.
func New(cfg Config) http.Handler {
	if cfg.Decode == nil || cfg.Submit == nil || cfg.Lookup == nil || cfg.Learn == nil || cfg.Desk == nil {
		panic("httpapi: Config needs Decode, Submit, Lookup, Learn and Desk")
	}
	cfg = cfg.withDefaults()
	a := &api{Config: cfg, metrics: newMetrics(cfg.Registerer, cfg.Desk, &cfg.Access), lane: make(chan struct{}, batchLane), previewing: make(chan struct{}, previewLane)}
	a.guard = a.metrics.guard(cfg.Access)
	a.admission = newAdmission(&cfg, a.metrics)
	a.metrics.queueIs(cfg.Registerer, a.admission.queue)
	a.submits = dependency{name: "submit", log: cfg.Log, failures: a.metrics.failures.WithLabelValues("submit")}
	a.lookups = dependency{name: "lookup", log: cfg.Log, failures: a.metrics.failures.WithLabelValues("lookup")}
	a.learning = dependency{name: "learn", log: cfg.Log, failures: a.metrics.failures.WithLabelValues("learn")}
	a.previews = dependency{name: "preview", log: cfg.Log, failures: a.metrics.failures.WithLabelValues("preview")}

	mux := a.mux(a.routes())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		mux.ServeHTTP(w, r)
	})
}

func (cfg Config) withDefaults() Config {
	defaultTo(&cfg.Wait, 500*time.Millisecond)
	defaultTo(&cfg.MaxWait, 10*time.Second)
	defaultTo(&cfg.AckTimeout, time.Second)
	defaultTo(&cfg.LookupTimeout, 50*time.Millisecond)
	defaultTo(&cfg.BodyTimeout, 5*time.Second)
	defaultTo(&cfg.MaxBytes, 64<<10)
	defaultTo(&cfg.MaxBatch, 500)
	defaultTo(&cfg.MaxBatchBytes, 4<<20)
	cfg.MaxWait = max(cfg.MaxWait, cfg.Wait)
	defaultTo(&cfg.MaxQueue, time.Second)
	defaultTo(&cfg.MaxInFlightBytes, max(64<<20, 2*cfg.MaxBatchBytes))
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

func defaultTo[T ~int | ~int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// harden sets what every answer carries: never to be kept by a cache, taken for another type, or shown as a page. There is no CORS header: browsers
// of other sites have no business here.
func harden(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}
