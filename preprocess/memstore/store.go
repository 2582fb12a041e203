// Package memstore keeps preprocess.Store in the memory of one process: for replays, the demo and tests.
package memstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// DefaultKeep is how long ids are held when Config.Keep is zero: as long as Kafka keeps a topic by default.
const DefaultKeep = 7 * 24 * time.Hour

// Config says how much a Store keeps. The zero value is usable.
type Config struct {
	// Keep is for how much event time, at least, an order's id is held and its labels are kept after it was visited. It is stretched to the longest
	// Ask.Keep by itself. Zero is DefaultKeep.
	Keep time.Duration
}

// Store is a preprocess.Store in memory. Nothing in it looks at the clock: what expires does so as the newest event time moves on.
//
// What a visit sees are views of its own columns, valid while see runs: nothing is copied.
type Store struct {
	mu       sync.Mutex
	keep     int64                         // guarded by mu; microseconds
	newest   int64                         // guarded by mu; the latest event time of any visit
	entities map[string]*entity            // guarded by mu; :: Ask.Key → its columns and marks
	clock    []*entity                     // guarded by mu; all entities, looked at in turn to find the idle ones
	hand     int                           // guarded by mu; the next of clock
	calls    calls                         // guarded by mu
	orders   orders                        // guarded by mu
	waiting  map[schemas.OrderID]*versions // guarded by mu; :: order not seen yet → its labels
	patience int                           // guarded by mu; how many may wait before the old ones are looked for
	found    preprocess.Found              // guarded by mu; of the visit at hand
	met      []*entity                     // guarded by mu; :: ask of the visit at hand → its entity; nil: there is none
}

var _ preprocess.Store = (*Store)(nil)

// New makes an empty Store.
func New(cfg Config) *Store {
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	return &Store{
		keep:     cfg.Keep.Microseconds(),
		entities: make(map[string]*entity),
		orders:   orders{byID: make(map[schemas.OrderID]*order)},
		waiting:  make(map[schemas.OrderID]*versions),
		patience: minPatience,
	}
}

// Exchange is preprocess.Store's.
func (s *Store) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.n++
	for i := range visits {
		s.visit(i, &visits[i], see)
	}
	return nil
}

// Learn is preprocess.Store's.
func (s *Store) Learn(ctx context.Context, labels []schemas.Label) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range labels {
		s.learn(&labels[i])
	}
	return nil
}

func (s *Store) visit(i int, v *preprocess.Visit, see func(int, *preprocess.Found)) {
	s.newest = max(s.newest, v.At)
	o, first := s.orders.hold(v, s.newest)
	holds := o.Arrival == v.Arrival
	s.meet(v, holds)
	if holds {
		s.label(o, v, first)
	}
	found := &s.found
	found.First, found.Content, found.Again = o.Arrival, o.content, !first
	found.Views = slices.Grow(found.Views[:0], len(v.Asks))[:len(v.Asks)]
	clear(found.Views)
	for j, e := range s.met {
		if e == nil {
			continue
		}
		ask := &v.Asks[j]
		adds := holds && !ask.Marks && ask.Adds == preprocess.AddNow
		var had *visitor
		if e.had(ask, v.Arrival) {
			had = &visitor{v.Arrival, adds, &s.calls}
		}
		if adds {
			e.add(ask, o, &s.calls)
		}
		e.look(ask, &found.Views[j], had)
	}
	see(i, found)
	for j := range v.Asks {
		if ask := &v.Asks[j]; holds && !ask.Marks && ask.Adds == preprocess.AddSeen {
			s.entity(ask.Key, true).add(ask, o, &s.calls)
		}
	}
	s.orders.expire(s.newest, s.keep)
	s.dropIdle()
}

// meet looks up the entities of a visit's asks. Who only looks leaves nothing behind, not even an empty entity.
func (s *Store) meet(v *preprocess.Visit, holds bool) {
	s.met = s.met[:0]
	for j := range v.Asks {
		ask := &v.Asks[j]
		s.keep = max(s.keep, ask.Keep)
		create := holds && (ask.Marks && slices.Contains(v.Labelled, ask.Key) || !ask.Marks && ask.Adds == preprocess.AddNow)
		if j > 0 && v.Asks[j-1].Key == ask.Key && (s.met[j-1] != nil || !create) {
			s.met = append(s.met, s.met[j-1])
			continue
		}
		s.met = append(s.met, s.entity(ask.Key, create))
	}
}

// keyOf returns a labelled entity's key as the store has it: nearly always an ask has found it.
func (s *Store) keyOf(v *preprocess.Visit, key string) string {
	for j, e := range s.met {
		if e != nil && v.Asks[j].Key == key {
			return e.key
		}
	}
	return s.entity(key, true).key
}

// entity finds or makes what is kept under a key. Visiting makes it younger.
func (s *Store) entity(key string, create bool) *entity {
	e := s.entities[key]
	if e == nil {
		if !create {
			return nil
		}
		e = newEntity(key)
		s.entities[e.key] = e
		s.clock = append(s.clock, e)
	}
	e.seen = s.newest
	return e
}

// dropIdle looks at one entity a visit, so that idle ones go without a pause for all. Idle is counted from how far time was when an entity was last
// visited, not from its own event times: a source that lags behind another by months must not lose what it is working on. Twice the longest Keep, so
// that a column is not cut while its own newest point is within reach of a late order.
func (s *Store) dropIdle() {
	if len(s.clock) == 0 {
		return
	}
	if s.hand >= len(s.clock) {
		s.hand = 0
	}
	e := s.clock[s.hand]
	if s.newest-e.seen <= 2*s.keep {
		s.hand++
		return
	}
	delete(s.entities, e.key)
	last := len(s.clock) - 1
	s.clock[s.hand], s.clock[last] = s.clock[last], nil
	s.clock = s.clock[:last]
}
