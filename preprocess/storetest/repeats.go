package storetest

import (
	"testing"

	"verdict/preprocess"
)

func repeatBehaviours() []behaviour {
	return []behaviour{
		one("redelivery changes nothing", redelivery),
		one("redelivery with other batch boundaries changes nothing", redeliveryRebatched),
		one("a repeat keeps and shows nothing, and is told who holds its id", repeatIsNotSeen),
		one("a repeat within a batch", repeatInBatch),
		one("a repeat under another entity and time", repeatElsewhere),
		one("a repeat under an id that holds another content", repeatWithOtherContent),
		one("a redelivery may fill a new column", redeliveryWidens),
	}
}

func redelivery(t *testing.T, s preprocess.Store) {
	v := []preprocess.Visit{order(1, 10, ask("c", "x", 1, 99)), order(2, 10, ask("c", "x", 2, 99)), order(3, 5, ask("c", "x", 3, 99))}
	exchange(t, s, v...)
	for range 3 {
		found := exchange(t, s, v...)
		for i := range found {
			same(t, "points", ids(found[i].Views[0].Points), []string{"o3", "o1", "o2"})
			same(t, "who holds the id", found[i].First, v[i].Arrival)
		}
	}
	found := exchange(t, s, v[1], v[1], v[1])
	same(t, "three times in a batch", ids(found[2].Views[0].Points), []string{"o3", "o1", "o2"})
}

func redeliveryRebatched(t *testing.T, s preprocess.Store) {
	var v []preprocess.Visit
	for i := range 9 {
		v = append(v, order(i, int64(i*7%9), ask("c", "x", float64(i), 99)))
	}
	exchange(t, s, v[:4]...)
	exchange(t, s, v[2:7]...) // the first call's commit was lost
	exchange(t, s, v[6:]...)
	want := exchange(t, s, order(50, 99, ask("c", "x", 0, 98)))[0].Views[0].Points
	same(t, "number of points", len(want), 9)
	for i := range v {
		exchange(t, s, v[i])
	}
	same(t, "points", exchange(t, s, order(51, 99, ask("c", "x", 0, 98)))[0].Views[0].Points, want)
}

func repeatIsNotSeen(t *testing.T, s preprocess.Store) {
	v := order(1, 10, ask("c", "x", 1, 99))
	exchange(t, s, v)
	again := copyOf(v)
	again.Asks = []preprocess.Ask{ask("c", "x", 2, 99)}
	found := exchange(t, s, again)[0]
	same(t, "who holds the id", found.First, v.Arrival)
	same(t, "content", found.Content, v.Content)
	held := []preprocess.Point{{At: v.At, Value: 1, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}}
	same(t, "what the repeat sees", found.Views[0].Points, held)
	same(t, "what is kept", exchange(t, s, order(2, 99, ask("c", "x", 0, 98)))[0].Views[0].Points, held)
	earlier := copyOf(v)
	earlier.Arrival = preprocess.Arrival{Millis: 1, Source: 0, Offset: 0}
	same(t, "who holds the id after one that arrived earlier, but came later", exchange(t, s, earlier)[0].First, v.Arrival)
	same(t, "what is kept then", exchange(t, s, order(3, 99, ask("c", "x", 0, 98)))[0].Views[0].Points, held)
}

func repeatInBatch(t *testing.T, s preprocess.Store) {
	v := order(1, 10, ask("c", "x", 1, 98))
	again := copyOf(v)
	again.Asks = []preprocess.Ask{ask("c", "x", 2, 98)}
	last := order(2, 99, ask("c", "x", 0, 98))
	found := exchange(t, s, v, again, last, copyOf(again), v)
	held := []preprocess.Point{{At: v.At, Value: 1, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}}
	for i := range found {
		same(t, "points", found[i].Views[0].Points, held)
	}
	same(t, "who holds the id", found[1].First, v.Arrival)
	same(t, "who holds the id", found[3].First, v.Arrival)
	same(t, "what is kept", exchange(t, s, order(3, 99, ask("c", "x", 0, 98)))[0].Views[0].Points, held)
}

func repeatElsewhere(t *testing.T, s preprocess.Store) {
	v := order(1, 10, ask("c", "x", 1, 98))
	v.Labelled = []string{"c"}
	again := copyOf(v)
	again.At = base + 20
	again.Asks = []preprocess.Ask{ask("d", "x", 2, 98), ask("c", "x", 2, 98), ask("c", "y", 2, 98)}
	again.Labelled = []string{"d"}
	probe := order(2, 99, ask("c", "x", 0, 98), ask("d", "x", 0, 98), ask("c", "y", 0, 98), askMarks("c", 98), askMarks("d", 98))
	found := exchange(t, s, v, again, probe)
	learn(t, s, label(1, 50, true))
	probe.ID, probe.Arrival.Offset = "probe", 77
	found = append(found, exchange(t, s, again, probe)...)
	same(t, "what the repeat sees where it goes", ids(found[1].Views[0].Points), []string{})
	for _, f := range []preprocess.Found{found[2], found[4]} {
		same(t, "the points that are kept", ids(f.Views[0].Points), []string{"o1"})
		same(t, "the repeat's points", ids(f.Views[1].Points), []string{})
		same(t, "the repeat's points", ids(f.Views[2].Points), []string{})
	}
	same(t, "the marks", found[4].Views[3].Marks, []preprocess.Mark{{At: v.At, ID: v.ID, Known: base + 50, Fraud: true}})
	same(t, "the repeat's marks", found[4].Views[4].Marks, []preprocess.Mark{})
}

func repeatWithOtherContent(t *testing.T, s preprocess.Store) {
	v := order(1, 10, ask("c", "x", 1, 98))
	other := copyOf(v)
	other.Content = 1 << 63
	found := exchange(t, s, v, other)
	same(t, "content", found[1].Content, v.Content)
	same(t, "content, later", exchange(t, s, other)[0].Content, v.Content)
}

// redeliveryWidens: a feature set with a new column warms up by reading the topic again.
func redeliveryWidens(t *testing.T, s preprocess.Store) {
	v, w := order(1, 10, ask("c", "x", 1, 98)), order(2, 11, ask("c", "x", 2, 98))
	exchange(t, s, v, w)
	learn(t, s, label(1, 30, true))
	v.Asks, w.Asks = append(v.Asks, ask("c", "y", 3, 98)), append(w.Asks, ask("c", "y", 4, 98), askMarks("d", 98))
	v.Labelled, w.Labelled = []string{"d"}, []string{"d"}
	found := exchange(t, s, v, w)
	same(t, "the old column", ids(found[1].Views[0].Points), []string{"o1", "o2"})
	same(t, "the new column", ids(found[1].Views[1].Points), []string{"o1", "o2"})
	mark := preprocess.Mark{At: v.At, ID: v.ID, Known: base + 30, Fraud: true}
	same(t, "the label under the new entity", found[1].Views[2].Marks, []preprocess.Mark{mark})
	learn(t, s, label(2, 31, true))
	want := []preprocess.Mark{mark, {At: w.At, ID: w.ID, Known: base + 31, Fraud: true}}
	same(t, "a later label under the new entity", exchange(t, s, order(3, 99, askMarks("d", 98)))[0].Views[0].Marks, want)
}
