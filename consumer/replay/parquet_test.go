package replay_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"verdict/consumer/replay"
)

// openParquet opens a parquet file to be read back.
func openParquet(t *testing.T, file string) *parquet.File {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParquetHasTypedColumnsInOrderAndNamesItsFeatureSet(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 10)+`{"order_id":"o2","occurred_at":"2026-01-01T00:00:00.000001Z","customer_id":"b","amount":null}`+"\n")))
	cfg.Write = replay.Parquet
	run(t, cfg)
	file := openParquet(t, filepath.Join(out, "features.parquet"))
	var schema bytes.Buffer
	if err := parquet.PrintSchema(&schema, "features", file.Schema()); err != nil {
		t.Fatal(err)
	}
	want := `message features {
	required binary order_id (STRING);
	required int64 occurred_at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	optional double amount;
	optional double n;
	optional double mean;
	optional double frauds;
}`
	if diff := cmp.Diff(want, schema.String()); diff != "" {
		t.Error(diff)
	}
	version := cfg.Features.Version()
	for key, want := range map[string]string{"verdict.features.name": version.Name, "verdict.features.version": version.Version, "verdict.features.hash": version.Hash} {
		if got, _ := file.Lookup(key); got != want || want == "" {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	rows, err := parquet.Read[parquetRow](file, file.Size())
	if err != nil {
		t.Fatal(err)
	}
	at, ten, one, zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), 10.0, 1.0, 0.0
	if diff := cmp.Diff([]parquetRow{{"o1", at, &ten, &one, &ten, &zero}, {"o2", at + 1, nil, &one, nil, &zero}}, rows); diff != "" {
		t.Error(diff)
	}
}

type parquetRow struct {
	ID     string   `parquet:"order_id"`
	At     int64    `parquet:"occurred_at"`
	Amount *float64 `parquet:"amount"`
	N      *float64 `parquet:"n"`
	Mean   *float64 `parquet:"mean"`
	Frauds *float64 `parquet:"frauds"`
}

func TestParquetHoldsTheRowsOfTheCSVOverSeveralRowGroups(t *testing.T) {
	orders, labels := history(130_000)
	path, known := put(t, "orders.jsonl", orders), put(t, "labels.jsonl", labels)
	cfg, out := small(t, path)
	cfg.Labels = location(t, known)
	run(t, cfg)
	want := rowsOf(t, filepath.Join(out, "features.csv"))
	cfg, out = small(t, path)
	cfg.Labels, cfg.Write = location(t, known), replay.Parquet
	done := run(t, cfg)
	file := openParquet(t, filepath.Join(out, "features.parquet"))
	if n := len(file.RowGroups()); n != 2 {
		t.Errorf("%d row groups, want 2", n)
	}
	rows, err := parquet.Read[parquetRow](file, file.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(want) || done.Rows != int64(len(want)) {
		t.Fatalf("%d rows in the summary, %d in the file, want %d", done.Rows, len(rows), len(want))
	}
	for _, row := range rows {
		if got := row.values(); cmp.Diff(want[row.ID], got) != "" {
			t.Fatalf("order %s: %v, want %v", row.ID, got, want[row.ID])
		}
	}
}

func (r *parquetRow) values() []float64 {
	values := make([]float64, 0, 4)
	for _, v := range []*float64{r.Amount, r.N, r.Mean, r.Frauds} {
		if v == nil {
			values = append(values, math.NaN())
		} else {
			values = append(values, *v)
		}
	}
	return values
}
