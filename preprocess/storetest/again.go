package storetest

import (
	"fmt"
	"slices"
	"testing"

	"verdict/preprocess"
)

func againBehaviours() []behaviour {
	var all []behaviour
	for _, size := range []int{40, 250, 1300} {
		all = append(all, one(fmt.Sprintf("what a merged column shows does not change when orders come again (%d in a call)", size), func(t *testing.T, s preprocess.Store) {
			mergedAgain(t, s, size)
		}))
	}
	return all
}

// againOrders are of one entity: each sixth is late, each fourth adds its point after it has looked, and each fifth adds none.
func againOrders(n int) []preprocess.Visit {
	visits := make([]preprocess.Visit, n)
	for i := range visits {
		at := int64(3*i) + 2000
		if i%6 == 5 {
			at -= int64(i * 37 % 1500)
		}
		a, distinct := mergedAsk("c", float64(i), at), mergedAsk("c", float64(i%300), at)
		distinct.Column, distinct.Merge = "x~values", &preprocess.Merging{Resolution: cell, Distinct: true}
		switch {
		case i%5 == 0:
			a = looking(a)
		case i%4 == 0:
			a = later(a)
		}
		visits[i] = order(i, at, a, distinct)
	}
	return visits
}

// mergedAgain makes each call again, whole and then, as after a crash, from where it began and from each place that a part of it came to.
func mergedAgain(t *testing.T, s preprocess.Store, size int) {
	visits := againOrders(max(900, 2*size))
	merged := false
	for at := 0; at < len(visits); at += size {
		call := visits[at:min(at+size, len(visits))]
		first := exchange(t, s, call...)
		merged = merged || len(first[len(first)-1].Views[0].Cells) > 0
		again := func(from, n int) {
			to := min(from+n, len(call))
			for i, f := range exchange(t, s, call[from:to]...) {
				showsAgain(t, &call[from+i], &f, &first[from+i])
			}
		}
		again(0, len(call))
		for from := 0; from < len(call) && !t.Failed(); from += size/3 + 1 {
			again(from, size/2+1)
			again(from, size/4+1)
			again(from, size/3+1)
		}
		if t.Failed() {
			return
		}
	}
	if !merged {
		t.Error("nothing was merged")
	}
}

func showsAgain(t *testing.T, v *preprocess.Visit, got, want *preprocess.Found) {
	t.Helper()
	if !got.Again {
		t.Errorf("order %s comes again, and is taken for new", v.ID)
	}
	for j := range v.Asks {
		one, other := before(v, &want.Views[j]), before(v, &got.Views[j])
		if slices.EqualFunc(one.Points, other.Points, preprocess.Point.Equal) && slices.Equal(one.Cells, other.Cells) && slices.Equal(one.Sightings, other.Sightings) {
			continue // same takes a millisecond for it
		}
		same(t, fmt.Sprintf("what order %s sees when it comes again", v.ID), other, one)
	}
}

// before is what a view shows of the orders before a visit. What came after it may be there as a point, and is left out by who looks.
func before(v *preprocess.Visit, view *preprocess.View) preprocess.View {
	left := *view
	left.Points = slices.DeleteFunc(slices.Clone(view.Points), func(p preprocess.Point) bool { return p.Arrival.Offset >= v.Arrival.Offset })
	return left
}
