package treemodel_test

import (
	"math"
	"strings"
	"testing"

	"verdict/scorer/treemodel"
)

// What is accepted can be asked for anything without harm, and loads from its best round alone too.
func exerciseXGB(t *testing.T, file string, data []byte) {
	t.Helper()
	m, err := treemodel.ParseXGBoost(file, data)
	if err != nil {
		if !strings.Contains(err.Error(), file+":") || !strings.Contains(err.Error(), "at byte ") {
			t.Fatalf("%q does not name its place", err)
		}
		return
	}
	score(t, m)
	if best, err := treemodel.ParseXGBoostBest(file, data); err == nil {
		score(t, best)
	}
}

func score(t *testing.T, m *treemodel.Model) {
	t.Helper()
	width, k := len(m.Inputs()), m.Outputs()
	if width > 1000 || k > 1000 {
		return
	}
	out, shares, row := make([]float64, k), make([]float64, (width+1)*k), make([]float64, width)
	for _, x := range []float64{0, math.NaN(), 3.7, -1e300, math.Inf(1), math.Inf(-1), 5e-324, 1 << 24} {
		for i := range row {
			row[i] = x
		}
		if err := m.Predict(row, out); err != nil {
			t.Fatal(err)
		}
		if err := m.Contributions(row, shares); err != nil && m.Info().Contributions {
			t.Fatal(err)
		}
	}
}

func FuzzLoadXGBoostJSON(f *testing.F) {
	for _, name := range []string{"unnamed", "v1.0-binary", "v2.0-partition", "onehot", "vector", "v2.0-vector", "dart", "multiclass", "stopped", "pruned", "quantiles"} {
		f.Add(readXGB(f, "testdata/xgb", name).data)
	}
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) { exerciseXGB(t, "m.json", data) })
}

func FuzzLoadUBJSON(f *testing.F) {
	for _, name := range []string{"unnamed_ubj", "binary_ubj", "partition_ubj", "vector_ubj", "pair", "v2.0-poisson", "v3.1-poisson"} {
		f.Add(readXGB(f, "testdata/xgb", name).data)
	}
	for _, name := range []string{"v2.0-vector", "dart", "multiclass", "stopped"} {
		f.Add(bothForms(f, document(f, name))["ubj"])
	}
	f.Fuzz(func(t *testing.T, data []byte) { exerciseXGB(t, "m.ubj", data) })
}
