package preprocess_test

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// TestHandbookFeaturesAreTheBooksOwn computes the book's features of its own orders and compares them cell by cell.
func TestHandbookFeaturesAreTheBooksOwn(t *testing.T) {
	set, err := preprocess.Load("../deploy/example/handbook.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	orders := handbookOrders(t, set)
	labels := handbookLabels(t)
	want := handbookFeatures(t, set)

	store := memstore.New(memstore.Config{})
	if err := store.Learn(t.Context(), labels); err != nil { // all at once: an order sees only what was known at its time
		t.Fatal(err)
	}
	x := preprocess.NewExtractor(set, store, 0)
	ties := sameSecond(orders)
	compared, excepted := 0, 0
	for batch := range slices.Chunk(orders, 500) {
		out, err := x.Extract(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			cells, ok := want[batch[i].Order.ID]
			if !ok {
				continue
			}
			compared++
			if cell := differs(out[i].Vector.Values[1:], cells); cell >= 0 {
				if ties[batch[i].Order.ID] { // the book left the order of these open
					excepted++
					continue
				}
				t.Fatalf("row %d: %s = %v, the book has %v", compared, set.Layout().Names[cell+1], out[i].Vector.Values[cell+1], cells[cell])
			}
		}
	}
	if compared != len(want) || compared == 0 {
		t.Fatalf("compared %d of %d rows", compared, len(want))
	}
	t.Logf("%d rows of 14 features equal to 1e-9; %d more are one customer's orders of one second", compared-excepted, excepted)
}

// differs returns the first cell that is further apart than 1e-9, -1 when none is.
func differs(got, want []float64) int {
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-9) {
			return i
		}
	}
	return -1
}

// sameSecond returns the orders that share customer and second with another one.
func sameSecond(orders []preprocess.Arrived) map[schemas.OrderID]bool {
	type moment struct {
		customer string
		at       time.Time
	}
	first := make(map[moment]schemas.OrderID)
	ties := make(map[schemas.OrderID]bool)
	for _, o := range orders {
		customer, _ := o.Order.Fields.Get("customer_id").Key()
		m := moment{customer, o.Order.At}
		if id, twice := first[m]; twice {
			ties[id], ties[o.Order.ID] = true, true
		}
		first[m] = o.Order.ID
	}
	return ties
}

func handbookOrders(tb testing.TB, set *preprocess.FeatureSet) []preprocess.Arrived {
	tb.Helper()
	var orders []preprocess.Arrived
	lines(tb, "orders.jsonl.gz", func(line []byte) {
		fields, err := schemas.DecodeJSON(line)
		if err != nil {
			tb.Fatal(err)
		}
		o, err := schemas.NewOrder(fields, set.Binding(), nil)
		if err != nil {
			tb.Fatal(err)
		}
		orders = append(orders, preprocess.Arrived{Order: o, Arrival: preprocess.Arrival{Offset: int64(len(orders))}})
	})
	return orders
}

func handbookLabels(tb testing.TB) []schemas.Label {
	tb.Helper()
	var labels []schemas.Label
	lines(tb, "labels.jsonl.gz", func(line []byte) {
		fields, err := schemas.DecodeJSON(line)
		if err != nil {
			tb.Fatal(err)
		}
		l, err := schemas.NewLabel(fields)
		if err != nil {
			tb.Fatal(err)
		}
		labels = append(labels, l)
	})
	return labels
}

// handbookFeatures returns the book's rows by order, after holding its columns against the feature set's.
func handbookFeatures(tb testing.TB, set *preprocess.FeatureSet) map[schemas.OrderID][]float64 {
	tb.Helper()
	in := csv.NewReader(unpacked(tb, "expected-features.csv.gz"))
	rows := make(map[schemas.OrderID][]float64)
	for head := true; ; head = false {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			tb.Fatal(err)
		}
		if head {
			if !slices.Equal(row[1:], set.Layout().Names[1:]) {
				tb.Fatalf("the book has %v", row)
			}
			continue
		}
		cells := make([]float64, len(row)-1)
		for i := range cells {
			if cells[i], err = strconv.ParseFloat(row[i+1], 64); err != nil {
				tb.Fatal(err)
			}
		}
		rows[schemas.OrderID(row[0])] = cells
	}
}

func lines(tb testing.TB, name string, each func([]byte)) {
	tb.Helper()
	in := bufio.NewScanner(unpacked(tb, name))
	for in.Scan() {
		each(in.Bytes())
	}
	if err := in.Err(); err != nil {
		tb.Fatal(err)
	}
}

// unpacked opens a file of the Handbook data, which VERDICT_SHARED says the place of.
func unpacked(tb testing.TB, name string) io.Reader {
	tb.Helper()
	shared := os.Getenv("VERDICT_SHARED")
	if shared == "" {
		tb.Skip("VERDICT_SHARED is not set")
	}
	f, err := os.Open(filepath.Join(shared, "data", "handbook", name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	in, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	return in
}
