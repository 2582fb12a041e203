package preprocess

import (
	"math"

	"verdict/schemas"
)

// This file is the one implementation of windows. It is pure: stores keep points and give them back, and what a window means is decided here alone.
//
// Sums are added up anew for each order, oldest point first, in the order (At, ID). So they do not depend on the order of arrival, and there is no
// running total whose rounding could drift.

// viewer is the order that looks at a window.
type viewer struct {
	at      int64
	id      schemas.OrderID
	arrival Arrival // of the visit that holds its id
}

// sees says whether a point at the viewer's own time counts: those that arrived before it do, and itself.
func (v *viewer) sees(p *Point, others bool) bool {
	if p.ID == v.id {
		return !others
	}
	return p.Arrival.Before(v.arrival)
}

// of computes the window from the points and marks of a span that covers it. NaN is missing.
func (w *window) of(v *viewer, points []Point, marks []Mark) float64 {
	until := v.at - w.delay
	from := until - w.width
	points = points[pointAfter(points, from):pointAfter(points, until)]
	// With a delay all of these are of the past; without one the last may be of the viewer's own time.
	past := points
	var tied []Point
	if w.delay == 0 {
		edge := pointAfter(points, until-1)
		past, tied = points[:edge], points[edge:]
	}
	switch w.what {
	case count:
		return float64(len(past) + w.countTied(v, tied))
	case sum:
		total, _ := w.total(v, past, tied)
		return finite(total)
	case mean:
		total, n := w.total(v, past, tied)
		return finite(total / float64(n)) // 0/0 is NaN: nothing to aggregate
	case frauds:
		return float64(w.frauds(v, marks, from, until, tied))
	case fraudRate:
		n := len(past) + w.countTied(v, tied)
		if n == 0 {
			return math.NaN()
		}
		return float64(w.frauds(v, marks, from, until, tied)) / float64(n)
	}
	return math.NaN() // unreachable: the reader makes no other
}

func (w *window) countTied(v *viewer, tied []Point) int {
	n := 0
	for i := range tied {
		if v.sees(&tied[i], w.others) {
			n++
		}
	}
	return n
}

// total adds up the values that are not missing, and counts them.
func (w *window) total(v *viewer, past, tied []Point) (total float64, n int) {
	for i := range past {
		if x := past[i].Value; x == x {
			total += x
			n++
		}
	}
	for i := range tied {
		if x := tied[i].Value; x == x && v.sees(&tied[i], w.others) {
			total += x
			n++
		}
	}
	return total, n
}

// frauds counts the orders of (from, until] that were known to be fraud at the viewer's time.
func (w *window) frauds(v *viewer, marks []Mark, from, until int64, tied []Point) int {
	marks = marks[markAfter(marks, from):markAfter(marks, until)]
	n := 0
	for len(marks) > 0 {
		m := marks[0]
		var fraud bool
		fraud, marks = verdictAt(marks, v.at)
		if fraud && (m.At != v.at || w.delay > 0 || w.seesTied(v, m.ID, tied)) {
			n++
		}
	}
	return n
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

// seesTied says whether the order of a mark at the viewer's own time counts.
func (w *window) seesTied(v *viewer, id schemas.OrderID, tied []Point) bool {
	for i := range tied {
		if tied[i].ID == id {
			return v.sees(&tied[i], w.others)
		}
	}
	return false
}

// pointAfter returns the place of the first point later than t. (slices.BinarySearchFunc copies each point that it looks at: half as fast.)
func pointAfter(points []Point, t int64) int {
	low, high := 0, len(points)
	for low < high {
		if mid := int(uint(low+high) >> 1); points[mid].At <= t {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// markAfter returns the place of the first mark later than t.
func markAfter(marks []Mark, t int64) int {
	low, high := 0, len(marks)
	for low < high {
		if mid := int(uint(low+high) >> 1); marks[mid].At <= t {
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
