// Package memstore keeps preprocess.Store in the memory of one process: for replays, the demo and tests.
package memstore

import (
	"context"
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
// What it returns are views of its own columns. A point that comes in the order of time is appended behind every view; one that comes late makes its
// column a new array. So no view ever changes, also not after the next call.
type Store struct {
	mu       sync.Mutex
	keep     int64                         // guarded by mu; microseconds
	newest   int64                         // guarded by mu; the latest event time of any visit
	entities map[string]*entity            // guarded by mu; :: Ask.Key → its columns and marks
	clock    []*entity                     // guarded by mu; all entities, looked at in turn to find the idle ones
	hand     int                           // guarded by mu; the next of clock
	orders   orders                        // guarded by mu
	waiting  map[schemas.OrderID]*versions // guarded by mu; :: order not seen yet → its labels
	patience int                           // guarded by mu; how many may wait before the old ones are looked for
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
func (s *Store) Exchange(ctx context.Context, visits []preprocess.Visit) ([]preprocess.Found, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asks, marks := 0, 0
	for i := range visits {
		asks += len(visits[i].Asks)
		if asksMarks(&visits[i]) {
			marks += len(visits[i].Asks)
		}
	}
	// Three allocations a call and none a visit: callers may be several, so the answers cannot be the store's own buffers.
	out := answers{found: make([]preprocess.Found, len(visits)), points: make([][]preprocess.Point, asks), marks: make([][]preprocess.Mark, marks)}

	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range visits {
		s.visit(&visits[i], out.next(i, &visits[i]))
	}
	return out.found, nil
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

func (s *Store) visit(v *preprocess.Visit, found *preprocess.Found) {
	s.newest = max(s.newest, v.At)
	o, first := s.orders.hold(v, s.newest)
	holds := o.arrival == v.Arrival
	if holds {
		s.label(o, v.Labelled, first)
	}
	found.First, found.Content = o.arrival, o.content

	var e *entity
	for i := range v.Asks {
		ask := &v.Asks[i]
		s.keep = max(s.keep, ask.Keep)
		if e == nil || e.key != ask.Key {
			e = s.entity(ask.Key, holds)
		}
		switch {
		case e == nil: // a repeat leaves nothing behind, not even an empty entity
		case ask.Marks:
			found.Marks[i] = e.marksBetween(ask)
		default:
			found.Points[i] = e.exchange(ask, o, holds)
		}
	}
	s.orders.expire(s.newest, s.keep)
	s.dropIdle()
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

// answers hands out the parts of what Exchange returns from three arrays.
type answers struct {
	found  []preprocess.Found
	points [][]preprocess.Point
	marks  [][]preprocess.Mark
}

func (a *answers) next(i int, v *preprocess.Visit) *preprocess.Found {
	n := len(v.Asks)
	found := &a.found[i]
	found.Points, a.points = a.points[:n:n], a.points[n:]
	if asksMarks(v) {
		found.Marks, a.marks = a.marks[:n:n], a.marks[n:]
	}
	return found
}

func asksMarks(v *preprocess.Visit) bool {
	for i := range v.Asks {
		if v.Asks[i].Marks {
			return true
		}
	}
	return false
}
