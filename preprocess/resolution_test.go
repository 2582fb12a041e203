package preprocess_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// hotOrders gives the orders of two entities, some 800 each in 3 hours, so that most are merged, by two sources in turn; and their labels. Every late-th
// order is late by up to an hour; 0 is none.
func hotOrders(late int) (orders []preprocess.Arrived, labels []schemas.Label) {
	random := rand.New(rand.NewPCG(5, uint64(late)))
	at := dawn
	for i := range 3200 {
		at = at.Add(time.Duration(random.IntN(14_000_000)) * time.Microsecond)
		mine := at
		if late > 0 && i%late == 0 {
			mine = at.Add(-time.Duration(random.IntN(3_600_000_000)) * time.Microsecond)
		}
		fields := schemas.Record{text("customer_id", string(rune('a'+random.IntN(2)))), number("tag", float64(random.IntN(700)))}
		if random.IntN(10) > 0 {
			fields = append(fields, number("amount", math.Round(random.ExpFloat64()*1e4)/100+float64(i/2500)*1e9))
		}
		id := schemas.OrderID(fmt.Sprintf("%d-%d", random.IntN(10), i))
		orders = append(orders, preprocess.Arrived{
			Order:   schemas.Order{ID: id, At: mine, Fields: fields},
			Arrival: preprocess.Arrival{Millis: int64(i), Source: int32(i % 2), Offset: int64(i)},
		})
		if random.IntN(8) == 0 {
			labels = append(labels, schemas.Label{ID: id, Fraud: true, KnownAt: mine.Add(time.Duration(random.IntN(3)) * time.Hour)})
		}
		if random.IntN(40) == 0 {
			labels = append(labels, schemas.Label{ID: id, Fraud: false, KnownAt: mine.Add(4 * time.Hour)})
		}
	}
	return orders, labels
}

// hotFeatures has every aggregate that takes a resolution.
func hotFeatures(delay time.Duration) *randomSet {
	s := new(randomSet)
	add := func(head, over, rest string, a asked) {
		a.head, a.over, a.by, a.window, a.delay, a.resolution, a.value = head, over, "customer", 3*time.Hour, delay, 10*time.Minute, field(over)
		text := fmt.Sprintf("{%s: %q, by: customer, window: 3h, delay: %ds, resolution: 10m%s}", head, over, delay/time.Second, rest)
		s.add(wanted{name: fmt.Sprintf("f%d", len(s.features)), text: text, fallback: math.NaN(), asked: a})
	}
	for _, head := range []string{"sum", "mean", "min", "max", "stddev", "last"} {
		add(head, "amount", "", asked{})
		add(head, "amount", `, exclude_current: true, where: "amount > 50"`, asked{others: true, where: func(o *schemas.Order, _ []float64, _ bool) float64 {
			return oneIf(o.Fields.Get("amount").Number() > 50)
		}})
	}
	for _, head := range []string{"count", "since_last", "since_first"} {
		add(head, "*", "", asked{})
		add(head, "*", ", exclude_current: true", asked{others: true})
	}
	add("decayed_count", "*", ", half_life: 1h", asked{halfLife: time.Hour})
	add("decayed_sum", "amount", ", half_life: 1h", asked{halfLife: time.Hour})
	add("sum", "fraud", "", asked{})
	add("rate", "fraud", ", exclude_current: true", asked{others: true})
	if delay == 0 {
		add("distinct", "tag", "", asked{})
	}
	return s
}

func parse(t *testing.T, s *randomSet) *preprocess.FeatureSet {
	t.Helper()
	return mustParse(t, s.String())
}

func extractHot(t *testing.T, s *randomSet, store preprocess.Store, orders []preprocess.Arrived, labels []schemas.Label, batch int) (all []preprocess.Extracted) {
	t.Helper()
	if err := store.Learn(t.Context(), labels); err != nil {
		t.Fatal(err)
	}
	x := preprocess.NewExtractor(parse(t, s), store, 2*time.Hour)
	for part := range slices.Chunk(orders, batch) {
		out, err := x.Extract(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out...)
	}
	return all
}

func always(*wanted) bool { return true }

// TestMergedOrdersCountToTheNearestBound: with orders in time, all of a window counts from the multiple of the resolution that is nearest to its far edge.
func TestMergedOrdersCountToTheNearestBound(t *testing.T) { mergedOrdersCount(t, inMemory(t)) }

func mergedOrdersCount(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	s := hotFeatures(0)
	orders, labels := hotOrders(0)
	out := extractHot(t, s, open(), orders, labels, 500)
	h := history{features: s.features, labels: labels}
	for i, o := range orders {
		if i%101 != 0 {
			h.keep(o, out[i].Vector.Values)
			continue
		}
		if wrong, want := h.come(o, out[i].Vector.Values, always); wrong >= 0 {
			t.Fatalf("order %d: %s %s = %v, want %v", i, s.features[wrong].name, s.features[wrong].text, out[i].Vector.Values[wrong], want)
		}
	}
}

func TestMergedOrdersDoNotDependOnBatches(t *testing.T) {
	s := hotFeatures(0)
	orders, labels := hotOrders(7)
	want := extractHot(t, s, inMemory(t)(), orders, labels, 500)
	for _, batch := range []int{1, 7, len(orders)} {
		got := extractHot(t, s, inMemory(t)(), orders, labels, batch)
		for i := range got {
			if !slices.EqualFunc(got[i].Vector.Values, want[i].Vector.Values, same) {
				t.Fatalf("order %d in batches of %d: %v, and of 500: %v", i, batch, got[i].Vector.Values, want[i].Vector.Values)
			}
		}
	}
}

// TestLateOrdersSeeNothingOfTheFuture also among merged orders: what they see lacks, at most, the cell that their near edge lies in. So do all windows with a delay.
func TestLateOrdersSeeNothingOfTheFuture(t *testing.T) { lateOrdersSeeNoFuture(t, inMemory(t)) }

func lateOrdersSeeNoFuture(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	for _, delay := range []time.Duration{0, 100 * time.Minute} {
		s := hotFeatures(delay)
		orders, labels := hotOrders(7)
		out := extractHot(t, s, open(), orders, labels, 500)
		h := history{features: s.features, labels: labels}
		for i, o := range orders {
			if i%147 == 0 { // a late one
				checkBounds(t, &h, o, out[i].Vector.Values)
			}
			h.keep(o, out[i].Vector.Values)
		}
	}
}

// checkBounds holds features against two windows: the one that they are over, and that without the cell of its near edge.
func checkBounds(t *testing.T, h *history, o preprocess.Arrived, got []float64) {
	t.Helper()
	me := look{past: past{o, got}}
	for i := range h.features {
		w := h.features[i]
		most, slack := h.compute(&w, &me)
		_, last := w.edges(o.Order.At)
		cut := last.Sub(last.Truncate(w.resolution)) + time.Microsecond
		w.delay += cut
		w.window -= cut
		least, _ := h.compute(&w, &me)
		ok := true
		switch {
		case w.head == "count" || w.over == "fraud" && w.head == "sum" || w.head == "distinct" || w.head == "decayed_count" || w.head == "decayed_sum" || w.head == "sum":
			ok = got[i] >= least-slack && got[i] <= most+slack // amounts are above 0
		case w.head == "max" || w.head == "since_first":
			ok = !(got[i] > most) && !(got[i] < least)
		case w.head == "min" || w.head == "since_last":
			ok = !(got[i] < most) && !(got[i] > least)
		case w.head == "rate":
			ok = !(got[i] > 1) && !(got[i] < 0)
		}
		if !ok {
			t.Fatalf("order %s: %s %s = %v, not from %v to %v", o.Order.ID, w.name, w.text, got[i], least, most)
		}
	}
}

// TestOrdersAfterLateOnesAreExact: a late order that is merged counts for those in time as any other.
func TestOrdersAfterLateOnesAreExact(t *testing.T) {
	s := hotFeatures(0)
	orders, labels := hotOrders(7)
	out := extractHot(t, s, inMemory(t)(), orders, labels, 500)
	h := history{features: s.features, labels: labels}
	newest, checked := dawn, 0
	for i, o := range orders {
		if inTime := o.Order.At.After(newest); inTime && i%50 == 1 {
			checked++
			if wrong, want := h.come(o, out[i].Vector.Values, always); wrong >= 0 {
				t.Fatalf("order %d: %s %s = %v, want %v", i, s.features[wrong].name, s.features[wrong].text, out[i].Vector.Values[wrong], want)
			}
		} else {
			h.keep(o, out[i].Vector.Values)
		}
		if o.Order.At.After(newest) {
			newest = o.Order.At
		}
	}
	if checked < 50 {
		t.Errorf("%d orders were checked", checked)
	}
}

// TestDistinctOfManyValuesIsNear counts values that are new all the time, then ever fewer, in windows of an hour.
func TestDistinctOfManyValuesIsNear(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n" +
		"  exact: {distinct: tag, by: c, window: 1h}\n  near: {distinct: tag, by: c, window: 1h, resolution: 1m}\n"
	x := preprocess.NewExtractor(mustParse(t, set), inMemory(t)(), 0)
	random := rand.New(rand.NewPCG(1, 2))
	off, n, worst, most := 0.0, 0.0, 0.0, 0.0
	for i := range 40_000 {
		values := 100_000
		if i/10_000%2 == 1 {
			values = 500 + 40*(i/10_000)
		}
		o := arrived(fmt.Sprint(i), text("c", "1"), number("tag", float64(random.IntN(values))))
		o.Order.At = dawn.Add(time.Duration(i) * 400 * time.Millisecond) // 9000 in an hour
		o.Arrival.Offset = int64(i)
		out, err := x.Extract(t.Context(), []preprocess.Arrived{o})
		if err != nil {
			t.Fatal(err)
		}
		exact, near := out[0].Vector.Values[0], out[0].Vector.Values[1]
		most = max(most, exact)
		if i%10 == 0 && exact > 2000 {
			off += near/exact - 1
			n++
			worst = max(worst, math.Abs(near/exact-1))
		}
	}
	// A sample holds 512 to 1024 values, so that one standard error is 1/√512 at most: 0.044.
	t.Logf("off by %.4f on average, %.3f at worst, of up to %v values", off/n, worst, most)
	if most < 8000 || worst > 4*0.044 || math.Abs(off/n) > 0.04 {
		t.Errorf("off by %.4f on average, %.3f at worst, of up to %v values", off/n, worst, most)
	}
}
