package redisstore

import (
	"context"
	"fmt"
	"slices"

	"verdict/preprocess"
)

var _ preprocess.Looker = (*Store)(nil)

// Look is preprocess.Looker's. It is Exchange of one visit with the commands that read alone: one pipeline, and nothing behind it.
func (s *Store) Look(ctx context.Context, v preprocess.Visit, see func(*preprocess.Found)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.look(ctx, v, see); err != nil {
		return fmt.Errorf("looking into Redis: %w", err)
	}
	return nil
}

func (s *Store) look(ctx context.Context, v preprocess.Visit, see func(*preprocess.Found)) error {
	keeps, err := s.retention(ctx, v.At)
	if err != nil {
		return err
	}
	v.Asks = slices.Clone(v.Asks) // forget may change them
	b := s.newBatch([]preprocess.Visit{v}, keeps)
	if err := b.loadToLook(ctx); err != nil {
		return err
	}
	value, held, err := bulk(b.claims[0])
	if err != nil {
		return fmt.Errorf("reading the claim on an order's id: %w", err)
	}
	if err := b.readLabels(); err != nil {
		return err
	}
	if err := b.readColumns(); err != nil {
		return err
	}
	if held {
		c, ok := readClaim(value)
		if !ok {
			return fmt.Errorf("reading the claim on an order's id: %w", errCorrupt)
		}
		b.forget(&c)
	}
	for i := range b.early {
		b.entities[b.early[i].key].mark(b.early[i].Mark)
	}
	var found preprocess.Found
	b.look(0, b.places, &found)
	see(&found)
	s.release(b)
	return nil
}

// loadToLook is load of one visit without what it writes.
func (b *batch) loadToLook(ctx context.Context) error {
	v := &b.visits[0]
	b.gather(v)
	b.claims[0] = b.raw(ctx, "get", b.store.claimKey(v.ID))
	if len(v.Labelled) > 0 {
		b.labels[0] = b.raw(ctx, "smembers", b.store.labelsKey(v.ID))
	}
	for i := range b.columns {
		c := &b.columns[i]
		if c.merge != nil {
			c.reply = b.raw(ctx, "hgetall", c.key)
			continue
		}
		c.reply = b.raw(ctx, "zrangebyscore", c.key, c.from+1, &c.to)
	}
	return b.store.exec(ctx, 1, b.cmds)
}

// forget takes the points of the visit's id out of what was read, which the visit that holds it has left there. Where that was merged it stays, and the
// visit adds nothing.
func (b *batch) forget(first *claim) {
	v := &b.visits[0]
	own := func(p preprocess.Point) bool { return p.ID == v.ID }
	for j := range v.Asks {
		switch ask, c := &v.Asks[j], b.places[j]; {
		case ask.Marks:
		case c.merge == nil:
			c.exact = preprocess.NewSeries(slices.DeleteFunc(c.exact.Points(), own))
		case c.merged.forget(own, first):
			ask.Adds = preprocess.AddNothing
		}
	}
}

// forget takes an order's points out, and says whether the order may have been merged instead.
func (m *merged) forget(own func(preprocess.Point) bool, first *claim) bool {
	merged := false
	for _, s := range m.sources {
		before := len(s.Points())
		s.Series = preprocess.NewSeries(slices.DeleteFunc(s.Points(), own))
		merged = merged || s.number == first.arrival.Source && len(s.Points()) == before && s.Holds(first.at)
	}
	return merged
}
