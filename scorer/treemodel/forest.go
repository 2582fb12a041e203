package treemodel

// forest is all trees of a model in one array of nodes, whatever library wrote it: what the loaders make, and what kernels and contributions are built
// from. It is not changed once newModel has it.
type forest struct {
	nodes  []node
	leaves []float64 // a leaf's value; with vectors leaf i's values are leaves[i*vector:(i+1)*vector]
	roots  []int32   // of each tree, in file order; a negative one is ^leaf
	output []int32   // :: tree → the output that it adds to; with vectors a tree adds to all, and this is nil
	sets   []set
	bits   []uint32 // of all sets

	outputs int
	vector  int       // values a leaf, when it has more than one (XGBoost's multi_output_tree); else 0
	base    []float64 // what the sums begin with, one an output; nil is 0
	linear  *linear   // nil: leaves are constants

	// single is XGBoost's arithmetic. Values are rounded to float32 before anything is asked of them, and sums are float32. Leaves and base are float32
	// values held as float64, and a split x < t is kept as x <= the float32 below t, which is the same of every float32.
	single bool
}

// node is one split. Children at or above 0 are nodes, below they are ^leaf.
type node struct {
	threshold   float64 // of a categorical split: which of forest.sets
	left, right int32
	feature     uint32
	kind        kind
}

// set is categories: bits[from:to], 32 categories a word, the lowest bit first.
type set struct{ from, to uint32 }

// kind is a node's decision, with what it does to missing values settled when loaded.
type kind uint8

const (
	less               kind = iota // x <= threshold; NaN goes right
	lessOrNaN                      // the same, but NaN goes left
	zeroLeft                       // 0 and NaN are missing and go left, else x <= threshold
	zeroRight                      // 0 and NaN are missing and go right, else x <= threshold
	categorical                    // LightGBM: what is in the set goes left; NaN and what is no category goes right
	categoryRight                  // XGBoost: what is in the set goes right; NaN and what is no category goes left
	categoryRightOrNaN             // the same, but NaN goes right
)

func (k kind) isCategorical() bool { return k >= categorical }

// linear is the linear models of LightGBM's linear_tree. Leaf i is constants[i] + Σ coefficients[j] × row[features[j]], j from starts[i] to
// starts[i+1], added in that order; where one of those features is NaN it is forest.leaves[i].
type linear struct {
	constants    []float64
	starts       []uint32 // one more than leaves
	features     []uint32
	coefficients []float64
}

// leafCount returns how many leaves all trees have.
func (f *forest) leafCount() int {
	if f.vector > 0 {
		return len(f.leaves) / f.vector
	}
	return len(f.leaves)
}

// newModel puts together what a loader has checked: every way from a root ends in a leaf, each node and leaf is reached once, and all indices are in
// range. It numbers the leaves anew, in each tree from left to right.
func newModel(info Info, f forest, c cover, convert transform) *Model {
	m := &Model{info: info, trees: f, cover: c, convert: convert}
	m.trees.orderLeaves(&m.cover)
	m.fast = newFast(&m.trees, len(info.Inputs))
	m.info.Kernel, m.info.KernelBytes = m.fast.name(), m.fast.bytes
	m.info.Contributions = m.cover.whole && m.info.Depth <= maxContributionDepth && f.linear == nil
	return m
}

// orderLeaves numbers the leaves of each tree from left to right, and the trees' one after the other: the leaves that a split's left side has are then
// a run, and so are a tree's.
func (f *forest) orderLeaves(c *cover) {
	was := make([]int32, 0, f.leafCount()) // :: new number → old
	var stack []*int32
	for t := range f.roots {
		stack = append(stack[:0], &f.roots[t])
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if *at >= 0 {
				stack = append(stack, &f.nodes[*at].right, &f.nodes[*at].left)
				continue
			}
			was = append(was, ^*at)
			*at = ^int32(len(was) - 1)
		}
	}
	f.leaves = reordered(f.leaves, was, max(f.vector, 1))
	if len(c.leaves) == len(was) {
		c.leaves = reordered(c.leaves, was, 1)
	}
	if f.linear != nil {
		f.linear.order(was)
	}
}

// reordered returns values with those of was[i] at i, each of width values.
func reordered(values []float64, was []int32, width int) []float64 {
	out := make([]float64, 0, len(was)*width)
	for _, old := range was {
		out = append(out, values[int(old)*width:int(old+1)*width]...)
	}
	return out
}

func (l *linear) order(was []int32) {
	starts, features, coefficients := make([]uint32, 1, len(was)+1), make([]uint32, 0, len(l.features)), make([]float64, 0, len(l.features))
	for _, old := range was {
		from, to := l.starts[old], l.starts[old+1]
		features = append(features, l.features[from:to]...)
		coefficients = append(coefficients, l.coefficients[from:to]...)
		starts = append(starts, uint32(len(features)))
	}
	*l = linear{constants: reordered(l.constants, was, 1), starts: starts, features: features, coefficients: coefficients}
}
