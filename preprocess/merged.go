package preprocess

import (
	"cmp"
	"math"
	"slices"
)

// Merging says how the points of a column are merged once an entity has many, so that its state and the time that an order takes are bounded.
type Merging struct {
	Resolution int64 // microseconds: the width of a cell of time
	HalfLife   int64 // microseconds: each value weighs 2^((At - Cell.Start) / HalfLife) in a cell's sum; 0 is without weights
	Distinct   bool  // what is kept is which values there were, and when each was last seen, instead of cells
}

// How much a merged column holds. Points are merged, the oldest first, down to minExact when there are maxExact. So it is as if it were exact for an
// entity of fewer orders, and for orders that come late among the last minExact.
const (
	maxExact     = 384
	minExact     = 192
	maxSightings = 1024
)

// forever is longer than all that is kept, in microseconds.
const forever = 1 << 62

// Cell is what is left of the orders of one cell of time: those with Start <= At < Start + Resolution.
type Cell struct {
	Start       int64 // microseconds since 1970; a multiple of the resolution
	First, Last int64 // event times of the earliest and the latest of its orders
	Orders      int64
	Values      int64   // how many orders have a value that is not missing: what follows is of those, but for LastValue
	Sum         Total   // weighed, if there is a half-life
	Squares     Total   // of the values squared
	Min, Max    float64 // +Inf and -Inf without values
	LastValue   float64 // of its latest order, the last to arrive of those of one time; NaN when missing
	LastArrival Arrival
}

// Sighting is a value and when it was last seen. Beyond a number of values only a sample is kept, of level l one in 2^l, by the value's hash.
type Sighting struct {
	Value uint64 // its hash
	At    int64  // microseconds since 1970
	Level uint8  // of the sample when it was last seen
}

// Applied is the last offset of a source that is in a merged column.
type Applied struct {
	Source int32
	Offset int64
}

// Merged is a column that is merged as a store holds it in memory. The zero value with a Merging is empty. It is not safe for concurrent use.
//
// What it holds is a function of the points in the order in which they were added: how they were cut into calls has no part in it.
type Merged struct {
	Series // of the points that are not merged

	Merging   Merging
	Cells     []Cell     // ascending by Start
	Sightings []Sighting // ascending by Value
	Level     uint8      // of the sample of sightings
	Applied   []Applied  // ascending by Source
}

// Had says whether an order of that arrival would come again, or too late to be added: its source has brought it, or one behind it.
func (m *Merged) Had(a Arrival) bool {
	at, known := m.applied(a.Source)
	return known && a.Offset <= m.Applied[at].Offset
}

func (m *Merged) applied(source int32) (at int, known bool) {
	return slices.BinarySearchFunc(m.Applied, source, func(a Applied, source int32) int { return cmp.Compare(a.Source, source) })
}

// Full says whether the next point that is added has the oldest of the others merged.
func (m *Merged) Full() bool { return len(m.points) >= maxExact }

// CopyTo makes to a copy that shares nothing which is ever changed. It uses the memory that to has, of which nothing is seen any more.
func (m *Merged) CopyTo(to *Merged) {
	points, cells, sightings, applied := to.points[:0], to.Cells[:0], to.Sightings[:0], to.Applied[:0]
	points = append(slices.Grow(points, maxExact), m.points...)
	cells = append(cells, m.Cells...)
	sightings = append(sightings, m.Sightings...)
	applied = append(applied, m.Applied...)
	*to = *m
	to.points, to.Cells, to.Sightings, to.Applied = points, cells, sightings, applied
}

// Add adds a point, unless its source has already brought it: offsets of a source rise. Whatever is older than the newest by more than keep may go.
func (m *Merged) Add(p Point, keep int64) {
	at, known := m.applied(p.Arrival.Source)
	switch {
	case !known:
		m.Applied = slices.Insert(m.Applied, at, Applied{Source: p.Arrival.Source, Offset: p.Arrival.Offset})
	case p.Arrival.Offset <= m.Applied[at].Offset:
		return
	default:
		m.Applied[at].Offset = p.Arrival.Offset
	}
	// Before the new one is there: whatever its time, it is seen as it is by its own visit.
	if m.Full() {
		m.compact(keep)
	}
	// Only compact drops what is too old: when a Series does depends on the room that it happens to have, which is another where it was read from a store.
	m.Series.Add(p, forever)
}

// compact merges the oldest points, and drops what is too old.
func (m *Merged) compact(keep int64) {
	m.Drop(keep)
	if n := len(m.points) - minExact; n > 0 {
		for i := range m.points[:n] {
			m.merge(&m.points[i])
		}
		m.points = append(make([]Point, 0, maxExact), m.points[n:]...)
		m.from = 0
	}
	oldest := m.last - keep
	m.Cells = slices.DeleteFunc(m.Cells, func(c Cell) bool { return c.Last < oldest })
	m.Sightings = slices.DeleteFunc(m.Sightings, func(s Sighting) bool { return s.At < oldest })
	m.sample()
}

// Holds says whether an order of that time, which is none of the points, may be among those that were merged and cannot be told apart any more. A value
// that is seen twice is one, so of sightings none is.
func (m *Merged) Holds(at int64) bool {
	return slices.ContainsFunc(m.Cells, func(c Cell) bool { return c.First <= at && at <= c.Last })
}

func (m *Merged) merge(p *Point) {
	if m.Merging.Distinct {
		m.sight(p)
		return
	}
	start := floor(p.At, m.Merging.Resolution)
	at := len(m.Cells)
	for at > 0 && m.Cells[at-1].Start > start {
		at--
	}
	if at == 0 || m.Cells[at-1].Start != start {
		if n := len(m.Cells); n == cap(m.Cells) { // append would leave up to half of it empty
			m.Cells = append(make([]Cell, 0, n+max(4, n/32)), m.Cells...)
		}
		m.Cells = slices.Insert(m.Cells, at, newCell(start))
		at++
	}
	m.Cells[at-1].add(p, m.Merging.HalfLife)
}

// floor returns the largest multiple of width that is not above t.
func floor(t, width int64) int64 {
	start := t - t%width
	if start > t {
		start -= width
	}
	return start
}

func newCell(start int64) Cell {
	return Cell{Start: start, First: math.MaxInt64, Last: math.MinInt64, Min: math.Inf(1), Max: math.Inf(-1), LastValue: math.NaN()}
}

// add adds an order of the cell's time.
func (c *Cell) add(p *Point, halfLife int64) {
	c.Orders++
	c.First = min(c.First, p.At)
	if p.At > c.Last || p.At == c.Last && c.LastArrival.Before(p.Arrival) {
		c.Last, c.LastValue, c.LastArrival = p.At, p.Value, p.Arrival
	}
	x := p.Value
	if x != x {
		return
	}
	c.Values++
	c.Min, c.Max = min(c.Min, x), max(c.Max, x)
	if halfLife > 0 {
		c.Sum.Add(x * weight(c.Start-p.At, halfLife))
		return
	}
	c.Sum.Add(x)
	c.Squares.addSquare(x)
}

// weight is 2^(-age/halfLife).
func weight(age, halfLife int64) float64 { return math.Exp2(-float64(age) / float64(halfLife)) }

// sight notes a value's last sighting.
func (m *Merged) sight(p *Point) {
	if p.Value != p.Value {
		return
	}
	hash := hashOf(p.Value + 0) // -0 is 0
	if !sampled(hash, m.Level) {
		return
	}
	at, known := slices.BinarySearchFunc(m.Sightings, hash, compareSighting)
	switch {
	case !known:
		m.Sightings = slices.Insert(m.Sightings, at, Sighting{Value: hash, At: p.At, Level: m.Level})
	case p.At >= m.Sightings[at].At:
		m.Sightings[at].At, m.Sightings[at].Level = p.At, m.Level
	}
}

func compareSighting(s Sighting, hash uint64) int {
	switch {
	case s.Value < hash:
		return -1
	case s.Value > hash:
		return 1
	default:
		return 0
	}
}

// sample makes the sample smaller when there are too many values, and lets it grow again when few are left.
func (m *Merged) sample() {
	if m.Level > 0 && len(m.Sightings) < maxSightings/4 {
		m.Level--
	}
	for len(m.Sightings) > maxSightings {
		m.Level++
		m.Sightings = slices.DeleteFunc(m.Sightings, func(s Sighting) bool { return !sampled(s.Value, m.Level) })
		for i := range m.Sightings {
			m.Sightings[i].Level = max(m.Sightings[i].Level, m.Level)
		}
	}
}

func sampled(hash uint64, level uint8) bool { return hash>>(64-level) == 0 }

// hashOf spreads a value's bits (the end of splitmix64; Steele, Lea, Flood 2014). It is one to one, so no two values share a hash.
func hashOf(value float64) uint64 {
	h := math.Float64bits(value)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
