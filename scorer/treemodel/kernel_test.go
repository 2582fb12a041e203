package treemodel_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"verdict/scorer/treemodel"
)

// agree compares Raw, row by row and in a batch, with the plain kernel.
func agree(t rapid.TB, m *treemodel.Model, rows []float64) {
	t.Helper()
	width, k := len(m.Inputs()), m.Outputs()
	n := len(rows) / width
	want, batch, alone := make([]float64, n*k), make([]float64, n*k), make([]float64, k)
	m.RawPlain(rows, want)
	if err := m.Raw(rows, batch); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		row := rows[i*width : (i+1)*width]
		if err := m.Raw(row, alone); err != nil {
			t.Fatal(err)
		}
		for j := range k {
			if !same(alone[j], want[i*k+j]) || !same(batch[i*k+j], want[i*k+j]) {
				t.Fatalf("row %v: %v alone and %v in the batch by %s, %v by the plain kernel", row, alone[j], batch[i*k+j], m.Info().Kernel, want[i*k+j])
			}
		}
	}
}

func TestFastKernelsEqualThePlainOneOnEveryModel(t *testing.T) {
	for _, s := range samples(t) {
		m := parse(t, s)
		if got := m.Info().Kernel; got != "bit vectors" {
			t.Errorf("%s, trees of up to %d leaves: %s", s.kind, m.Info().LargestTree, got)
		}
		agree(t, m, s.rows)
	}
}

func TestFastKernelsEqualThePlainOneOnXGBoostModels(t *testing.T) {
	for _, f := range xgbFiles(t, "testdata/xgb", 80) {
		t.Run(f.name(), func(t *testing.T) { agree(t, f.model(t), f.rows(t).rows) })
	}
}

func TestFastKernelsEqualThePlainOneOnRandomForests(t *testing.T) {
	seen := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		s := treemodel.Shape{
			Seed:       rapid.Uint64().Draw(t, "seed"),
			Trees:      rapid.IntRange(1, 60).Draw(t, "trees"),
			Leaves:     rapid.SampledFrom([]int{1, 2, 4, 8, 31, 63, 64, 65, 90, 255}).Draw(t, "leaves"),
			Features:   rapid.SampledFrom([]int{1, 2, 3, 5, 8, 40}).Draw(t, "features"),
			Cuts:       rapid.SampledFrom([]int{1, 2, 3, 4, 7, 8, 9, 100}).Draw(t, "cuts"),
			Single:     rapid.Bool().Draw(t, "single"),
			Outputs:    rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(t, "outputs"),
			Categories: rapid.Bool().Draw(t, "categories"),
			Zeros:      rapid.Bool().Draw(t, "zeros"),
			Mixed:      rapid.IntRange(0, 9).Draw(t, "mixed") == 0,
		}
		if rapid.IntRange(0, 3).Draw(t, "vector") == 0 {
			s.Vector = s.Outputs
		} else {
			s.Linear = !s.Single && rapid.Bool().Draw(t, "linear")
		}
		m, rows := treemodel.Random(s, 40)
		kernel := m.Info().Kernel
		if strings.Contains(kernel, ",") {
			kernel = "several"
		}
		seen[kernel]++
		agree(t, m, rows)
	})
	for _, kernel := range []string{"bit vectors", "ranks", "plain", "several"} {
		if seen[kernel] == 0 {
			t.Errorf("no forest was scored by %s: %v", kernel, seen)
		}
	}
	t.Log(seen)
}
