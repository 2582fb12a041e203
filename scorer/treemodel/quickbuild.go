package treemodel

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sort"
)

// errTables says that tables would be larger than they may.
var errTables = errors.New("tables too large")

const (
	// freeTable is what a table of a line for every rank may have, whatever the model's size: a processor's nearer cache holds it.
	freeTable = 512 << 10
	// tableSplit is what it may have a split otherwise: beyond, lines would save fewer steps than their size in the caches costs. With all else a model
	// takes less than 1.2 times its text, which has some 110 bytes a split.
	tableSplit = 64
	// farUnit makes quickBuilder.far fine enough.
	farUnit = 256
)

// quickBuilder tabulates trees.
type quickBuilder struct {
	f      *forest
	scales []scale
	scale  []uint16 // :: feature → scale
	first  []uint32 // :: scale → the first of its classes
	far    uint64   // how seldom there are lines: see pace
	q      quick
	splits []quickSplit // of all runs
	used   uint32       // bits of the last word
	closed bool         // the last run takes no more
}

// quickSplit is a split, with what it does to its word.
type quickSplit struct {
	order uint64 // run (32 bits) · scale (16) · rank of its threshold (16)
	keeps uint64 // what is left of the word when the split sends a row right
	word  uint32
	node  int32
}

func (s *quickSplit) run() uint32   { return uint32(s.order >> 32) }
func (s *quickSplit) scale() uint16 { return uint16(s.order >> 16) }
func (s *quickSplit) rank() uint32  { return uint32(uint16(s.order)) }

// add packs tree t, of which each leaf takes a bit.
func (b *quickBuilder) add(t int) {
	f := b.f
	if b.splits == nil {
		b.splits = make([]quickSplit, 0, len(f.nodes))
	}
	first, count := f.leafRun(t)
	r := b.room(count)
	word := r.words - 1
	b.q.places = append(b.q.places, place(first)<<32|place(word)<<8|place(b.used))
	r.placesTo++
	f.each(f.roots[t], func(i int32) {
		n := &f.nodes[i]
		from, to := f.leftmost(i), f.leftmost(n.right)
		clears := (uint64(1)<<(to-from) - 1) << (from - first + b.used)
		s := quickSplit{order: uint64(len(b.q.runs)-1)<<32 | uint64(b.scale[n.feature])<<16, keeps: ^clears, word: word, node: i}
		if !n.kind.isCategorical() {
			s.order |= uint64(b.scales[s.scale()].rank(n.threshold))
		}
		b.splits = append(b.splits, s)
	})
	b.used += count
}

// room returns the run whose last word has so many bits left.
func (b *quickBuilder) room(bits uint32) *run {
	if len(b.q.runs) == 0 || b.closed {
		at := uint32(len(b.q.places))
		b.q.runs = append(b.q.runs, run{placesFrom: at, placesTo: at})
		b.used, b.closed = quickLeaves, false
	}
	r := &b.q.runs[len(b.q.runs)-1]
	if b.used+bits > quickLeaves {
		r.words++
		b.used = 0
	}
	return r
}

// end closes the run, so that the next tree begins another.
func (b *quickBuilder) end() { b.closed = true }

// finish makes the tables.
func (b *quickBuilder) finish() (quick, error) {
	q := &b.q
	classes := uint32(0)
	for i := range b.scales {
		b.first = append(b.first, classes)
		classes += b.scales[i].classes
	}
	b.first = append(b.first, classes) // what clears nothing
	classes++
	if 12*int(classes)*len(q.runs) > maxTables {
		return quick{}, errTables
	}
	q.cells = make([]cell, int(classes)*len(q.runs))
	slices.SortFunc(b.splits, func(x, y quickSplit) int { return cmp.Compare(x.order, y.order) })
	q.table = make([]uint64, 0, b.spread())
	rest := b.splits
	for i := range q.runs {
		n := 0
		for n < len(rest) && rest[n].run() == uint32(i) {
			n++
		}
		r := &q.runs[i]
		r.cells = uint32(i) * classes
		if err := b.fill(r, rest[:n]); err != nil {
			return quick{}, err
		}
		rest = rest[n:]
	}
	q.table, q.extras, q.asked, q.cells = slices.Clip(q.table), slices.Clip(q.extras), slices.Clip(q.asked), slices.Clip(q.cells)
	return *q, nil
}

// spread chooses how far apart lines are, as little as the size of the table allows, and returns the words of the table.
func (b *quickBuilder) spread() int {
	budget := max(freeTable, tableSplit*len(b.splits))
	const steps, most = 8, 40 // an octave; and from 2^40 on a scale has one line
	far := func(i int) uint64 { return uint64(math.Exp2(float64(i)/steps)) - 1 }
	b.far = far(sort.Search(most*steps, func(i int) bool { return 8*b.words(far(i)) <= budget }))
	return b.words(b.far)
}

// words returns how many words the table has.
func (b *quickBuilder) words(far uint64) int {
	words := 0
	for _, r := range b.q.runs {
		words += int(r.words)
	}
	for rest := b.splits; len(rest) > 0; {
		n := together(rest)
		words += b.scales[rest[0].scale()].lines(rest[:n], far) * int(b.q.runs[rest[0].run()].words)
		rest = rest[n:]
	}
	return words
}

// together returns how many splits there are of the first one's run and scale.
func together(splits []quickSplit) int {
	n := 1
	for n < len(splits) && splits[n].order>>16 == splits[0].order>>16 {
		n++
	}
	return n
}

// lines returns how many lines a scale has in a run with such splits.
func (s *scale) lines(splits []quickSplit, far uint64) int {
	if s.categories != nil {
		return int(s.classes)
	}
	lines, p := 1+int(s.zeroTo-s.zeroFrom), pace{most: far * uint64(s.nan) / farUnit}
	for class := range s.nan {
		n := 0
		for n < len(splits) && splits[n].rank() < class {
			n++
		}
		splits = splits[n:]
		if p.begins(n) {
			lines++
		}
	}
	return lines
}

// pace says at which ranks of a scale lines begin. Without a line a rank takes the line of one below, and all splits between cost a step each. A value is
// taken to be as likely in one rank as in the other, since who trains chooses thresholds so; of k ranks and n splits without a line, a row then has some
// n/2 steps in k of all ranks, and they are best spent where n × k of all ranks is alike everywhere: few in a feature of few values, and where there are
// many splits.
type pace struct{ most, splits, ranks uint64 }

// begins goes on to the next rank, where so many splits begin to send rows right.
func (p *pace) begins(splits int) bool {
	p.splits, p.ranks = p.splits+uint64(splits), p.ranks+1
	if p.splits*p.ranks <= p.most {
		return false
	}
	p.splits, p.ranks = 0, 0
	return true
}

// fill tabulates one run.
func (b *quickBuilder) fill(r *run, splits []quickSplit) error {
	q := &b.q
	r.askedFrom = uint32(len(q.asked))
	w := tabulator{q: q, line: make([]uint64, r.words), far: b.far}
	w.clear()
	w.none = uint32(len(q.table))
	q.table = append(q.table, w.line...)
	none := uint16(len(b.scales))
	q.cells[r.cells+b.first[none]] = cell{line: w.none}
	for len(splits) > 0 {
		n, s := together(splits), splits[0].scale()
		q.asked = append(q.asked, s)
		w.cells = q.cells[r.cells+b.first[s] : r.cells+b.first[s]+b.scales[s].classes]
		w.ranks(&b.scales[s], splits[:n])
		w.others(b.f, &b.scales[s], splits[:n])
		if 8*len(q.table)+16*len(q.extras) > maxTables {
			return errTables
		}
		splits = splits[n:]
	}
	for !even(len(q.asked) - int(r.askedFrom)) {
		q.asked = append(q.asked, none)
	}
	r.askedTo = uint32(len(q.asked))
	return nil
}

// even says whether n is eights, and then nothing, 2 or 4.
func even(n int) bool { return n%8 <= 4 && n%2 == 0 }

// tabulator writes the lines of one run.
type tabulator struct {
	q       *quick
	cells   []cell // of the scale's classes
	line    []uint64
	none    uint32 // the line that clears nothing
	touched bool
	far     uint64
}

func (w *tabulator) clear() {
	for i := range w.line {
		w.line[i] = math.MaxUint64
	}
	w.touched = false
}

// take lets a split send its word right.
func (w *tabulator) take(s *quickSplit) {
	w.line[s.word] &= s.keeps
	w.touched = true
}

// write adds the line to the table.
func (w *tabulator) write() uint32 {
	if !w.touched {
		return w.none
	}
	at := uint32(len(w.q.table))
	w.q.table = append(w.q.table, w.line...)
	return at
}

// ranks writes the lines of the ranks. The splits are in the order of their ranks, and what one rank sends right the next one does too.
func (w *tabulator) ranks(s *scale, splits []quickSplit) {
	if s.categories != nil {
		return
	}
	w.clear()
	next, line, from, p := 0, w.none, uint32(len(w.q.extras)), pace{most: w.far * uint64(s.nan) / farUnit}
	for class := range s.nan {
		before := next
		for ; next < len(splits) && splits[next].rank() < class; next++ {
			w.take(&splits[next])
		}
		if p.begins(next - before) {
			line, from = w.write(), uint32(len(w.q.extras))
		} else {
			for _, x := range splits[before:next] {
				w.q.extras = append(w.q.extras, extra{keeps: x.keeps, word: x.word})
			}
		}
		w.cells[class] = cell{line: line, from: from, to: uint32(len(w.q.extras))}
	}
}

// others writes the lines of NaN, of zeros that are missing, and of categories: what each split says of each of them.
func (w *tabulator) others(f *forest, s *scale, splits []quickSplit) {
	for class := range s.classes {
		if s.categories == nil && class != s.nan && (class < s.zeroFrom || class >= s.zeroTo) {
			continue
		}
		w.clear()
		for i := range splits {
			if !f.decide(&f.nodes[splits[i].node], s.shown[class]) {
				w.take(&splits[i])
			}
		}
		w.cells[class] = cell{line: w.write()}
	}
}
