package storetest

import (
	"fmt"
	"math"
	"testing"

	"verdict/preprocess"
)

func mergedBehaviours() []behaviour {
	all := []behaviour{
		one("a merged column of few orders shows each", mergedFew),
		one("a merged column of many values shows each once", mergedValues),
		one("a merged column keeps what was put into it while it was seen", mergedSeen),
		one("two columns of an entity are merged apart", mergedApart),
	}
	for sources := 1; sources <= 2; sources++ {
		name := fmt.Sprintf(" (%d sources)", sources)
		all = append(all,
			one("a merged column counts each order once"+name, func(t *testing.T, s preprocess.Store) { mergedCounts(t, s, sources) }),
			one("a merged column is the same after redeliveries"+name, func(t *testing.T, s preprocess.Store) { mergedRedelivered(t, s, sources) }),
		)
	}
	return all
}

// cell is the width of the tests' cells, in microseconds.
const cell = 100

func mergedAsk(key string, value float64, to int64) preprocess.Ask {
	a := ask(key, "x~", value, to)
	a.Merge = &preprocess.Merging{Resolution: cell}
	return a
}

// mergedOrders are orders in time, by that many sources in turn.
func mergedOrders(n, sources int) []preprocess.Visit {
	visits := make([]preprocess.Visit, n)
	for i := range visits {
		visits[i] = order(i, int64(3*i), mergedAsk("c", float64(i), int64(3*i)))
		visits[i].Arrival.Source = int32(i % sources)
	}
	return visits
}

// whole is what a merged column holds in all.
type whole struct {
	Orders      int64
	Sum         float64
	Min, Max    float64
	First, Last int64
}

func wholeOf(v *preprocess.View) whole {
	w := whole{Min: math.Inf(1), Max: math.Inf(-1), First: math.MaxInt64, Last: math.MinInt64}
	for _, p := range v.Points {
		w.Orders++
		w.Sum += p.Value
		w.Min, w.Max = min(w.Min, p.Value), max(w.Max, p.Value)
		w.First, w.Last = min(w.First, p.At), max(w.Last, p.At)
	}
	for _, c := range v.Cells {
		w.Orders += c.Orders
		w.Sum += c.Sum.Value()
		w.Min, w.Max = min(w.Min, c.Min), max(w.Max, c.Max)
		w.First, w.Last = min(w.First, c.First), max(w.Last, c.Last)
	}
	return w
}

// wholeTo is what a column holds of the orders 0 to n, which have their number as value.
func wholeTo(n int) whole {
	return whole{Orders: int64(n + 1), Sum: float64(n * (n + 1) / 2), Min: 0, Max: float64(n), First: base, Last: base + int64(3*n)}
}

func checkCells(t tb, v *preprocess.View) {
	t.Helper()
	for i, c := range v.Cells {
		if c.Start%cell != 0 || c.First < c.Start || c.Last >= c.Start+cell || i > 0 && v.Cells[i-1].Start > c.Start {
			t.Errorf("cell %d begins at %d and has orders from %d to %d", i, c.Start, c.First, c.Last)
		}
	}
}

// mergedCounts makes calls of many sizes.
func mergedCounts(t *testing.T, s preprocess.Store, sources int) {
	visits := mergedOrders(1500, sources)
	merged := false
	for at, size := 0, 1; at < len(visits); at, size = at+size, (size*7+1)%200+1 {
		end := min(at+size, len(visits))
		for i, f := range exchange(t, s, visits[at:end]...) {
			checkCells(t, &f.Views[0])
			same(t, "all", wholeOf(&f.Views[0]), wholeTo(at+i))
			merged = merged || len(f.Views[0].Cells) > 0
		}
		if t.Failed() {
			return
		}
	}
	if !merged {
		t.Error("nothing was merged")
	}
}

// mergedRedelivered: sources are read again from further back, whole calls and parts of them; and some orders come as repeats.
func mergedRedelivered(t *testing.T, s preprocess.Store, sources int) {
	visits := mergedOrders(1200, sources)
	for at := 0; at < len(visits); at += 100 {
		exchange(t, s, visits[at:at+100]...)
		exchange(t, s, visits[at:at+100]...)
		again := visits[max(0, at-130) : at+70]
		for len(again) > 0 {
			n := min(37, len(again))
			exchange(t, s, again[:n]...)
			again = again[n:]
		}
		repeat := copyOf(visits[at])
		repeat.Asks = []preprocess.Ask{mergedAsk("c", 1e9, 1e6)}
		exchange(t, s, repeat, repeat)
		got := exchange(t, s, order(10_000+at, int64(3*at+300), looking(mergedAsk("c", 0, 1e6))))[0].Views[0]
		checkCells(t, &got)
		if same(t, "all", wholeOf(&got), wholeTo(at+99)); t.Failed() {
			return
		}
	}
}

func mergedFew(t *testing.T, s preprocess.Store) {
	visits := mergedOrders(150, 1)
	for i, f := range exchange(t, s, visits...) {
		if len(f.Views[0].Points) != i+1 || len(f.Views[0].Cells) > 0 {
			t.Fatalf("order %d sees %d points, %d cells", i, len(f.Views[0].Points), len(f.Views[0].Cells))
		}
	}
	v := order(900, 200, looking(mergedAsk("c", 0, 200)))
	v.Asks[0].From = base + 100
	got := exchange(t, s, v)[0].Views[0].Points
	same(t, "those of a span", len(got), 33)
	same(t, "the first of them", got[0], preprocess.Point{At: base + 102, Value: 34, Ref: &preprocess.Ref{ID: "o34", Arrival: visits[34].Arrival}})
}

// mergedValues: each value has its last time, however often it was seen.
func mergedValues(t *testing.T, s preprocess.Store) {
	const orders, values = 2000, 300
	var visits []preprocess.Visit
	for i := range orders {
		a := mergedAsk("c", float64(i%values), int64(i))
		a.Merge.Distinct = true
		visits = append(visits, order(i, int64(i), a))
	}
	for at := 0; at < orders; at += 250 {
		exchange(t, s, visits[at:at+250]...)
		exchange(t, s, visits[at+100:at+250]...)
	}
	a := looking(mergedAsk("c", 0, orders))
	a.Merge.Distinct = true
	got := exchange(t, s, order(orders, orders, a))[0].Views[0]
	if len(got.Cells) > 0 || len(got.Sightings) > values || len(got.Points) > 384 || len(got.Sightings) < values/2 {
		t.Errorf("%d cells, %d sightings, %d points", len(got.Cells), len(got.Sightings), len(got.Points))
	}
	for i, x := range got.Sightings {
		if x.Level != 0 || x.At < base+orders-384-values || i > 0 && got.Sightings[i-1].Value >= x.Value {
			t.Errorf("sighting %d: %+v", i, x)
		}
	}
}

func mergedSeen(t *testing.T, s preprocess.Store) {
	visits := mergedOrders(800, 1)
	for i := range visits {
		visits[i].Asks[0] = later(visits[i].Asks[0])
	}
	for at := 0; at < len(visits); at += 160 {
		err := s.Exchange(t.Context(), visits[at:at+160], func(i int, found *preprocess.Found) {
			if n := at + i; n > 0 {
				same(t, "all before it", wholeOf(&found.Views[0]), wholeTo(n-1))
			}
			visits[at+i].Asks[0].Value = float64(at + i)
		})
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s, visits[at:at+160]...)
	}
	got := exchange(t, s, order(9999, 2400, looking(mergedAsk("c", 0, 2400))))[0].Views[0]
	same(t, "all", wholeOf(&got), wholeTo(799))
}

func mergedApart(t *testing.T, s preprocess.Store) {
	coarse := func(v float64, to int64) preprocess.Ask {
		a := ask("c", "x~coarse", v, to)
		a.Merge = &preprocess.Merging{Resolution: 10 * cell}
		return a
	}
	var visits []preprocess.Visit
	for i := range 900 {
		to := int64(3 * i)
		visits = append(visits, order(i, to, mergedAsk("c", float64(i), to), coarse(float64(i), to), ask("c", "x", float64(i), to), mergedAsk("d", 1, to)))
	}
	for at := 0; at < len(visits); at += 90 {
		exchange(t, s, visits[at:at+90]...)
	}
	got := exchange(t, s, order(9999, 2700, looking(mergedAsk("c", 0, 2700)), looking(coarse(0, 2700)), looking(ask("c", "x", 0, 2700)), looking(mergedAsk("d", 0, 2700))))[0].Views
	for _, view := range got[:3] {
		same(t, "all", wholeOf(&view), wholeTo(899))
	}
	same(t, "how many are in the other entity", wholeOf(&got[3]).Orders, int64(900))
	same(t, "how many cells there are where each order is kept", len(got[2].Cells), 0)
	for _, c := range got[1].Cells {
		if c.Start%(10*cell) != 0 {
			t.Errorf("a coarse cell begins at %d", c.Start)
		}
	}
}
