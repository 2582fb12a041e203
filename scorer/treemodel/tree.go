package treemodel

import (
	"bytes"
	"fmt"
	"math"
)

const treeKeys = " num_leaves num_cat split_feature split_gain threshold decision_type left_child right_child leaf_parent leaf_value leaf_weight leaf_count " +
	"internal_value internal_weight internal_count cat_boundaries cat_threshold is_linear leaf_const num_features leaf_features leaf_coeff shrinkage has_categorical "

// The bits of LightGBM's decision_type.
const (
	categoricalBit = 1
	defaultLeftBit = 2
	missingShift   = 2 // two bits: 0 none, 1 zero, 2 NaN
	decisionBits   = 15
)

// builder puts the trees of a file into one forest.
type builder struct {
	p     *parser
	head  *header
	f     forest
	cover cover
	used  []bool // :: feature → some split reads it
	info  Info
}

func newBuilder(p *parser, head *header) *builder {
	return &builder{p: p, head: head, f: forest{outputs: head.info.Outputs}, cover: cover{whole: true}, used: make([]bool, len(head.info.Inputs)), info: head.info}
}

// tree reads tree i, checks it, and adds it to the forest. All its errors name the tree and the line.
func (b *builder) tree(i int) error {
	start := b.p.offset()
	err := b.readTree(i)
	if err == nil {
		err = b.checkSize(i, start)
	}
	return err
}

func (b *builder) readTree(i int) error {
	p := b.p
	line, more := p.nextFilled()
	if !more || string(line) == "end of trees" {
		return p.fault(p.line, "the file ends after %d trees, but tree_sizes has %d", i, b.head.trees)
	}
	if n, is := treeNumber(line); !is || n != i {
		return p.fault(p.line, "tree %d: its line \"Tree=%d\" is missing; here is %s", i, i, quote(line))
	}
	s := &section{line: p.line, values: make(map[string]entry, 16)}
	before := len(p.rest)
	for {
		line, more := p.next()
		if !more {
			return p.fault(p.line, "tree %d: the file is cut short within it", i)
		}
		if len(line) == 0 {
			break
		}
		if err := p.add(s, line, treeKeys); err != nil {
			return inTree(i, err)
		}
	}
	return inTree(i, b.build(s, before-len(p.rest)))
}

// inTree names the tree within an error of the form file:line: text.
func inTree(i int, err error) error {
	if err == nil {
		return nil
	}
	return &treeError{tree: i, err: err}
}

// treeError is a fault in one tree.
type treeError struct {
	tree int
	err  error
}

// Error returns the fault with the tree after its place.
func (e *treeError) Error() string { return fmt.Sprintf("%v (tree %d)", e.err, e.tree) }

// Unwrap returns the fault.
func (e *treeError) Unwrap() error { return e.err }

// checkSize compares the bytes of tree i with what the header says. LightGBM itself finds the trees by these sizes.
func (b *builder) checkSize(i, start int) error {
	if b.head.sizes == nil {
		return nil
	}
	// A tree's size includes the empty lines after it. Early v2 files have one more after the last tree.
	for bytes.HasPrefix(b.p.rest, []byte("\n")) {
		b.p.next()
	}
	got, want := int64(b.p.offset()-start), b.head.sizes[i]
	if got == want || got == want+1 && i == b.head.trees-1 && b.head.version == "v2" {
		return nil
	}
	return b.p.fault(b.p.line, "tree %d ends here and has %d bytes, but tree_sizes (line %d) says %d", i, got, b.head.sizesAt, want)
}

// build checks one tree's arrays and adds them. size is the tree's bytes: no tree has more leaves.
func (b *builder) build(s *section, size int) error {
	p := b.p
	leaves, err := p.number(s, "num_leaves", 1, size)
	if err != nil {
		return err
	}
	values, line, err := p.floats(s, "leaf_value", leaves)
	if err != nil {
		return err
	}
	for i, v := range values {
		if math.IsInf(v, 0) {
			return p.fault(line, "leaf_value[%d] is infinite", i)
		}
	}
	firstLeaf := len(b.f.leaves)
	b.f.leaves = append(b.f.leaves, values...)
	b.f.output = append(b.f.output, int32(len(b.f.roots)%b.f.outputs))
	if err := b.addLinear(s, leaves); err != nil {
		return err
	}
	b.info.Leaves += leaves
	b.info.LargestTree = max(b.info.LargestTree, leaves)
	if leaves == 1 {
		b.f.roots = append(b.f.roots, ^int32(firstLeaf))
		return b.cover.add(s, p, 0, 1)
	}
	b.f.roots = append(b.f.roots, int32(len(b.f.nodes)))
	if err := b.addNodes(s, leaves, firstLeaf); err != nil {
		return err
	}
	return b.cover.add(s, p, leaves-1, leaves)
}

// addNodes checks and adds the splits of a tree of two leaves or more.
func (b *builder) addNodes(s *section, leaves, firstLeaf int) error {
	p, n := b.p, leaves-1
	features, featureLine, err := p.ints(s, "split_feature", n, 32)
	if err != nil {
		return err
	}
	thresholds, thresholdLine, err := p.floats(s, "threshold", n)
	if err != nil {
		return err
	}
	decisions, decisionLine, err := p.ints(s, "decision_type", n, 32)
	if err != nil {
		return err
	}
	left, right, err := b.children(s, leaves)
	if err != nil {
		return err
	}
	firstSet := len(b.f.sets)
	if err := b.addSets(s); err != nil {
		return err
	}
	firstNode := len(b.f.nodes)
	place := func(child int64) int32 {
		if child < 0 {
			return ^int32(int(^child) + firstLeaf)
		}
		return int32(int(child) + firstNode)
	}
	for i := range n {
		if features[i] < 0 || int(features[i]) >= len(b.used) {
			return p.fault(featureLine, "split_feature[%d] is %d, and the model has %d features", i, features[i], len(b.used))
		}
		b.used[features[i]] = true
		kind, ok := decision(decisions[i], thresholds[i])
		if !ok {
			return p.fault(decisionLine, "decision_type[%d] is %d, which is not known in v2 to v4", i, decisions[i])
		}
		t := flushed(thresholds[i])
		if kind == categorical {
			t = thresholds[i]
			if sets := len(b.f.sets) - firstSet; t != math.Trunc(t) || t < 0 || t >= float64(sets) {
				return p.fault(thresholdLine, "threshold[%d] is %v, and should be one of the tree's %d category sets", i, t, sets)
			}
			t += float64(firstSet)
			b.info.Categorical++
		}
		b.f.nodes = append(b.f.nodes, node{threshold: t, left: place(left[i]), right: place(right[i]), feature: uint32(features[i]), kind: kind})
	}
	return nil
}

// decision settles what a split does to missing values.
func decision(bits int64, threshold float64) (kind, bool) {
	if bits < 0 || bits > decisionBits || bits>>missingShift == 3 {
		return less, false
	}
	if bits&categoricalBit != 0 {
		return categorical, true
	}
	toLeft := bits&defaultLeftBit != 0
	switch bits >> missingShift {
	case 1:
		if toLeft {
			return zeroLeft, true
		}
		return zeroRight, true
	case 0:
		toLeft = threshold >= 0 // no missing values in training: NaN is taken for 0
	}
	if toLeft {
		return lessOrNaN, true
	}
	return less, true
}

// flushed moves a threshold that lies as near to zero as LightGBM can tell: its predictor takes values in ±zeroThreshold for 0 before it compares,
// and so 0 must fall on the same side as they.
func flushed(t float64) float64 {
	switch {
	case t >= 0 && t < zeroThreshold:
		return zeroThreshold
	case t < 0 && t >= -zeroThreshold:
		return math.Nextafter(-zeroThreshold, math.Inf(-1))
	default:
		return t
	}
}

// children reads the tree's links and walks them from the root: each node and each leaf is reached exactly once, so every way ends in a leaf.
func (b *builder) children(s *section, leaves int) (left, right []int64, err error) {
	p, n := b.p, leaves-1
	left, leftLine, err := p.ints(s, "left_child", n, 32)
	if err != nil {
		return nil, nil, err
	}
	right, rightLine, err := p.ints(s, "right_child", n, 32)
	if err != nil {
		return nil, nil, err
	}
	type step struct {
		node  int64
		depth int
	}
	seenNode, seenLeaf := make([]bool, n), make([]bool, leaves)
	seenNode[0] = true
	stack, reached, deepest := []step{{}}, 1, 0
	visit := func(key string, line int, from step, child int64) error {
		switch {
		case child >= int64(n) || child < -int64(leaves):
			return p.fault(line, "%s[%d] is %d, but the tree has %d splits and %d leaves", key, from.node, child, n, leaves)
		case child >= 0 && seenNode[child]:
			return p.fault(line, "%s[%d] is %d, a split that another way has reached: the tree has a cycle or a join", key, from.node, child)
		case child >= 0:
			seenNode[child] = true
			reached++
			stack = append(stack, step{node: child, depth: from.depth + 1})
		case seenLeaf[^child]:
			return p.fault(line, "%s[%d] is leaf %d, which another way has reached", key, from.node, ^child)
		default:
			seenLeaf[^child] = true
			deepest = max(deepest, from.depth+1)
		}
		return nil
	}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := visit("left_child", leftLine, at, left[at.node]); err != nil {
			return nil, nil, err
		}
		if err := visit("right_child", rightLine, at, right[at.node]); err != nil {
			return nil, nil, err
		}
	}
	// A tree in which each way is taken once has one leaf more than it has splits; so all leaves are reached when all splits are.
	if reached != n {
		return nil, nil, p.fault(leftLine, "%d of %d splits are never reached from the root", n-reached, n)
	}
	b.info.Depth = max(b.info.Depth, deepest)
	return left, right, nil
}

// addSets reads the tree's category sets.
func (b *builder) addSets(s *section) error {
	p := b.p
	if _, given := s.values["num_cat"]; !given && b.head.version == "v2" {
		return nil
	}
	count, err := p.number(s, "num_cat", 0, p.total)
	if err != nil || count == 0 {
		return err
	}
	bounds, line, err := p.ints(s, "cat_boundaries", count+1, 32)
	if err != nil {
		return err
	}
	total := words(s.values["cat_threshold"].text)
	bits, _, err := p.ints(s, "cat_threshold", total, 64)
	if err != nil {
		return err
	}
	for i, bound := range bounds {
		if i == 0 && bound != 0 || i > 0 && bound < bounds[i-1] || bound > int64(total) {
			return p.fault(line, "cat_boundaries[%d] is %d, which is out of order or beyond the %d words of cat_threshold", i, bound, total)
		}
	}
	if int(bounds[count]) != total {
		return p.fault(line, "cat_boundaries end at %d, but cat_threshold has %d words", bounds[count], total)
	}
	first := uint32(len(b.f.bits))
	for i, w := range bits {
		if w < 0 || w > math.MaxUint32 {
			return p.fault(s.values["cat_threshold"].line, "cat_threshold[%d] is %d, which is no 32-bit word", i, w)
		}
		b.f.bits = append(b.f.bits, uint32(w))
	}
	for i := range count {
		b.f.sets = append(b.f.sets, set{from: first + uint32(bounds[i]), to: first + uint32(bounds[i+1])})
	}
	return nil
}

// finish makes the model.
func (b *builder) finish() *Model {
	for i, used := range b.used {
		if !used {
			b.info.UnusedFeatures = append(b.info.UnusedFeatures, b.info.Inputs[i])
		}
	}
	return newModel(b.info, b.f, b.cover, b.head.convert)
}
