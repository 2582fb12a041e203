package treemodel_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verdict/scorer/treemodel"
)

// BenchmarkContributions measures contributions of rows alone, here and by the algorithm of the TreeSHAP paper (what LightGBM does, and XGBoost before 3.4).
// The two take turns, and the least of each is reported: ns/row and their ratio. The models are the example's and those that testdata/bench.py has made
// here, and first-ns is what the first call took, which makes the tables.
func BenchmarkContributions(b *testing.B) {
	made, _ := filepath.Glob("testdata/bench/*.*")
	for _, file := range append(made, "../../deploy/example/models/handbook/1/model.txt") {
		form := filepath.Ext(file)
		if form != ".txt" && form != ".json" {
			continue
		}
		m, err := treemodel.OpenAny(file)
		if err != nil {
			b.Fatal(err)
		}
		const n = 20_000 // others each time, or the processor would come to know their ways through the trees
		width := len(m.Inputs())
		rows, out := benchmarkRows(n, width), make([]float64, (width+1)*m.Outputs())
		if made, err := os.ReadFile("testdata/bench/rows.f64"); err == nil && len(made) == len(rows)*8 {
			if _, err := binary.Decode(made, binary.LittleEndian, rows); err != nil {
				b.Fatal(err)
			}
		}
		begin := time.Now()
		if err := m.Contributions(rows[:width], out); err != nil {
			b.Fatal(err)
		}
		first := time.Since(begin)
		bytes, err := m.SharesIn(1 << 30)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.TrimSuffix(filepath.Base(file), form), func(b *testing.B) {
			least, leastByPaths := time.Hour, time.Hour
			for i := 0; b.Loop(); i = (i + 1) % n {
				row := rows[i*width : (i+1)*width]
				begin := time.Now()
				_ = m.Contributions(row, out)
				least = min(least, time.Since(begin))
				begin = time.Now()
				m.ContributionsByPaths(row, out)
				leastByPaths = min(leastByPaths, time.Since(begin))
			}
			b.ReportMetric(float64(least.Nanoseconds()), "ns/row")
			b.ReportMetric(float64(leastByPaths.Nanoseconds()), "paths-ns/row")
			b.ReportMetric(float64(leastByPaths)/float64(least), "x")
			b.ReportMetric(float64(first.Nanoseconds()), "first-ns")
			b.ReportMetric(float64(bytes), "table-B")
		})
	}
}
