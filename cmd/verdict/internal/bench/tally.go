package bench

import (
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Outcome is how one order ended.
type Outcome uint8

// The outcomes. An order that has none of the others was Unsent.
const (
	Decided     Outcome = iota // 200: the decision
	Pending                    // 202: the wait was over before the decision was there
	Refused                    // 4xx but 429
	TooMany                    // 429
	Unavailable                // 503
	Other                      // any other answer
	Wrong                      // a decision that does not name the order
	Timeout                    // no answer in the bench's own time
	Failed                     // no answer: the connection was refused, or broke
	Unsent                     // as many orders were under way as the load allows
	outcomes
)

// String returns the outcome's name in tables and JSON.
func (o Outcome) String() string {
	return [...]string{"200", "202", "4xx", "429", "503", "other", "wrong", "timeout", "error", "unsent"}[o]
}

// ofStatus returns the outcome of an HTTP answer.
func ofStatus(status int) Outcome {
	switch {
	case status == 202:
		return Pending
	case status >= 200 && status < 300:
		return Decided
	case status == 429:
		return TooMany
	case status == 503:
		return Unavailable
	case status >= 400 && status < 500:
		return Refused
	default:
		return Other
	}
}

// The histograms' range and precision: 1 µs to 60 s with three digits. What is longer counts as the longest.
const (
	lowest  = 1
	highest = 60_000_000
	digits  = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	us := int64(math.Ceil(float64(d) / float64(time.Microsecond))) // never shorter than it was
	_ = h.RecordValue(min(max(us, lowest), highest))               // within the range by construction
}

// tally counts a stage's orders. Safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	counts   [outcomes]int64                   // guarded by mu
	latency  [outcomes]*hdrhistogram.Histogram // guarded by mu: from when an order was due; nil where there was none
	service  *hdrhistogram.Histogram           // guarded by mu: from when a decided order was sent
	late     *hdrhistogram.Histogram           // guarded by mu: from when an order was due until it was handed to a worker
	inFlight int64                             // guarded by mu
	most     int64                             // guarded by mu: orders in flight
}

func newTally() *tally { return &tally{service: newHistogram(), late: newHistogram()} }

func (t *tally) handed(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	record(t.late, late)
}

func (t *tally) unsent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[Unsent]++
}

func (t *tally) began() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight++
	t.most = max(t.most, t.inFlight)
}

func (t *tally) ended(o Outcome, sinceDue, sinceSent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight--
	t.counts[o]++
	if t.latency[o] == nil {
		t.latency[o] = newHistogram()
	}
	record(t.latency[o], sinceDue)
	if o == Decided {
		record(t.service, sinceSent)
	}
}
