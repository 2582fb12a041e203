package consumer

import (
	"context"
	"sync/atomic"
	"time"
)

// PrecedenceConfig is a Precedence's configuration; the zero value is usable.
type PrecedenceConfig struct {
	// Share is how much of its time the lane that yields works while callers' orders come in, above 0 and up to 1; 0 is 0.1. It is what is left of that lane's
	// throughput then, and it is never nothing.
	Share float64
	// Batch is how many records that lane takes at once meanwhile; 0 is 25. Redis and the brokers do a step's commands in a row, so that is what a caller's
	// order can find before it there.
	Batch int
	// Hold is how long after a caller's order the next one is still expected; 0 is 1 s. Callers of less than one order a second meet the other lane at its full speed.
	Hold time.Duration
}

// maxPause bounds how long the lane that yields stands still after one step, however long that took (an outage): labels come through it too, and a rebalance
// of the group waits for its next poll.
const maxPause = 250 * time.Millisecond

// Precedence lets the orders of waiting callers go first where two workers share a process's processors, its Redis and its brokers. Each worker has its own poll,
// pipeline and producer, so neither stands in the other's queue; what they take from each other is time. While callers' orders come in, the other worker
// takes small batches and rests between them; without such orders it is not held up. One Precedence is shared by a process's workers, and is safe for
// concurrent use.
type Precedence struct {
	cfg      PrecedenceConfig
	base     time.Time
	underway atomic.Int32 // steps of workers that go first
	last     atomic.Int64 // nanoseconds after base until which such a step was last seen; 0 is never
}

// NewPrecedence returns a Precedence that has seen no caller's order yet.
func NewPrecedence(cfg PrecedenceConfig) *Precedence {
	if cfg.Share <= 0 || cfg.Share > 1 {
		cfg.Share = 0.1
	}
	if cfg.Batch <= 0 {
		cfg.Batch = 25
	}
	if cfg.Hold <= 0 {
		cfg.Hold = time.Second
	}
	return &Precedence{cfg: cfg, base: time.Now()}
}

// Limit returns how many records the lane that yields may take at once now; 0 is as many as it likes.
func (p *Precedence) Limit() int {
	if p.expected() == 0 {
		return 0
	}
	return p.cfg.Batch
}

// expected is how long callers' orders are still to be expected; 0 when there is none.
func (p *Precedence) expected() time.Duration {
	if p.underway.Load() > 0 {
		return p.cfg.Hold
	}
	last := p.last.Load()
	if last == 0 {
		return 0
	}
	return max(0, p.cfg.Hold-(time.Since(p.base)-time.Duration(last)))
}

// enter says that a caller's order is in work.
func (p *Precedence) enter() { p.underway.Add(1) }

// leave says that it is done.
func (p *Precedence) leave() {
	p.last.Store(max(1, int64(time.Since(p.base))))
	p.underway.Add(-1)
}

// yield rests after a step that took worked, so that Share of the time is work. The rest ends when no caller's order is expected any more, and when ctx ends.
func (p *Precedence) yield(ctx context.Context, worked time.Duration) {
	pause := min(time.Duration(float64(worked)*(1/p.cfg.Share-1)), maxPause)
	for pause > 0 {
		part := min(pause, p.expected())
		if part == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(part):
		}
		pause -= part
	}
}
