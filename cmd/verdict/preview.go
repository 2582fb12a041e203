package main

import (
	"context"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// previewSource is the source of orders that are previewed, which come from no partition: all that is there came before them.
const previewSource = -1

// preview says what would be decided if the order came now, by what this process would decide with, and writes nothing.
func (s *service) preview(ctx context.Context, order schemas.Order, content uint64) (schemas.Preview, error) {
	if !s.started.Load() {
		return schemas.Preview{}, errNotReady
	}
	now := time.Now()
	extractor := preprocess.NewExtractor(s.parts.features, s.state.store, s.cfg.State.Lateness) // one goroutine uses one
	vector, err := extractor.Look(ctx, s.state.look, &preprocess.Arrived{
		Order: order, Arrival: preprocess.Arrival{Millis: now.UnixMilli(), Source: previewSource}, Content: content,
	})
	if err != nil {
		return schemas.Preview{}, err
	}
	vector.Stale = s.keeper != nil && !s.keeper.Whole()
	e, err := s.parts.scorer.Explain(&order, &vector)
	if err != nil {
		return schemas.Preview{}, err
	}
	p := schemas.Preview{Decision: e.Decision, Base: e.Base, Contributions: e.Contributions}
	p.Decision.OrderID, p.Decision.OccurredAt, p.Decision.DecidedAt = order.ID, order.At, now.UTC().Truncate(time.Microsecond)
	return p, nil
}
