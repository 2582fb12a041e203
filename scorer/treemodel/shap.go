package treemodel

import (
	"errors"
	"fmt"
	"slices"
)

// maxContributionDepth bounds the memory of Contributions, which grows with the square of a tree's depth: 100 KiB at this depth.
const maxContributionDepth = 80

// errNoCounts says that a file does not have what contributions are computed from.
var errNoCounts = errors.New("the model has no counts of training rows, or too deep a tree, so it gives no contributions")

// cover is how many training rows passed through each node and leaf of a forest.
type cover struct {
	nodes, leaves []float64
	whole         bool // every tree has its counts, and none is 0
}

// add keeps the counts of one tree.
func (c *cover) add(s *section, p *parser, splits, leaves int) error {
	if splits == 0 {
		c.leaves = append(c.leaves, 1) // a constant tree: all rows
		return nil
	}
	for _, part := range []struct {
		key   string
		count int
		into  *[]float64
	}{{"internal_count", splits, &c.nodes}, {"leaf_count", leaves, &c.leaves}} {
		if _, given := s.values[part.key]; !given {
			c.whole = false
			continue
		}
		counts, _, err := p.floats(s, part.key, part.count)
		if err != nil {
			return err
		}
		c.whole = c.whole && slices.Min(counts) >= 1
		*part.into = append(*part.into, counts...)
	}
	return nil
}

// of returns the rows of a child as nodes refer to it.
func (c *cover) of(child int32) float64 {
	if child < 0 {
		return c.leaves[^child]
	}
	return c.nodes[child]
}

// Contributions splits the raw score of one row among the features, by path-dependent TreeSHAP (arXiv:1802.03888), as LightGBM's pred_contrib does.
// For each output out takes one number a feature and then the expected score; together they are the raw score.
func (m *Model) Contributions(row, out []float64) error {
	width, k := len(m.info.Inputs), m.info.Outputs
	if !m.info.Contributions {
		return errNoCounts
	}
	if len(row) != width || len(out) != (width+1)*k {
		return fmt.Errorf("%w: %d values and %d contributions of a model of %d inputs and %d outputs", errShape, len(row), len(out), width, k)
	}
	arena, _ := m.paths.Get().(*[]pathElement)
	if arena == nil {
		longest := m.info.Depth + 2
		fresh := make([]pathElement, longest*(longest+1)/2)
		arena = &fresh
	}
	clear(out)
	for i, root := range m.trees.roots {
		group := i % k
		phi := out[group*(width+1) : (group+1)*(width+1)]
		phi[width] += m.expected[i]
		if root >= 0 {
			w := walk{f: &m.trees, c: &m.cover, row: row, phi: phi}
			w.visit(root, 0, *arena, pathElement{feature: -1, zero: 1, one: 1})
		}
	}
	m.paths.Put(arena)
	return nil
}

// expectations returns each tree's mean over the training rows.
func (m *Model) expectations() []float64 {
	means := make([]float64, len(m.trees.roots))
	var stack []int32
	for i, root := range m.trees.roots {
		total := m.cover.of(root)
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if at < 0 {
				means[i] += m.cover.leaves[^at] / total * m.trees.leaves[^at]
				continue
			}
			stack = append(stack, m.trees.nodes[at].left, m.trees.nodes[at].right)
		}
	}
	return means
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
	f   *forest
	c   *cover
	row []float64
	phi []float64
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
			w.phi[el.feature] += unwoundSum(path, depth, i) * (el.one - el.zero) * w.f.leaves[^at]
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
