package storetest

import (
	"testing"

	"verdict/preprocess"
)

func seenBehaviours() []behaviour {
	return []behaviour{
		one("what is put into an ask while it sees is kept after it", addsSeen),
		one("what is added after it was seen is seen by the rest of that batch", addsSeenInBatch),
		one("an ask may give up while it sees", givesUp),
		one("an ask that adds nothing only looks", addsNothing),
		one("a redelivery changes nothing that was kept after it was seen", redeliverySeen),
		one("a repeat adds nothing after it was seen", repeatSeen),
		one("an order that was here before is told so", againIsTold),
	}
}

// putting makes the calls on the store with a see that changes the asks of its visit.
func putting(t *testing.T, s preprocess.Store, visits []preprocess.Visit, put func(visit int, asks []preprocess.Ask)) {
	t.Helper()
	n := 0
	err := s.Exchange(t.Context(), visits, func(i int, _ *preprocess.Found) {
		n++
		put(i, visits[i].Asks)
	})
	if err != nil || n != len(visits) {
		t.Fatalf("Exchange of %d visits showed %d: %v", len(visits), n, err)
	}
}

// later makes an ask add its point when it has looked.
func later(a preprocess.Ask) preprocess.Ask {
	a.Adds = preprocess.AddSeen
	return a
}

func looking(a preprocess.Ask) preprocess.Ask {
	a.Adds = preprocess.AddNothing
	return a
}

func addsSeen(t *testing.T, s preprocess.Store) {
	v := order(1, 10, later(ask("c", "x", -1, 99)), ask("c", "y", 5, 99))
	found := exchange(t, s, v)
	same(t, "what it sees itself", ids(found[0].Views[0].Points), []string{})
	same(t, "what it sees itself of the column to which it adds at once", ids(found[0].Views[1].Points), []string{"o1"})
	w := order(2, 20, later(ask("c", "x", -1, 99)))
	putting(t, s, []preprocess.Visit{w}, func(_ int, asks []preprocess.Ask) { asks[0].Value = 7.5 })
	want := []preprocess.Point{
		{At: v.At, Value: -1, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}},
		{At: w.At, Value: 7.5, Ref: &preprocess.Ref{ID: w.ID, Arrival: w.Arrival}},
	}
	same(t, "what is kept", exchange(t, s, order(3, 30, looking(ask("c", "x", 0, 99))))[0].Views[0].Points, want)
}

func addsSeenInBatch(t *testing.T, s preprocess.Store) {
	var visits []preprocess.Visit
	for i := range 6 {
		visits = append(visits, order(i, int64(50-10*(i%3)), later(ask("c", "x", 0, 99)), later(ask("d", "*", 0, 99))))
	}
	sums := make([]float64, len(visits))
	err := s.Exchange(t.Context(), visits, func(i int, found *preprocess.Found) {
		for _, p := range found.Views[0].Points {
			sums[i] += p.Value
		}
		if len(found.Views[1].Points) != i {
			t.Errorf("visit %d sees %d orders", i, len(found.Views[1].Points))
		}
		visits[i].Asks[0].Value = sums[i] + 1 // of all before it
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "sums", sums, []float64{0, 1, 3, 7, 15, 31})
}

func givesUp(t *testing.T, s preprocess.Store) {
	visits := []preprocess.Visit{order(1, 10, later(ask("c", "x", 1, 99))), order(2, 20, later(ask("c", "x", 2, 99))), order(3, 30, later(ask("c", "x", 3, 99)))}
	putting(t, s, visits, func(i int, asks []preprocess.Ask) {
		if i == 1 {
			asks[0].Adds = preprocess.AddNothing
		}
	})
	same(t, "what is kept", ids(exchange(t, s, order(4, 40, looking(ask("c", "x", 0, 99))))[0].Views[0].Points), []string{"o1", "o3"})
}

func addsNothing(t *testing.T, s preprocess.Store) {
	found := exchange(t, s, order(1, 10, looking(ask("c", "x", 1, 99)), ask("c", "y", 1, 99)), order(2, 20, ask("c", "x", 2, 99), looking(ask("c", "y", 2, 99))))
	same(t, "what is in the first column", ids(found[0].Views[0].Points), []string{})
	same(t, "what is in the first column then", ids(found[1].Views[0].Points), []string{"o2"})
	same(t, "what is in the other", ids(found[1].Views[1].Points), []string{"o1"})
	found = exchange(t, s, order(3, 30, ask("c", "x", 2, 99), looking(ask("c", "y", 2, 99))))
	same(t, "what is kept in the first column", ids(found[0].Views[0].Points), []string{"o2", "o3"})
	same(t, "what is kept in the other", ids(found[0].Views[1].Points), []string{"o1"})
}

// redeliverySeen: what another source brought in between may have changed the value, which counts as it was. Some asks do not show their own order.
func redeliverySeen(t *testing.T, s preprocess.Store) {
	for _, to := range []int64{99, 5} {
		column := map[int64]string{99: "x", 5: "delayed"}[to]
		v := order(int(to), 10, later(ask("c", column, 2, to)))
		exchange(t, s, v)
		v.Asks = []preprocess.Ask{later(ask("c", column, 1, to))}
		exchange(t, s, v)
		v.Asks = []preprocess.Ask{later(ask("c", column, 3, to))}
		exchange(t, s, v, v)
		got := exchange(t, s, order(int(to)+1, 20, looking(ask("c", column, 0, 99))))[0].Views[0].Points
		same(t, "what is kept", got, []preprocess.Point{{At: v.At, Value: 2, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}})
	}
}

func repeatSeen(t *testing.T, s preprocess.Store) {
	v := order(1, 10, later(ask("c", "x", 1, 99)))
	again := copyOf(v)
	again.Asks = []preprocess.Ask{later(ask("c", "x", 2, 99)), later(ask("d", "x", 2, 99))}
	held := []preprocess.Point{{At: v.At, Value: 1, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}}
	found := exchange(t, s, v, again)
	same(t, "what the repeat sees", found[1].Views[0].Points, held)
	exchange(t, s, again)
	found = exchange(t, s, order(2, 20, looking(ask("c", "x", 0, 99)), looking(ask("d", "x", 0, 99))))
	same(t, "what is kept", found[0].Views[0].Points, held)
	same(t, "what is kept where only the repeat went", ids(found[0].Views[1].Points), []string{})
}

func againIsTold(t *testing.T, s preprocess.Store) {
	v, w := order(1, 10, ask("c", "x", 1, 99)), order(2, 10, ask("c", "x", 1, 99))
	again := func(visits ...preprocess.Visit) (told []bool) {
		for _, f := range exchange(t, s, visits...) {
			told = append(told, f.Again)
		}
		return told
	}
	same(t, "in a batch", again(v, w, v, copyOf(v)), []bool{false, false, true, true})
	same(t, "later", again(copyOf(w), w, order(3, 10, ask("c", "x", 1, 99))), []bool{true, true, false})
	same(t, "without asks", again(order(4, 10), order(4, 10)), []bool{false, true})
}
