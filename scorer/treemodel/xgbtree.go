package treemodel

import (
	"math"
	"strconv"
)

// noFeature is the split feature of a deleted node, without the bit that default_left goes into.
const noFeature = math.MaxInt32

// xgbTree is one tree's arrays as the file has them, a value a node. They are used again for the next tree.
type xgbTree struct {
	id                         int64
	params                     map[string]string
	left, right, feature       []int32
	threshold, hessian         []float32
	defaultLeft                []bool
	splitTypes                 []int32
	categories, nodes          []int32
	segments, sizes            []int32
	vectors                    []float32 // leaf_weights of 3.1 and later
	hasVectors                 bool
	baseWeights                int // where base_weights lie, which hold the vectors of 2.0 to 3.0; 0 is nowhere
	nodeCount, vector, deleted int

	// What the walk finds.
	place []int32 // :: node → its index in the forest, as children refer to it
	stack []xgbStep
	seen  []bool // :: vector → a leaf has it
}

type xgbStep struct {
	node  int32
	depth int
}

// readTree reads tree i, checks it, and adds it to the forest.
func (x *xgboost) readTree(i int) error {
	t := &x.tree
	t.id, t.params, t.hasVectors, t.baseWeights = -1, nil, false, 0
	for _, list := range []*[]int32{&t.left, &t.right, &t.feature, &t.splitTypes, &t.categories, &t.nodes, &t.segments, &t.sizes} {
		*list = (*list)[:0]
	}
	t.threshold, t.hessian, t.defaultLeft, t.vectors = t.threshold[:0], t.hessian[:0], t.defaultLeft[:0], t.vectors[:0]
	ints := func(into *[]int32) func() error {
		return func() (err error) { *into, err = x.d.ints(*into); return err }
	}
	floats := func(into *[]float32) func() error {
		return func() (err error) { *into, err = x.d.floats(*into); return err }
	}
	err := x.keys(map[string]func() error{
		"id":                  func() (err error) { t.id, err = x.d.whole(); return err },
		"tree_param":          func() (err error) { t.params, err = x.texts(); return err },
		"left_children":       ints(&t.left),
		"right_children":      ints(&t.right),
		"split_indices":       ints(&t.feature),
		"split_type":          ints(&t.splitTypes),
		"split_conditions":    floats(&t.threshold),
		"default_left":        func() (err error) { t.defaultLeft, err = x.d.flags(t.defaultLeft); return err },
		"sum_hessian":         floats(&t.hessian),
		"categories":          ints(&t.categories),
		"categories_nodes":    ints(&t.nodes),
		"categories_segments": ints(&t.segments),
		"categories_sizes":    ints(&t.sizes),
		"leaf_weights":        func() error { t.hasVectors = true; return floats(&t.vectors)() },
		"base_weights":        func() error { t.baseWeights = x.d.here(); return x.d.skip() },
		"parents":             x.d.skip,
		"loss_changes":        x.d.skip,
		"leaf_child_counts":   x.d.skip, // of 1.0
	})
	if err != nil {
		return err
	}
	if t.id != int64(i) {
		return x.d.fault("id", "is %d, and should be %d", t.id, i)
	}
	return x.addTree()
}

// treeParam reads one of tree_param's numbers.
func (x *xgboost) treeParam(key string, missing, most int) (int, error) {
	text, given := x.tree.params[key]
	if !given && missing >= 0 {
		return missing, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > most {
		return 0, x.d.fault("tree_param/"+key, "is %s, and should be a number from 0 to %d", quote([]byte(text)), most)
	}
	return v, nil
}

func (x *xgboost) addTree() error {
	t := &x.tree
	for _, step := range []func() error{x.checkLengths, x.readVectors, x.walkTree} {
		if err := step(); err != nil {
			return err
		}
	}
	x.starts = append(x.starts, treeStart{nodes: len(x.f.nodes), leaves: len(x.f.leaves), sets: len(x.f.sets), bits: len(x.f.bits)})
	x.placeNodes()
	if err := x.addSplits(); err != nil {
		return err
	}
	x.f.roots = append(x.f.roots, t.place[0])
	return nil
}

// checkLengths holds the arrays against num_nodes, which is itself held against the first of them: no number of the file sizes memory.
func (x *xgboost) checkLengths() (err error) {
	t := &x.tree
	for key := range t.params {
		if key != "num_nodes" && key != "num_deleted" && key != "num_feature" && key != "size_leaf_vector" {
			return x.d.fault("tree_param/"+short(key), "is not known in XGBoost models 1.0 to 3.4")
		}
	}
	if t.nodeCount, err = x.treeParam("num_nodes", -1, math.MaxInt32-1); err != nil {
		return err
	}
	n := t.nodeCount
	for _, list := range []struct {
		name string
		have int
	}{
		{"left_children", len(t.left)},
		{"right_children", len(t.right)},
		{"split_indices", len(t.feature)},
		{"split_conditions", len(t.threshold)},
		{"default_left", len(t.defaultLeft)},
		{"sum_hessian", len(t.hessian)},
		{"split_type", len(t.splitTypes)},
	} {
		// Trees of 1.0 have no split_type. The first trees of vectors had no sum_hessian; without them there are no contributions.
		if list.have == 0 && (list.name == "split_type" || list.name == "sum_hessian") {
			continue
		}
		if list.have != n {
			return x.d.fault(list.name, "has %d values, but num_nodes is %d", list.have, n)
		}
	}
	if n == 0 {
		return x.d.fault("tree_param/num_nodes", "is 0")
	}
	if t.deleted, err = x.treeParam("num_deleted", -2, n); err != nil && t.params["num_deleted"] != "" {
		return err
	}
	if t.params["num_deleted"] == "" {
		t.deleted = -1
	}
	if t.vector, err = x.treeParam("size_leaf_vector", 0, math.MaxInt32); err != nil {
		return err
	}
	if t.vector == 1 {
		t.vector = 0
	}
	if len(x.f.roots) > 0 && t.vector != x.f.vector {
		return x.d.fault("tree_param/size_leaf_vector", "is %d, but in the trees before it is %d", t.vector, x.f.vector)
	}
	x.f.vector = t.vector
	return nil
}

// readVectors finds the leaves' values where they are vectors: leaf_weights, or in files of 2.0 to 3.0 base_weights, a vector a node.
func (x *xgboost) readVectors() error {
	t := &x.tree
	if t.vector == 0 {
		if t.hasVectors {
			return x.d.fault("leaf_weights", "stand in a tree whose leaves are no vectors")
		}
		return nil
	}
	if t.hasVectors {
		if len(t.vectors)%t.vector != 0 {
			return x.d.fault("leaf_weights", "has %d values, which make no vectors of %d", len(t.vectors), t.vector)
		}
		return nil
	}
	if t.baseWeights == 0 {
		return x.d.fault("base_weights", "is missing")
	}
	end := x.d.here()
	x.d.back(t.baseWeights)
	var err error
	if t.vectors, err = x.d.floats(t.vectors); err != nil {
		return err
	}
	x.d.back(end)
	if len(t.vectors)%t.vector != 0 || len(t.vectors)/t.vector != t.nodeCount {
		return x.d.fault("base_weights", "has %d values, and should have %d a node", len(t.vectors), t.vector)
	}
	return nil
}

// isLeaf is XGBoost's own test.
func (t *xgbTree) isLeaf(node int32) bool { return t.left[node] == -1 }

// walkTree goes through the tree from its root. Each node is reached once, so every way ends in a leaf; what is not reached was deleted.
func (x *xgboost) walkTree() error {
	t := &x.tree
	t.place = resized(t.place, t.nodeCount)
	t.stack = append(t.stack[:0], xgbStep{})
	t.place[0] = 1
	reached := 1
	for len(t.stack) > 0 {
		at := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		if t.isLeaf(at.node) {
			x.info.Depth = max(x.info.Depth, at.depth)
			continue
		}
		left, right := t.left[at.node], t.right[at.node]
		// XGBoost takes the right child to be the one after the left.
		if left < 0 || int(left) >= t.nodeCount-1 || right != left+1 {
			return x.d.fault("left_children/"+strconv.Itoa(int(at.node)), "the children are %d and %d of %d nodes; they should be two that follow each other", left, right, t.nodeCount)
		}
		if t.place[left] != 0 || t.place[right] != 0 {
			return x.d.fault("left_children/"+strconv.Itoa(int(at.node)), "is %d, which another way has reached: the tree has a cycle or a join", left)
		}
		t.place[left], t.place[right] = 1, 1
		reached += 2
		t.stack = append(t.stack, xgbStep{right, at.depth + 1}, xgbStep{left, at.depth + 1})
	}
	return x.checkUnreached(reached)
}

func (x *xgboost) checkUnreached(reached int) error {
	t := &x.tree
	unreached := t.nodeCount - reached
	if t.deleted >= 0 && t.deleted != unreached {
		return x.d.fault("tree_param/num_deleted", "is %d, but %d of %d nodes are never reached from the root", t.deleted, unreached, t.nodeCount)
	}
	if unreached == 0 {
		return nil
	}
	for i, place := range t.place {
		if place == 0 && t.feature[i] != noFeature && t.feature[i] != -1 {
			return x.d.fault("left_children", "node %d is never reached from the root, and not marked as deleted", i)
		}
	}
	return nil
}

// resized returns list with n zeros.
func resized[T any](list []T, n int) []T {
	if cap(list) < n {
		return make([]T, n)
	}
	list = list[:n]
	clear(list)
	return list
}

// placeNodes gives each node that was reached its place in the forest.
func (x *xgboost) placeNodes() {
	t := &x.tree
	node, leaf := int32(len(x.f.nodes)), int32(x.f.leafCount())
	for i := range t.place {
		switch {
		case t.place[i] == 0:
		case t.isLeaf(int32(i)):
			t.place[i] = ^leaf
			leaf++
		default:
			t.place[i] = node
			node++
		}
	}
	// A node at place 0 of the forest is not told from one that was not reached; only the first tree's root has it, and children never lead there.
}

// addSplits adds the tree's nodes and leaves.
func (x *xgboost) addSplits() error {
	t := &x.tree
	highest, sets := int32(-1), setReader{x: x}
	t.seen = resized(t.seen, len(t.vectors)/max(t.vector, 1))
	known := len(t.hessian) == t.nodeCount
	for i := range int32(t.nodeCount) {
		categorical := len(t.splitTypes) > 0 && t.splitTypes[i] == 1
		if err := sets.next(i, categorical); err != nil {
			return err
		}
		if t.place[i] == 0 && i != 0 {
			continue
		}
		if known {
			// A leaf of 0 is never averaged in. With a split of 0 XGBoost itself gives no contributions: it divides by it.
			h := t.hessian[i]
			x.cover.whole = x.cover.whole && (h > 0 || h == 0 && t.isLeaf(i)) && h <= math.MaxFloat32
		} else {
			x.cover.whole = false
		}
		if t.isLeaf(i) {
			if err := x.addLeaf(i); err != nil {
				return err
			}
			continue
		}
		if err := x.addSplit(i, categorical); err != nil {
			return err
		}
		highest = max(highest, t.feature[i])
	}
	x.byTree = append(x.byTree, highest)
	x.highest = max(x.highest, highest)
	return sets.end()
}

func (x *xgboost) hessianOf(i int32) float64 {
	if len(x.tree.hessian) == 0 {
		return 0
	}
	return float64(x.tree.hessian[i])
}

func (x *xgboost) addLeaf(i int32) error {
	t := &x.tree
	x.cover.leaves = append(x.cover.leaves, x.hessianOf(i))
	if t.vector == 0 {
		if !finite32(t.threshold[i]) {
			return x.d.fault("split_conditions/"+strconv.Itoa(int(i)), "is a leaf of %v", t.threshold[i])
		}
		x.f.leaves = append(x.f.leaves, float64(t.threshold[i]))
		return nil
	}
	at := int(i)
	if t.hasVectors {
		at = int(t.right[i])
	}
	if at < 0 || at >= len(t.seen) {
		return x.d.fault("right_children/"+strconv.Itoa(int(i)), "is leaf %d, and leaf_weights has %d", at, len(t.seen))
	}
	if t.seen[at] {
		return x.d.fault("right_children/"+strconv.Itoa(int(i)), "is leaf %d, which another node is too", at)
	}
	t.seen[at] = true
	for _, v := range t.vectors[at*t.vector : (at+1)*t.vector] {
		if !finite32(v) {
			return x.d.fault("leaf_weights", "leaf %d has the value %v", at, v)
		}
		x.f.leaves = append(x.f.leaves, float64(v))
	}
	return nil
}

func finite32(v float32) bool { return math.Abs(float64(v)) <= math.MaxFloat32 }

func (x *xgboost) addSplit(i int32, categorical bool) error {
	t := &x.tree
	if t.feature[i] < 0 || t.feature[i] == noFeature {
		return x.d.fault("split_indices/"+strconv.Itoa(int(i)), "is %d, which is no feature", t.feature[i])
	}
	n := node{left: t.place[t.left[i]], right: t.place[t.right[i]], feature: uint32(t.feature[i]), kind: less}
	if t.defaultLeft[i] {
		n.kind = lessOrNaN
	}
	switch v := t.threshold[i]; {
	case categorical:
		n.threshold, n.kind = float64(len(x.f.sets)-1), categoryRightOrNaN
		if t.defaultLeft[i] {
			n.kind = categoryRight
		}
	case v != v:
		return x.d.fault("split_conditions/"+strconv.Itoa(int(i)), "is NaN")
	case math.IsInf(float64(v), -1):
		return x.d.fault("split_conditions/"+strconv.Itoa(int(i)), "is -Infinity, which no value is below")
	default:
		n.threshold = float64(math.Nextafter32(v, float32(math.Inf(-1))))
	}
	x.f.nodes = append(x.f.nodes, n)
	x.cover.nodes = append(x.cover.nodes, x.hessianOf(i))
	return nil
}

// setReader reads the category sets of a tree, which lie in the order of their nodes.
type setReader struct {
	x    *xgboost
	done int // sets
	from int // categories
}

// next reads the set of node i where the split is categorical.
func (s *setReader) next(i int32, categorical bool) error {
	x, t := s.x, &s.x.tree
	listed := s.done < len(t.nodes) && t.nodes[s.done] == i
	if len(t.splitTypes) > 0 && t.splitTypes[i] != 0 && t.splitTypes[i] != 1 {
		return x.d.fault("split_type/"+strconv.Itoa(int(i)), "is %d, and 0 (a number) and 1 (a category) are known", t.splitTypes[i])
	}
	if listed != categorical {
		return x.d.fault("categories_nodes", "and split_type do not agree about node %d", i)
	}
	if !listed {
		return nil
	}
	if s.done >= len(t.segments) || s.done >= len(t.sizes) {
		return x.d.fault("categories_segments", "there are %d of them and %d sizes, for %d nodes", len(t.segments), len(t.sizes), len(t.nodes))
	}
	from, size := int(t.segments[s.done]), int(t.sizes[s.done])
	if from != s.from || size < 1 || size > len(t.categories)-from {
		return x.d.fault("categories_segments/"+strconv.Itoa(s.done), "is %d with %d categories, and should begin at %d of %d", from, size, s.from, len(t.categories))
	}
	s.done, s.from = s.done+1, from+size
	if t.isLeaf(i) || t.place[i] == 0 && i != 0 {
		return nil
	}
	return s.add(t.categories[from : from+size])
}

// add adds a set to the forest.
func (s *setReader) add(categories []int32) error {
	x, most := s.x, int32(0)
	for _, c := range categories {
		if c < 0 || c >= endCategory {
			return x.d.fault("categories", "category %d is not between 0 and %d", c, endCategory-1)
		}
		most = max(most, c)
	}
	first, words := len(x.f.bits), int(most/32)+1
	if words > maxSetWords-first {
		return x.d.fault("categories", "the category sets of all trees take more than %d MiB", maxSetWords*4>>20)
	}
	x.f.bits = append(x.f.bits, make([]uint32, words)...)
	for _, c := range categories {
		x.f.bits[first+int(c/32)] |= 1 << (c % 32)
	}
	x.f.sets = append(x.f.sets, set{from: uint32(first), to: uint32(first + words)})
	return nil
}

// end is an error unless all that is listed was used.
func (s *setReader) end() error {
	x, t := s.x, &s.x.tree
	if s.done != len(t.nodes) || s.done != len(t.segments) || s.done != len(t.sizes) || s.from != len(t.categories) {
		return x.d.fault("categories_nodes", "%d nodes, %d segments, %d sizes and %d categories are listed, and %d and %d of them belong to splits",
			len(t.nodes), len(t.segments), len(t.sizes), len(t.categories), s.done, s.from)
	}
	return nil
}
