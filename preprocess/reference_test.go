package preprocess_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// What follows computes features a second time, from nothing but the contract's words: for each order it walks over all orders that have come.

// asked is one aggregate of a random feature set.
type asked struct {
	head, over, by string
	window, delay  int // hours
	others         bool
	fallback       float64 // NaN: none
}

func (a asked) yaml(i int) string {
	text := fmt.Sprintf("  f%d: {%s: %q, by: %s, window: %dh, delay: %dh, exclude_current: %v", i, a.head, a.over, a.by, a.window, a.delay, a.others)
	if !math.IsNaN(a.fallback) {
		text += fmt.Sprintf(", default: %v", a.fallback)
	}
	return text + "}\n"
}

// history is what has come so far, in the order in which it came.
type history struct {
	orders []preprocess.Arrived
	labels []schemas.Label
}

// first returns the arrival that holds the order's id.
func (h *history) first(id schemas.OrderID) preprocess.Arrived {
	return h.orders[slices.IndexFunc(h.orders, func(o preprocess.Arrived) bool { return o.Order.ID == id })]
}

// inWindow returns the orders that the last order of the history sees, by time and id.
func (h *history) inWindow(a asked) []schemas.Order {
	me := h.orders[len(h.orders)-1]
	mine, ok := entityOf(a.by, me.Order)
	if !ok {
		return nil
	}
	end := me.Order.At.Add(-time.Duration(a.delay) * time.Hour)
	start := end.Add(-time.Duration(a.window) * time.Hour)
	var in []schemas.Order
	for i, o := range h.orders {
		repeat := slices.ContainsFunc(h.orders[:i], func(e preprocess.Arrived) bool { return e.Order.ID == o.Order.ID })
		theirs, ok := entityOf(a.by, o.Order)
		if repeat || !ok || theirs != mine || !o.Order.At.After(start) || o.Order.At.After(end) {
			continue
		}
		if o.Order.ID == me.Order.ID {
			if a.others {
				continue
			}
		} else if o.Order.At.Equal(me.Order.At) && !o.Arrival.Before(h.first(me.Order.ID).Arrival) {
			continue
		}
		in = append(in, o.Order)
	}
	slices.SortFunc(in, func(a, b schemas.Order) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return in
}

// fraud says whether the order was known to be fraud at t.
func (h *history) fraud(id schemas.OrderID, t time.Time) bool {
	var latest []schemas.Label
	for _, l := range h.labels {
		switch {
		case l.ID != id || l.KnownAt.After(t):
		case len(latest) == 0 || l.KnownAt.Equal(latest[0].KnownAt):
			latest = append(latest, l)
		case l.KnownAt.After(latest[0].KnownAt):
			latest = []schemas.Label{l}
		}
	}
	return slices.ContainsFunc(latest, func(l schemas.Label) bool { return l.Fraud })
}

func (h *history) compute(a asked) float64 {
	t := h.orders[len(h.orders)-1].Order.At
	var orders, valued, frauds int
	var sum float64
	for _, o := range h.inWindow(a) {
		orders++
		if h.fraud(o.ID, t) {
			frauds++
		}
		if v := valueOf(a.over, o); v == v {
			valued++
			sum += v
		}
	}
	out := math.NaN()
	switch {
	case a.head == "count":
		out = float64(orders)
	case a.head == "sum" && a.over == "fraud":
		out = float64(frauds)
	case a.head == "sum":
		out = sum
	case a.head == "mean" && valued > 0:
		out = sum / float64(valued)
	case a.head == "rate" && orders > 0:
		out = float64(frauds) / float64(orders)
	}
	if out != out {
		out = a.fallback
	}
	return out
}

func valueOf(over string, o schemas.Order) float64 {
	switch over {
	case "doubled":
		return o.Fields.Get("amount").Number() * 2
	case "plain":
		return o.Fields.Get("amount").Number()
	case "filled":
		if v := o.Fields.Get("amount").Number(); v == v {
			return v
		}
		return 7
	default:
		return o.Fields.Get(over).Number()
	}
}

func entityOf(by string, o schemas.Order) (string, bool) {
	c, hasC := o.Fields.Get("customer_id").Key()
	t, hasT := o.Fields.Get("terminal_id").Key()
	switch by {
	case "customer":
		return c, hasC
	case "terminal":
		return t, hasT
	default:
		return c + "\x00" + t, hasC && hasT
	}
}

const setHead = `name: random
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], terminal: [terminal_id], pair: [customer_id, terminal_id]}
features:
  plain: {value: amount}
  filled: {value: amount, default: 7}
  doubled: {expr: "amount * 2"}
`

func drawAsked(t *rapid.T) asked {
	a := asked{
		by:       rapid.SampledFrom([]string{"customer", "terminal", "pair"}).Draw(t, "by"),
		window:   rapid.IntRange(1, 12).Draw(t, "window"),
		delay:    rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "delay"),
		others:   rapid.Bool().Draw(t, "others"),
		fallback: rapid.SampledFrom([]float64{math.NaN(), 0, -1}).Draw(t, "default"),
	}
	a.head = rapid.SampledFrom([]string{"count", "sum", "mean", "rate", "sum fraud"}).Draw(t, "head")
	switch a.head {
	case "count":
		a.over = "*"
	case "rate":
		a.over = "fraud"
	case "sum fraud":
		a.head, a.over = "sum", "fraud"
	default:
		a.over = rapid.SampledFrom([]string{"amount", "contactless", "plain", "filled", "doubled"}).Draw(t, "over")
	}
	return a
}

var dawn = time.Date(2018, 7, 25, 0, 0, 0, 0, time.UTC)

// drawOrders gives orders of few customers at few times: with ties, late ones, missing fields, and some that come again.
func drawOrders(t *rapid.T) []preprocess.Arrived {
	var orders []preprocess.Arrived
	for i := range rapid.IntRange(1, 30).Draw(t, "orders") {
		if i > 0 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
			repeat := orders[rapid.IntRange(0, i-1).Draw(t, "which")]
			repeat.Arrival = preprocess.Arrival{Millis: int64(i), Source: repeat.Arrival.Source, Offset: int64(i)}
			orders = append(orders, repeat)
			continue
		}
		at := dawn.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "hour")) * time.Hour)
		fields := schemas.Record{{Name: "contactless", Value: schemas.BoolValue(rapid.Bool().Draw(t, "contactless"))}}
		if v := rapid.SampledFrom([]float64{math.NaN(), 0.1, 49.5, 1e15, -3}).Draw(t, "amount"); v == v {
			fields = append(fields, schemas.Field{Name: "amount", Value: schemas.FloatValue(v)})
		}
		customer := []schemas.Value{schemas.IntValue(1), schemas.StringValue("1"), schemas.StringValue("12"), {}}
		terminal := []schemas.Value{schemas.IntValue(2), schemas.StringValue("21"), {}}
		fields = append(fields,
			schemas.Field{Name: "customer_id", Value: rapid.SampledFrom(customer).Draw(t, "customer")},
			schemas.Field{Name: "terminal_id", Value: rapid.SampledFrom(terminal).Draw(t, "terminal")})
		// Ids do not ascend with arrival, so that ties of time are not told apart by them.
		id := schemas.OrderID(fmt.Sprintf("%d-%d", rapid.IntRange(0, 9).Draw(t, "id"), i))
		orders = append(orders, preprocess.Arrived{
			Order: schemas.Order{ID: id, At: at, Fields: fields}, Content: uint64(i),
			Arrival: preprocess.Arrival{Millis: int64(i), Source: int32(rapid.IntRange(0, 1).Draw(t, "source")), Offset: int64(i)},
		})
	}
	return orders
}

func drawLabels(t *rapid.T, orders []preprocess.Arrived) []schemas.Label {
	var labels []schemas.Label
	for range rapid.IntRange(0, 20).Draw(t, "labels") {
		o := orders[rapid.IntRange(0, len(orders)-1).Draw(t, "of")].Order
		labels = append(labels, schemas.Label{ID: o.ID, Fraud: rapid.IntRange(0, 2).Draw(t, "fraud") > 0, KnownAt: o.At.Add(time.Duration(rapid.IntRange(-1, 6).Draw(t, "known")) * time.Hour)})
	}
	return labels
}

func TestFeaturesAreWhatTheWordsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var features []asked
		text := setHead
		for i := range rapid.IntRange(1, 6).Draw(t, "features") {
			features = append(features, drawAsked(t))
			text += features[i].yaml(i)
		}
		set, err := preprocess.Parse("random.yaml", []byte(text), nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		orders := drawOrders(t)
		labels := drawLabels(t, orders)

		store := memstore.New(memstore.Config{Keep: 1000 * time.Hour})
		x := preprocess.NewExtractor(set, store, 1000*time.Hour)
		var h history
		for len(orders) > 0 {
			// Labels come at any time, also before their order.
			some := rapid.IntRange(0, len(labels)).Draw(t, "learn")
			if err := store.Learn(t.Context(), labels[:some]); err != nil {
				t.Fatal(err)
			}
			h.labels, labels = append(h.labels, labels[:some]...), labels[some:]

			n := rapid.IntRange(1, len(orders)).Draw(t, "batch")
			out, err := x.Extract(t.Context(), orders[:n])
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range orders[:n] {
				h.orders = append(h.orders, o)
				if repeat := h.first(o.Order.ID).Arrival != o.Arrival; out[i].Repeat != repeat {
					t.Fatalf("order %d: Repeat is %v", len(h.orders)-1, out[i].Repeat)
				}
				for j, a := range features {
					got, want := out[i].Vector.Values[3+j], h.compute(a)
					if !same(got, want) {
						t.Fatalf("order %d: f%d = %v, want %v\n%s", len(h.orders)-1, j, got, want, text)
					}
				}
			}
			orders = orders[n:]
		}
	})
}

func TestBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := setHead
		for i := range 6 {
			text += drawAsked(t).yaml(i)
		}
		text += "  ratio: {expr: \"amount / f0 + f1\"}\n"
		set, err := preprocess.Parse("random.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		orders := drawOrders(t)
		labels := drawLabels(t, orders)
		run := func(cut func(left int) int) (all []preprocess.Extracted) {
			store := memstore.New(memstore.Config{Keep: 1000 * time.Hour})
			if err := store.Learn(t.Context(), labels); err != nil {
				t.Fatal(err)
			}
			x := preprocess.NewExtractor(set, store, 1000*time.Hour)
			for left := orders; len(left) > 0; {
				n := cut(len(left))
				out, err := x.Extract(t.Context(), left[:n])
				if err != nil {
					t.Fatal(err)
				}
				all, left = append(all, out...), left[n:]
			}
			return all
		}
		whole := run(func(left int) int { return left })
		single := run(func(int) int { return 1 })
		random := run(func(left int) int { return rapid.IntRange(1, left).Draw(t, "batch") })
		for i := range whole {
			for j := range whole[i].Vector.Values {
				w, s, r := whole[i].Vector.Values[j], single[i].Vector.Values[j], random[i].Vector.Values[j]
				if !same(w, s) || !same(w, r) {
					t.Fatalf("order %d, %s: %v in one batch, %v one by one, %v at random", i, set.Layout().Names[j], w, s, r)
				}
			}
		}
	})
}

// same says whether two features are the same bit for bit, or both missing.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func BenchmarkExtract(b *testing.B) {
	set, err := preprocess.Load("../deploy/example/handbook.yaml", nil)
	if err != nil {
		b.Fatal(err)
	}
	const batch = 500
	b.Run("handbook/batch=500", func(b *testing.B) {
		orders := handbookOrders(b, set)
		warm := len(orders) - len(orders)/4/batch*batch // the last quarter is measured, over more than 37 days of state
		store := memstore.New(memstore.Config{})
		if err := store.Learn(b.Context(), handbookLabels(b)); err != nil {
			b.Fatal(err)
		}
		x := preprocess.NewExtractor(set, store, 0)
		for part := range slices.Chunk(orders[:warm], batch) {
			if _, err := x.Extract(b.Context(), part); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		next := warm
		for b.Loop() {
			if next+batch > len(orders) { // what follows would be repeats, which cost less
				b.Fatalf("out of orders: use -benchtime=%dx", (len(orders)-warm)/batch-1)
			}
			if _, err := x.Extract(b.Context(), orders[next:next+batch]); err != nil {
				b.Fatal(err)
			}
			next += batch
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/order")
	})
}
