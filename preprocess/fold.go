package preprocess

import (
	"math"
	"math/big"
	"slices"
	"sort"
)

// of computes the window. NaN is missing.
func (w *window) of(v *viewer, s *sight) float64 {
	from, until := w.span(v)
	if w.resolution > 0 {
		return w.ofMerged(v, s, from, until)
	}
	if w.what == fraudRate || w.what == frauds {
		return w.ofLabels(v, s, from, until)
	}
	in := w.orders(v, s, from, until)
	switch w.what {
	case count:
		return float64(len(in))
	case sum, mean, stddev:
		return w.moment(in)
	case minimum, maximum:
		low, high := extremes(in)
		return w.extreme(low, high)
	case distinct:
		return float64(s.room.distinct(in))
	case sinceFirst:
		if len(in) == 0 {
			return math.NaN()
		}
		return seconds(v.at - in[0].At)
	case last, sinceLast, lastFraud:
		return w.latest(v, s, in)
	case decayedSum, decayedCount:
		total := 0.0
		for i := range in {
			if x := w.weighed(&in[i], v.at); x == x {
				total += x
			}
		}
		return finite(total)
	default:
		return math.NaN() // unreachable: the rest was done above
	}
}

// moment is the sum, mean or standard deviation of the values that are not missing.
func (w *window) moment(in []Point) float64 {
	total, n := 0.0, 0
	for i := range in {
		if x := in[i].Value; x == x {
			total += x
			n++
		}
	}
	switch w.what {
	case sum:
		return finite(total)
	case mean:
		return finite(total / float64(n)) // 0/0 is NaN: nothing to aggregate
	default:
		return deviation(in, total/float64(n), float64(n))
	}
}

// deviation is the standard deviation of the population, by two passes: nothing cancels, however far the values lie from 0. What rounding left in the mean is
// taken out again by the second term (Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", 1.7).
func deviation(in []Point, mean, n float64) float64 {
	squares, rest := 0.0, 0.0
	for i := range in {
		if x := in[i].Value; x == x {
			d := x - mean
			squares += d * d
			rest += d
		}
	}
	return finite(math.Sqrt(max(0, squares-rest*rest/n) / n))
}

func extremes(in []Point) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i := range in {
		if x := in[i].Value; x == x {
			low, high = min(low, x), max(high, x)
		}
	}
	return low, high
}

func (w *window) extreme(low, high float64) float64 {
	if w.what == minimum {
		return finite(low) // infinite: there was none
	}
	return finite(high)
}

// latest is of the latest order, of those of one time the last to arrive; the viewer is left out (the reader sees to it).
func (w *window) latest(v *viewer, s *sight, in []Point) float64 {
	if len(in) == 0 {
		return math.NaN()
	}
	p := &in[len(in)-1]
	for i := len(in) - 2; i >= 0 && in[i].At == p.At; i-- {
		if p.Arrival.Before(in[i].Arrival) {
			p = &in[i]
		}
	}
	switch w.what {
	case sinceLast:
		return seconds(v.at - p.At)
	case last:
		return p.Value
	default:
		l := labels{s.marks[MarkAfter(s.marks, p.At-1):]}
		if l.fraud(p, v.at) {
			return 1
		}
		return 0
	}
}

func seconds(micros int64) float64 { return float64(micros) / 1e6 }

// weighed is what a point adds to a decayed aggregate.
func (w *window) weighed(p *Point, at int64) float64 {
	if w.what == decayedCount {
		return weight(at-p.At, w.halfLife)
	}
	return p.Value * weight(at-p.At, w.halfLife)
}

// distinct counts different values, in a table of one piece of memory.
func (r *room) distinct(in []Point) int {
	table, n := r.emptyTable(len(in)), 0
	for i := range in {
		if x := in[i].Value; x == x && insert(table, hashOf(x+0)) { // -0 is 0
			n++
		}
	}
	return n
}

// emptyTable is for up to n hashes.
func (r *room) emptyTable(n int) []uint64 {
	size := 16
	for size < 2*n {
		size *= 2
	}
	if cap(r.table) < size {
		r.table = make([]uint64, size)
	}
	clear(r.table[:size])
	return r.table[:size]
}

// insert puts a hash into a table of open addressing, and says whether it is new. 0 is an empty place: it stands for another number, which is as rare.
func insert(table []uint64, hash uint64) bool {
	hash = max(hash, 1)
	at := int(hash) & (len(table) - 1)
	for ; table[at] != 0; at = (at + 1) & (len(table) - 1) {
		if table[at] == hash {
			return false
		}
	}
	table[at] = hash
	return true
}

// ofLabels is how many orders, or which part of them, were known to be fraud at the viewer's time.
func (w *window) ofLabels(v *viewer, s *sight, from, until int64) float64 {
	in := w.orders(v, s, from, until)
	n, marks := 0, labels{s.marks[MarkAfter(s.marks, from):]}
	for i := range in {
		if len(marks.rest) == 0 {
			break
		}
		if marks.fraud(&in[i], v.at) {
			n++
		}
	}
	return w.share(n, int64(len(in)))
}

func (w *window) share(known int, orders int64) float64 {
	switch {
	case w.what == frauds:
		return float64(known)
	case orders == 0:
		return math.NaN()
	default:
		return float64(known) / float64(orders)
	}
}

// ofMerged computes the window over a merged column: whole cells, and the points that are not merged. A cell that holds what the viewer may not see is left out.
func (w *window) ofMerged(v *viewer, s *sight, from, until int64) float64 {
	in := w.orders(v, s, from, until)
	if w.what == distinct {
		return s.room.distinctMerged(in, s.view.Sightings, from, until)
	}
	cells := s.view.Cells
	cells = cells[sort.Search(len(cells), func(i int) bool { return cells[i].Start > from }):]
	for i := len(cells) - 1; i >= 0 && cells[i].Start == cells[len(cells)-1].Start; i-- { // of one start there may be several, of different sources
		if cells[i].Last > until {
			cells = whole(cells, until)
			break
		}
	}
	if w.halfLife > 0 {
		return w.decayedMerged(v, in, cells)
	}
	all := newCell(0)
	for i := range in {
		all.add(&in[i], 0)
	}
	w.gather(&all, cells)
	if w.what == frauds || w.what == fraudRate {
		return w.share(w.fraudsMerged(v, s, in, cells, from, until), all.Orders)
	}
	return w.ofCell(v, &all)
}

// fraudsMerged counts the orders known to be fraud: of points those in the window, of merged orders those of the cells that count.
func (w *window) fraudsMerged(v *viewer, s *sight, in []Point, cells []Cell, from, until int64) int {
	marks := s.marks[MarkAfter(s.marks, from):MarkAfter(s.marks, until)]
	points, seen, n := s.view.Points, labels{marks}, 0
	for i := range in {
		if seen.fraud(&in[i], v.at) {
			n++
		}
	}
	for len(marks) > 0 {
		order := Point{At: marks[0].At, Ref: &Ref{ID: marks[0].ID}}
		var fraud bool
		fraud, marks = verdictAt(marks, v.at)
		for len(points) > 0 && points[0].Before(&order) {
			points = points[1:]
		}
		for len(cells) > 0 && cells[0].Start+w.resolution <= order.At {
			cells = cells[1:]
		}
		merged := len(cells) > 0 && cells[0].Start <= order.At
		isPoint := len(points) > 0 && points[0].At == order.At && points[0].ID == order.ID
		own := string(order.ID) == v.id && w.others // delivered again, long after
		if fraud && merged && !isPoint && !own {
			n++
		}
	}
	return n
}

// whole leaves out the cells that hold what lies after until.
func whole(cells []Cell, until int64) []Cell {
	return slices.DeleteFunc(slices.Clone(cells), func(c Cell) bool { return c.Last > until })
}

// gather adds up what the aggregate needs of the cells, and no more: there may be thousands.
func (w *window) gather(all *Cell, cells []Cell) {
	switch w.what {
	case sum, mean, stddev:
		all.Sum, all.Values = total(all.Sum, cells), all.Values+values(cells)
		if w.what == stddev {
			for i := range cells {
				all.Squares.Plus(cells[i].Squares)
			}
		}
	case minimum, maximum:
		for i := range cells {
			all.Min, all.Max = min(all.Min, cells[i].Min), max(all.Max, cells[i].Max)
		}
	default:
		n := int64(0)
		for i := range cells {
			n += cells[i].Orders
		}
		all.Orders += n
		w.ends(all, cells)
	}
}

// total is Total.Plus over all cells, kept in registers: of each step but one addition waits for the step before.
func total(t Total, cells []Cell) Total {
	high, low := t.High, t.Low
	for i := range cells {
		x := &cells[i].Sum
		s := high + x.High
		low += lost(high, x.High, s) + x.Low
		high = s
	}
	return Total{High: high, Low: low}
}

func values(cells []Cell) int64 {
	n := int64(0)
	for i := range cells {
		n += cells[i].Values
	}
	return n
}

// ends finds the earliest and the latest order: of the first and the last start, at which there may be cells of several sources.
func (w *window) ends(all *Cell, cells []Cell) {
	if len(cells) == 0 {
		return
	}
	for i := 0; i < len(cells) && cells[i].Start == cells[0].Start; i++ {
		all.First = min(all.First, cells[i].First)
	}
	newest := len(cells) - 1
	for i := newest; i >= 0 && cells[i].Start == cells[newest].Start; i-- {
		if c := &cells[i]; c.Last > all.Last || c.Last == all.Last && all.LastArrival.Before(c.LastArrival) {
			all.Last, all.LastValue, all.LastArrival = c.Last, c.LastValue, c.LastArrival
		}
	}
}

func (w *window) ofCell(v *viewer, all *Cell) float64 {
	switch w.what {
	case count:
		return float64(all.Orders)
	case sum:
		return finite(all.Sum.Value())
	case mean:
		return finite(all.Sum.Value() / float64(all.Values))
	case stddev:
		return all.deviation()
	case minimum, maximum:
		return w.extreme(all.Min, all.Max)
	default: // what needs an order
	}
	switch {
	case all.Orders == 0:
		return math.NaN()
	case w.what == sinceFirst:
		return seconds(v.at - all.First)
	case w.what == sinceLast:
		return seconds(v.at - all.Last)
	default:
		return all.LastValue
	}
}

// deviation is the standard deviation of the population. n·Σx² - (Σx)² cancels where the values lie far from 0, so it is computed with 300 bits.
func (c *Cell) deviation() float64 {
	if c.Values == 0 || math.IsInf(c.Squares.High, 0) || math.IsInf(c.Sum.High, 0) {
		return math.NaN()
	}
	exact := func(t Total) *big.Float {
		f := new(big.Float).SetPrec(300).SetFloat64(t.High)
		return f.Add(f, new(big.Float).SetFloat64(t.Low))
	}
	n, sum, squares := new(big.Float).SetPrec(300).SetInt64(c.Values), exact(c.Sum), exact(c.Squares)
	squares.Mul(squares, n)
	squares.Sub(squares, sum.Mul(sum, sum))
	variance, _ := squares.Quo(squares, n.Mul(n, n)).Float64()
	return finite(math.Sqrt(max(0, variance)))
}

func (w *window) decayedMerged(v *viewer, in []Point, cells []Cell) float64 {
	var all Total
	for i := range cells {
		all.Plus(cells[i].Sum.times(weight(v.at-cells[i].Start, w.halfLife)))
	}
	for i := range in {
		if x := w.weighed(&in[i], v.at); x == x {
			all.Add(x)
		}
	}
	return finite(all.Value())
}

// distinctMerged counts the values of points, and adds those of sightings that are not among them: each for as many as it was drawn from.
func (r *room) distinctMerged(in []Point, sightings []Sighting, from, until int64) float64 {
	table, total := r.emptyTable(len(in)+len(sightings)), 0.0
	for i := range in {
		if x := in[i].Value; x == x && insert(table, hashOf(x+0)) {
			total++
		}
	}
	for len(sightings) > 0 {
		value, level, within := sightings[0].Value, uint8(64), false
		for len(sightings) > 0 && sightings[0].Value == value { // of several sources: the widest sample that it is in tells how rare it is to be here
			if s := &sightings[0]; s.At > from && s.At <= until {
				level, within = min(level, s.Level), true
			}
			sightings = sightings[1:]
		}
		if within && insert(table, value) {
			total += float64(uint64(1) << level)
		}
	}
	return total
}
