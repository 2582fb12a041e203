package storetest

import (
	"context"
	"math"
	"strings"
	"testing"

	"verdict/preprocess"
	"verdict/schemas"
)

func pointBehaviours() []behaviour {
	return []behaviour{
		one("a visit sees its own point", seesItself),
		one("a visit sees those before it in the batch and not those after", seesThoseBefore),
		one("a visit that is late sees all up to its To", seesByTimeOnly),
		one("points come by time, then id", pointsAreSorted),
		one("bounds are open at From and closed at To, to the microsecond", boundsAreExact),
		one("columns and entities are apart", columnsAreApart),
		one("values come back bit for bit", valuesAreExact),
		one("the column of orders alone", ordersAlone),
		one("keys are any bytes", oddKeys),
		one("nothing younger than Keep is dropped", keepsLongEnough),
		one("nothing to do is fine", emptyCalls),
		one("a cancelled context is an error", cancelledContext),
	}
}

func seesItself(t *testing.T, s preprocess.Store) {
	v := order(1, 5, ask("customer:1", "amount", 12.5, 5))
	found := exchange(t, s, v)
	same(t, "points", found[0].Views[0].Points, []preprocess.Point{{At: v.At, Value: 12.5, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}})
	same(t, "who holds the id", found[0].First, v.Arrival)
	same(t, "content", found[0].Content, v.Content)
	if found[0].Views[0].Marks != nil {
		t.Error("marks that nobody asked for")
	}
}

func seesThoseBefore(t *testing.T, s preprocess.Store) {
	exchange(t, s, order(1, 10, ask("c", "x", 1, 10)))
	found := exchange(t, s,
		order(2, 40, ask("c", "x", 2, 100)),
		order(3, 20, ask("c", "x", 3, 100)), // in the middle
		order(4, 50, ask("c", "x", 4, 100)),
	)
	same(t, "the first visit's", ids(found[0].Views[0].Points), []string{"o1", "o2"})
	same(t, "the second visit's", ids(found[1].Views[0].Points), []string{"o1", "o3", "o2"})
	same(t, "the third visit's", ids(found[2].Views[0].Points), []string{"o1", "o3", "o2", "o4"})
}

func seesByTimeOnly(t *testing.T, s preprocess.Store) {
	exchange(t, s, order(1, 10, ask("c", "x", 1, 10)), order(2, 20, ask("c", "x", 2, 20)), order(3, 30, ask("c", "x", 3, 30)))
	found := exchange(t, s, order(4, 15, ask("c", "x", 4, 15)), order(5, 15, ask("c", "x", 5, 25)))
	same(t, "up to its own time", ids(found[0].Views[0].Points), []string{"o1", "o4"})
	same(t, "up to a later time", ids(found[1].Views[0].Points), []string{"o1", "o4", "o5", "o2"})
}

func pointsAreSorted(t *testing.T, s preprocess.Store) {
	// Ids of which one begins with another, at one time; offsets that sort the other way.
	a, b, c := order(9, 10, ask("c", "x", 1, 99)), order(9, 10, ask("c", "x", 2, 99)), order(9, 10, ask("c", "x", 3, 99))
	a.ID, b.ID, c.ID = "k.1", "k", "k-1"
	b.Arrival.Offset, c.Arrival.Offset = 1<<40, -5
	found := exchange(t, s, order(1, 11, ask("c", "x", 0, 99)), a, b, c, order(2, 9, ask("c", "x", 0, 99)))
	same(t, "order", ids(found[4].Views[0].Points), []string{"o2", "k", "k-1", "k.1", "o1"})
	same(t, "arrivals", found[4].Views[0].Points[1].Arrival, b.Arrival)
	same(t, "arrivals", found[4].Views[0].Points[2].Arrival, c.Arrival)
}

func boundsAreExact(t *testing.T, s preprocess.Store) {
	span := ask("c", "x", 0, 13)
	span.From = base + 10
	found := exchange(t, s,
		order(1, 9, ask("c", "x", 0, 0)), order(2, 10, ask("c", "x", 0, 0)), order(3, 11, ask("c", "x", 0, 0)),
		order(4, 14, ask("c", "x", 0, 0)), order(5, 13, span))
	same(t, "in (10, 13]", ids(found[4].Views[0].Points), []string{"o3", "o5"})
	same(t, "before any", ids(found[0].Views[0].Points), []string{})
	turned := ask("c", "x", 0, 5)
	turned.From = base + 20
	found = exchange(t, s, order(6, 12, turned))
	same(t, "in a span that ends before it begins", ids(found[0].Views[0].Points), []string{})
}

func columnsAreApart(t *testing.T, s preprocess.Store) {
	exchange(t, s, order(1, 1, ask("customer:1", "a", 1, 9), ask("customer:1", "a.b", 2, 9), ask("customer:2", "a", 3, 9)))
	found := exchange(t, s, order(2, 2, ask("customer:1", "a", 4, 9), ask("customer:1", "a.b", 5, 9), ask("customer:2", "a", 6, 9), ask("customer:1", "b", 7, 9)))
	var got [][]float64
	for _, view := range found[0].Views {
		var values []float64
		for _, p := range view.Points {
			values = append(values, p.Value)
		}
		got = append(got, values)
	}
	same(t, "values", got, [][]float64{{1, 4}, {2, 5}, {3, 6}, {7}})
}

func valuesAreExact(t *testing.T, s preprocess.Store) {
	values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1, -1, 1e22}
	for i, v := range values {
		exchange(t, s, order(i, int64(i), ask("c", "x", v, 0)))
	}
	found := exchange(t, s, order(len(values), 99, ask("c", "x", 0, 98)))
	for i, p := range found[0].Views[0].Points {
		same(t, "value", p.Value, values[i])
	}
	same(t, "number of points", len(found[0].Views[0].Points), len(values))
}

func ordersAlone(t *testing.T, s preprocess.Store) {
	a, b := order(1, 1, ask("c", "*", math.NaN(), 9)), order(2, 2, ask("c", "*", math.NaN(), 9))
	found := exchange(t, s, a, b)
	same(t, "orders", ids(found[1].Views[0].Points), []string{"o1", "o2"})
	same(t, "arrival", found[1].Views[0].Points[0].Arrival, a.Arrival)
	same(t, "time", found[1].Views[0].Points[1].At, b.At)
}

// oddKeys are pairs of keys that careless quoting takes for one another, and one of the longest.
func oddKeys(t *testing.T, s preprocess.Store) {
	long := strings.Repeat("k", 512)
	keys := []string{"a", "{a}", "a}", "}a", "{}", "%7D", "}", "%", "%25", "a:c:x", "a}:c:x", " ", "a b", "ключ", "\x00\xff\r\n", long, long[:511] + "l", "o1", ":l", "{"}
	for i, key := range keys {
		v := order(i, int64(i), ask(key, "x", float64(i), 99), ask(key, "x:l", 1, 99), askMarks(key, 99))
		v.Labelled = []string{key}
		exchange(t, s, v)
		learn(t, s, label(i, 5, true))
	}
	for i, key := range keys {
		found := exchange(t, s, order(100+i, 99, ask(key, "x", 0, 98), ask(key, "x:l", 0, 98), askMarks(key, 98)))[0]
		if len(found.Views[0].Points) != 1 || found.Views[0].Points[0].Value != float64(i) || len(found.Views[1].Points) != 1 {
			t.Errorf("key %d has points %v and %v", i, found.Views[0].Points, found.Views[1].Points)
		}
		if len(found.Views[2].Marks) != 1 || found.Views[2].Marks[0].ID != order(i, 0).ID {
			t.Errorf("key %d has marks %v", i, found.Views[2].Marks)
		}
	}
}

func keepsLongEnough(t *testing.T, s preprocess.Store) {
	short := func(at int64) preprocess.Ask {
		a := ask("c", "x", 1, at)
		a.From, a.Keep = base+at-101, 100
		return a
	}
	// Many more than Keep holds, some of them late: each time, all that are not older than the newest by more than Keep must be there.
	var visits []preprocess.Visit
	for i := range 400 {
		at := int64(1000 + i)
		if i%7 == 3 {
			at -= 65
		}
		visits = append(visits, order(i, at, short(at)))
	}
	for i := 0; i < len(visits); i += 20 {
		found := exchange(t, s, visits[i:i+20]...)
		for j := range found {
			checkKept(t, visits[:i+j+1], found[j].Views[0].Points)
		}
	}
}

func checkKept(t *testing.T, visits []preprocess.Visit, got []preprocess.Point) {
	t.Helper()
	seen := make(map[schemas.OrderID]bool)
	for _, p := range got {
		seen[p.ID] = true
	}
	newest := int64(0)
	for _, v := range visits {
		newest = max(newest, v.At)
	}
	asked := visits[len(visits)-1].Asks[0]
	for _, v := range visits {
		if v.At > asked.From && v.At <= asked.To && v.At >= newest-asked.Keep && !seen[v.ID] {
			t.Fatalf("an order of %d is gone while the newest is of %d", v.At-base, newest-base)
		}
	}
}

func emptyCalls(t *testing.T, s preprocess.Store) {
	exchange(t, s)
	learn(t, s)
	v := order(1, 1)
	same(t, "who holds the id of an order without asks", exchange(t, s, v)[0].First, v.Arrival)
	same(t, "who holds it then", exchange(t, s, copyOf(v))[0].First, v.Arrival)
}

func cancelledContext(t *testing.T, s preprocess.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Exchange(ctx, s, []preprocess.Visit{order(1, 1, ask("c", "x", 1, 1))}); err == nil {
		t.Error("Exchange under a cancelled context reports no error")
	}
	if err := s.Learn(ctx, []schemas.Label{label(1, 1, true)}); err == nil {
		t.Error("Learn under a cancelled context reports no error")
	}
}
