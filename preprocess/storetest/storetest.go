// Package storetest holds what every preprocess.Store must do, as tests that an implementation runs on itself.
package storetest

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/preprocess"
	"verdict/schemas"
)

// Exercise runs all behaviours. Each time, open gives an empty store.
func Exercise(t *testing.T, open func(t *testing.T) preprocess.Store) {
	t.Helper()
	for _, b := range behaviours() {
		t.Run(b.name, func(t *testing.T) { b.run(t, open) })
	}
}

type behaviour struct {
	name string
	run  func(t *testing.T, open func(t *testing.T) preprocess.Store)
}

func behaviours() []behaviour {
	all := pointBehaviours()
	all = append(all, repeatBehaviours()...)
	all = append(all, seenBehaviours()...)
	all = append(all, mergedBehaviours()...)
	all = append(all, againBehaviours()...)
	all = append(all, labelBehaviours()...)
	all = append(all, lookBehaviours()...)
	return append(all, randomBehaviours()...)
}

// one makes a behaviour of a single store.
func one(name string, run func(t *testing.T, s preprocess.Store)) behaviour {
	return behaviour{name, func(t *testing.T, open func(t *testing.T) preprocess.Store) {
		t.Helper()
		run(t, open(t))
	}}
}

// Times of the tests are microseconds after base, a time of today's magnitude.
const (
	base = 1_790_000_000_000_000
	long = int64(30 * 24 * time.Hour / time.Microsecond) // a Keep within which nothing is dropped here
)

// order makes a visit without asks. Its arrival and content follow from its id, so that the same call made twice is the same delivery.
func order(n int, at int64, asks ...preprocess.Ask) preprocess.Visit {
	return preprocess.Visit{
		ID: schemas.OrderID("o" + strconv.Itoa(n)), At: base + at, Content: uint64(n), Asks: asks,
		Arrival: preprocess.Arrival{Millis: 1_790_000_100_000 + int64(n), Source: 3, Offset: int64(n)},
	}
}

// copyOf makes the same order arrive once more, elsewhere.
func copyOf(v preprocess.Visit) preprocess.Visit {
	v.Arrival = preprocess.Arrival{Millis: v.Arrival.Millis + 7, Source: v.Arrival.Source, Offset: v.Arrival.Offset + 1_000_000}
	return v
}

// ask reads all of a column up to a time, and adds the value to it.
func ask(key, column string, value float64, to int64) preprocess.Ask {
	return preprocess.Ask{Key: key, Column: column, Value: value, From: 0, To: base + to, Keep: long}
}

func askMarks(key string, to int64) preprocess.Ask {
	return preprocess.Ask{Key: key, Marks: true, From: 0, To: base + to, Keep: long}
}

func label(n int, known int64, fraud bool) schemas.Label {
	return schemas.Label{ID: schemas.OrderID("o" + strconv.Itoa(n)), Fraud: fraud, KnownAt: time.UnixMicro(base + known).UTC()}
}

// tb is what *testing.T and *rapid.T have in common. In a random test failures must reach rapid, which then looks for a smaller example.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func exchange(t tb, s preprocess.Store, visits ...preprocess.Visit) []preprocess.Found {
	t.Helper()
	found, err := Exchange(context.Background(), s, visits)
	if err != nil {
		t.Fatalf("Exchange: %v", err)
	}
	if len(found) != len(visits) {
		t.Fatalf("Exchange of %d visits found %d", len(visits), len(found))
	}
	for i := range visits {
		if len(found[i].Views) != len(visits[i].Asks) {
			t.Fatalf("visit %d has %d asks and %d answers", i, len(visits[i].Asks), len(found[i].Views))
		}
	}
	return found
}

func learn(t tb, s preprocess.Store, labels ...schemas.Label) {
	t.Helper()
	if err := s.Learn(context.Background(), labels); err != nil {
		t.Fatalf("Learn: %v", err)
	}
}

// ids are the orders of points, for tests about which are seen.
func ids(points []preprocess.Point) []string {
	out := make([]string, len(points))
	for i := range points {
		out[i] = string(points[i].ID)
	}
	return out
}

func same(t tb, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, exactly()...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// exactly compares numbers by their bits, and takes nil for empty.
func exactly() []cmp.Option {
	return []cmp.Option{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	}
}
