package treemodel

import (
	"math"
	"slices"
)

// ranked is the kernel for larger trees: nodes of 8 bytes that compare a rank, eight trees abreast, no branch but at the end of the eight. A split goes
// right when the code of its slot is above its own rank; children stand side by side, so that the right one is the left one's place + 1, and a leaf leads
// to itself.
type ranked struct {
	slots  []slot
	nodes  []uint64 // code's rank (16 bits) · slot (16) · left child (32); a leaf has leafBit
	leaves []uint32 // :: node → leaf, where it is one
	groups []group
}

// slot is a feature with what its splits do to missing values: its code is the class, or 0 to go left everywhere, or atRight.
type slot struct {
	scale uint16
	kind  kind
}

// group is up to eight trees that follow each other in the file, each by its first node. Those that are not there are a leaf.
type group struct {
	roots [8]uint32
	trees uint32
}

const (
	leafBit    = uint64(1) << 63
	leafRank   = math.MaxUint16 // no code is above it
	atRight    = 1<<15 - 1      // above all ranks
	maxSlots   = math.MaxUint16
	shiftRank  = 48
	shiftSlot  = 32
	groupTrees = 8
)

// exits writes the leaves that row falls into in one group; codes are the row's, by slot.
func (r *ranked) exits(g *group, codes []uint16, exits *[8]uint32) {
	nodes := r.nodes
	a, b, c, d := nodes[g.roots[0]], nodes[g.roots[1]], nodes[g.roots[2]], nodes[g.roots[3]]
	e, f, h, i := nodes[g.roots[4]], nodes[g.roots[5]], nodes[g.roots[6]], nodes[g.roots[7]]
	for a&b&c&d&e&f&h&i&leafBit == 0 {
		a = nodes[step(a, codes)]
		b = nodes[step(b, codes)]
		c = nodes[step(c, codes)]
		d = nodes[step(d, codes)]
		e = nodes[step(e, codes)]
		f = nodes[step(f, codes)]
		h = nodes[step(h, codes)]
		i = nodes[step(i, codes)]
	}
	leaves := r.leaves
	exits[0], exits[1], exits[2], exits[3] = leaves[uint32(a)], leaves[uint32(b)], leaves[uint32(c)], leaves[uint32(d)]
	exits[4], exits[5], exits[6], exits[7] = leaves[uint32(e)], leaves[uint32(f)], leaves[uint32(h)], leaves[uint32(i)]
}

// step returns where node leads: one place further when the rank is less than the code.
func step(node uint64, codes []uint16) uint32 {
	return uint32(node) + (uint32(node>>shiftRank)-uint32(codes[uint16(node>>shiftSlot)]))>>31
}

// code returns the slot's code of a class. NaN is above all ranks already.
func (s *slot) code(class uint32, of *scale) uint16 {
	zero := class >= of.zeroFrom && class < of.zeroTo
	switch {
	case class == of.nan && (s.kind == lessOrNaN || s.kind == zeroLeft), zero && s.kind == zeroLeft:
		return 0
	case zero && s.kind == zeroRight:
		return atRight
	}
	return uint16(class)
}

// rankedBuilder makes the nodes of trees.
type rankedBuilder struct {
	f      *forest
	scales []scale
	scale  []uint16          // :: feature → scale
	slot   map[uint32]uint16 // :: feature and kind → slot
	r      ranked
	closed bool // the open group takes no more
	queue  []spot
}

// spot is a node of the forest and the place that it is to have.
type spot struct {
	from int32
	to   uint32
}

// add puts tree t into the group that is open, level by level.
func (b *rankedBuilder) add(t int) {
	if len(b.r.nodes) == 0 {
		b.r.nodes, b.r.leaves = append(b.r.nodes, leafBit|leafRank<<shiftRank), append(b.r.leaves, 0) // for trees that are not there
	}
	if n := len(b.r.groups); n == 0 || b.closed || b.r.groups[n-1].trees == groupTrees {
		b.r.groups, b.closed = append(b.r.groups, group{}), false
	}
	g := &b.r.groups[len(b.r.groups)-1]
	g.roots[g.trees] = b.room(1)
	b.queue = append(b.queue[:0], spot{from: b.f.roots[t], to: g.roots[g.trees]})
	g.trees++
	for i := 0; i < len(b.queue); i++ {
		at := b.queue[i]
		if at.from < 0 {
			b.r.nodes[at.to] = leafBit | leafRank<<shiftRank | uint64(at.to)
			b.r.leaves[at.to] = uint32(^at.from)
			continue
		}
		n := &b.f.nodes[at.from]
		left := b.room(2)
		rank := b.scales[b.scale[n.feature]].rank(n.threshold)
		b.r.nodes[at.to] = uint64(rank)<<shiftRank | uint64(b.slotOf(n))<<shiftSlot | uint64(left)
		b.queue = append(b.queue, spot{from: n.left, to: left}, spot{from: n.right, to: left + 1})
	}
}

// end closes the group, so that the next tree begins another.
func (b *rankedBuilder) end() { b.closed = true }

// finish returns the kernel.
func (b *rankedBuilder) finish() ranked {
	b.r.nodes, b.r.leaves = slices.Clip(b.r.nodes), slices.Clip(b.r.leaves)
	return b.r
}

// room makes n nodes and returns the first.
func (b *rankedBuilder) room(n int) uint32 {
	first := len(b.r.nodes)
	b.r.nodes, b.r.leaves = append(b.r.nodes, make([]uint64, n)...), append(b.r.leaves, make([]uint32, n)...)
	return uint32(first)
}

// slotOf returns the slot of a split.
func (b *rankedBuilder) slotOf(n *node) uint16 {
	id := n.feature<<3 | uint32(n.kind)
	if at, known := b.slot[id]; known {
		return at
	}
	at := uint16(len(b.r.slots))
	b.slot[id] = at
	b.r.slots = append(b.r.slots, slot{scale: b.scale[n.feature], kind: n.kind})
	return at
}
