package bench

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what one stage came to.
type Result struct {
	Stage    Stage
	Intended int64         // orders that were due
	Paced    time.Duration // how long the pacer took, the stage's length unless it fell behind
	Took     time.Duration // until the last order had ended
	Counts   map[Outcome]int64
	Latency  map[Outcome]*hdrhistogram.Histogram // µs from when an order was due until it ended, by how
	Service  *hdrhistogram.Histogram             // µs from when a decided order was sent
	Late     *hdrhistogram.Histogram             // µs from when an order was due until a worker had it: the bench's own part
	InFlight int64                               // the most orders under way at once
	CPU      float64                             // seconds that the bench itself used
}

func (t *tally) result(s Stage, intended int64, paced, took time.Duration, cpu float64) *Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Result{
		Stage: s, Intended: intended, Paced: paced, Took: took, CPU: cpu, InFlight: t.most, Service: t.service, Late: t.late,
		Counts: make(map[Outcome]int64), Latency: make(map[Outcome]*hdrhistogram.Histogram),
	}
	for o := range outcomes {
		if t.counts[o] > 0 {
			r.Counts[o] = t.counts[o]
		}
		if t.latency[o] != nil {
			r.Latency[o] = t.latency[o]
		}
	}
	return r
}

// Quantile returns the latency within which the share q of all orders that were due had their decision: one that was refused, failed or unsent counts as
// slower than any. So a target does not look quick for having let go of what would have been slow. It is +Inf when fewer had one.
func (r *Result) Quantile(q float64) time.Duration {
	return ranked(r.Latency[Decided], rank(q, r.Intended))
}

// Never is the latency of what had no decision.
const Never = time.Duration(math.MaxInt64)

// at returns the value at quantile q of a histogram of µs, Never of an empty one.
func at(h *hdrhistogram.Histogram, q float64) time.Duration {
	return ranked(h, rank(q, h.TotalCount()))
}

// rank returns which of n values, from the least on and from 1, is the least that a share q of them does not exceed.
func rank(q float64, n int64) int64 {
	const rounding = 1e-6 // 0.99 × 100 is a little above 99 in binary
	return max(1, int64(math.Ceil(q*float64(n)-rounding)))
}

// ranked returns the r-th value of a histogram of µs, Never when it has not as many.
func ranked(h *hdrhistogram.Histogram, r int64) time.Duration {
	if h == nil || r > h.TotalCount() {
		return Never
	}
	return time.Duration(h.ValueAtPercentile(100*float64(r)/float64(h.TotalCount()))) * time.Microsecond
}

// longest returns the greatest latency of decided orders, Never when an order was not decided.
func (r *Result) longest() time.Duration { return r.Quantile(1) }

// PerSecond returns a count of the stage as a rate.
func (r *Result) PerSecond(n int64) float64 { return float64(n) / r.Paced.Seconds() }

// Fault says why the stage's figures are not worth their name: nothing was decided, or the bench itself could not keep the pace. "" is no fault.
func (r *Result) Fault() string {
	switch {
	case r.Intended == 0:
		return "no order was due: a longer --duration or a higher --rate is wanted"
	case r.Counts[Decided]+r.Counts[Pending] == 0:
		return "no order was taken"
	case r.Paced.Seconds() > 1.05*r.Stage.Length.Seconds():
		return "the bench could not send this fast"
	default:
		return ""
	}
}
