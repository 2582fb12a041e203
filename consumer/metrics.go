package consumer

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the workers' counts and times. Labels are bounded: lanes, actions, codes, stages and fates; never an id or a text.
type Metrics struct {
	Orders         *prometheus.CounterVec   // :: lane
	Decisions      *prometheus.CounterVec   // :: action
	DeadLetters    *prometheus.CounterVec   // :: code
	Retries        *prometheus.CounterVec   // :: fate: outage, lost
	Stages         *prometheus.HistogramVec // :: lane, stage, seconds
	Latency        *prometheus.HistogramVec // :: lane, seconds from the order's record to its decision published
	Lateness       *prometheus.HistogramVec // :: lane, seconds of event time behind the newest on the order's partition; of late orders alone
	Batch          prometheus.Histogram     // orders
	Repeats        prometheus.Counter
	Degraded       prometheus.Counter
	Labels         prometheus.Counter
	Tombstones     prometheus.Counter
	RepliesRefused *prometheus.CounterVec // :: reason: reply_topic_denied, correlation_too_long
	RepliesSkipped prometheus.Counter
	RepliesLost    prometheus.Counter     // counted by the transport
	ClientsRenewed prometheus.Counter     // counted by the transport
	Reloads        *prometheus.CounterVec // :: result: applied, refused
	ReloadRefused  prometheus.Gauge       // 1 while the files are not what is at work
	Challengers    *Challengers
}

// NewMetrics registers the metrics with reg; nil registers nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "verdict", Name: name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "verdict", Name: name, Help: help}, []string{label})
	}
	times := func(name, help string, labels ...string) *prometheus.HistogramVec {
		// From 0.1 ms, below which nothing of a step is worth a look, to 13 s, by factors of 2 (1.4 would be finer at twice the series).
		return f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "verdict", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18)}, labels)
	}
	lateness := prometheus.HistogramOpts{
		Namespace: "verdict", Name: "order_lateness_seconds", Buckets: latenessBuckets(),
		Help: "By how much late orders lie behind the newest event time before them on their partition. Orders in time are not in it.",
	}
	return &Metrics{
		Orders:         counters("orders_total", "Orders decided, repeats too.", "lane"),
		Decisions:      counters("decisions_total", "First decisions, by action.", "action"),
		DeadLetters:    counters("dead_letters_total", "Records that could not be an order or a label, by what was wrong.", "code"),
		Retries:        counters("step_retries_total", "Steps that failed: outage (tried again), lost (given to another worker).", "fate"),
		Stages:         times("stage_duration_seconds", "Time of one stage for a whole batch; queue is how long its oldest order had waited since its record was written.", "lane", "stage"),
		Latency:        times("decision_latency_seconds", "From the time of the order's record to its decision being sent.", "lane"),
		Lateness:       f.NewHistogramVec(lateness, []string{"lane"}),
		Batch:          f.NewHistogram(prometheus.HistogramOpts{Namespace: "verdict", Name: "batch_orders", Help: "Orders of one step.", Buckets: prometheus.ExponentialBuckets(1, 2, 12)}),
		Repeats:        counter("repeats_total", "Later copies of an order, which got its first decision again."),
		Degraded:       counter("degraded_total", "Decisions made without features, model or costs."),
		Labels:         counter("labels_total", "Labels learned."),
		Tombstones:     counter("tombstones_total", "Records without a value, passed over."),
		RepliesRefused: counters("replies_refused_total", "Replies asked for on a topic that is not on the list, or with an oversized correlation id.", "reason"),
		RepliesSkipped: counter("replies_skipped_total", "Replies that were not sent, as their orders' deadlines had passed. The decisions are made and published."),
		RepliesLost:    counter("replies_lost_total", "Replies that could not be written. Their callers have the decision from the ledger at their deadline, or 202."),
		ClientsRenewed: counter("kafka_clients_renewed_total", "Kafka clients that another took the place of: the brokers refused the producer for good, or what became of a transaction was not known."),
		Reloads:        counters("reloads_total", "New bundles, policies, lists or routings: applied, refused.", "result"),
		ReloadRefused: f.NewGauge(prometheus.GaugeOpts{
			Namespace: "verdict", Name: "reload_refused", Help: "1 while the files are not what is at work, since they were refused.",
		}),
		Challengers: newChallengers(f),
	}
}

// count notes what a step that succeeded has done.
func (w *Worker) count(k *work) {
	m, lane := w.cfg.Metrics, w.cfg.Lane
	m.Labels.Add(float64(len(k.labels)))
	for i := range k.letters {
		m.DeadLetters.WithLabelValues(k.letters[i].why.Code).Inc()
	}
	if len(k.orders) == 0 {
		return
	}
	m.Orders.WithLabelValues(lane).Add(float64(len(k.orders)))
	m.Batch.Observe(float64(len(k.orders)))
	latency, now := m.Latency.WithLabelValues(lane), time.Now()
	if w.cfg.Now != nil { // the records of a replay lie years back
		oldest := slices.MinFunc(k.records, func(a, b *Record) int { return a.Time.Compare(b.Time) })
		w.observers[queueStage].Observe(max(0, w.began().Sub(oldest.Time).Seconds())) // clocks differ
	}
	for i := range k.standing {
		if k.extracted[i].Conflict {
			continue
		}
		latency.Observe(now.Sub(k.records[i].Time).Seconds())
		if k.extracted[i].Repeat {
			m.Repeats.Inc()
			continue
		}
		m.Decisions.WithLabelValues(string(k.decisions[i].Action)).Inc()
		if len(k.decisions[i].Degraded) > 0 {
			m.Degraded.Inc()
		}
		m.Challengers.compare(&k.decisions[i])
	}
}
