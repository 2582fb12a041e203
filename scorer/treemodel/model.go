package treemodel

import (
	"errors"
	"fmt"
	"path/filepath"

	"verdict/scorer"
)

// maxFileBytes bounds what is read of a model file. The largest models in use are far below it, and a wrong path does not eat the memory.
const maxFileBytes = 512 << 20

// Model is a loaded LightGBM model. It is immutable and safe for concurrent use.
type Model struct {
	info    Info
	trees   forest
	fast    *fast
	convert transform

	cover       cover
	contributor contributor
}

// Info says what a model file holds.
type Info struct {
	Format         string // "LightGBM v4"
	Objective      string // as the file writes it; "" when it has none (a custom objective)
	Transform      string // what is done to the raw score: identity, sigmoid, softmax, …
	Inputs         []string
	Outputs        int
	Trees          int
	Leaves         int // of all trees
	LargestTree    int // leaves of the largest tree
	Depth          int // of the deepest tree
	Categorical    int // categorical splits
	AverageOutput  bool
	Linear         bool // leaves are linear models
	Contributions  bool // whether the file has the counts that Contributions needs, and leaves that are constants
	UnusedFeatures []string
	Kernel         string // what scores the trees: bit vectors, ranks, plain, or how many trees each
	KernelBytes    int    // of its tables
}

// Load reads a LightGBM text model. When inputs is not nil, it must name the model's own features in their order; a model whose features were never
// named (Column_0, Column_1, …) takes them by place.
func Load(path string, inputs []string) (scorer.Engine, error) {
	m, err := Open(path)
	if err != nil {
		return nil, err
	}
	if inputs == nil {
		return m, nil
	}
	if err := m.bind(inputs); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return m, nil
}

// Open reads a LightGBM text model as it is.
func Open(path string) (*Model, error) {
	text, err := scorer.ReadFile(path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(path), text)
}

// Parse reads a LightGBM text model from memory; file is how errors call it.
func Parse(file string, text []byte) (*Model, error) {
	p := &parser{file: file, rest: text, total: len(text)}
	head, err := p.header()
	if err != nil {
		return nil, err
	}
	b := newBuilder(p, head)
	for i := range head.trees {
		if err := b.tree(i); err != nil {
			return nil, err
		}
	}
	if err := p.tail(head); err != nil {
		return nil, err
	}
	return b.finish(), nil
}

// Info returns what the file holds.
func (m *Model) Info() Info { return m.info }

// Inputs returns the model's feature names in its order. They are not to be changed.
func (m *Model) Inputs() []string { return m.info.Inputs }

// Outputs returns how many scores a row has: one, or the number of classes.
func (m *Model) Outputs() int { return m.info.Outputs }

// errShape says that rows or out have the wrong length; it never becomes a score.
var errShape = errors.New("rows of the wrong length")

// Raw writes the sums of the trees, row after row: the log-odds of a classifier.
func (m *Model) Raw(rows, out []float64) error {
	width, k := len(m.info.Inputs), m.info.Outputs
	n := len(out) / k
	if len(out)%k != 0 || len(rows) != n*width {
		return fmt.Errorf("%w: %d values for %d scores of a model of %d inputs and %d outputs", errShape, len(rows), len(out), width, k)
	}
	m.fast.raw(rows, out, width)
	return nil
}

// Predict writes what LightGBM's predict returns: the raw scores, averaged if the model says so, through the objective's transform.
func (m *Model) Predict(rows, out []float64) error {
	if err := m.Raw(rows, out); err != nil {
		return err
	}
	k := m.info.Outputs
	for i := 0; i < len(out); i += k {
		m.convert.apply(out[i : i+k])
	}
	return nil
}

// bind checks that inputs are the model's features, in its order.
func (m *Model) bind(inputs []string) error {
	own := m.info.Inputs
	if len(inputs) != len(own) {
		return fmt.Errorf("the model has %d features, the bundle's inputs are %d%s", len(own), len(inputs), difference(own, inputs))
	}
	if unnamed(own) {
		return nil
	}
	place := make(map[string]int, len(own))
	for i, name := range own {
		place[name] = i
	}
	for i, name := range inputs {
		if own[i] == name {
			continue
		}
		if at, known := place[name]; known {
			return fmt.Errorf("inputs are not in the model's order: place %d is %q in the model, and %q is its place %d", i+1, own[i], name, at+1)
		}
		return fmt.Errorf("input %d is %q, but the model's feature there is %q", i+1, name, own[i])
	}
	return nil
}

// unnamed says whether the names are those that LightGBM gives to columns that have none.
func unnamed(names []string) bool {
	for i, name := range names {
		if name != fmt.Sprintf("Column_%d", i) {
			return false
		}
	}
	return true
}

// difference names the first feature that only one side has.
func difference(own, inputs []string) string {
	if unnamed(own) {
		return ""
	}
	if name := lacking(own, inputs); name != "" {
		return fmt.Sprintf(": inputs lack %q", name)
	}
	if name := lacking(inputs, own); name != "" {
		return fmt.Sprintf(": the model has no %q", name)
	}
	return ""
}

func lacking(from, in []string) string {
	has := make(map[string]bool, len(in))
	for _, name := range in {
		has[name] = true
	}
	for _, name := range from {
		if !has[name] {
			return name
		}
	}
	return ""
}
