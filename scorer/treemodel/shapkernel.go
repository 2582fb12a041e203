package treemodel

import "math"

// lanes is one number at each of five values of t: exact for paths of up to ten features, which is most of them. A tree that has a longer one is gone
// through once for every five points. Loops over lanes are written out, since the compiler does not unroll them; no step of a pass branches, since whether
// a leaf is on the left or the right is not to be foreseen. Products are rounded before they are added, which makes contributions the same on every machine.
type lanes [5]float64

// shares is a forest as contributions want it. A tree's splits are numbered from 1: first its forks, each before those below it, then its twigs.
type shares struct {
	f         *forest
	views     []view
	questions []question
	forks     []fork
	twigs     []twig
	lines     []lanes // τ by what questions refer to, and weights
	trees     []shareTree
	expected  []float64 // :: output → mean over the training rows, with what the sum begins with
	largest   int       // splits of the largest tree
}

// view is a feature as the splits of one kind see it: its value, or -Inf to go left everywhere, or NaN to go right. A categorical split has its own.
type view struct {
	feature uint32
	kind    kind
	node    int32 // the categorical split
}

// question is a split's decision.
type question struct {
	threshold float64
	view      uint32
	before    uint32 // 2 × the split above that asked the feature last, + 1 when this one is on its right; 0 when none did
	line      uint32 // where τ is, seen from the tree's first line; 0, the first, is for features that cannot be known
}

// fork is a split with another one below. One side may be a leaf.
type fork struct {
	share   [2]float64 // of the rows that go left, and right
	leaf    float64
	below   [2]uint32 // 0: the leaf
	feature uint32
}

// twig is a split with two leaves.
type twig struct {
	mean    float64
	gain    [2]float64 // the left leaf and the right one, less the mean
	feature uint32
}

// shareTree is a tree, as it adds to one output. Its lines are passes of zeros, passes of t, passes of the points' weights / t(1-t), and then those of its
// splits.
type shareTree struct {
	questions, questionsTo uint32
	forks, forksTo         uint32
	twigs, twigsTo         uint32
	lines, passes          uint32
	output                 uint32
}

// shareWork is what a call works in.
type shareWork struct {
	seen  []float64 // :: view → value
	alive []uint8   // :: split → bit 0 (left) or 1 (right) when the row goes there, as at all splits above on this feature; split 0 is above the root
	way   []uint32  // :: split - 1 → 2 × where τ is, + 1 when the row goes right
	reach []lanes   // :: split
	mean  []lanes   // :: split; 0 is the leaf of the fork at hand
}

func (s *shares) newWork() *shareWork {
	n := s.largest + 1
	return &shareWork{seen: make([]float64, len(s.views)), alive: make([]uint8, n), way: make([]uint32, n), reach: make([]lanes, n), mean: make([]lanes, n)}
}

// split writes the row's contributions.
func (s *shares) split(w *shareWork, row, out []float64) {
	width := len(row) + 1
	clear(out)
	for i, v := range s.expected {
		out[(i+1)*width-1] = v
	}
	s.look(w.seen, row)
	for i := range s.trees {
		t := &s.trees[i]
		s.ask(t, w)
		for pass := range t.passes {
			lines := s.lines[t.lines+pass:]
			w.reach[1] = lines[2*t.passes]
			s.down(t, w, lines)
			s.up(t, w, lines, out[int(t.output)*width:][:width])
		}
	}
}

// look finds what the views see of the row.
func (s *shares) look(seen, row []float64) {
	for i := range s.views {
		v := &s.views[i]
		x := row[v.feature]
		if s.f.single {
			x = float64(float32(x))
		}
		switch {
		case v.kind.isCategorical():
			left := s.f.decide(&s.f.nodes[v.node], x)
			if x = math.NaN(); left {
				x = math.Inf(-1)
			}
		case v.kind == lessOrNaN && x != x, v.kind == zeroLeft && isMissingZero(x):
			x = math.Inf(-1)
		case v.kind == zeroRight && isMissingZero(x):
			x = math.NaN()
		}
		seen[i] = x
	}
}

// ask decides the splits of a tree.
func (s *shares) ask(t *shareTree, w *shareWork) {
	questions := s.questions[t.questions:t.questionsTo]
	all := w.alive
	all[0] = 1
	alive, way := all[1:][:len(questions)], w.way[:len(questions)]
	for i := range questions {
		q := &questions[i]
		knowable := all[q.before>>1] >> (q.before & 1) & 1
		right := uint8(1)
		if w.seen[q.view] <= q.threshold {
			right = 0
		}
		alive[i] = knowable << right
		way[i] = q.line*uint32(knowable)<<1 | uint32(right)
	}
}

// goes says by way and side whether the row goes there.
var goes = [4]float64{1, 0, 0, 1}

// down finds how likely the row comes to each split, times the points' weights / t(1-t).
func (s *shares) down(t *shareTree, w *shareWork, lines []lanes) {
	forks := s.forks[t.forks:t.forksTo]
	way, reach, all := w.way[:len(forks)], w.reach[1:][:len(forks)], w.reach
	for i := range forks {
		f := &forks[i]
		right := way[i] & 1
		known, r := &lines[way[i]>>1], &reach[i]
		share := f.share[0]
		more, b := goes[right]-share, &all[f.below[0]]
		b[0] = r[0] * (share + float64(known[0]*more))
		b[1] = r[1] * (share + float64(known[1]*more))
		b[2] = r[2] * (share + float64(known[2]*more))
		b[3] = r[3] * (share + float64(known[3]*more))
		b[4] = r[4] * (share + float64(known[4]*more))
		share = f.share[1]
		more, b = goes[2+right]-share, &all[f.below[1]]
		b[0] = r[0] * (share + float64(known[0]*more))
		b[1] = r[1] * (share + float64(known[1]*more))
		b[2] = r[2] * (share + float64(known[2]*more))
		b[3] = r[3] * (share + float64(known[3]*more))
		b[4] = r[4] * (share + float64(known[4]*more))
	}
}

// up finds the means, and adds to phi what each split gives its feature.
func (s *shares) up(t *shareTree, w *shareWork, lines []lanes, phi []float64) {
	forks, twigs := s.forks[t.forks:t.forksTo], s.twigs[t.twigs:t.twigsTo]
	way, reach, mean, all := w.way[len(forks):][:len(twigs)], w.reach[1+len(forks):][:len(twigs)], w.mean[1+len(forks):][:len(twigs)], w.mean
	for i := range twigs {
		g := &twigs[i]
		known, r, m := &lines[way[i]>>1], &reach[i], &mean[i]
		gain, mid := g.gain[way[i]&1], g.mean
		m[0] = mid + float64(known[0]*gain)
		m[1] = mid + float64(known[1]*gain)
		m[2] = mid + float64(known[2]*gain)
		m[3] = mid + float64(known[3]*gain)
		m[4] = mid + float64(known[4]*gain)
		sum := float64(known[0]*(1-known[0])*r[0]) + float64(known[1]*(1-known[1])*r[1]) + float64(known[2]*(1-known[2])*r[2])
		sum += float64(known[3]*(1-known[3])*r[3]) + float64(known[4]*(1-known[4])*r[4])
		phi[g.feature] += float64(gain * sum)
	}
	way, reach, mean = w.way[:len(forks)], w.reach[1:][:len(forks)], w.mean[1:][:len(forks)]
	leaf := &all[0]
	for i := len(forks) - 1; i >= 0; i-- {
		f := &forks[i]
		v := f.leaf
		leaf[0], leaf[1], leaf[2], leaf[3], leaf[4] = v, v, v, v, v
		known, r, m := &lines[way[i]>>1], &reach[i], &mean[i]
		left, right, own := &all[f.below[0]], &all[f.below[1]], &all[f.below[way[i]&1]]
		a, b := f.share[0], f.share[1]
		m0 := float64(a*left[0]) + float64(b*right[0])
		g0 := float64(known[0] * (own[0] - m0))
		m[0] = m0 + g0
		m1 := float64(a*left[1]) + float64(b*right[1])
		g1 := float64(known[1] * (own[1] - m1))
		m[1] = m1 + g1
		m2 := float64(a*left[2]) + float64(b*right[2])
		g2 := float64(known[2] * (own[2] - m2))
		m[2] = m2 + g2
		m3 := float64(a*left[3]) + float64(b*right[3])
		g3 := float64(known[3] * (own[3] - m3))
		m[3] = m3 + g3
		m4 := float64(a*left[4]) + float64(b*right[4])
		g4 := float64(known[4] * (own[4] - m4))
		m[4] = m4 + g4
		sum := float64((1-known[0])*r[0]*g0) + float64((1-known[1])*r[1]*g1) + float64((1-known[2])*r[2]*g2)
		phi[f.feature] += sum + float64((1-known[3])*r[3]*g3) + float64((1-known[4])*r[4]*g4)
	}
}
