package treemodel_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dmitryikh/leaves"

	"verdict/scorer/treemodel"
)

// benchModels returns the models to measure: the example's, 100 trees of 31 leaves, and those that testdata/bench.py has made.
func benchModels(b *testing.B) map[string][]byte {
	b.Helper()
	texts := make(map[string][]byte)
	made, _ := filepath.Glob("testdata/bench/*.[tj]*")
	for _, file := range append(made, "../../deploy/example/models/handbook/1/model.txt") {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if name == "model" {
			name = "example"
		}
		texts[name] = text
	}
	return texts
}

func benchParse(b *testing.B, name string, text []byte) *treemodel.Model {
	b.Helper()
	parse := treemodel.Parse
	if bytes.HasPrefix(text, []byte("{")) {
		parse = treemodel.ParseXGBoost
	}
	m, err := parse(name, text)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkAgainstLeaves measures rows alone and in batches of 1,000, here, by the plain kernel, and by leaves. The three take turns, and the least of
// each is reported, so that what else the machine does falls on all alike: ns/row, and ratios to leaves.
func BenchmarkAgainstLeaves(b *testing.B) {
	for name, text := range benchModels(b) {
		m := benchParse(b, name, text)
		var other *leaves.Ensemble // it has no XGBoost JSON
		if !bytes.HasPrefix(text, []byte("{")) {
			var err error
			other, err = leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(bytes.Replace(text, []byte("version=v4"), []byte("version=v3"), 1))), false)
			if err != nil {
				b.Fatal(err)
			}
		}
		const n, all = 1000, 20_000
		width := len(m.Inputs())
		rows, out := benchmarkRows(all, width), make([]float64, n)
		if made, err := os.ReadFile("testdata/bench/rows.f64"); err == nil && name != "example" {
			if _, err := binary.Decode(made, binary.LittleEndian, rows); err != nil {
				b.Fatal(err)
			}
		}
		// Fewer rows a turn for what is slow, so that a turn is over before the machine does something else; other rows each turn, or the processor would come
		// to know their ways through the trees.
		const few = 500
		at := 0
		next := func(count int) []float64 {
			if at += count; at > all {
				at = count
			}
			return rows[(at-count)*width : at*width]
		}
		turns := []struct {
			name string
			rows int
			do   func(rows []float64)
		}{
			{"single", n, func(rows []float64) {
				for i := range n {
					_ = m.Raw(rows[i*width:(i+1)*width], out[i:i+1])
				}
			}},
			{"batch", n, func(rows []float64) { _ = m.Raw(rows, out) }},
			{"plain", few, func(rows []float64) { m.RawPlain(rows, out[:few]) }},
			{"leaves-single", few, func(rows []float64) {
				for i := range few {
					out[i] = other.PredictSingle(rows[i*width:(i+1)*width], 0)
				}
			}},
			{"leaves-batch", few, func(rows []float64) { _ = other.PredictDense(rows, few, width, out, 0, 1) }},
		}
		if other == nil {
			turns = turns[:3]
		}
		b.Run(name, func(b *testing.B) {
			least := make(map[string]float64)
			for b.Loop() {
				for _, turn := range turns {
					turn.do(next(turn.rows)) // what the others have left in the caches is not measured
					rows := next(turn.rows)
					begin := time.Now()
					turn.do(rows)
					if took := float64(time.Since(begin).Nanoseconds()) / float64(turn.rows); least[turn.name] == 0 || took < least[turn.name] {
						least[turn.name] = took
					}
				}
			}
			for _, turn := range turns {
				b.ReportMetric(least[turn.name], turn.name+"-ns/row")
			}
			if other != nil {
				b.ReportMetric(least["leaves-single"]/least["single"], "x-single")
				b.ReportMetric(least["leaves-batch"]/least["batch"], "x-batch")
			}
		})
	}
}

// BenchmarkLoad measures how long a model takes from text to the first score.
func BenchmarkLoad(b *testing.B) {
	for name, text := range benchModels(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := benchParse(b, name, text)
				out := make([]float64, m.Outputs())
				_ = m.Raw(make([]float64, len(m.Inputs())), out)
			}
			b.ReportMetric(float64(len(text)), "text-B")
		})
	}
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
