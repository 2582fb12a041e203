package treemodel

import "math"

// sharesBuilder lays out a forest for contributions.
type sharesBuilder struct {
	f      *forest
	c      *cover
	s      *shares
	views  map[uint32]uint32 // :: feature and kind → view
	grids  map[uint32]grid   // :: passes → their points
	splits []junction        // the splits of the tree at hand, each before those below it
	above  []int32           // :: node → its parent's place in splits; -1 of a root
}

// junction is a split with what lies above it.
type junction struct {
	node     *node
	at       int32 // the node's place in the forest
	number   uint32
	parent   int32  // in splits; -1 of the root
	before   int32  // the nearest one above that asks the same feature; -1 when none does
	side     uint32 // of before's that this one is on
	features uint32 // that are asked from the root to here
	reach    float64
	share    [2]float64
	same     [2]float64 // of the rows that answer this feature's questions so far as those on the left did, and on the right
	line     [2]uint32  // of those below that ask this feature next; 0 before there is one
}

// grid is the points of so many passes. Its lines are passes of zeros, passes of t, and passes of the points' weights / t(1-t).
type grid struct {
	points []float64
	lines  uint32
}

// newShares lays out a forest in tables of up to so many bytes.
func newShares(f *forest, c *cover, most int) (*shares, error) {
	b := sharesBuilder{
		f: f, c: c, s: &shares{f: f, expected: make([]float64, f.outputs)},
		views: make(map[uint32]uint32), grids: make(map[uint32]grid), above: make([]int32, len(f.nodes)),
	}
	f.begin(b.s.expected)
	for t, root := range f.roots {
		passes := b.read(root)
		if b.s.bytes()+len(b.splits)*(questionBytes+max(f.vector, 1)*splitBytes+int(passes)*lanesBytes) > most {
			return nil, errLargeShares
		}
		made := b.ask(passes)
		for out := range f.outputs {
			if f.vector > 0 || out == int(f.output[t]) {
				b.s.expected[out] += b.mean(root, out)
				b.grow(made, out)
			}
		}
	}
	return b.s, nil
}

// What one of each takes in memory.
const (
	questionBytes = 24
	splitBytes    = 40 // a fork; a twig is no more
	lanesBytes    = 40
)

// bytes is what the tables take.
func (s *shares) bytes() int {
	return len(s.questions)*questionBytes + (len(s.forks)+len(s.twigs))*splitBytes + len(s.lines)*lanesBytes
}

// read finds the splits of a tree and what lies above them, and returns how many passes its longest path takes.
func (b *sharesBuilder) read(root int32) (passes uint32) {
	b.splits = b.splits[:0]
	if root < 0 {
		return 0
	}
	features, forks := uint32(1), uint32(0)
	b.above[root] = -1
	b.f.each(root, func(at int32) {
		i, n, total := int32(len(b.splits)), &b.f.nodes[at], b.c.of(at)
		s := junction{node: n, at: at, parent: b.above[at], before: -1, reach: 1, share: [2]float64{b.c.of(n.left) / total, b.c.of(n.right) / total}}
		if s.parent >= 0 {
			p := &b.splits[s.parent]
			s.reach, s.features = p.reach*p.share[p.sideOf(at)], p.features
		}
		rows := 1.0
		if b.lookUp(&s); s.before >= 0 {
			rows = b.splits[s.before].same[s.side]
		} else {
			s.features++
		}
		s.same = [2]float64{rows * s.share[0], rows * s.share[1]}
		for _, child := range [2]int32{n.left, n.right} {
			if child >= 0 {
				b.above[child] = i
			}
		}
		if !s.isTwig() {
			forks++
			s.number = forks
		}
		features = max(features, s.features)
		b.splits = append(b.splits, s)
	})
	number := forks
	for i := range b.splits {
		if s := &b.splits[i]; s.isTwig() {
			number++
			s.number = number
		}
	}
	b.s.largest = max(b.s.largest, len(b.splits))
	const exact = 2 * uint32(len(lanes{})) // features that one pass is exact for
	return (features + exact - 1) / exact
}

// lookUp finds the nearest split above s that asks the same feature.
func (b *sharesBuilder) lookUp(s *junction) {
	from := s.at
	for i := s.parent; i >= 0; i = b.splits[i].parent {
		p := &b.splits[i]
		if p.node.feature == s.node.feature {
			s.before, s.side = i, p.sideOf(from)
			return
		}
		from = p.at
	}
}

func (s *junction) isTwig() bool { return s.node.left < 0 && s.node.right < 0 }

// sideOf is 0 when child is on the left, and 1 on the right.
func (s *junction) sideOf(child int32) uint32 {
	if s.node.left == child {
		return 0
	}
	return 1
}

// ask makes the questions of the tree, and their lines.
func (b *sharesBuilder) ask(passes uint32) shareTree {
	from := uint32(len(b.s.questions))
	t := shareTree{questions: from, questionsTo: from + uint32(len(b.splits)), passes: passes}
	if len(b.splits) == 0 {
		return t
	}
	g := b.grid(passes)
	t.lines = g.lines
	b.s.questions = append(b.s.questions, make([]question, len(b.splits))...)
	for i := range b.splits {
		s := &b.splits[i]
		q := &b.s.questions[from+s.number-1]
		q.view, q.threshold = b.view(s)
		if q.line = passes; s.before < 0 {
			continue
		}
		p := &b.splits[s.before]
		if p.line[s.side] == 0 {
			p.line[s.side] = uint32(len(b.s.lines)) - g.lines
			b.line(g.points, func(t float64) float64 { return t / (t + float64(p.same[s.side]*(1-t))) })
		}
		q.before, q.line = 2*p.number+s.side, p.line[s.side]
	}
	return t
}

// grid makes the points of so many passes, if they are not there.
func (b *sharesBuilder) grid(passes uint32) grid {
	if g, made := b.grids[passes]; made {
		return g
	}
	points, weights := gaussLegendre(int(passes) * len(lanes{}))
	g := grid{points: points, lines: uint32(len(b.s.lines))}
	b.grids[passes] = g
	b.s.lines = append(b.s.lines, make([]lanes, passes)...)
	b.line(points, func(t float64) float64 { return t })
	i := 0
	b.line(points, func(t float64) float64 { i++; return weights[i-1] / (t * (1 - t)) })
	return g
}

// line adds a value for each point.
func (b *sharesBuilder) line(points []float64, at func(t float64) float64) {
	for len(points) > 0 {
		var l lanes
		for i := range l {
			l[i] = at(points[i])
		}
		b.s.lines = append(b.s.lines, l)
		points = points[len(l):]
	}
}

// view returns what the split is to look at, and compare it with.
func (b *sharesBuilder) view(s *junction) (at uint32, threshold float64) {
	next := view{feature: s.node.feature, kind: s.node.kind, node: s.at}
	if next.kind.isCategorical() {
		b.s.views = append(b.s.views, next)
		return uint32(len(b.s.views) - 1), 0
	}
	id := next.feature<<3 | uint32(next.kind)
	at, known := b.views[id]
	if !known {
		at = uint32(len(b.s.views))
		b.views[id] = at
		b.s.views = append(b.s.views, next)
	}
	return at, s.node.threshold
}

// leaf returns the value of a leaf, as nodes refer to it.
func (b *sharesBuilder) leaf(at int32, out int) float64 {
	if b.f.vector > 0 {
		return b.f.leaves[int(^at)*b.f.vector+out]
	}
	return b.f.leaves[^at]
}

// mean returns what the tree gives on average.
func (b *sharesBuilder) mean(root int32, out int) float64 {
	if root < 0 {
		return b.leaf(root, out)
	}
	sum := 0.0
	for i := range b.splits {
		s := &b.splits[i]
		for side, child := range [2]int32{s.node.left, s.node.right} {
			if child < 0 {
				sum += float64(s.reach * s.share[side] * b.leaf(child, out))
			}
		}
	}
	return sum
}

// grow adds the tree's forks and twigs for one output.
func (b *sharesBuilder) grow(t shareTree, out int) {
	if len(b.splits) == 0 {
		return
	}
	t.output, t.forks, t.twigs = uint32(out), uint32(len(b.s.forks)), uint32(len(b.s.twigs))
	for i := range b.splits {
		s := &b.splits[i]
		if s.isTwig() {
			left, right := b.leaf(s.node.left, out), b.leaf(s.node.right, out)
			mean := float64(s.share[0]*left) + float64(s.share[1]*right)
			b.s.twigs = append(b.s.twigs, twig{mean: mean, gain: [2]float64{left - mean, right - mean}, feature: s.node.feature})
			continue
		}
		f := fork{share: s.share, feature: s.node.feature}
		for _, child := range [2]int32{s.node.left, s.node.right} {
			if child < 0 {
				f.leaf = b.leaf(child, out)
			}
		}
		b.s.forks = append(b.s.forks, f)
	}
	t.forksTo, t.twigsTo = uint32(len(b.s.forks)), uint32(len(b.s.twigs))
	for i := range b.splits {
		if s := &b.splits[i]; s.parent >= 0 {
			p := &b.splits[s.parent]
			b.s.forks[t.forks+p.number-1].below[p.sideOf(s.at)] = s.number
		}
	}
	b.s.trees = append(b.s.trees, t)
}

// gaussLegendre returns the points and weights of the quadrature from 0 to 1 that is exact for polynomials of degrees below 2n.
func gaussLegendre(n int) (points, weights []float64) {
	points, weights = make([]float64, n), make([]float64, n)
	for i := range n {
		x, slope := math.Cos(math.Pi*(float64(i)+0.75)/(float64(n)+0.5)), 0.0
		for range 10 { // of Newton's steps to the root of the Legendre polynomial; this near to it, five do
			below, p := 1.0, x
			for k := 2.0; k <= float64(n); k++ {
				below, p = p, (float64((2*k-1)*x*p)-float64((k-1)*below))/k
			}
			slope = float64(n) * (float64(x*p) - below) / (float64(x*x) - 1)
			x -= p / slope
		}
		points[i], weights[i] = (1+x)/2, 1/((1-float64(x*x))*slope*slope)
	}
	return points, weights
}
