package treemodel

// This is the plain kernel: it follows the file's own decisions one by one, allocates nothing, and is what the faster kernels are compared with and
// what takes over where they do not fit.

// zeroThreshold is LightGBM's kZeroThreshold, which is written as a float there: values this near to zero are zero.
const zeroThreshold = float64(float32(1e-35))

const (
	// maxCategory is LightGBM's largest category number: it converts to a 32-bit int, and what does not fit goes right.
	maxCategory = 1<<31 - 1
	// endCategory is XGBoost's first number that is no category, the first that float32 cannot tell from its successor.
	endCategory = 1 << 24
)

// sum adds the leaves that row falls into, tree after tree in file order, so that the sums are the library's bit for bit.
func (f *forest) sum(row, out []float64) {
	f.begin(out)
	for t, root := range f.roots {
		f.add(t, int(^f.leaf(root, row)), row, out)
	}
}

// begin writes what the sums begin with.
func (f *forest) begin(out []float64) {
	if f.base == nil {
		clear(out)
		return
	}
	copy(out, f.base)
}

// add adds what leaf gives to row, as tree t does.
func (f *forest) add(t, leaf int, row, out []float64) {
	if f.vector > 0 {
		for i, v := range f.leaves[leaf*f.vector : (leaf+1)*f.vector] {
			out[i] = f.plus(out[i], v)
		}
		return
	}
	v := f.leaves[leaf]
	if f.linear != nil {
		v = f.linear.value(leaf, v, row)
	}
	at := &out[f.output[t]]
	*at = f.plus(*at, v)
}

func (f *forest) plus(a, b float64) float64 {
	if f.single {
		return float64(float32(a) + float32(b))
	}
	return a + b
}

// value returns the linear model of a leaf. Products are rounded before they are added, on every machine.
func (l *linear) value(leaf int, constant float64, row []float64) float64 {
	v := l.constants[leaf]
	for j := l.starts[leaf]; j < l.starts[leaf+1]; j++ {
		x := row[l.features[j]]
		if x != x {
			return constant
		}
		if isMissingZero(x) {
			x = 0 // LightGBM's predictor hands such values to its trees as 0
		}
		v += float64(l.coefficients[j] * x)
	}
	return v
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
	if f.single {
		x = float64(float32(x))
	}
	return f.decide(n, x)
}

// decide is a split's decision about a value that has been rounded as the forest wants it.
func (f *forest) decide(n *node, x float64) bool {
	switch n.kind {
	case less:
		return x <= n.threshold
	case lessOrNaN:
		return x <= n.threshold || x != x
	case zeroLeft:
		return isMissingZero(x) || x <= n.threshold
	case zeroRight:
		return !isMissingZero(x) && x <= n.threshold
	case categoryRight:
		return !(x >= 0 && x < endCategory && f.sets[int(n.threshold)].has(f.bits, uint32(x)))
	case categoryRightOrNaN:
		return x == x && !(x >= 0 && x < endCategory && f.sets[int(n.threshold)].has(f.bits, uint32(x)))
	default:
		return x > -1 && x <= maxCategory && f.sets[int(n.threshold)].has(f.bits, uint32(x))
	}
}

func isMissingZero(x float64) bool {
	return x != x || (x >= -zeroThreshold && x <= zeroThreshold)
}

// has says whether the category is one of the set.
func (s set) has(bits []uint32, category uint32) bool {
	word := category / 32
	return word < s.to-s.from && bits[s.from+word]>>(category%32)&1 == 1
}
