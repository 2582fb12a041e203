package treemodel

// forest is all trees in one array of nodes, each node's fields as its decision needs them. This is the plain kernel: it follows the file's own
// decisions one by one, allocates nothing, and is what faster kernels are compared with. They replace sum, and nothing else.
type forest struct {
	nodes  []node
	leaves []float64
	roots  []int32 // of each tree, in file order; a negative one is ^leaf
	sets   []set
	bits   []uint32 // of all sets
	groups int      // trees of one iteration: tree i adds to output i % groups
}

// node is one split. Children at or above 0 are nodes, below they are ^leaf.
type node struct {
	threshold   float64 // of a categorical split: which of forest.sets
	left, right int32
	feature     uint32
	kind        kind
}

// set is the categories that go left: bits[from:to], 32 categories a word.
type set struct{ from, to uint32 }

// kind is a node's decision, with what it does to missing values settled when loaded.
type kind uint8

const (
	less        kind = iota // x <= threshold; NaN goes right
	lessOrNaN               // the same, but NaN goes left
	zeroLeft                // 0 and NaN are missing and go left, else x <= threshold
	zeroRight               // 0 and NaN are missing and go right, else x <= threshold
	categorical             // the category is in the set
)

// zeroThreshold is LightGBM's kZeroThreshold, which is written as a float there: values this near to zero are zero.
const zeroThreshold = float64(float32(1e-35))

// maxCategory is the largest category number: LightGBM converts to a 32-bit int, and what does not fit goes right.
const maxCategory = 1<<31 - 1

// sum adds the leaves that row falls into, tree after tree in file order from 0, as LightGBM does, so that the sums are equal bit for bit.
func (f *forest) sum(row, out []float64) {
	clear(out)
	if f.groups == 1 {
		total := 0.0
		for _, root := range f.roots {
			total += f.leaves[^f.leaf(root, row)]
		}
		out[0] = total
		return
	}
	group := 0
	for _, root := range f.roots {
		out[group] += f.leaves[^f.leaf(root, row)]
		if group++; group == f.groups {
			group = 0
		}
	}
}

// leaf returns where row ends up from the node at, as ^leaf. Loading has made sure that every way ends.
func (f *forest) leaf(at int32, row []float64) int32 {
	for at >= 0 {
		n := &f.nodes[at]
		if f.goesLeft(n, row[n.feature]) {
			at = n.left
		} else {
			at = n.right
		}
	}
	return at
}

func (f *forest) goesLeft(n *node, x float64) bool {
	switch n.kind {
	case less:
		return x <= n.threshold
	case lessOrNaN:
		return x <= n.threshold || x != x
	case zeroLeft:
		return isMissingZero(x) || x <= n.threshold
	case zeroRight:
		return !isMissingZero(x) && x <= n.threshold
	default:
		return f.sets[int(n.threshold)].has(f.bits, x)
	}
}

func isMissingZero(x float64) bool {
	return x != x || (x >= -zeroThreshold && x <= zeroThreshold)
}

// has says whether x, cut to an integer, is one of the set. NaN, negative and huge values are in no set.
func (s set) has(bits []uint32, x float64) bool {
	if !(x > -1 && x <= maxCategory) {
		return false
	}
	category := uint32(x)
	word := category / 32
	return word < s.to-s.from && bits[s.from+word]>>(category%32)&1 == 1
}
