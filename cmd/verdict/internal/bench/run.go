package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Plan is a run of stages.
type Plan struct {
	Rates      []float64
	Length     time.Duration // of each stage
	WarmUp     time.Duration // at the first rate, uncounted
	Objectives []Objective   // may be none
	Out        io.Writer     // the table
	Progress   io.Writer
}

// ErrFailed says that a stage's figures are not worth their name.
var ErrFailed = errors.New("a stage failed")

// runner is a Run under way.
type runner struct {
	Plan
	load   *Load
	stages []*Result
	held   []HeldReport
	lost   []bool // the objective was not held at an earlier rate
}

// Run runs the stages of a plan and writes the table as they end. With objectives it ends when none is held any more; a rate at which one is lost is tried
// once more before, as a machine has its moments. The stages that were run are returned with an error too. With objectives, a stage beyond what the target can take
// is an answer and no failure, as long as one before it was not.
func Run(ctx context.Context, load *Load, p Plan) ([]*Result, []HeldReport, error) {
	r := runner{Plan: p, load: load, lost: make([]bool, len(p.Objectives)), held: make([]HeldReport, len(p.Objectives))}
	for i, o := range p.Objectives {
		r.held[i].Objective = o.String()
	}
	if p.WarmUp > 0 {
		fmt.Fprintf(p.Progress, "bench: warming up at %s/s for %v\n", number(p.Rates[0]), p.WarmUp)
		load.Run(ctx, Stage{Rate: p.Rates[0], Length: p.WarmUp})
	}
	Columns(p.Out)
	for _, rate := range p.Rates {
		if more := r.rate(ctx, rate); !more {
			break
		}
	}
	if ctx.Err() != nil {
		return r.stages, r.held, errors.New("interrupted: the stage at hand is not told")
	}
	for _, h := range r.held {
		fmt.Fprintf(p.Out, "%s is held up to %s/s\n", h.Objective, number(h.Rate))
	}
	return r.stages, r.held, r.failed()
}

// rate runs the stage of a rate, and says whether another is to follow.
func (r *runner) rate(ctx context.Context, rate float64) (more bool) {
	holds := make([]bool, len(r.Objectives))
	for range 2 {
		fmt.Fprintf(r.Progress, "bench: %s/s for %v\n", number(rate), r.Length)
		s := r.load.Run(ctx, Stage{Rate: rate, Length: r.Length})
		if ctx.Err() != nil {
			return false
		}
		r.stages = append(r.stages, s)
		s.Row(r.Out)
		missed := false
		for i, o := range r.Objectives {
			holds[i] = holds[i] || s.Holds(o)
			missed = missed || !holds[i] && !r.lost[i]
		}
		if !missed {
			break
		}
	}
	more = len(r.Objectives) == 0
	for i := range r.Objectives {
		r.lost[i] = r.lost[i] || !holds[i]
		if !r.lost[i] {
			r.held[i].Rate, more = rate, true
		}
	}
	return more
}

func (r *runner) failed() error {
	faults := 0
	for _, s := range r.stages {
		if s.Fault() != "" {
			faults++
		}
	}
	if faults == len(r.stages) || faults > 0 && len(r.Objectives) == 0 {
		return fmt.Errorf("%w: %d of %d", ErrFailed, faults, len(r.stages))
	}
	return nil
}
