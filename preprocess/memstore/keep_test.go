package memstore_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

const (
	t0   = 1_790_000_000_000_000
	hour = 3600 * 1_000_000
)

func visit(n int, at int64, key string) preprocess.Visit {
	return preprocess.Visit{
		ID: schemas.OrderID("o" + strconv.Itoa(n)), At: at, Arrival: preprocess.Arrival{Offset: int64(n)}, Labelled: []string{key},
		Asks: []preprocess.Ask{{Key: key, Column: "x", From: 0, To: at, Keep: hour}, {Key: key, Marks: true, From: 0, To: at, Keep: hour}},
	}
}

func exchange(t *testing.T, s *memstore.Store, visits ...preprocess.Visit) []preprocess.Found {
	t.Helper()
	found, err := storetest.Exchange(t.Context(), s, visits)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStoreStaysSmallAsTimeGoesOn(t *testing.T) {
	s := memstore.New(memstore.Config{Keep: time.Hour})
	const perHour = 1000
	for n := range 20 * perHour {
		key := "hot"
		if n%2 == 0 {
			key = "seen once: " + strconv.Itoa(n)
		}
		exchange(t, s, visit(n, t0+int64(n)*hour/perHour, key))
		labels := []schemas.Label{
			{ID: schemas.OrderID("o" + strconv.Itoa(n)), Fraud: true, KnownAt: time.UnixMicro(t0)},
			{ID: schemas.OrderID("never seen: " + strconv.Itoa(n)), Fraud: true, KnownAt: time.UnixMicro(t0)},
		}
		if err := s.Learn(t.Context(), labels); err != nil {
			t.Fatal(err)
		}
	}
	orders, entities, waiting := memstore.Sizes(s)
	if orders < perHour || orders > perHour+2 {
		t.Errorf("it holds %d orders, and %d came in the time that it keeps", orders, perHour)
	}
	if entities < perHour/2 || entities > 2*perHour {
		t.Errorf("it holds %d entities, and %d were seen in the time that it keeps", entities, perHour/2+1)
	}
	if waiting < perHour || waiting > 5*perHour {
		t.Errorf("it holds %d waiting labels, and %d came in the time that it keeps", waiting, perHour)
	}
	last := exchange(t, s, visit(-1, t0+20*hour, "hot"))[0]
	if n := len(last.Views[0].Points); n < perHour/2 || n > 2*perHour {
		t.Errorf("a column holds %d points, and %d came in the time that it keeps", n, perHour/2)
	}
	if n := len(last.Views[1].Marks); n < perHour/2-1 || n > 2*perHour {
		t.Errorf("an entity holds %d marks, and %d came in the time that it keeps", n, perHour/2)
	}
}

// TestColumnsWithLateOrdersStaySmall: a late point makes a new array, which must not carry the old points along for ever.
func TestColumnsWithLateOrdersStaySmall(t *testing.T) {
	s := memstore.New(memstore.Config{})
	const perHour = 100
	for n := range 30 * perHour {
		at := t0 + int64(n)*hour/perHour
		if n%3 == 0 {
			at -= hour / 10
		}
		exchange(t, s, visit(n, at, "c"))
	}
	if n := len(exchange(t, s, visit(-1, t0+30*hour, "c"))[0].Views[0].Points); n < perHour || n > 3*perHour {
		t.Errorf("a column holds %d points, and %d came in the time that it keeps", n, perHour)
	}
}

func TestStoreHoldsAnIDForKeep(t *testing.T) {
	s := memstore.New(memstore.Config{Keep: 3 * time.Hour})
	first, repeat := visit(1, t0, "c"), visit(1, t0, "c")
	repeat.Arrival.Offset = 99
	exchange(t, s, first)
	exchange(t, s, visit(2, t0+3*hour, "d"))
	if found := exchange(t, s, repeat)[0]; found.First != first.Arrival {
		t.Error("the id was given away while it was to be held")
	}
	exchange(t, s, visit(3, t0+3*hour+1, "d"))
	if found := exchange(t, s, repeat)[0]; found.First != repeat.Arrival {
		t.Error("the id is held longer than asked for")
	}
}

// TestStoreKeepsWhatALaggingSourceWorksOn: one partition was read for a year of event time before another's first order.
func TestStoreKeepsWhatALaggingSourceWorksOn(t *testing.T) {
	s := memstore.New(memstore.Config{Keep: time.Hour})
	for n := range 100 {
		exchange(t, s, visit(n, t0+int64(n)*100*hour, "ahead"))
	}
	for n := range 100 {
		found := exchange(t, s, visit(1000+n, t0+int64(n), "behind"))
		if got := len(found[0].Views[0].Points); got != n+1 {
			t.Fatalf("after %d visits it shows %d points", n+1, got)
		}
	}
	if found := exchange(t, s, visit(1000, t0, "behind"))[0]; found.First.Offset != 1000 || len(found.Views[0].Points) != 1 {
		t.Errorf("a redelivery finds %v", found)
	}
}

// TestLabelsMayAllComeFirst, as a replay reads them that has them in a file: they wait for orders of any time.
func TestLabelsMayAllComeFirst(t *testing.T) {
	s := memstore.New(memstore.Config{Keep: time.Hour})
	const n = 10_000
	for i := range n {
		label := schemas.Label{ID: schemas.OrderID("o" + strconv.Itoa(i)), Fraud: true, KnownAt: time.UnixMicro(t0 + int64(i+1)*hour)}
		if err := s.Learn(t.Context(), []schemas.Label{label}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if found := exchange(t, s, visit(i, t0+int64(i)*hour, "c"))[0]; len(found.Views[1].Marks) == 0 {
			t.Fatalf("the label of order %d did not wait", i)
		}
	}
}

func TestStoreMayBeUsedByMany(t *testing.T) {
	s := memstore.New(memstore.Config{})
	const workers, each = 4, 300
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				n := w*each + i
				found, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(n, t0+int64(n%7), "c")})
				if err == nil {
					err = s.Learn(t.Context(), []schemas.Label{{ID: schemas.OrderID("o" + strconv.Itoa(n)), Fraud: true}})
				}
				if err != nil || len(found[0].Views[0].Points) == 0 || len(found[0].Views[0].Points) > workers*each {
					t.Errorf("worker %d: %v", w, err)
					return
				}
				for _, p := range found[0].Views[0].Points { // under -race: nobody else writes what was returned
					if p.ID == "" {
						t.Error("a point without an id")
					}
				}
			}
		})
	}
	group.Wait()
	found := exchange(t, s, visit(-1, t0+hour/2, "c"))[0]
	if len(found.Views[0].Points) != workers*each+1 || len(found.Views[1].Marks) != workers*each {
		t.Errorf("%d points and %d marks are left of %d orders", len(found.Views[0].Points), len(found.Views[1].Marks), workers*each)
	}
}
