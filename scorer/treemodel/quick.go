package treemodel

import "math"

// quick is the kernel for trees of up to 64 leaves: QuickScorer (Lucchese et al., SIGIR 2015), with all that a feature can say tabulated by the class of
// its value. A tree is a run of bits, one a leaf from left to right. A split that sends the row right clears the leaves on its left; what is lowest of the
// bits that all splits leave is the leaf that the row falls into. So a row takes one line of each feature, and the lines are combined with AND.
//
// Trees are packed into words in file order. In large models not every rank has a line, and the splits between that of a rank below and the row's own rank
// clear their leaves one by one: the tables stay below the size of the model, and in nearer caches, for little work.
type quick struct {
	runs   []run
	asked  []uint16 // of all runs: the scales that their trees ask, and none of them, which clears nothing, to make the number even
	cells  []cell   // :: run × classes + class → what it does, the classes of all scales being numbered one after the other
	table  []uint64 // of lines
	extras []extra
	places []place // of all trees, in file order
}

// run is trees that follow each other in the file.
type run struct {
	words                uint32 // of a line
	cells                uint32 // where its cells begin
	askedFrom, askedTo   uint32
	placesFrom, placesTo uint32
}

// cell is what a class does: a line, which begins at line, and extras.
type cell struct{ line, from, to uint32 }

// extra is a split that sends the row right.
type extra struct {
	keeps uint64 // what it leaves of its word
	word  uint32
}

// place is where a tree's bits are: its first leaf (32 bits) · the word (24) · the bit there (8).
type place uint64

const (
	quickLeaves = 64
	maxWords    = 1<<24 - 1
)

// addQuick adds the leaves that a row falls into in a run, in T's arithmetic. classes are the row's, by scale. It is for sums of one output.
func addQuick[T float32 | float64](q *quick, leaves []float64, r *run, classes []uint32, words []uint64, sum T) T {
	q.and(r, classes, words)
	for _, p := range q.places[r.placesFrom:r.placesTo] {
		sum += T(leaves[p.exit(words)])
	}
	return sum
}

// exits writes the leaves that a row falls into in a run.
func (q *quick) exits(r *run, classes []uint32, words []uint64, exits []uint32) {
	q.and(r, classes, words)
	for i, p := range q.places[r.placesFrom:r.placesTo] {
		exits[i] = p.exit(words)
	}
}

// exit returns the leaf whose bit is the tree's lowest.
func (p place) exit(words []uint64) uint32 {
	w := words[p>>8&maxWords] >> (p & 63)
	return uint32(p>>32) + uint32(lowest[(w&-w)*deBruijn>>58])
}

// Every six bits of deBruijn are others, so that a power of two times it has its exponent's own six on top: bits.TrailingZeros64, which for processors of
// 2003 is compiled to an instruction that later ones run slowly.
const deBruijn = 0x03f79d71b4ca8b09

var lowest = [64]uint8{
	0, 1, 56, 2, 57, 49, 28, 3, 61, 58, 42, 50, 38, 29, 17, 4, 62, 47, 59, 36, 45, 43, 51, 22, 53, 39, 33, 30, 24, 18, 12, 5,
	63, 55, 48, 27, 60, 41, 37, 16, 46, 35, 44, 21, 52, 32, 23, 11, 54, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
}

// and combines what all features that the run's trees ask leave, up to eight lines at once. The builder has filled the list of features up to what comes
// out even.
func (q *quick) and(r *run, classes []uint32, words []uint64) {
	words = words[:r.words]
	for i := range words {
		words[i] = math.MaxUint64
	}
	cells, asked := q.cells[r.cells:], q.asked[r.askedFrom:r.askedTo]
	line := func(s uint16) []uint64 {
		from := cells[classes[s]].line
		return q.table[from : from+uint32(len(words))]
	}
	rest := asked
	for len(rest) >= 8 {
		s := rest[:8]
		and8(words, line(s[0]), line(s[1]), line(s[2]), line(s[3]), line(s[4]), line(s[5]), line(s[6]), line(s[7]))
		rest = rest[8:]
	}
	if len(rest) >= 4 {
		s := rest[:4]
		and4(words, line(s[0]), line(s[1]), line(s[2]), line(s[3]))
		rest = rest[4:]
	}
	if len(rest) >= 2 {
		and2(words, line(rest[0]), line(rest[1]))
	}
	if len(q.extras) == 0 {
		return
	}
	for _, s := range asked {
		c := &cells[classes[s]]
		extras := q.extras[c.from:c.to]
		for i := range extras {
			words[extras[i].word] &= extras[i].keeps
		}
	}
}

func and8(out, a, b, c, d, e, f, g, h []uint64) {
	a, b, c, d, e, f, g, h = a[:len(out)], b[:len(out)], c[:len(out)], d[:len(out)], e[:len(out)], f[:len(out)], g[:len(out)], h[:len(out)]
	for i := range out {
		out[i] &= a[i] & b[i] & c[i] & d[i] & e[i] & f[i] & g[i] & h[i]
	}
}

func and4(out, a, b, c, d []uint64) {
	a, b, c, d = a[:len(out)], b[:len(out)], c[:len(out)], d[:len(out)]
	for i := range out {
		out[i] &= a[i] & b[i] & c[i] & d[i]
	}
}

func and2(out, a, b []uint64) {
	a, b = a[:len(out)], b[:len(out)]
	for i := range out {
		out[i] &= a[i] & b[i]
	}
}

// leafRun returns a tree's first leaf, and how many it has.
func (f *forest) leafRun(t int) (first, count uint32) {
	first, end := f.leftmost(f.roots[t]), uint32(f.leafCount())
	if t+1 < len(f.roots) {
		end = f.leftmost(f.roots[t+1])
	}
	return first, end - first
}

// leftmost returns the first leaf below at.
func (f *forest) leftmost(at int32) uint32 {
	for at >= 0 {
		at = f.nodes[at].left
	}
	return uint32(^at)
}

// each calls do with every split from at downwards, a split before those below it.
func (f *forest) each(at int32, do func(node int32)) {
	stack := []int32{at}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at >= 0 {
			do(at)
			stack = append(stack, f.nodes[at].right, f.nodes[at].left)
		}
	}
}
