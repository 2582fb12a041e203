package preprocess_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// TestALookGivesTheVectorThatTheOrderThenGets looks at each order before it comes, and at others that are there, which changes nothing.
func TestALookGivesTheVectorThatTheOrderThenGets(t *testing.T) { looksAreVectors(t, inMemory(t)) }

func looksAreVectors(t *testing.T, open func() preprocess.Store) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, false)
		orders := unique(drawDeliveries(t, 20))
		labels := drawLabels(t, orders)
		looked, never := open(), open()
		learn(t, looked, labels)
		learn(t, never, labels)
		x, y := preprocess.NewExtractor(s.parse(), looked, long), preprocess.NewExtractor(s.parse(), never, long)
		for i := range orders {
			vector := lookInto(t, x, looked, orders[i])
			again := orders[rapid.IntRange(0, i).Draw(t, "again")]
			again.Arrival, again.Content = preprocess.Arrival{Millis: 1 << 40, Source: -1}, again.Content+1
			lookInto(t, x, looked, again)
			got := extractAll(t, x, orders[i:i+1], func(int) int { return 1 })[0]
			wantSame(t, s, "a look and then the order", vector, got.Vector)
			want := extractAll(t, y, orders[i:i+1], func(int) int { return 1 })[0]
			wantSame(t, s, "with and without looks", got.Vector, want.Vector)
		}
	})
}

// A look at an order that is there is at what it would be now: its content may have changed, and more has come since.
func TestALookAtAnOrderThatIsThereCountsItOnce(t *testing.T) {
	const set = `
name: s
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], terminal: [terminal_id]}
features:
  n: {count: "*", by: customer, window: 1d}
  sum: {sum: amount, by: customer, window: 1d}
  hot: {sum: amount, by: customer, window: 1d, resolution: 1h}
  twice: {expr: "n + n"}
  most: {max: twice, by: customer, window: 1d}
  frauds: {sum: fraud, by: customer, window: 1d}
  there: {count: "*", by: terminal, window: 1d}
`
	store := memstore.New(memstore.Config{})
	order := func(id, terminal string, amount float64, offset int64) preprocess.Arrived {
		a := arrived(id, text("customer_id", "c"), text("terminal_id", terminal), number("amount", amount))
		a.Arrival.Offset, a.Content = offset, uint64(offset)
		return a
	}
	extract(t, set, store, order("o1", "t1", 10, 1), order("o2", "t1", 1, 2))
	if err := store.Learn(t.Context(), []schemas.Label{{ID: "o2", Fraud: true, KnownAt: time.UnixMicro(noon)}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		order preprocess.Arrived
		want  []float64
	}{
		"as it was":   {order("o1", "t1", 10, 9), []float64{2, 11, 11, 4, 4, 1, 2}},
		"changed":     {order("o1", "t2", 20, 9), []float64{2, 21, 21, 4, 4, 1, 1}},
		"another one": {order("o3", "t1", 20, 9), []float64{3, 31, 31, 6, 6, 1, 3}},
	} {
		vector, err := preprocess.NewExtractor(mustParse(t, set), nil, time.Hour).Look(t.Context(), store, &c.order)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, vector.Values); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func lookInto(t *rapid.T, x *preprocess.Extractor, store preprocess.Store, order preprocess.Arrived) schemas.FeatureVector {
	t.Helper()
	looker, ok := store.(preprocess.Looker)
	if !ok {
		t.Fatalf("a %T cannot be looked into", store)
	}
	vector, err := x.Look(context.Background(), looker, &order)
	if err != nil {
		t.Fatal(err)
	}
	return vector
}

func wantSame(t *rapid.T, s *randomSet, what string, a, b schemas.FeatureVector) {
	t.Helper()
	for j, w := range s.features {
		if !same(a.Values[j], b.Values[j]) {
			t.Fatalf("%s: %s is %v and %v\n%s", what, w.name, a.Values[j], b.Values[j], s)
		}
	}
}

// dim is a store that shows less than it is asked for, or nothing at all.
type dim struct{ err error }

func (d dim) Look(_ context.Context, _ preprocess.Visit, see func(*preprocess.Found)) error {
	see(&preprocess.Found{})
	return d.err
}

func TestALookSaysWhyItSawNothing(t *testing.T) {
	const set = "name: s\nversion: 1\nevent: {id: order_id, time: occurred_at}\nentities: {customer: [customer_id]}\nfeatures:\n  n: {count: \"*\", by: customer, window: 1d}\n"
	x := preprocess.NewExtractor(mustParse(t, set), nil, time.Hour)
	order := arrived("o1", text("customer_id", "c"))
	if _, err := x.Look(t.Context(), dim{}, &order); err == nil {
		t.Error("an answer without views was taken")
	}
	away := errors.New("away")
	order = arrived("o1")
	if _, err := x.Look(t.Context(), dim{away}, &order); !errors.Is(err, away) {
		t.Errorf("error %v", err)
	}
}
