package replay_test

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"verdict/consumer/replay"
	"verdict/schemas"
)

// handbook returns the folder of the Handbook's orders, or skips.
func handbook(tb testing.TB) string {
	tb.Helper()
	shared := os.Getenv("VERDICT_SHARED")
	if shared == "" {
		tb.Skip("VERDICT_SHARED is not set: no Handbook data")
	}
	return filepath.Join(shared, "data", "handbook")
}

// TestReplayGivesTheHandbooksFeatures compares 14 features of some 202 thousand orders with the book's own, computed there by pandas.
func TestReplayGivesTheHandbooksFeatures(t *testing.T) {
	dir := handbook(t)
	out := t.TempDir()
	cfg := config(t, "testdata/handbook.yaml", filepath.Join(dir, "orders.jsonl.gz"))
	cfg.Labels = location(t, filepath.Join(dir, "labels.jsonl.gz"))
	cfg.Since = time.Date(2018, 7, 25, 0, 0, 0, 0, time.UTC)
	cfg.Out, cfg.Write = out, replay.CSV
	done, err := replay.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(done)

	got := rowsOf(t, filepath.Join(out, "features.csv"))
	want := rowsOf(t, filepath.Join(dir, "expected-features.csv.gz"))
	open := sameSecond(t, filepath.Join(dir, "orders.jsonl.gz"))
	if done.Rows != int64(len(want)) || len(got) != len(want) {
		t.Fatalf("%d rows in the summary, %d in the file, want %d", done.Rows, len(got), len(want))
	}
	excepted, worst := 0, 0.0
	for id, row := range want {
		difference := distance(t, got[id], row)
		switch {
		case difference <= 1e-9:
			worst = math.Max(worst, difference)
		case open[id]:
			excepted++
		default:
			t.Errorf("order %s: %v, want %v", id, got[id], row)
		}
	}
	t.Logf("%d rows: %d differ and have another order of their customer in the same second, the rest are within %.2g", len(want), excepted, worst)
	if excepted > 10 { // the file's order is the book's for most of them
		t.Errorf("%d rows differ", excepted)
	}
}

// distance returns the largest difference between two rows, relative for values above 1.
func distance(t *testing.T, got, want []float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d columns, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range want {
		if math.IsNaN(got[i]) != math.IsNaN(want[i]) {
			return math.Inf(1)
		}
		worst = math.Max(worst, math.Abs(got[i]-want[i])/math.Max(1, math.Abs(want[i])))
	}
	return worst
}

// rowsOf reads a features file: order → its values in the file's order.
func rowsOf(tb testing.TB, file string) map[string][]float64 {
	tb.Helper()
	in := opened(tb, file)
	lines := csv.NewReader(in)
	if _, err := lines.Read(); err != nil {
		tb.Fatal(err)
	}
	rows := make(map[string][]float64)
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			tb.Fatal(err)
		}
		row := make([]float64, len(line)-1)
		for i, cell := range line[1:] {
			if row[i], err = strconv.ParseFloat(cell, 64); cell == "" {
				row[i] = math.NaN()
			} else if err != nil {
				tb.Fatal(err)
			}
		}
		rows[line[0]] = row
	}
}

// sameSecond returns the orders whose customer has another one in the same second: the book left their order open.
func sameSecond(tb testing.TB, file string) map[string]bool {
	tb.Helper()
	text, err := io.ReadAll(opened(tb, file))
	if err != nil {
		tb.Fatal(err)
	}
	first := make(map[string]string) // :: customer and second → its first order
	open := make(map[string]bool)
	for _, line := range lines(text) {
		rec, err := schemas.DecodeJSON(line)
		if err != nil {
			tb.Fatal(err)
		}
		id, key := rec.Get("order_id").Str(), rec.Get("customer_id").Str()+" "+rec.Get("occurred_at").Str()
		if other, twice := first[key]; twice {
			open[id], open[other] = true, true
		}
		first[key] = id
	}
	return open
}

// opened opens a file, decompressed if its name says so.
func opened(tb testing.TB, file string) io.Reader {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	if filepath.Ext(file) != ".gz" {
		return f
	}
	plain, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	return plain
}
