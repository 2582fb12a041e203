package treemodel_test

import (
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"verdict/scorer/treemodel"
)

// TestRandomModelsAreLightGBMs holds models of all kinds, mixed anyhow, and hostile rows against LightGBM itself: raw scores bit for bit, predictions to
// 1e-12.
func TestRandomModelsAreLightGBMs(t *testing.T) {
	python := os.Getenv("VERDICT_PYTHON")
	if python == "" {
		t.Skip("VERDICT_PYTHON is not set: no Python with lightgbm to compare with")
	}
	models, err := strconv.Atoi(or(os.Getenv("VERDICT_MODELS"), "60"))
	if err != nil {
		t.Fatal(err)
	}
	folder, seed := t.TempDir(), or(os.Getenv("VERDICT_SEED"), "1")
	if out, err := exec.CommandContext(t.Context(), python, "testdata/random_lightgbm.py", folder, seed, strconv.Itoa(models)).CombinedOutput(); err != nil {
		t.Fatalf("seed %s: %v\n%s", seed, err, out)
	}
	kernels, worst := make(map[string]int), make(map[string]float64)
	for i := range models {
		file := filepath.Join(folder, strconv.Itoa(i))
		m, err := treemodel.Open(file + ".txt")
		if err != nil {
			t.Fatalf("seed %s: %v", seed, err)
		}
		kernels[m.Info().Kernel]++
		objective, _, _ := strings.Cut(m.Info().Objective, " ")
		worst[objective] = max(worst[objective], compare(t, m, file+".f64", seed))
	}
	t.Logf("seed %s: %d models, kernels %v, largest differences of predictions %v", seed, models, kernels, worst)
}

// compare holds a model against the scores that its own library gave it, and returns the largest difference of a prediction, relative to what is above 1.
func compare(t *testing.T, m *treemodel.Model, file, seed string) float64 {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]float64, len(data)/8)
	if _, err := binary.Decode(data, binary.LittleEndian, numbers); err != nil {
		t.Fatal(err)
	}
	n, width, k := int(numbers[0]), int(numbers[1]), int(numbers[2])
	rows, raw, predicted := numbers[4:4+n*width], numbers[4+n*width:4+n*(width+k)], numbers[4+n*(width+k):]
	got := make([]float64, n*k)
	if err := m.Raw(rows, got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if !same(got[i], raw[i]) {
			t.Fatalf("seed %s, %s %s, row %v: %v, the library has %v", seed, filepath.Base(file), m.Info().Objective, rows[i/k*width:(i/k+1)*width], got[i], raw[i])
		}
	}
	agree(t, m, rows)
	if err := m.Predict(rows, got); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range got {
		if same(got[i], predicted[i]) {
			continue
		}
		off := math.Abs(got[i]-predicted[i]) / max(1, math.Abs(predicted[i]))
		if !(off <= 1e-12) {
			t.Fatalf("seed %s, %s %s: %v, the library has %v", seed, filepath.Base(file), m.Info().Objective, got[i], predicted[i])
		}
		worst = max(worst, off)
	}
	return worst
}
