// Package backfill brings a store to the state that it would have, had a feature set run from the start: all of it (verdict rebuild), or what other feature
// sets do not keep already (verdict backfill), under live traffic.
//
// It is the worker's path once more, without decisions: a history is read in the order in which it was written, each order is extracted over a store in
// memory, and a Recorder writes what comes of it to the store that is to have it.
package backfill

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/schemas"
)

// Config says what is run. All but the fields said to be optional are required.
type Config struct {
	History  consumer.Transport // orders and labels, in the order in which they were written
	Features *preprocess.FeatureSet
	Recorder *Recorder
	Orders   *schemas.Codec
	Labels   *schemas.Codec      // optional where no label comes
	Events   consumer.EventTimes // as the live worker's: what that refused leaves nothing here
	Topics   []string            // as the live worker's: a source's number is made of the place here
	Lateness time.Duration       // as the live worker's

	Polled func()       // optional: called before each poll, when all that was polled before is written
	Log    *slog.Logger // nil is silent
}

// Run reads the history to its end, or until ctx ends.
type Run struct {
	cfg    Config
	worker *consumer.Worker

	orders, repeats, conflicts, refused atomic.Int64
}

// Summary is what a Run did.
type Summary struct {
	Orders    int64 // read as orders
	Repeats   int64 // of these, those that came before
	Conflicts int64 // of the repeats, those with another content
	Refused   int64 // records that are no order or no label, or lie outside of Events; and the conflicts: live they were dead letters
	Written   int64 // orders that the store was given something of
	Points    int64 // that it was given, had it them or not
	Labels    int64 // that it was given
	Foreign   int64 // orders that the store knows with another content: nothing of them was written
}

// New returns a Run, or says what cfg lacks.
func New(cfg Config) (*Run, error) {
	r := &Run{cfg: cfg}
	worker, err := consumer.New(consumer.Config{
		Transport: &source{Transport: cfg.History, run: r}, Orders: cfg.Orders, Labels: cfg.Labels, Binding: cfg.Features.Binding(),
		Extractor: preprocess.NewExtractor(cfg.Features, cfg.Recorder, cfg.Lateness), Store: cfg.Recorder,
		Events: cfg.Events, Lane: "backfill", Topics: cfg.Topics, Log: cfg.Log, Observe: r.observe,
	})
	r.worker = worker
	return r, err
}

// Run reads the history to its end, or until ctx ends.
func (r *Run) Run(ctx context.Context) error { return r.worker.Run(ctx) }

// Summary returns what was done so far. It may be called at any time.
func (r *Run) Summary() Summary {
	s := Summary{Orders: r.orders.Load(), Repeats: r.repeats.Load(), Conflicts: r.conflicts.Load(), Refused: r.refused.Load()}
	s.Written, s.Points, s.Labels, s.Foreign = r.cfg.Recorder.Counts()
	return s
}

// observe counts the orders of a step. It is the worker's hook.
func (r *Run) observe(orders []preprocess.Arrived, extracted []preprocess.Extracted, _ []schemas.Decision) {
	r.orders.Add(int64(len(orders)))
	for i := range extracted {
		if extracted[i].Repeat {
			r.repeats.Add(1)
		}
		if extracted[i].Conflict {
			r.conflicts.Add(1)
		}
	}
}

// source is the history as the worker reads it: nothing is published, since nothing is decided.
type source struct {
	consumer.Transport

	run *Run
}

// Poll returns the next records.
func (s *source) Poll(ctx context.Context) (*consumer.Batch, error) {
	if s.run.cfg.Polled != nil {
		s.run.cfg.Polled()
	}
	return s.Transport.Poll(ctx)
}

// Publish counts what could not be decided: the live worker has written the dead letters.
func (s *source) Publish(_ context.Context, messages []consumer.Message) error {
	for i := range messages {
		if messages[i].To == consumer.DeadLetters {
			s.run.refused.Add(1)
		}
	}
	return nil
}

// Commit does nothing: a run that breaks off starts again.
func (s *source) Commit(context.Context, *consumer.Batch) error { return nil }
