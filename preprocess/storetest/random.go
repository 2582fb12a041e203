package storetest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/schemas"
)

func randomBehaviours() []behaviour {
	return []behaviour{
		{"any calls give what the contract says", likeTheModel},
		{"any order and batching of the same visits and labels ends in the same state", anyOrder},
	}
}

// The random tests draw from few names, so that orders meet.
func drawKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"c:1", "c:2", "t}{"}).Draw(t, "key")
}

func drawColumn(t *rapid.T) string { return rapid.SampledFrom([]string{"*", "x"}).Draw(t, "column") }

func drawVisit(t *rapid.T, n int) preprocess.Visit {
	v := order(n, rapid.Int64Range(0, 40).Draw(t, "at"))
	type place struct {
		key, column string
		marks       bool
	}
	taken := make(map[place]bool)
	for range rapid.IntRange(0, 4).Draw(t, "asks") {
		a := preprocess.Ask{Key: drawKey(t), Keep: long, From: base + rapid.Int64Range(-50, 40).Draw(t, "from"), To: base + rapid.Int64Range(-1, 41).Draw(t, "to")}
		if a.Marks = rapid.Bool().Draw(t, "marks"); !a.Marks {
			a.Column, a.Value = drawColumn(t), rapid.Float64().Draw(t, "value")
			a.Adds = rapid.SampledFrom([]preprocess.Adds{preprocess.AddNow, preprocess.AddNow, preprocess.AddSeen, preprocess.AddNothing}).Draw(t, "adds")
		}
		if a.Column == "*" {
			a.Value = 0
		}
		if p := (place{a.Key, a.Column, a.Marks}); !taken[p] {
			taken[p] = true
			v.Asks = append(v.Asks, a)
		}
	}
	for _, key := range []string{"c:1", "c:2"} {
		if rapid.Bool().Draw(t, "labelled") {
			v.Labelled = append(v.Labelled, key)
		}
	}
	return v
}

func drawLabel(t *rapid.T, orders int) schemas.Label {
	return label(rapid.IntRange(0, orders).Draw(t, "order"), rapid.Int64Range(0, 5).Draw(t, "known"), rapid.Bool().Draw(t, "fraud"))
}

// likeTheModel makes random calls, with redeliveries and repeats, on a store and on the model.
func likeTheModel(t *testing.T, open func(t *testing.T) preprocess.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		s, m := open(t), newModel()
		orders := rapid.IntRange(1, 30).Draw(rt, "orders")
		made := make(map[int]preprocess.Visit)
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				labels := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) schemas.Label { return drawLabel(rt, orders) }), 0, 6).Draw(rt, "labels")
				learn(rt, s, labels...)
				m.labels = append(m.labels, labels...)
				continue
			}
			var batch []preprocess.Visit
			for range rapid.IntRange(1, 12).Draw(rt, "visits") {
				n := rapid.IntRange(0, orders).Draw(rt, "order")
				v, again := made[n]
				switch {
				case !again:
					v = drawVisit(rt, n)
					made[n] = v
				case rapid.Bool().Draw(rt, "repeat"):
					held := v
					v = drawVisit(rt, n)
					v.Arrival = copyOf(held).Arrival
				default:
					v.Asks = sees(rt, v.Asks)
				}
				batch = append(batch, v)
			}
			got, want := withoutInnocent(exchange(rt, s, batch...)), withoutInnocent(m.exchange(batch))
			same(rt, "what was found", got, want)
		}
	})
}

// sees gives the asks of a redelivery: what it adds after it has looked may be another value.
func sees(t *rapid.T, asks []preprocess.Ask) []preprocess.Ask {
	asks = slices.Clone(asks)
	for i := range asks {
		if asks[i].Adds == preprocess.AddSeen && asks[i].Column != "*" {
			asks[i].Value = rapid.Float64().Draw(t, "value")
		}
	}
	return asks
}

// step is one visit or one label of a shuffled history.
type step struct {
	visit *preprocess.Visit
	label *schemas.Label
}

// anyOrder plays one history twice, each time shuffled, cut into calls and partly delivered again, and compares everything that is left.
func anyOrder(t *testing.T, open func(t *testing.T) preprocess.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		var steps []step
		for n := range rapid.IntRange(1, 12).Draw(rt, "orders") {
			v := drawVisit(rt, n)
			steps = append(steps, step{visit: &v})
		}
		for range rapid.IntRange(0, 8).Draw(rt, "labels") {
			l := drawLabel(rt, 12)
			steps = append(steps, step{label: &l})
		}
		var states [2][]preprocess.Found
		for i := range states {
			s := open(t)
			again := rapid.SliceOfN(rapid.SampledFrom(steps), 0, 6).Draw(rt, "again")
			play(rt, s, rapid.Permutation(append(again, steps...)).Draw(rt, "history"))
			states[i] = withoutInnocent(exchange(rt, s, probe()))
		}
		same(rt, "what is left of two orders of the same history", states[0], states[1])
	})
}

func play(rt *rapid.T, s preprocess.Store, history []step) {
	rt.Helper()
	var batch []preprocess.Visit
	for _, st := range history {
		if st.visit != nil {
			batch = append(batch, *st.visit)
		}
		if st.label != nil || rapid.IntRange(0, 2).Draw(rt, "cut") == 0 {
			exchange(rt, s, batch...)
			batch = batch[:0]
		}
		if st.label != nil {
			learn(rt, s, *st.label)
		}
	}
	exchange(rt, s, batch...)
}

// probe reads all that the random tests may have kept.
func probe() preprocess.Visit {
	v := order(1000, 100)
	for _, key := range []string{"c:1", "c:2", "t}{"} {
		v.Asks = append(v.Asks, ask(key, "*", 0, 99), ask(key, "x", 0, 99), askMarks(key, 99))
	}
	return v
}
