package preprocess

import (
	"math"
	"slices"
)

// This file and fold.go are the one implementation of windows. They are pure: stores keep points and show them, and what a window means is decided
// here alone. This file tells which orders are in a window; fold.go makes a number of them.
//
// What an exact window gives is computed anew for each order, from its points in the order (At, ID). So it does not depend on the order of arrival, and
// there is no running total whose rounding could drift. A merged column's totals carry twice the precision of a double instead (Total).

// viewer is the order that looks.
type viewer struct {
	at      int64
	id      string
	arrival Arrival // of the visit that holds its id
	again   bool    // it was here before, so that what came after it may be there too
}

// sees says whether a point counts that lies in the window: what lies at the viewer's own time does if it arrived before, and itself unless others.
func (v *viewer) sees(p *Point, others bool) bool {
	switch {
	case string(p.ID) == v.id:
		return !others
	case !bugSeesLater && v.again && p.Arrival.Source == v.arrival.Source && p.Arrival.Offset > v.arrival.Offset:
		return false
	default:
		return p.At < v.at || p.Arrival.Before(v.arrival)
	}
}

// sight is what a window is computed from.
type sight struct {
	view    *View
	own     *Point  // the viewer's own point when the column does not have it yet; nil: it has it, or there is none
	codes   []Point // for windows with codes: for which label each order counts
	ownCode float64 // and the viewer itself, when codes do not have it yet
	marks   []Mark
	room    *room
}

// room is memory to work in, used again by the next window.
type room struct {
	seen    []Point
	counted []Point
	table   []uint64
}

// span returns the window's ends: it is over (from, until].
func (w *window) span(v *viewer) (from, until int64) {
	until = v.at - w.delay
	from = until - w.width
	if w.resolution > 0 {
		// The far edge moves to the nearest bound of cells, so by half a resolution at most, whether or not anything is merged there.
		from = floor(from+w.resolution/2, w.resolution) - 1
	}
	return from, until
}

// orders returns the points that are in the window: a part of the view, or a copy in the room.
func (w *window) orders(v *viewer, s *sight, from, until int64) []Point {
	points := s.view.Points
	points = points[pointAfter(points, from):pointAfter(points, until)]
	if w.delay == 0 || v.again {
		points = w.visible(v, s, points)
	}
	if w.codes < 0 {
		return points
	}
	return w.labelled(v, s, points)
}

// visible leaves out what the viewer does not see, and puts its own point in.
func (w *window) visible(v *viewer, s *sight, points []Point) []Point {
	own := s.own != nil && !w.others && w.delay == 0
	if !v.again && !own {
		// Nearly always nothing but the viewer itself lies at its own time, and that last.
		n := len(points)
		if n == 0 || points[n-1].At < v.at {
			return points
		}
		if string(points[n-1].ID) == v.id && (n == 1 || points[n-2].At < v.at) {
			if w.others {
				return points[:n-1]
			}
			return points
		}
	}
	seen := s.room.seen[:0]
	for i := range points {
		if p := &points[i]; v.sees(p, w.others || own) {
			seen = append(seen, *p)
		}
	}
	if own {
		at := len(seen)
		for at > 0 && s.own.Before(&seen[at-1]) {
			at--
		}
		seen = slices.Insert(seen, at, *s.own)
	}
	s.room.seen = seen
	return seen
}

// labelled returns the orders that count with the label that they had at the viewer's time.
func (w *window) labelled(v *viewer, s *sight, points []Point) []Point {
	counted := s.room.counted[:0]
	codes, marks := s.codes, labels{s.marks}
	for i := range points {
		p := &points[i]
		for len(codes) > 0 && codes[0].Before(p) {
			codes = codes[1:]
		}
		code := 0
		switch {
		case string(p.ID) == v.id && s.ownCode != 0:
			code = int(s.ownCode)
		case len(codes) > 0 && codes[0].ID == p.ID && codes[0].At == p.At:
			code = int(codes[0].Value)
		}
		switch code {
		case ifFraud | ifGenuine:
			counted = append(counted, *p)
		case ifFraud, ifGenuine:
			if marks.fraud(p, v.at) == (code == ifFraud) {
				counted = append(counted, *p)
			}
		}
	}
	s.room.counted = counted
	return counted
}

// labels goes through marks beside points, both ascending by (At, ID).
type labels struct{ rest []Mark }

// fraud says whether the order of p was known to be fraud at t.
func (l *labels) fraud(p *Point, t int64) bool {
	for len(l.rest) > 0 && (l.rest[0].At < p.At || l.rest[0].At == p.At && l.rest[0].ID < p.ID) {
		l.rest = l.rest[1:]
	}
	if len(l.rest) == 0 || l.rest[0].At != p.At || l.rest[0].ID != p.ID {
		return false
	}
	fraud, _ := verdictAt(l.rest, t)
	return fraud
}

// verdictAt says whether the first mark's order counts as fraud at t, and returns the marks of the other orders. The label with the latest Known at or
// before t decides; of two with the same Known, the fraud.
func verdictAt(marks []Mark, t int64) (fraud bool, rest []Mark) {
	first, known := marks[0], int64(math.MinInt64)
	for len(marks) > 0 && marks[0].At == first.At && marks[0].ID == first.ID {
		switch m := marks[0]; {
		case m.Known > t || m.Known < known:
		case m.Known == known:
			fraud = fraud || m.Fraud
		default:
			known, fraud = m.Known, m.Fraud
		}
		marks = marks[1:]
	}
	return fraud, marks
}

// pointAfter returns the place of the first point later than t. (slices.BinarySearchFunc copies each point that it looks at: half as fast.)
func pointAfter(points []Point, t int64) int {
	// Most often the store has cut the view just there.
	n := len(points)
	switch {
	case n == 0 || points[n-1].At <= t:
		return n
	case points[0].At > t:
		return 0
	}
	low, high := 1, n-1
	for low < high {
		if mid := int(uint(low+high) >> 1); points[mid].At <= t {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// finite returns f, missing where it is infinite.
func finite(f float64) float64 {
	if math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}
