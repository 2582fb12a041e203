package treemodel_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"verdict/scorer/treemodel"
)

// sample is a model of testdata with rows and what LightGBM makes of them (testdata/make.py).
type sample struct {
	kind                         string
	text                         []byte
	width                        int
	rows, raw, predicted, shares []float64
}

func (s *sample) outputs() int { return len(s.raw) / (len(s.rows) / s.width) }

func samples(t testing.TB) []*sample {
	t.Helper()
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil || len(files) < 20 {
		t.Fatalf("testdata has %d samples: %v", len(files), err)
	}
	all := make([]*sample, len(files))
	for i, file := range files {
		all[i] = readSample(t, strings.TrimSuffix(filepath.Base(file), ".csv"))
	}
	return all
}

func readSample(t testing.TB, kind string) *sample {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", kind+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	s := readRows(t, filepath.Join("testdata", kind+".csv"))
	s.kind, s.text = kind, text
	return s
}

// readRows reads rows with their scores.
func readRows(t testing.TB, file string) *sample {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := &sample{}
	for _, line := range lines[1:] {
		for i, cell := range line {
			v := math.NaN()
			if cell != "" {
				if v, err = strconv.ParseFloat(cell, 64); err != nil {
					t.Fatal(err)
				}
			}
			switch name := lines[0][i]; {
			case strings.HasPrefix(name, "raw_"):
				s.raw = append(s.raw, v)
			case strings.HasPrefix(name, "predicted_"):
				s.predicted = append(s.predicted, v)
			case strings.HasPrefix(name, "contribution_"):
				s.shares = append(s.shares, v)
			default:
				s.rows = append(s.rows, v)
			}
		}
	}
	s.width = len(s.rows) / (len(lines) - 1)
	return s
}

func parse(t testing.TB, s *sample) *treemodel.Model {
	t.Helper()
	m, err := treemodel.Parse(s.kind+".txt", s.text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same says whether two scores are equal bit for bit; any NaN is one (Inf - Inf, in linear leaves).
func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b }

func TestRawScoresAreLightGBMsBitForBit(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.kind, func(t *testing.T) {
			got := make([]float64, len(s.raw))
			if err := parse(t, s).Raw(s.rows, got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if !same(got[i], s.raw[i]) {
					row := i / s.outputs()
					t.Fatalf("row %d %v: %v, LightGBM has %v", row, s.rows[row*s.width:(row+1)*s.width], got[i], s.raw[i])
				}
			}
		})
	}
}

func TestPredictionsAreLightGBMs(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.kind, func(t *testing.T) {
			got := make([]float64, len(s.predicted))
			if err := parse(t, s).Predict(s.rows, got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if !same(got[i], s.predicted[i]) && !(math.Abs(got[i]-s.predicted[i]) <= 1e-12*max(1, math.Abs(s.predicted[i]))) {
					t.Fatalf("row %d: %v, LightGBM has %v", i/s.outputs(), got[i], s.predicted[i])
				}
			}
		})
	}
}

func TestContributionsAreLightGBMsAndSumToTheRawScore(t *testing.T) {
	compared := 0
	for _, s := range samples(t) {
		t.Run(s.kind, func(t *testing.T) {
			m, k := parse(t, s), s.outputs()
			n := (s.width + 1) * k
			if m.Info().Linear {
				if err := m.Contributions(s.rows[:s.width], make([]float64, n)); err == nil {
					t.Fatal("linear leaves gave contributions")
				}
				return
			}
			got := make([]float64, n)
			for row := range len(s.rows) / s.width {
				if err := m.Contributions(s.rows[row*s.width:(row+1)*s.width], got); err != nil {
					t.Fatal(err)
				}
				for class := range k {
					sum, want := 0.0, s.raw[row*k+class]
					for _, share := range got[class*(s.width+1) : (class+1)*(s.width+1)] {
						sum += share
					}
					if !(math.Abs(sum-want) <= 1e-9*max(1, math.Abs(want))) {
						t.Fatalf("row %d: contributions sum to %v, the raw score is %v", row, sum, want)
					}
				}
				if s.shares == nil {
					continue
				}
				compared++
				for i, want := range s.shares[row*n : (row+1)*n] {
					if !(math.Abs(got[i]-want) <= 1e-9*max(1, math.Abs(want))) {
						t.Fatalf("row %d, contribution %d: %v, LightGBM has %v", row, i, got[i], want)
					}
				}
			}
		})
	}
	if compared == 0 {
		t.Fatal("no contribution was compared")
	}
}

func TestEveryRowIsScoredAloneAsInABatch(t *testing.T) {
	for _, s := range samples(t) {
		m, k := parse(t, s), s.outputs()
		batch, alone := make([]float64, len(s.raw)), make([]float64, k)
		if err := m.Predict(s.rows, batch); err != nil {
			t.Fatal(err)
		}
		for row := range len(s.rows) / s.width {
			if err := m.Predict(s.rows[row*s.width:(row+1)*s.width], alone); err != nil {
				t.Fatal(err)
			}
			for i := range alone {
				if !same(alone[i], batch[row*k+i]) {
					t.Fatalf("%s: row %d is %v alone and %v in the batch", s.kind, row, alone[i], batch[row*k+i])
				}
			}
		}
	}
}

func TestPredictRefusesRowsOfTheWrongLength(t *testing.T) {
	m := parse(t, readSample(t, "multiclass"))
	for _, c := range []struct{ values, scores int }{{4, 3}, {6, 3}, {0, 3}, {5, 2}, {5, 4}, {10, 3}, {5, 6}} {
		if err := m.Predict(make([]float64, c.values), make([]float64, c.scores)); err == nil {
			t.Errorf("%d values for %d scores were taken by a model of 5 inputs and 3 outputs", c.values, c.scores)
		}
		if err := m.Raw(make([]float64, c.values), make([]float64, c.scores)); err == nil {
			t.Errorf("%d values for %d raw scores were taken", c.values, c.scores)
		}
	}
	if err := m.Contributions(make([]float64, 4), make([]float64, 18)); err == nil {
		t.Error("a short row got contributions")
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	for _, kind := range []string{"binary_categorical", "multiclass"} {
		s := readSample(t, kind)
		m, out := parse(t, s), make([]float64, len(s.raw))
		if n := leastAllocs(func() { _ = m.Predict(s.rows, out) }); n != 0 {
			t.Errorf("%s: %v allocations a call", kind, n)
		}
	}
}

// leastAllocs is the least of several runs: a pool may be emptied at any time, and the race detector sees to it.
func leastAllocs(f func()) float64 {
	least := math.Inf(1)
	for range 20 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}
