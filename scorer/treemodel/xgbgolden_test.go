package treemodel_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"verdict/scorer/treemodel"
)

// xgbFile is a model file of XGBoost with the rows and scores beside it (testdata/make_xgb.py).
type xgbFile struct {
	path string
	data []byte
	best bool // its scores are those of the rounds up to the best
}

func xgbFiles(t testing.TB, folder string, atLeast int) []xgbFile {
	t.Helper()
	rows, err := filepath.Glob(filepath.Join(folder, "*.csv"))
	if err != nil || len(rows) < atLeast {
		t.Fatalf("%s has %d samples: %v", folder, len(rows), err)
	}
	files := make([]xgbFile, len(rows))
	for i, csv := range rows {
		files[i] = readXGB(t, folder, strings.TrimSuffix(filepath.Base(csv), ".csv"))
	}
	return files
}

func readXGB(t testing.TB, folder, name string) xgbFile {
	t.Helper()
	for _, form := range []string{".json", ".ubj"} {
		path := filepath.Join(folder, name+form)
		if data, err := os.ReadFile(path); err == nil {
			return xgbFile{path: path, data: data, best: strings.HasPrefix(name, "best_")}
		}
	}
	t.Fatalf("%s has no model %s", folder, name)
	return xgbFile{}
}

func (f xgbFile) name() string { return filepath.Base(f.path) }

func (f xgbFile) rows(t testing.TB) *sample {
	t.Helper()
	return readRows(t, strings.TrimSuffix(f.path, filepath.Ext(f.path))+".csv")
}

func (f xgbFile) model(t testing.TB) *treemodel.Model {
	t.Helper()
	parse := treemodel.ParseXGBoost
	if f.best {
		parse = treemodel.ParseXGBoostBest
	}
	m, err := parse(f.name(), f.data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compareXGB scores the rows of a file, whose raw scores are XGBoost's bit for bit, and returns by how much its predictions differ at most, relative to those
// beyond 1.
func compareXGB(t testing.TB, f xgbFile) (worst float64) {
	t.Helper()
	m, s := f.model(t), f.rows(t)
	k := m.Outputs()
	raw := make([]float64, len(s.rows)/s.width*k)
	if len(raw) != len(s.raw) {
		t.Fatalf("%s: the model has %d outputs, XGBoost gives %d for %d rows", f.name(), k, len(s.raw), len(s.rows)/s.width)
	}
	if err := m.Raw(s.rows, raw); err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		if math.Float64bits(raw[i]) == math.Float64bits(s.raw[i]) {
			continue
		}
		row := i / k
		t.Fatalf("%s: row %d %v: raw score %v, XGBoost has %v", f.name(), row, s.rows[row*s.width:(row+1)*s.width], raw[i], s.raw[i])
	}
	got := make([]float64, len(raw))
	if err := m.Predict(s.rows, got); err != nil {
		t.Fatal(err)
	}
	if m.Info().Transform == treemodel.LargestClass { // XGBoost gives the class's number
		got = classes(t, got, k)
	}
	for i := range got {
		if got[i] == s.predicted[i] { // infinite, perhaps
			continue
		}
		worst = max(worst, math.Abs(got[i]-s.predicted[i])/max(1, math.Abs(s.predicted[i])))
	}
	if !(worst <= 2e-7) {
		t.Fatalf("%s: predictions differ by %v", f.name(), worst)
	}
	return worst
}

// classes turns rows of zeros and one 1 into the places of the 1.
func classes(t testing.TB, out []float64, k int) []float64 {
	t.Helper()
	var places []float64
	for i, v := range out {
		if v == 1 {
			places = append(places, float64(i%k))
		}
	}
	if len(places) != len(out)/k {
		t.Fatalf("%d of %d rows have one class", len(places), len(out)/k)
	}
	return places
}

func TestXGBoostModelsScoreAsInXGBoost(t *testing.T) {
	for _, f := range xgbFiles(t, "testdata/xgb", 80) {
		t.Run(f.name(), func(t *testing.T) { compareXGB(t, f) })
	}
}

// Random models of all kinds, made and scored by the XGBoost of VERDICT_PYTHON.
func TestRandomXGBoostModelsScoreAsInXGBoost(t *testing.T) {
	python := os.Getenv("VERDICT_PYTHON")
	if python == "" {
		t.Skip("VERDICT_PYTHON is not set: no Python with xgboost to compare with")
	}
	folder, count, seed := t.TempDir(), "150", or(os.Getenv("VERDICT_SEED"), "1")
	if n := os.Getenv("VERDICT_MODELS"); n != "" {
		count = n
	}
	if out, err := exec.Command(python, "testdata/make_xgb.py", "random", folder, count, seed).CombinedOutput(); err != nil {
		t.Fatalf("making models: %v\n%s", err, out)
	}
	worst, scores := map[string]float64{}, 0
	for _, f := range xgbFiles(t, folder, 1) {
		info := f.model(t).Info()
		kind := fmt.Sprintf("%s, %s", info.Objective, filepath.Ext(f.path))
		worst[kind] = max(worst[kind], compareXGB(t, f))
		scores += len(f.rows(t).raw)
	}
	t.Logf("seed %s, %s models, %d raw scores equal bit for bit; largest differences of predictions: %v", seed, count, scores, worst)
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
