package upkeep

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell how it stands with the store.
type Metrics struct {
	Whole   prometheus.Gauge     // 1 while the store has everything
	Behind  *prometheus.GaugeVec // :: topic, partition → records, of the process that fills the store
	Repairs prometheus.Counter   // led by this process
}

// NewMetrics registers the metrics with reg; nil registers nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		Whole: f.NewGauge(prometheus.GaugeOpts{
			Namespace: "verdict", Name: "store_whole", Help: "1 while the store has all that it should have; 0 while it is filled again, and until that is known.",
		}),
		Behind: f.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "verdict", Name: "store_behind_records", Help: "Records that the store has not applied and should have, told by the process that fills it.",
		}, []string{"topic", "partition"}),
		Repairs: f.NewCounter(prometheus.CounterOpts{
			Namespace: "verdict", Name: "store_repairs_total", Help: "Times that this process has filled the store again from the topics.",
		}),
	}
}
