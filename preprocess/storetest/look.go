package storetest

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/schemas"
)

func lookBehaviours() []behaviour {
	return []behaviour{
		{"a look shows what an exchange would, and leaves no trace", looksLikeAnExchange},
		one("a look at an order that came before puts it in the other's place", looksAnew),
		one("a look at an order that was merged counts it once", looksAtMerged),
		{"a look is refused once its context has ended", looksInVain},
	}
}

// look calls Look and returns a copy of what was found.
func look(t tb, s preprocess.Store, v preprocess.Visit) preprocess.Found {
	t.Helper()
	looker, ok := s.(preprocess.Looker)
	if !ok {
		t.Fatalf("a %T cannot be looked into", s)
	}
	var found preprocess.Found
	err := looker.Look(context.Background(), v, func(f *preprocess.Found) { found = copied(f) })
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	return found
}

// looksLikeAnExchange makes random calls on two stores, looks into one of them in between, and each time makes the visit that looked in both.
func looksLikeAnExchange(t *testing.T, open func(t *testing.T) preprocess.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		looked, never := open(t), open(t)
		for n := range rapid.IntRange(1, 25).Draw(rt, "orders") {
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				l := []schemas.Label{drawLabel(rt, 25)}
				learn(rt, looked, l...)
				learn(rt, never, l...)
			}
			v := drawVisit(rt, n)
			found := look(rt, looked, v)
			if n > 0 {
				look(rt, looked, copyOf(order(n-1, v.At-base, v.Asks...))) // of one that is there
			}
			want := exchange(rt, never, v)
			same(rt, "what a look found", withoutInnocent([]preprocess.Found{found}), withoutInnocent(want))
			same(rt, "what an exchange found after it", withoutInnocent(exchange(rt, looked, v)), withoutInnocent(want))
		}
		same(rt, "what is left", withoutInnocent(exchange(rt, looked, probe())), withoutInnocent(exchange(rt, never, probe())))
	})
}

func looksAnew(t *testing.T, s preprocess.Store) {
	first := order(1, 10, ask("c", "x", 5, 10), ask("c", "y", 5, 10))
	exchange(t, s, first, order(2, 20, ask("c", "x", 7, 20)))
	other := copyOf(order(1, 30, ask("c", "x", 6, 40), ask("d", "x", 6, 40)))
	other.Content++
	found := look(t, s, other)
	if found.Again || found.First != other.Arrival || found.Content != other.Content {
		t.Errorf("it was told of the order that holds its id: %+v", found)
	}
	want := []preprocess.Point{pointOf(order(2, 20), 7), pointOf(other, 6)}
	same(t, "points", found.Views[0].Points, want)
	same(t, "points of another entity", found.Views[1].Points, want[1:])

	nothing := other
	nothing.Asks = []preprocess.Ask{ask("c", "x", 6, 40)}
	nothing.Asks[0].Adds = preprocess.AddNothing
	same(t, "points without its own", look(t, s, nothing).Views[0].Points, want[:1])
	if again := exchange(t, s, first)[0]; !again.Again || again.First != first.Arrival || again.Content != first.Content {
		t.Errorf("the order does not hold its id any more: %+v", again)
	}
}

func looksAtMerged(t *testing.T, s preprocess.Store) {
	const n = 1000
	visits := mergedOrders(n, 1)
	exchange(t, s, visits...)
	for _, at := range []int{0, 100, n - 100, n - 1} { // of the first two only cells tell
		v := copyOf(visits[at])
		v.Asks = slices.Clone(v.Asks)
		v.Asks[0].To = base + 3*n
		if got := wholeOf(&look(t, s, v).Views[0]); got != wholeTo(n-1) {
			t.Errorf("order %d: %+v, want %+v", at, got, wholeTo(n-1))
		}
	}
	later := order(n, 3*n, mergedAsk("c", n, 3*n))
	if got := wholeOf(&look(t, s, later).Views[0]); got != wholeTo(n) {
		t.Errorf("a new order: %+v, want %+v", got, wholeTo(n))
	}
	if got := wholeOf(&exchange(t, s, later)[0].Views[0]); got != wholeTo(n) {
		t.Errorf("after it: %+v, want %+v", got, wholeTo(n))
	}
}

func looksInVain(t *testing.T, open func(t *testing.T) preprocess.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	looker, ok := open(t).(preprocess.Looker)
	if !ok || looker.Look(ctx, order(1, 1), func(*preprocess.Found) {}) == nil {
		t.Error("it looked")
	}
}

// pointOf is the point that a visit adds.
func pointOf(v preprocess.Visit, value float64) preprocess.Point {
	return preprocess.Point{Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}, At: v.At, Value: value}
}
