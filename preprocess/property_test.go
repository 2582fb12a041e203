package preprocess_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// long is a time that nothing in the random tests outlasts.
const long = 1000 * time.Hour

func inMemory(*testing.T) func() preprocess.Store {
	return func() preprocess.Store { return memstore.New(memstore.Config{Keep: long}) }
}

func learn(t *rapid.T, store preprocess.Store, labels []schemas.Label) {
	if err := store.Learn(t.Context(), labels); err != nil {
		t.Fatal(err)
	}
}

// extractAll extracts orders in batches of the sizes that cut gives.
func extractAll(t *rapid.T, x *preprocess.Extractor, orders []preprocess.Arrived, cut func(left int) int) (all []preprocess.Extracted) {
	for len(orders) > 0 {
		n := cut(len(orders))
		out, err := x.Extract(t.Context(), orders[:n])
		if err != nil {
			t.Fatal(err)
		}
		all, orders = append(all, out...), orders[n:]
	}
	return all
}

func drawCut(t *rapid.T) func(int) int {
	return func(left int) int { return rapid.IntRange(1, left).Draw(t, "batch") }
}

func TestFeaturesAreWhatTheWordsSay(t *testing.T) { featuresAreWhatTheWordsSay(t, inMemory(t)) }

func featuresAreWhatTheWordsSay(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, false)
		orders := drawDeliveries(t, 40)
		labels := drawLabels(t, orders)
		sources := slices.ContainsFunc(orders, func(o preprocess.Arrived) bool { return o.Arrival.Source > 0 })

		store := open()
		x := preprocess.NewExtractor(s.parse(), store, long)
		h, changed := history{features: s.features}, false
		for done := 0; done < len(orders); {
			// Labels come at any time, also before their order.
			some := rapid.IntRange(0, len(labels)).Draw(t, "learn")
			learn(t, store, labels[:some])
			h.labels, labels = append(h.labels, labels[:some]...), labels[some:]

			batch := orders[done : done+rapid.IntRange(1, len(orders)-done).Draw(t, "batch")]
			out := extractAll(t, x, batch, func(left int) int { return left })
			for i, o := range batch {
				first, again := h.held(o.Order.ID)
				repeat := again && first.Arrival != o.Arrival
				if conflict := repeat && first.Content != o.Content; out[i].Repeat != repeat || out[i].Conflict != conflict {
					t.Fatalf("order %d: Repeat is %v, Conflict %v", done+i, out[i].Repeat, out[i].Conflict)
				}
				// What came from another source in the meantime may have changed what the order itself is counted as, and so what comes after it.
				changed = changed || again && sources && !slices.EqualFunc(out[i].Vector.Values, first.row, same)
				wrong, want := h.come(o, out[i].Vector.Values, func(w *wanted) bool { return !changed || !w.later })
				if wrong >= 0 {
					t.Fatalf("order %d: %s = %v, want %v\n%s", done+i, s.features[wrong].name, out[i].Vector.Values[wrong], want, s)
				}
			}
			done += len(batch)
		}
	})
}

func TestBatchesDoNotMatter(t *testing.T) { batchesDoNotMatter(t, inMemory(t)) }

func batchesDoNotMatter(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, false)
		orders := drawDeliveries(t, 30)
		labels := drawLabels(t, orders)
		run := func(cut func(left int) int) []preprocess.Extracted {
			store := open()
			learn(t, store, labels)
			return extractAll(t, preprocess.NewExtractor(s.parse(), store, long), orders, cut)
		}
		whole := run(func(left int) int { return left })
		single := run(func(int) int { return 1 })
		random := run(drawCut(t))
		for i := range whole {
			for j, w := range s.features {
				a, b, c := whole[i].Vector.Values[j], single[i].Vector.Values[j], random[i].Vector.Values[j]
				if !same(a, b) || !same(a, c) {
					t.Fatalf("order %d, %s: %v in one batch, %v one by one, %v at random\n%s", i, w.name, a, b, c, s)
				}
			}
		}
	})
}

// TestDeliveredAgainAnOrderHasTheSameVector: a source is read again from somewhere further back, as after a crash, as often as it likes.
func TestDeliveredAgainAnOrderHasTheSameVector(t *testing.T) { deliveredAgain(t, inMemory(t)) }

func deliveredAgain(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, false)
		orders := drawDeliveries(t, 30)
		for i := range orders { // of one source
			orders[i].Arrival = preprocess.Arrival{Millis: int64(i / 3), Offset: int64(i)}
		}
		store := open()
		learn(t, store, drawLabels(t, orders))
		x := preprocess.NewExtractor(s.parse(), store, long)
		first := make(map[schemas.OrderID][]float64)
		for at := 0; at < len(orders); {
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				at = rapid.IntRange(0, at).Draw(t, "from")
			}
			batch := orders[at : at+rapid.IntRange(1, len(orders)-at).Draw(t, "batch")]
			for i, out := range extractAll(t, x, batch, drawCut(t)) {
				id, values := batch[i].Order.ID, out.Vector.Values
				if first[id] == nil {
					first[id] = values
				}
				for j, v := range values {
					if !same(v, first[id][j]) {
						t.Fatalf("order %d: %s is %v, and was %v\n%s", at+i, s.features[j].name, v, first[id][j], s)
					}
				}
			}
			at += len(batch)
		}
	})
}

// TestWhatCameInAnyOrderEndsInOneState: orders and labels in two permutations, cut anywhere and partly delivered again, are the same to those that follow.
func TestWhatCameInAnyOrderEndsInOneState(t *testing.T) { anyOrderEndsInOneState(t, inMemory(t)) }

func anyOrderEndsInOneState(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, true)
		s.features = slices.DeleteFunc(s.features, func(w wanted) bool { return w.history && (w.of != nil || w.later) })
		orders := unique(drawDeliveries(t, 20))
		labels := drawLabels(t, orders)
		probes := drawDeliveries(t, 8)
		for i := range probes {
			probes[i].Order.ID += "-probe"
			probes[i].Order.At = probes[i].Order.At.Add(5 * time.Hour)
			probes[i].Arrival.Offset += 1000
			probes[i].Arrival.Millis += 1000
		}
		ends := make([][]preprocess.Extracted, 2)
		for i := range ends {
			store := open()
			x := preprocess.NewExtractor(s.parse(), store, long)
			some := rapid.IntRange(0, len(labels)).Draw(t, "labels before")
			shuffled := rapid.Permutation(labels).Draw(t, "labels")
			learn(t, store, shuffled[:some])
			history := append(slices.Clone(orders), rapid.SliceOfN(rapid.SampledFrom(orders), 0, 6).Draw(t, "again")...)
			extractAll(t, x, rapid.Permutation(history).Draw(t, "history"), drawCut(t))
			learn(t, store, shuffled[some:])
			ends[i] = extractAll(t, x, probes, drawCut(t))
		}
		for i := range probes {
			for j, w := range s.features {
				if a, b := ends[0][i].Vector.Values[j], ends[1][i].Vector.Values[j]; !same(a, b) {
					t.Fatalf("%s is %v after one history and %v after the other\n%s", w.name, a, b, s)
				}
			}
		}
	})
}

// unique leaves of each id the first.
func unique(orders []preprocess.Arrived) (all []preprocess.Arrived) {
	for _, o := range orders {
		if !slices.ContainsFunc(all, func(a preprocess.Arrived) bool { return a.Order.ID == o.Order.ID }) {
			all = append(all, o)
		}
	}
	return all
}

// TestTwoSetsOverOneStore: of two feature sets that share columns, the one that looks further back finds all that it wants.
func TestTwoSetsOverOneStore(t *testing.T) {
	const head = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n"
	const short = head + "  n: {sum: amount, by: c, window: 1h}\n  l: {since_last: \"*\", by: c, window: 1m}\n"
	const far = head + "  n: {sum: amount, by: c, window: 20h}\n  f: {rate: fraud, by: c, window: 10h, delay: 5h}\n"
	shared := inMemory(t)()
	type run struct{ together, alone *preprocess.Extractor }
	var runs []run
	var alone []preprocess.Store
	for _, text := range []string{short, far} {
		set := mustParse(t, text)
		alone = append(alone, inMemory(t)())
		runs = append(runs, run{preprocess.NewExtractor(set, shared, 0), preprocess.NewExtractor(set, alone[len(alone)-1], 0)})
	}
	for i := range 2000 {
		o := arrived(strconv.Itoa(i), text("c", strconv.Itoa(i%3)), number("amount", float64(i)))
		o.Order.At, o.Arrival.Offset = o.Order.At.Add(time.Duration(i)*time.Minute), int64(i)
		label := []schemas.Label{{ID: o.Order.ID, Fraud: i%5 == 0, KnownAt: o.Order.At}}
		for _, store := range append(alone, shared) {
			if err := store.Learn(t.Context(), label); err != nil {
				t.Fatal(err)
			}
		}
		for j, r := range runs {
			one, err := r.together.Extract(t.Context(), []preprocess.Arrived{o})
			if err != nil {
				t.Fatal(err)
			}
			other, err := r.alone.Extract(t.Context(), []preprocess.Arrived{o})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(one[0].Vector.Values, other[0].Vector.Values, same) {
				t.Fatalf("set %d, order %d: %v beside the other set, %v alone", j, i, one[0].Vector.Values, other[0].Vector.Values)
			}
		}
	}
}
