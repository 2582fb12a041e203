package treemodel

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// ContributionsByPaths are Contributions by the algorithm of the TreeSHAP paper, one leaf after the other, in the form of one path that is extended and unwound.
func (m *Model) ContributionsByPaths(row, out []float64) {
	width, f := len(m.info.Inputs)+1, &m.trees
	clear(out)
	for i := range f.outputs {
		if f.base != nil {
			out[(i+1)*width-1] = f.base[i]
		}
	}
	longest := f.depth() + 2
	arena := make([]pathElement, longest*(longest+1)/2)
	for t, root := range f.roots {
		for o := range f.outputs {
			if f.vector == 0 && o != int(f.output[t]) {
				continue
			}
			w := walk{f: f, c: &m.cover, row: row, phi: out[o*width : (o+1)*width], output: o}
			w.phi[width-1] += w.mean(root)
			w.visit(root, 0, arena, pathElement{feature: -1, zero: 1, one: 1})
		}
	}
}

// depth returns how many splits the longest way has.
func (f *forest) depth() int {
	var below func(at int32) int
	below = func(at int32) int {
		if at < 0 {
			return 0
		}
		return 1 + max(below(f.nodes[at].left), below(f.nodes[at].right))
	}
	most := 0
	for _, root := range f.roots {
		most = max(most, below(root))
	}
	return most
}

// pathElement is one feature on the way from the root.
type pathElement struct {
	feature int32
	zero    float64 // share of rows that go this way when the feature is not known
	one     float64 // 1 when the row itself goes this way, else 0
	weight  float64 // of the subsets with as many known features as the element's place
}

// walk is one row's way through one tree.
type walk struct {
	f      *forest
	c      *cover
	row    []float64
	phi    []float64
	output int
}

func (w *walk) leaf(at int32) float64 {
	return w.f.leaves[int(^at)*max(w.f.vector, 1)+min(w.output, max(w.f.vector-1, 0))]
}

func (w *walk) mean(at int32) float64 {
	if at < 0 {
		return w.leaf(at)
	}
	n := &w.f.nodes[at]
	return w.c.of(n.left)/w.c.of(at)*w.mean(n.left) + w.c.of(n.right)/w.c.of(at)*w.mean(n.right)
}

// visit adds the part of the leaves below at. parent holds the depth elements that lead here; the path is copied behind it, since both children of
// a node need their parent's.
func (w *walk) visit(at int32, depth int, parent []pathElement, step pathElement) {
	path := parent[depth:]
	copy(path, parent[:depth])
	extend(path, depth, step)
	if at < 0 {
		for i := 1; i <= depth; i++ {
			el := &path[i]
			w.phi[el.feature] += unwoundSum(path, depth, i) * (el.one - el.zero) * w.leaf(at)
		}
		return
	}
	n := &w.f.nodes[at]
	hot, cold := n.right, n.left
	if w.f.goesLeft(n, w.row[n.feature]) {
		hot, cold = n.left, n.right
	}
	zero, one := 1.0, 1.0
	// A feature counts once on a path: an earlier split on it is undone, and this one takes its place.
	for i := 1; i <= depth; i++ {
		if path[i].feature == int32(n.feature) {
			zero, one = path[i].zero, path[i].one
			unwind(path, depth, i)
			depth--
			break
		}
	}
	total := w.c.of(at)
	w.visit(hot, depth+1, path, pathElement{feature: int32(n.feature), zero: zero * (w.c.of(hot) / total), one: one})
	w.visit(cold, depth+1, path, pathElement{feature: int32(n.feature), zero: zero * (w.c.of(cold) / total), one: 0})
}

// extend puts step at the end of the path and spreads the weights.
func extend(path []pathElement, depth int, step pathElement) {
	step.weight = 0
	if depth == 0 {
		step.weight = 1
	}
	path[depth] = step
	length := float64(depth + 1)
	for i := depth - 1; i >= 0; i-- {
		path[i+1].weight += step.one * path[i].weight * float64(i+1) / length
		path[i].weight = step.zero * path[i].weight * float64(depth-i) / length
	}
}

// unwind takes element at off the path again.
func unwind(path []pathElement, depth, at int) {
	one, zero := path[at].one, path[at].zero
	next, length := path[depth].weight, float64(depth+1)
	for i := depth - 1; i >= 0; i-- {
		if one == 0 {
			path[i].weight = path[i].weight * length / (zero * float64(depth-i))
			continue
		}
		was := path[i].weight
		path[i].weight = next * length / (float64(i+1) * one)
		next = was - path[i].weight*zero*float64(depth-i)/length
	}
	for i := at; i < depth; i++ {
		path[i].feature, path[i].zero, path[i].one = path[i+1].feature, path[i+1].zero, path[i+1].one
	}
}

// unwoundSum returns the sum of the weights as they would be without element at.
func unwoundSum(path []pathElement, depth, at int) float64 {
	one, zero := path[at].one, path[at].zero
	next, length, total := path[depth].weight, float64(depth+1), 0.0
	for i := depth - 1; i >= 0; i-- {
		if one == 0 {
			total += path[i].weight / zero / (float64(depth-i) / length)
			continue
		}
		part := next * length / (float64(i+1) * one)
		total += part
		next = path[i].weight - part*zero*(float64(depth-i)/length)
	}
	return total
}

// ContributionsByDefinition are Contributions as Shapley defined them: by the mean of the model for each set of known features.
func (m *Model) ContributionsByDefinition(row, out []float64) {
	n := len(row)
	clear(out)
	for o := range m.trees.outputs {
		means := make([]float64, 1<<n) // :: set of features → mean, when those are known
		for set := range means {
			if m.trees.base != nil {
				means[set] = m.trees.base[o]
			}
			for t, root := range m.trees.roots {
				if m.trees.vector > 0 || o == int(m.trees.output[t]) {
					w := walk{f: &m.trees, c: &m.cover, row: row, output: o}
					means[set] += w.known(root, set)
				}
			}
		}
		phi := out[o*(n+1):][:n+1]
		phi[n] = means[0]
		for i := range n {
			for set := range means {
				if set>>i&1 == 0 {
					phi[i] += (means[set|1<<i] - means[set]) / (float64(n) * choose(n-1, bits.OnesCount(uint(set))))
				}
			}
		}
	}
}

// known returns the mean below at when the features of the set are known.
func (w *walk) known(at int32, set int) float64 {
	if at < 0 {
		return w.leaf(at)
	}
	n := &w.f.nodes[at]
	if set>>n.feature&1 == 0 {
		return w.c.of(n.left)/w.c.of(at)*w.known(n.left, set) + w.c.of(n.right)/w.c.of(at)*w.known(n.right, set)
	}
	if w.f.goesLeft(n, w.row[n.feature]) {
		return w.known(n.left, set)
	}
	return w.known(n.right, set)
}

// choose returns how many subsets of k a set of n has.
func choose(n, k int) float64 {
	ways := 1.0
	for i := range k {
		ways = ways * float64(n-i) / float64(i+1)
	}
	return ways
}

// Covered returns the model with training rows: up to so many a leaf. With loose, what lies above does not add up to the last digit, as in XGBoost.
func (m *Model) Covered(seed uint64, rows int, loose bool) *Model {
	r := rand.New(rand.NewPCG(seed, 2))
	c := cover{whole: true, leaves: make([]float64, m.trees.leafCount()), nodes: make([]float64, len(m.trees.nodes))}
	for i := range c.leaves {
		c.leaves[i] = float64(1 + r.IntN(rows))
	}
	var fill func(at int32)
	fill = func(at int32) {
		if at < 0 {
			return
		}
		n := &m.trees.nodes[at]
		fill(n.left)
		fill(n.right)
		c.nodes[at] = c.of(n.left) + c.of(n.right)
		if loose {
			c.nodes[at] *= 1 + 1e-6*r.NormFloat64()
		}
	}
	for _, root := range m.trees.roots {
		fill(root)
	}
	return newModel(m.info, m.trees, c, m.convert)
}

// AllOrNothing returns a tree that gives 1 when all features are at most 0, of which each is in half of the training rows, else 0.
func AllOrNothing(features int) *Model {
	f := forest{outputs: 1, output: []int32{0}, roots: []int32{0}, leaves: make([]float64, features+1)}
	c := cover{whole: true, leaves: make([]float64, features+1)}
	f.leaves[features], c.leaves[features] = 1, 1
	for i := range features {
		rows := math.Ldexp(1, features-i)
		f.nodes = append(f.nodes, node{feature: uint32(i), kind: less, left: int32(i + 1), right: ^int32(i)})
		c.nodes, c.leaves[i] = append(c.nodes, rows), rows/2
	}
	f.nodes[features-1].left = ^int32(features)
	return newModel(Info{Inputs: make([]string, features), Outputs: 1}, f, c, transform{convert: identity})
}

// SharesIn makes the tables of contributions in so many bytes, and returns how many they take.
func (m *Model) SharesIn(most int) (bytes int, err error) {
	s, err := newShares(&m.trees, &m.cover, most)
	if err != nil {
		return 0, err
	}
	return s.bytes(), nil
}

// GaussLegendre returns points and weights of the quadrature.
func GaussLegendre(n int) (points, weights []float64) { return gaussLegendre(n) }
