package treemodel

import (
	"math"
	"math/rand/v2"
	"slices"
)

// RawPlain is Raw by the plain kernel.
func (m *Model) RawPlain(rows, out []float64) {
	width, k := len(m.info.Inputs), m.trees.outputs
	for i := range len(out) / k {
		m.trees.sum(rows[i*width:(i+1)*width], out[i*k:(i+1)*k])
	}
}

// Logf is logf.
func Logf(x float32) float32 { return logf(x) }

// BaseMargins returns what the sums of a model of an objective begin with, from base_score as XGBoost 3.2 writes it.
func BaseMargins(objective string, outputs int, base string) ([]float64, error) {
	x := newXGBoost(&jsonDocument{})
	x.objective, x.f.outputs, x.version, x.params = objective, outputs, []int32{3, 2, 0}, map[string]string{"base_score": base}
	_, margins, err := x.transform()
	return margins, err
}

// Shape is what a random forest is to be like.
type Shape struct {
	Seed                     uint64
	Trees, Leaves, Features  int
	Cuts                     int // thresholds a feature
	Single, Linear           bool
	Outputs, Vector          int
	Categories, Zeros, Mixed bool // some features of such splits; features of all kinds of splits
}

// Specials are values at the edges of every rule.
var Specials = []float64{
	0, math.Copysign(0, -1), 1e-35, -1e-35, zeroThreshold, -zeroThreshold, math.Nextafter(zeroThreshold, 1), math.Nextafter(-zeroThreshold, -1), 1e-36, 5e-324, -5e-324,
	1e-40, 1e308, -1e308, 3.5e38, -3.5e38, math.MaxFloat32, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(math.NaN(), -1), -1, -0.5, -0.999, 0.5, 1, 31, 32, 63.9, 64, 1 << 24, 1<<24 - 1, 1<<31 - 1, 1 << 31, 1 << 32, 1e300,
}

// Random returns a model of random trees, and rows that lie on its thresholds, beside them, and anywhere.
func Random(s Shape, rows int) (*Model, []float64) {
	r := rand.New(rand.NewPCG(s.Seed, 1))
	f := forest{single: s.Single, outputs: s.Outputs, vector: s.Vector}
	pool := make([][]float64, s.Features)
	kinds := make([][]kind, s.Features)
	for i := range pool {
		for range s.Cuts {
			pool[i] = append(pool[i], value(r, s.Single))
		}
		switch {
		case s.Mixed:
			kinds[i] = []kind{less, lessOrNaN, zeroLeft, zeroRight, categorical, categoryRight, categoryRightOrNaN}
		case s.Categories && i%2 == 0 && s.Single:
			kinds[i] = []kind{categoryRight, categoryRightOrNaN}
		case s.Categories && i%2 == 0:
			kinds[i] = []kind{categorical}
		case s.Zeros && i%3 == 1:
			kinds[i] = []kind{zeroLeft, zeroRight}
		case s.Zeros && i%3 == 2:
			kinds[i] = []kind{less, lessOrNaN, zeroLeft}
		default:
			kinds[i] = []kind{less, lessOrNaN}
		}
	}
	if s.Linear {
		f.linear = &linear{starts: []uint32{0}}
	}
	for t := range s.Trees {
		grow(&f, r, t, 1+r.IntN(s.Leaves), pool, kinds)
	}
	if r.IntN(2) == 0 {
		for range f.outputs {
			f.base = append(f.base, float64(float32(r.NormFloat64())))
		}
	}
	info := Info{Inputs: make([]string, s.Features), Outputs: s.Outputs}
	m := newModel(info, f, cover{}, transform{convert: identity})
	out := make([]float64, 0, rows*s.Features)
	for i := range rows * s.Features {
		cuts := pool[i%s.Features]
		x := cuts[r.IntN(len(cuts))]
		switch r.IntN(6) {
		case 0:
			x = Specials[r.IntN(len(Specials))]
		case 1:
			x = math.Nextafter(x, math.Inf(1))
		case 2:
			x = math.Nextafter(x, math.Inf(-1))
		case 3:
			x = value(r, false)
		case 4:
			x = float64(r.IntN(100))
		}
		out = append(out, x)
	}
	return m, out
}

func value(r *rand.Rand, single bool) float64 {
	x := Specials[r.IntN(len(Specials))]
	if x != x || r.IntN(4) > 0 {
		x = r.NormFloat64() * math.Pow(10, float64(r.IntN(5)))
	}
	if single {
		x = float64(float32(x))
	}
	return x
}

// grow adds a tree of so many leaves by splitting one leaf after the other.
func grow(f *forest, r *rand.Rand, t, leaves int, pool [][]float64, kinds [][]kind) {
	f.output = append(f.output, int32(t%f.outputs))
	first := f.leafCount()
	f.roots = append(f.roots, ^int32(first))
	open := []*int32{&f.roots[t]}
	f.nodes = slices.Grow(f.nodes, leaves) // open points into them
	for n := range leaves {
		for range max(f.vector, 1) {
			f.leaves = append(f.leaves, float64(float32(r.NormFloat64())))
			if !f.single {
				f.leaves[len(f.leaves)-1] = r.NormFloat64()
			}
		}
		if f.linear != nil {
			for range r.IntN(3) {
				f.linear.features = append(f.linear.features, uint32(r.IntN(len(pool))))
				f.linear.coefficients = append(f.linear.coefficients, r.NormFloat64())
			}
			f.linear.constants = append(f.linear.constants, r.NormFloat64())
			f.linear.starts = append(f.linear.starts, uint32(len(f.linear.features)))
		}
		if n == 0 {
			continue
		}
		i := r.IntN(len(open))
		feature := r.IntN(len(pool))
		split := node{feature: uint32(feature), threshold: pool[feature][r.IntN(len(pool[feature]))], kind: kinds[feature][r.IntN(len(kinds[feature]))], left: *open[i], right: ^int32(first + n)}
		if split.kind.isCategorical() {
			split.threshold = float64(len(f.sets))
			from := uint32(len(f.bits))
			for range 1 + r.IntN(3) {
				f.bits = append(f.bits, r.Uint32()&r.Uint32())
			}
			f.sets = append(f.sets, set{from: from, to: uint32(len(f.bits))})
		}
		f.nodes = append(f.nodes, split)
		*open[i] = int32(len(f.nodes) - 1)
		added := &f.nodes[len(f.nodes)-1]
		open[i] = &added.left
		open = append(open, &added.right)
	}
}
