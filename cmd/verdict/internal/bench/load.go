package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Target is what a load is sent to.
type Target interface {
	Open() Line
}

// Line sends one order after the other. One goroutine uses it.
type Line interface {
	// Do sends an order and returns how that ended. It gives up when the target's timeout is over, or ctx.
	Do(ctx context.Context, order *Order) Outcome
	Close()
}

// Config is what a Load is made of.
type Config struct {
	Target      Target
	Orders      *Orders
	Arrivals    Arrivals
	MaxInFlight int                 // orders that are under way at once; one that is due beyond is counted as unsent. 0 is 10,000
	Seed        uint64              // of Poisson arrivals
	Sleep       func(time.Duration) // nil is the finest that the system has
}

// Load is an open loop: one goroutine knows when each order is due and hands it to a worker then, whether or not earlier orders have been answered, and a
// worker has one order under way at a time. So a target that stalls is sent as much as one that does not, and each order's latency counts from when it
// was due: what it waited because of the stall is in it.
type Load struct {
	cfg     Config
	jobs    chan job // :: pacer → a worker that waits; without one a worker is added
	workers sync.WaitGroup
	running int   // owned by the pacer: workers there are
	sent    int64 // owned by the pacer: orders of all stages so far, which makes their ids
}

// job is one order that is due.
type job struct {
	n     int64
	due   time.Time
	stage *stage
}

// Stage is one rate for a time.
type Stage struct {
	Rate   float64 // orders a second
	Length time.Duration
}

// stage is a Stage under way.
type stage struct {
	underway sync.WaitGroup
	tally    *tally
}

// New returns a load that has sent nothing yet.
func New(cfg Config) *Load {
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 10_000
	}
	return &Load{cfg: cfg, jobs: make(chan job)}
}

// Run sends one stage and waits until the last of its orders has ended. Stages are run one after the other, on the connections of those before. When ctx
// ends, so does the stage, and its result is of what there was.
func (l *Load) Run(ctx context.Context, s Stage) *Result {
	now := &stage{tally: newTally()}
	usage := cpuSeconds()
	began := time.Now()
	intended, paced := l.pace(ctx, s, now, began)
	now.underway.Wait()
	return now.tally.result(s, intended, paced, time.Since(began), cpuSeconds()-usage)
}

// pace hands out the orders of a stage at their times. It returns how many were due and how long that took.
func (l *Load) pace(ctx context.Context, s Stage, now *stage, began time.Time) (intended int64, took time.Duration) {
	sleep := l.cfg.Sleep
	if sleep == nil {
		fine, end := fineSleep()
		defer end()
		sleep = fine
	}
	rng := rand.New(rand.NewPCG(l.cfg.Seed, uint64(l.sent))) //nolint:gosec // arrivals, not a secret
	for after := range schedule(l.cfg.Arrivals, s.Rate, s.Length, rng) {
		due := began.Add(after)
		for wait := time.Until(due); wait > 0; wait = time.Until(due) {
			sleep(min(wait, longestSleep))
			if ctx.Err() != nil {
				return intended, time.Since(began)
			}
		}
		if ctx.Err() != nil {
			break
		}
		intended++
		l.send(ctx, job{n: l.sent, due: due, stage: now})
		l.sent++
	}
	return intended, max(time.Since(began), s.Length)
}

// longestSleep is how long the pacer does not look whether it should end.
const longestSleep = 50 * time.Millisecond

// send gives an order to a worker that waits for one, or to a new one.
func (l *Load) send(ctx context.Context, j job) {
	j.stage.tally.handed(time.Since(j.due))
	j.stage.underway.Add(1)
	select {
	case l.jobs <- j:
	default:
		if l.running >= l.cfg.MaxInFlight {
			j.stage.tally.unsent()
			j.stage.underway.Done()
			return
		}
		l.running++
		l.workers.Go(func() { l.work(ctx, j) })
	}
}

// work sends orders until the load is closed.
func (l *Load) work(ctx context.Context, j job) {
	line := l.cfg.Target.Open()
	defer line.Close()
	var order Order
	for open := true; open; j, open = <-l.jobs {
		began := time.Now()
		l.cfg.Orders.Make(&order, j.n, began)
		j.stage.tally.began()
		outcome := line.Do(ctx, &order)
		ended := time.Now()
		j.stage.tally.ended(outcome, ended.Sub(j.due), ended.Sub(began))
		j.stage.underway.Done()
	}
}

// Close ends the workers and their connections. No stage may be under way.
func (l *Load) Close() {
	close(l.jobs)
	l.workers.Wait()
}
