package treemodel

import "math"

// quick is the kernel for trees of up to 64 leaves: QuickScorer (Lucchese et al., SIGIR 2015), with all that a feature can say tabulated by the class of
// its value. A tree is a run of bits, one a leaf from left to right. A split that sends the row right clears the leaves on its left; what is lowest of the
// bits that all splits leave is the leaf that the row falls into. So a row takes one line of each feature, and the lines are combined with AND.
//
// Trees are packed into words in file order, and words into tiles. From one class of a feature to the next few words change, so a line is not words, but
// says for each tile which of the tile's patterns is the line's. A small model has one tile, and few patterns are alike; a large one has many, so that its
// tables grow with its splits, not with their square, and stay in the nearer caches.
type quick struct {
	width    uint32   // tiles of a line
	tiles    []tile   //
	scales   []uint16 // of all tiles: the features that their trees ask
	index    []uint16 // :: line × width + tile → the tile's pattern
	patterns []uint64 // of all tiles; each tile's first clears nothing
	places   []place  // of all trees, in file order
}

type tile struct {
	words                uint32 // of each pattern
	patterns             uint32 // where its patterns begin
	scalesFrom, scalesTo uint32
	placesFrom, placesTo uint32
}

// place is where a tree's bits are: its first leaf (32 bits) · the word within the tile (24) · the bit there (8).
type place uint64

const quickLeaves = 64

// addQuick adds the leaves that row falls into in the tiles from tile to tile, in T's arithmetic. at is, by scale, where the line of the row's class
// begins. It is for sums of one output.
func addQuick[T float32 | float64](q *quick, leaves []float64, from, to uint32, at []uint32, words []uint64, sum T) T {
	for t := from; t < to; t++ {
		q.and(t, at, words)
		for _, p := range q.places[q.tiles[t].placesFrom:q.tiles[t].placesTo] {
			sum += T(leaves[p.exit(words)])
		}
	}
	return sum
}

// exits writes the leaves that row falls into in one tile.
func (q *quick) exits(t uint32, at []uint32, words []uint64, exits []uint32) {
	q.and(t, at, words)
	for i, p := range q.places[q.tiles[t].placesFrom:q.tiles[t].placesTo] {
		exits[i] = p.exit(words)
	}
}

// exit returns the leaf whose bit is the tree's lowest.
func (p place) exit(words []uint64) uint32 {
	w := words[p>>8&(1<<24-1)] >> (p & 63)
	return uint32(p>>32) + uint32(lowest[(w&-w)*deBruijn>>58])
}

// Every six bits of deBruijn are others, so that a power of two times it has its exponent's own six on top: bits.TrailingZeros64, which for processors of
// 2003 is compiled to an instruction that later ones run slowly.
const deBruijn = 0x03f79d71b4ca8b09

var lowest = [64]uint8{
	0, 1, 56, 2, 57, 49, 28, 3, 61, 58, 42, 50, 38, 29, 17, 4, 62, 47, 59, 36, 45, 43, 51, 22, 53, 39, 33, 30, 24, 18, 12, 5,
	63, 55, 48, 27, 60, 41, 37, 16, 46, 35, 44, 21, 52, 32, 23, 11, 54, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
}

// and combines the patterns of all features that the tile's trees ask, up to eight at once.
func (q *quick) and(t uint32, at []uint32, words []uint64) {
	tile := &q.tiles[t]
	n := int(tile.words)
	words = words[:n]
	for i := range words {
		words[i] = math.MaxUint64
	}
	patterns := q.patterns[tile.patterns:]
	scales := q.scales[tile.scalesFrom:tile.scalesTo]
	pattern := func(s uint16) []uint64 {
		from := int(q.index[at[s]+t]) * n
		return patterns[from : from+n]
	}
	for len(scales) >= 8 {
		s := scales[:8]
		and8(words, pattern(s[0]), pattern(s[1]), pattern(s[2]), pattern(s[3]), pattern(s[4]), pattern(s[5]), pattern(s[6]), pattern(s[7]))
		scales = scales[8:]
	}
	if len(scales) >= 4 {
		s := scales[:4]
		and4(words, pattern(s[0]), pattern(s[1]), pattern(s[2]), pattern(s[3]))
		scales = scales[4:]
	}
	if len(scales) >= 2 {
		and2(words, pattern(scales[0]), pattern(scales[1]))
		scales = scales[2:]
	}
	if len(scales) > 0 {
		and1(words, pattern(scales[0]))
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

func and1(out, a []uint64) {
	a = a[:len(out)]
	for i := range out {
		out[i] &= a[i]
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
