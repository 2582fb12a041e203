package treemodel_test

import (
	"bufio"
	"bytes"
	"os"
	"testing"

	"github.com/dmitryikh/leaves"

	"verdict/scorer/treemodel"
)

// The third opinion, beside LightGBM's recorded scores: leaves, which reads the file by code of its own.
func TestLeavesAgreesBitForBitWhereItIsRight(t *testing.T) {
	compared := 0
	for _, s := range samples(t) {
		t.Run(s.kind, func(t *testing.T) {
			m := parse(t, s)
			did, err := m.CrossCheck(s.text, s.rows)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := m.Info().AverageOutput || m.Info().Linear; did == wrong {
				t.Errorf("compared: %v, for a model that leaves scores wrong: %v", did, wrong)
			}
			if did {
				compared++
			}
		})
	}
	if compared < 20 {
		t.Errorf("only %d models were compared", compared)
	}
}

func TestCrossCheckSeesADifference(t *testing.T) {
	s := readSample(t, "binary")
	m := parse(t, s)
	other := readSample(t, "goss").text
	if _, err := m.CrossCheck(other, s.rows); err == nil {
		t.Fatal("the scores of two models passed as equal")
	}
}

// BenchmarkPredict scores rows of the example model, 100 trees of 31 leaves: here, and with leaves for comparison.
func BenchmarkPredict(b *testing.B) {
	text, err := os.ReadFile("../../deploy/example/models/handbook/1/model.txt")
	if err != nil {
		b.Fatal(err)
	}
	m, err := treemodel.Parse("model.txt", text)
	if err != nil {
		b.Fatal(err)
	}
	other, err := leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(bytes.Replace(text, []byte("version=v4"), []byte("version=v3"), 1))), false)
	if err != nil {
		b.Fatal(err)
	}
	const n = 256
	width := len(m.Inputs())
	rows := benchmarkRows(n, width)
	b.Run("single", func(b *testing.B) {
		out := make([]float64, 1)
		for i := 0; b.Loop(); i = (i + 1) % n {
			_ = m.Raw(rows[i*width:(i+1)*width], out)
		}
	})
	b.Run("single/leaves", func(b *testing.B) {
		for i := 0; b.Loop(); i = (i + 1) % n {
			_ = other.PredictSingle(rows[i*width:(i+1)*width], 0)
		}
	})
	out := make([]float64, n)
	b.Run("batch=256", func(b *testing.B) {
		for b.Loop() {
			_ = m.Raw(rows, out)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
	b.Run("batch=256/leaves", func(b *testing.B) {
		for b.Loop() {
			_ = other.PredictDense(rows, n, width, out, 0, 1)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
	b.Run("contributions", func(b *testing.B) {
		shares := make([]float64, width+1)
		for i := 0; b.Loop(); i = (i + 1) % n {
			_ = m.Contributions(rows[i*width:(i+1)*width], shares)
		}
	})
}

// benchmarkRows returns rows over the span of the example's features, the same each time.
func benchmarkRows(n, width int) []float64 {
	rows, state := make([]float64, n*width), uint64(1)
	for i := range rows {
		state = state*6364136223846793005 + 1442695040888963407
		rows[i] = float64(state>>40) / (1 << 24)
		switch i % width {
		case 0, 4, 6, 8:
			rows[i] *= 200
		case 3, 5, 7, 9, 11, 13:
			rows[i] *= 40
		}
	}
	return rows
}
