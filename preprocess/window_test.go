package preprocess_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// TestAggregatesByHand: what each aggregate of the contract gives, of orders and with numbers that one can follow.
func TestAggregatesByHand(t *testing.T) {
	const set = `
name: hand
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], card: [payment.card]}
features:
  amount: {value: amount}
  count: {count: "*", by: customer, window: 1h}
  sum: {sum: amount, by: customer, window: 1h}
  mean: {mean: amount, by: customer, window: 1h}
  min: {min: amount, by: customer, window: 1h}
  max: {max: amount, by: customer, window: 1h}
  stddev: {stddev: amount, by: customer, window: 1h}
  distinct: {distinct: tag, by: customer, window: 1h}
  last: {last: amount, by: customer, window: 1h}
  since_last: {since_last: "*", by: customer, window: 1h, default: -1}
  since_first: {since_first: "*", by: customer, window: 1h}
  decayed_sum: {decayed_sum: amount, by: customer, half_life: 30m, window: 1h}
  decayed_count: {decayed_count: "*", by: customer, half_life: 30m}
  others: {count: "*", by: customer, window: 1h, exclude_current: true}
  large: {count: "*", by: customer, window: 1h, where: "amount > 3"}
  delayed: {count: "*", by: customer, window: 1h, delay: 30m}
  z: {expr: "(amount - mean) / stddev"}
  top_z: {max: z, by: customer, window: 1h, exclude_current: true}
  of_card: {count: "*", by: card, window: 1h}
  frauds: {sum: fraud, by: customer, window: 1h}
  rate: {rate: fraud, by: customer, window: 1h, exclude_current: true}
  last_fraud: {last: fraud, by: customer, window: 1h}
  small_frauds: {count: "*", by: customer, window: 1h, where: "fraud && amount < 3"}
`
	half, nan := math.Sqrt2/2, math.NaN()
	steps := []struct {
		what   string
		minute float64 // after noon
		fields []schemas.Field
		want   map[string]float64
	}{
		{"the first order", 0, []schemas.Field{number("amount", 2), text("tag", "42")}, map[string]float64{
			"count": 1, "sum": 2, "mean": 2, "min": 2, "max": 2, "stddev": 0, "distinct": 1, "last": nan, "since_last": -1, "since_first": 0,
			"decayed_sum": 2, "decayed_count": 1, "others": 0, "large": 0, "delayed": 0, "z": nan, "top_z": nan, "of_card": 0,
			"frauds": 1, "rate": nan, "last_fraud": nan, "small_frauds": 1,
		}},
		{"half a half-life later", 15, []schemas.Field{number("amount", 4), number("tag", 42)}, map[string]float64{
			"count": 2, "sum": 6, "mean": 3, "min": 2, "max": 4, "stddev": 1, "distinct": 1, "last": 2, "since_last": 900, "since_first": 900,
			"decayed_sum": 4 + 2*half, "decayed_count": 1 + half, "others": 1, "large": 1, "delayed": 0, "z": 1, "top_z": nan,
			"frauds": 1, "rate": 1, "last_fraud": 1, "small_frauds": 1,
		}},
		{"an order without an amount", 30, []schemas.Field{text("tag", "a")}, map[string]float64{
			"count": 3, "sum": 6, "mean": 3, "min": 2, "max": 4, "stddev": 1, "distinct": 2, "last": 4, "since_last": 900, "since_first": 1800,
			"decayed_sum": 4*half + 1, "decayed_count": 1.5 + half, "others": 2, "large": 1, "delayed": 1, "z": nan, "top_z": 1,
			"frauds": 1, "rate": 0.5, "last_fraud": 0, "small_frauds": 1,
		}},
		{"the last one is that without an amount", 45, []schemas.Field{number("amount", 3), text("tag", "")}, map[string]float64{
			"count": 4, "sum": 9, "mean": 3, "stddev": math.Sqrt(2. / 3), "distinct": 3, "last": nan, "large": 1, "delayed": 2, "z": 0, "top_z": 1,
		}},
		{"the first is an hour old, and out", 60, nil, map[string]float64{
			"count": 4, "sum": 7, "min": 3, "max": 4, "since_first": 2700, "delayed": 3, "frauds": 0, "rate": 0, "small_frauds": 0,
			"decayed_count": 1 + half + 0.5 + half/2 + 0.25, // all 20 half-lives
		}},
		{"a late order sees what was before it", 7.5, []schemas.Field{number("amount", 10)}, map[string]float64{
			"count": 2, "sum": 12, "since_last": 450, "last": 2, "distinct": 1, "large": 1, "frauds": 1,
		}},
		{"and is seen by those after it", 30, []schemas.Field{number("amount", 1)}, map[string]float64{
			"count": 5, "sum": 17, "max": 10, "last": nan, "since_last": 0, "since_first": 1800, "large": 2, "top_z": 1,
		}},
	}
	feature := mustParse(t, set)
	store := memstore.New(memstore.Config{})
	label := schemas.Label{ID: "0", Fraud: true, KnownAt: time.UnixMicro(noon)}
	if err := store.Learn(t.Context(), []schemas.Label{label}); err != nil {
		t.Fatal(err)
	}
	x := preprocess.NewExtractor(feature, store, time.Hour)
	for i, step := range steps {
		o := arrived(strconv.Itoa(i), append(step.fields, text("customer_id", "1"))...)
		o.Order.At = time.UnixMicro(noon + int64(step.minute*60e6)).UTC()
		o.Arrival.Offset = int64(i)
		out, err := x.Extract(t.Context(), []preprocess.Arrived{o})
		if err != nil {
			t.Fatal(err)
		}
		for j, name := range feature.Layout().Names {
			want, ok := step.want[name]
			if got := out[0].Vector.Values[j]; ok && !same(got, want) && !(math.Abs(got-want) <= 1e-12) {
				t.Errorf("%s: %s is %v, want %v", step.what, name, got, want)
			}
		}
	}
}

// TestDeviationFarFromZero: the squares of such values have no digits left for how they differ.
func TestDeviationFarFromZero(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n" +
		"  exact: {stddev: amount, by: c, window: 1d}\n  merged: {stddev: amount, by: c, window: 1d, resolution: 1h}\n"
	x := preprocess.NewExtractor(mustParse(t, set), memstore.New(memstore.Config{}), time.Hour)
	for i := range 2000 {
		o := arrived(strconv.Itoa(i), text("c", "1"), number("amount", 1e12+float64(i%3)))
		o.Order.At, o.Arrival.Offset = o.Order.At.Add(time.Duration(i)*time.Second), int64(i)
		out, err := x.Extract(t.Context(), []preprocess.Arrived{o})
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 { // as many of each
			for j, got := range out[0].Vector.Values {
				if want := math.Sqrt(2. / 3); math.Abs(got-want) > 1e-9 {
					t.Fatalf("after %d orders value %d is %v, want %v", i+1, j, got, want)
				}
			}
		}
	}
}

// TestDeviationOfEqualValuesIsNothing, though the mean of ten times 0.1 is not 0.1 in doubles.
func TestDeviationOfEqualValuesIsNothing(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n" +
		"  mean: {mean: amount, by: c, window: 1d}\n  exact: {stddev: amount, by: c, window: 1d}\n  merged: {stddev: amount, by: c, window: 1d, resolution: 1h}\n"
	x := preprocess.NewExtractor(mustParse(t, set), memstore.New(memstore.Config{}), time.Hour)
	rounded := false
	for i := range 100 {
		o := arrived(strconv.Itoa(i), text("c", "1"), number("amount", 0.1))
		o.Order.At, o.Arrival.Offset = o.Order.At.Add(time.Duration(i)*time.Second), int64(i)
		out, err := x.Extract(t.Context(), []preprocess.Arrived{o})
		if err != nil {
			t.Fatal(err)
		}
		v := out[0].Vector.Values
		rounded = rounded || v[0] != 0.1
		if v[1] > 1e-24 || v[2] > 1e-16 {
			t.Fatalf("of %d values 0.1 the deviation is %v, merged %v", i+1, v[1], v[2])
		}
	}
	if !rounded {
		t.Error("no mean was rounded: this shows nothing")
	}
}
