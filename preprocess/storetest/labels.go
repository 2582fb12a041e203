package storetest

import (
	"testing"

	"verdict/preprocess"
)

func labelBehaviours() []behaviour {
	return []behaviour{
		one("a label after its order", labelAfter),
		one("a label before its order waits for it", labelBefore),
		one("a label before its order is seen by the rest of that batch", labelBeforeInBatch),
		one("a label before its order is seen by it where nothing else is kept", labelBeforeAlone),
		one("a label is kept at all entities of its order", labelAtAllEntities),
		one("a later label does not wipe out the earlier", labelReplaced),
		one("not fraud, then fraud known earlier", labelOutOfOrder),
		one("the same label twice is one", labelTwice),
		one("several labels in a call", labelsInACall),
		one("bounds of marks are those of points, by the order's time", markBounds),
		one("an order without labelled entities has no marks", labelNowhere),
	}
}

// frauds makes a visit that is labelled under a key and reads that key's marks.
func frauds(n int, at int64, key string, to int64) preprocess.Visit {
	v := order(n, at, askMarks(key, to))
	v.Labelled = []string{key}
	return v
}

func mark(n int, at, known int64, fraud bool) preprocess.Mark {
	return preprocess.Mark{At: base + at, ID: order(n, at).ID, Known: base + known, Fraud: fraud}
}

func labelAfter(t *testing.T, s preprocess.Store) {
	found := exchange(t, s, frauds(1, 10, "t", 99))
	same(t, "marks before", found[0].Views[0].Marks, []preprocess.Mark{})
	learn(t, s, label(1, 50, true))
	same(t, "marks", exchange(t, s, frauds(2, 60, "t", 99))[0].Views[0].Marks, []preprocess.Mark{mark(1, 10, 50, true)})
	if found[0].Views[0].Points != nil {
		t.Error("points where marks were asked for")
	}
}

func labelBefore(t *testing.T, s preprocess.Store) {
	learn(t, s, label(1, 50, true))
	same(t, "marks before the order", exchange(t, s, frauds(2, 60, "t", 99))[0].Views[0].Marks, []preprocess.Mark{})
	same(t, "the order's own", exchange(t, s, frauds(1, 10, "t", 99))[0].Views[0].Marks, []preprocess.Mark{mark(1, 10, 50, true)})
	same(t, "later", exchange(t, s, frauds(3, 60, "t", 99))[0].Views[0].Marks, []preprocess.Mark{mark(1, 10, 50, true)})
}

// labelBeforeAlone: the order's other asks only look, or add once it has looked.
func labelBeforeAlone(t *testing.T, s preprocess.Store) {
	learn(t, s, label(1, 50, true))
	later, never := ask("t", "y", 1, 99), ask("t", "x", 1, 99)
	later.Adds, never.Adds = preprocess.AddSeen, preprocess.AddNothing
	v := order(1, 10, never, later, askMarks("t", 99))
	v.Labelled = []string{"t"}
	same(t, "the order's own", exchange(t, s, v)[0].Views[2].Marks, []preprocess.Mark{mark(1, 10, 50, true)})
}

func labelBeforeInBatch(t *testing.T, s preprocess.Store) {
	learn(t, s, label(1, 50, true), label(3, 51, true), label(3, 52, false))
	visits := []preprocess.Visit{frauds(2, 30, "t", 99), frauds(1, 10, "t", 99), frauds(4, 31, "t", 99), frauds(3, 5, "t", 99), frauds(5, 32, "u", 99), frauds(6, 33, "t", 99)}
	visits[5].Asks[0].From = base + 5
	visits = append(visits, visits[1])
	found := exchange(t, s, visits...)
	first, both := []preprocess.Mark{mark(1, 10, 50, true)}, []preprocess.Mark{mark(3, 5, 51, true), mark(3, 5, 52, false), mark(1, 10, 50, true)}
	for i, want := range [][]preprocess.Mark{nil, first, first, both, nil, first, both} {
		same(t, "marks", found[i].Views[0].Marks, want)
	}
	same(t, "in the next batch", exchange(t, s, frauds(7, 60, "t", 99))[0].Views[0].Marks, both)
}

func labelAtAllEntities(t *testing.T, s preprocess.Store) {
	v := order(1, 10)
	v.Labelled = []string{"t", "c"}
	exchange(t, s, v)
	learn(t, s, label(1, 50, true))
	found := exchange(t, s, order(2, 60, askMarks("t", 99), askMarks("c", 99), askMarks("d", 99)))[0]
	want := []preprocess.Mark{mark(1, 10, 50, true)}
	for i, want := range [][]preprocess.Mark{want, want, nil} {
		same(t, "marks", found.Views[i].Marks, want)
	}
}

func labelReplaced(t *testing.T, s preprocess.Store) {
	exchange(t, s, frauds(1, 10, "t", 99))
	learn(t, s, label(1, 50, true))
	learn(t, s, label(1, 70, false)) // withdrawn
	learn(t, s, label(1, 60, true))
	want := []preprocess.Mark{mark(1, 10, 50, true), mark(1, 10, 60, true), mark(1, 10, 70, false)}
	same(t, "marks", exchange(t, s, frauds(2, 60, "t", 99))[0].Views[0].Marks, want)
}

func labelOutOfOrder(t *testing.T, s preprocess.Store) {
	exchange(t, s, frauds(1, 10, "t", 99))
	learn(t, s, label(1, 70, false), label(1, 50, false))
	learn(t, s, label(1, 60, true))
	got := exchange(t, s, frauds(2, 60, "t", 99))[0].Views[0].Marks
	want := []preprocess.Mark{mark(1, 10, 50, false), mark(1, 10, 60, true), mark(1, 10, 70, false)}
	same(t, "marks", got, want)
}

func labelTwice(t *testing.T, s preprocess.Store) {
	for range 2 {
		learn(t, s, label(1, 50, true), label(1, 50, true))
		exchange(t, s, frauds(1, 10, "t", 99))
	}
	same(t, "marks", exchange(t, s, frauds(2, 60, "t", 99))[0].Views[0].Marks, []preprocess.Mark{mark(1, 10, 50, true)})
	learn(t, s, label(1, 50, false)) // of the same time: the fraud counts, so both are kept
	same(t, "marks", exchange(t, s, frauds(3, 60, "t", 99))[0].Views[0].Marks, []preprocess.Mark{mark(1, 10, 50, false), mark(1, 10, 50, true)})
}

func labelsInACall(t *testing.T, s preprocess.Store) {
	exchange(t, s, frauds(1, 10, "t", 99), frauds(2, 11, "t", 99), frauds(3, 12, "u", 99))
	learn(t, s, label(2, 50, true), label(1, 60, false), label(3, 50, true), label(1, 40, true), label(9, 40, true))
	found := exchange(t, s, order(4, 60, askMarks("t", 99), askMarks("u", 99)))[0]
	same(t, "marks", found.Views[0].Marks, []preprocess.Mark{mark(1, 10, 40, true), mark(1, 10, 60, false), mark(2, 11, 50, true)})
	same(t, "marks", found.Views[1].Marks, []preprocess.Mark{mark(3, 12, 50, true)})
}

func markBounds(t *testing.T, s preprocess.Store) {
	for i := range 5 {
		exchange(t, s, frauds(i, int64(10+i), "t", 99))
		learn(t, s, label(i, int64(90-i), true))
	}
	v := frauds(9, 50, "t", 13)
	v.Asks[0].From = base + 11
	same(t, "in (11, 13]", exchange(t, s, v)[0].Views[0].Marks, []preprocess.Mark{mark(2, 12, 88, true), mark(3, 13, 87, true)})
}

func labelNowhere(t *testing.T, s preprocess.Store) {
	learn(t, s, label(1, 50, true))
	exchange(t, s, order(1, 10, ask("t", "x", 1, 99)))
	learn(t, s, label(1, 51, true))
	found := exchange(t, s, order(2, 60, ask("t", "x", 1, 99), askMarks("t", 99)))[0]
	same(t, "marks", found.Views[1].Marks, []preprocess.Mark{})
	same(t, "points", ids(found.Views[0].Points), []string{"o1", "o2"})
}
