package treemodel

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// errTables says that tables would be larger than they may.
var errTables = errors.New("tables too large")

const (
	// fewWords is how many words a model may have to be one tile.
	fewWords = 96
	// tileWords is how many words a tile has otherwise.
	tileWords = 16
)

// quickBuilder tabulates trees.
type quickBuilder struct {
	f      *forest
	scales []scale
	scale  []uint16 // :: feature → scale
	first  []uint32 // :: scale → its first line
	lines  uint32
	limit  uint32 // words of a tile, at most
	q      quick
	splits []quickSplit // of all tiles
	used   uint32       // bits of the last word
	closed bool         // the last tile takes no more
}

// quickSplit is a split, with what it does to its word.
type quickSplit struct {
	order uint64 // tile (32 bits) · scale (16) · rank of its threshold (16)
	keeps uint64 // what is left of the word when the split sends a row right
	word  uint32 // of the tile
	node  int32
}

func (s *quickSplit) tile() uint32  { return uint32(s.order >> 32) }
func (s *quickSplit) scale() uint16 { return uint16(s.order >> 16) }
func (s *quickSplit) rank() uint32  { return uint32(uint16(s.order)) }

// add packs tree t, of which each leaf takes a bit.
func (b *quickBuilder) add(t int) {
	f := b.f
	first, count := f.leafRun(t)
	tile := b.room(count)
	word := tile.words - 1
	b.q.places = append(b.q.places, place(first)<<32|place(word)<<8|place(b.used))
	tile.placesTo++
	f.each(f.roots[t], func(i int32) {
		n := &f.nodes[i]
		from, to := f.leftmost(i), f.leftmost(n.right)
		run := (uint64(1)<<(to-from) - 1) << (from - first + b.used)
		s := quickSplit{order: uint64(len(b.q.tiles)-1)<<32 | uint64(b.scale[n.feature])<<16, keeps: ^run, word: word, node: i}
		if !n.kind.isCategorical() {
			s.order |= uint64(b.scales[s.scale()].rank(n.threshold))
		}
		b.splits = append(b.splits, s)
	})
	b.used += count
}

// room returns the tile whose last word has so many bits left.
func (b *quickBuilder) room(bits uint32) *tile {
	if n := len(b.q.tiles); n == 0 || b.closed || b.used+bits > quickLeaves && b.q.tiles[n-1].words == b.limit {
		at := uint32(len(b.q.places))
		b.q.tiles = append(b.q.tiles, tile{placesFrom: at, placesTo: at})
		b.used, b.closed = quickLeaves, false
	}
	tile := &b.q.tiles[len(b.q.tiles)-1]
	if b.used+bits > quickLeaves {
		tile.words++
		b.used = 0
	}
	return tile
}

// end closes the tile, so that the next tree begins another.
func (b *quickBuilder) end() { b.closed = true }

// finish makes the tables.
func (b *quickBuilder) finish() (quick, error) {
	q := &b.q
	q.width = uint32(len(q.tiles))
	if 2*int(b.lines)*len(q.tiles) > maxTables {
		return quick{}, errTables
	}
	q.index = make([]uint16, int(b.lines)*len(q.tiles))
	slices.SortFunc(b.splits, func(x, y quickSplit) int { return cmp.Compare(x.order, y.order) })
	rest := b.splits
	for t := range q.tiles {
		n := 0
		for n < len(rest) && rest[n].tile() == uint32(t) {
			n++
		}
		if err := b.fill(uint32(t), rest[:n]); err != nil {
			return quick{}, err
		}
		rest = rest[n:]
	}
	b.splits, q.patterns, q.scales = nil, slices.Clip(q.patterns), slices.Clip(q.scales)
	return *q, nil
}

// fill tabulates one tile.
func (b *quickBuilder) fill(t uint32, splits []quickSplit) error {
	q := &b.q
	tile := &q.tiles[t]
	tile.patterns, tile.scalesFrom = uint32(len(q.patterns)), uint32(len(q.scales))
	w := tabulator{q: q, tile: tile, pattern: make([]uint64, tile.words)}
	w.clear()
	q.patterns = append(q.patterns, w.pattern...)
	for len(splits) > 0 {
		n := 1
		for n < len(splits) && splits[n].scale() == splits[0].scale() {
			n++
		}
		s := splits[0].scale()
		q.scales = append(q.scales, s)
		w.at = b.first[s]*q.width + t
		if err := b.tabulate(&w, &b.scales[s], splits[:n]); err != nil {
			return err
		}
		splits = splits[n:]
	}
	tile.scalesTo = uint32(len(q.scales))
	return nil
}

// tabulate writes what each class of one scale leaves of one tile. The splits are in the order of their ranks, and what a rank sends right the next one
// does too; NaN, zeros that are missing, and categories are each looked at anew.
func (b *quickBuilder) tabulate(w *tabulator, s *scale, splits []quickSplit) error {
	w.clear()
	next := 0
	for class := range s.nan {
		if s.categories != nil || class >= s.zeroFrom && class < s.zeroTo {
			continue
		}
		for ; next < len(splits) && splits[next].rank() < class; next++ {
			w.take(&splits[next])
		}
		if err := w.write(class); err != nil {
			return err
		}
	}
	for class := range s.classes {
		if s.categories == nil && class != s.nan && (class < s.zeroFrom || class >= s.zeroTo) {
			continue
		}
		w.clear()
		for i := range splits {
			if !b.f.decide(&b.f.nodes[splits[i].node], s.shown[class]) {
				w.take(&splits[i])
			}
		}
		if err := w.write(class); err != nil {
			return err
		}
	}
	return nil
}

// tabulator writes the patterns of one tile.
type tabulator struct {
	q       *quick
	tile    *tile
	at      uint32 // where the index of the scale's classes begins
	pattern []uint64
	touched bool
}

func (w *tabulator) clear() {
	for i := range w.pattern {
		w.pattern[i] = math.MaxUint64
	}
	w.touched = false
}

// take lets a split send its word right.
func (w *tabulator) take(s *quickSplit) {
	w.pattern[s.word] &= s.keeps
	w.touched = true
}

// write makes the pattern that of a class. Only the one before it is looked at for the same: classes that are alike follow each other.
func (w *tabulator) write(class uint32) error {
	q, n := w.q, len(w.pattern)
	at := 0
	if w.touched {
		if last := q.patterns[len(q.patterns)-n:]; !slices.Equal(last, w.pattern) {
			q.patterns = append(q.patterns, w.pattern...)
		}
		at = (len(q.patterns)-int(w.tile.patterns))/n - 1
	}
	if at > math.MaxUint16 || 8*len(q.patterns) > maxTables {
		return errTables
	}
	q.index[w.at+class*q.width] = uint16(at)
	return nil
}
