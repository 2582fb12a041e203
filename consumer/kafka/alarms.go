package kafka

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Alarms gathers why partitions are not read, of all transports of a process: for its readiness, and as a metric. Safe for concurrent use.
type Alarms struct {
	gaps *prometheus.GaugeVec // :: topic, partition → records that are gone

	mu      sync.Mutex
	stopped map[spot]error // guarded by mu: read again when somebody has done something
	failing map[spot]fault // guarded by mu: tried again by the client, which says nothing when it is over
}

// spot is a partition of a topic.
type spot struct {
	topic     string
	partition int32
}

// NewAlarms registers its metric with reg; nil registers nowhere.
func NewAlarms(reg prometheus.Registerer) *Alarms {
	return &Alarms{
		gaps: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
			Name: "verdict_log_gap_records", Help: "Records that were deleted before they were read: their partition stands still until somebody accepts the gap.",
		}, []string{"topic", "partition"}),
		stopped: make(map[spot]error), failing: make(map[spot]fault),
	}
}

// Err says why a partition is not read, of one of them; nil when all are.
func (a *Alarms) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all error
	for _, err := range a.stopped {
		if all == nil || err.Error() < all.Error() {
			all = err
		}
	}
	if all != nil {
		return all
	}
	for at, f := range a.failing {
		if time.Since(f.at) < failedFor {
			return fmt.Errorf("reading %s/%d: %w", at.topic, at.partition, f.err)
		}
		delete(a.failing, at)
	}
	return nil
}

// stop says that a partition stands still, and how many records are gone.
func (a *Alarms) stop(at spot, gone int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped[at] = err
	a.gaps.WithLabelValues(at.topic, strconv.Itoa(int(at.partition))).Set(float64(gone))
}

// fail says that a partition could not be read just now.
func (a *Alarms) fail(at spot, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing[at] = fault{err, time.Now()}
}

// clear forgets a partition that is another process's now, and says whether it stood still.
func (a *Alarms) clear(at spot) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, stood := a.stopped[at]
	delete(a.stopped, at)
	delete(a.failing, at)
	a.gaps.DeleteLabelValues(at.topic, strconv.Itoa(int(at.partition)))
	return stood
}
