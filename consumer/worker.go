package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"verdict/preprocess"
	"verdict/schemas"
	"verdict/scorer"
)

// ErrLost is what a Transport's Publish or Commit wraps when nothing of the batch is published or committed, and its records are read again: by another worker,
// whose its partitions are now, or by this one's next polls. All effects of a step can be had twice, so the worker goes on with the next batch.
var ErrLost = errors.New("the batch was undone and its records are read again")

// ErrStop is wrapped by errors that no repetition mends (a log gap, refused credentials): Run returns them.
var ErrStop = errors.New("cannot go on")

// Config is what a Worker is made of. All but the fields said to be optional are required.
type Config struct {
	Transport Transport
	Orders    *schemas.Codec
	Labels    *schemas.Codec // optional where no label comes
	Binding   schemas.Binding
	Extractor *preprocess.Extractor
	Store     preprocess.Store       // the extractor's; the worker teaches it labels
	Scorer    *scorer.Scorer         // nil computes features alone: a replay that only writes them
	Ledger    Ledger                 // nil keeps nothing: a replay, where a repeat is dropped
	Decisions *schemas.DecisionCodec // nil publishes none: who observes the decisions has them. With a Ledger it is needed

	Events      EventTimes       // orders outside are dead letters; zero takes any
	Lane        string           // of metrics and logs: "async", "sync", "replay"
	Topics      []string         // the order topics of all lanes, in one order for all workers: a source's number is made of the place here
	ReplyTopics []string         // where replies may be sent
	Now         func() time.Time // stamps decided_at; nil stamps the order's event time, so that a replay writes the same bytes each time
	Drain       time.Duration    // how long the step at hand may go on after Run's context ends; 0 is 10 s
	Metrics     *Metrics         // nil measures nothing
	Tracer      trace.Tracer     // of the orders' traces; nil makes no spans, and costs nothing
	Log         *slog.Logger     // nil is silent

	// Precedence is shared by the workers of one process; nil lets each take what it can get. First says that this worker's orders are those of waiting callers.
	Precedence *Precedence
	First      bool

	// Upkeep, when set, says when the store lacks something. Looker is then the store as it is looked into meanwhile: required with it.
	Upkeep *Upkeep
	Looker preprocess.Looker

	// Observe, when set, is given each step's orders, vectors and decisions (nil without a Scorer) before they are kept, on the step's goroutine.
	Observe func(orders []preprocess.Arrived, extracted []preprocess.Extracted, decisions []schemas.Decision)
}

// Worker takes records from a Transport and decides them, one batch after the other. One goroutine runs it.
type Worker struct {
	cfg       Config
	sources   map[string]int32 // :: order topic → its part of Arrival.Source
	replies   map[string]bool  // :: reply topic that may be asked for → true
	observers [stages]prometheus.Observer
	work      work         // owned by step, reused
	progress  atomic.Int64 // when the loop last came round, nanoseconds since 1970
	reached   progress     // owned by step
	timings   timings      // of the step at hand; owned by step
	traced    []traced     // owned by trace, reused
	stale     bool         // the store lacks something; set before each step
	again     bool         // the batch's Again, or a try of its step has failed; set before each step
	away      time.Time    // since when the schema registry has not told a schema that is needed; owned by step, zero when it tells all
}

// New returns a worker, or says what cfg lacks.
func New(cfg Config) (*Worker, error) {
	if cfg.Transport == nil || cfg.Orders == nil || cfg.Extractor == nil || cfg.Store == nil {
		return nil, errors.New("a worker needs Transport, Orders, Extractor and Store")
	}
	if cfg.Upkeep != nil && cfg.Looker == nil {
		return nil, errors.New("a worker with Upkeep needs a Looker")
	}
	if cfg.Scorer != nil && cfg.Ledger != nil && cfg.Decisions == nil {
		return nil, errors.New("a worker with a Scorer and a Ledger needs Decisions")
	}
	if cfg.Drain == 0 {
		cfg.Drain = 10 * time.Second
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{cfg: cfg, sources: make(map[string]int32), replies: make(map[string]bool), reached: make(progress)}
	for i, topic := range cfg.Topics {
		w.sources[topic] = int32(i) << partitionBits
	}
	for s := range stages {
		w.observers[s] = cfg.Metrics.Stages.WithLabelValues(cfg.Lane, s.String())
	}
	for _, topic := range cfg.ReplyTopics {
		w.replies[topic] = true
	}
	return w, nil
}

// Run polls and repeats step on each batch until it succeeds or is hopeless. It returns nil when the source has ended, or when ctx ends: then the step at
// hand is brought to its end first, for at most Drain.
func (w *Worker) Run(ctx context.Context) error {
	drained, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(w.cfg.Drain, cancel) })()
	for {
		w.alive()
		batch, err := w.cfg.Transport.Poll(ctx)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("polling: %w", err)
		case len(batch.Records) == 0: // what of earlier batches could not be written is tried again, if there is any
			if err := w.repeat(ctx, drained, batch); err != nil {
				return err
			}
			continue
		}
		if err := w.inTurn(ctx, func() error { return w.repeat(ctx, drained, batch) }); err != nil {
			return err
		}
	}
}

// inTurn does the work on a batch as precedence has it: a batch of waiting callers' orders is announced, any other is followed by a rest while such come in.
func (w *Worker) inTurn(ctx context.Context, work func() error) error {
	turns := w.cfg.Precedence
	if turns == nil {
		return work()
	}
	if w.cfg.First {
		turns.enter()
		defer turns.leave()
		return work()
	}
	began := time.Now()
	err := work()
	turns.yield(ctx, time.Since(began))
	return err
}

// repeat makes step succeed on batch. Malformed records never fail a step (they become dead letters in it), so there are two fates left.
// Once ctx has ended a failed step is not repeated: nothing of it was committed, so its records come again to whoever is next.
func (w *Worker) repeat(ctx, drained context.Context, batch *Batch) error {
	for try := 0; ; try++ {
		w.again = batch.Again || try > 0
		bound, err := w.enter(ctx, drained, batch)
		if err != nil {
			return nil //nolint:nilerr // ctx has ended: nothing of the batch was begun
		}
		err = w.step(bound, batch)
		w.leave(batch, err)
		w.alive()
		w.trace(drained, batch, err)
		if bugSkipBadBatch && err != nil {
			return w.commit(drained, batch)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLost):
			w.cfg.Metrics.Retries.WithLabelValues("lost").Inc()
			w.cfg.Log.Warn("batch undone, its records are read again", "lane", w.cfg.Lane, "error", err)
			return nil
		case errors.Is(err, ErrStop), w.cfg.Ledger == nil:
			return err // a replay's ends are files: what fails there fails again
		default:
			w.cfg.Metrics.Retries.WithLabelValues("outage").Inc()
			w.cfg.Log.Warn("step failed, trying again", "lane", w.cfg.Lane, "try", try+1, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff(try)):
		}
	}
}

// backoff doubles from 10 ms to a second, with up to half of it left to chance so that workers do not come back in step. The first tries follow soon: what fails most
// often is one reply that was late, and callers wait. It stays at a second: of a server that comes and goes no moment should be slept through, and a try that fails
// costs next to nothing.
func backoff(try int) time.Duration {
	d := 10 * time.Millisecond << min(try, 7)
	d = min(d, time.Second)
	return d - rand.N(d/2) //nolint:gosec // spreads load, keeps no secret
}

// step decides one batch. It is THE path: live and replay run it, with other ends. Each line can be done again, whole or in part, without a trace:
// points and labels are kept by order id, a kept decision stands, a message written twice is equal, and nothing is committed before all else is durable.
func (w *Worker) step(ctx context.Context, batch *Batch) error {
	work, err := w.decode(ctx, batch)
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if err := w.learn(ctx, work); err != nil {
		return fmt.Errorf("learning labels: %w", err)
	}
	if err := w.extract(ctx, work); err != nil {
		return fmt.Errorf("extracting features: %w", err)
	}
	if err := w.decide(work); err != nil {
		return fmt.Errorf("deciding: %w", err)
	}
	if err := w.keepMarked(ctx, work, batch); err != nil {
		return fmt.Errorf("keeping decisions: %w", err)
	}
	if err := w.publish(ctx, work); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if err := w.commit(ctx, batch); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	w.count(work)
	w.reached.late(work, w.cfg.Metrics.Lateness.WithLabelValues(w.cfg.Lane))
	return nil
}
