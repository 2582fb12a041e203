package preprocess_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// scripted is a store that notes what it is asked and answers what it is told.
type scripted struct {
	visits []preprocess.Visit
	answer func([]preprocess.Visit) ([]preprocess.Found, error)
}

func (s *scripted) Exchange(_ context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	s.visits = nil
	for _, v := range visits { // the extractor uses its buffers again
		v.Asks, v.Labelled = slices.Clone(v.Asks), slices.Clone(v.Labelled)
		s.visits = append(s.visits, v)
	}
	if s.answer != nil {
		found, err := s.answer(visits)
		for i := range found {
			see(i, &found[i])
		}
		return err
	}
	for i, v := range visits {
		see(i, &preprocess.Found{First: v.Arrival, Content: v.Content, Views: make([]preprocess.View, len(v.Asks))})
	}
	return nil
}

func (s *scripted) Learn(context.Context, []schemas.Label) error { return nil }

const noon = 1532520000_000_000 // 2018-07-25T12:00:00Z

func arrived(id string, fields ...schemas.Field) preprocess.Arrived {
	return preprocess.Arrived{Order: schemas.Order{ID: schemas.OrderID(id), At: time.UnixMicro(noon).UTC(), Fields: fields}, Arrival: preprocess.Arrival{Offset: 7}, Content: 1}
}

func text(name, value string) schemas.Field {
	return schemas.Field{Name: name, Value: schemas.StringValue(value)}
}

func number(name string, value float64) schemas.Field {
	return schemas.Field{Name: name, Value: schemas.FloatValue(value)}
}

func extract(t *testing.T, set string, store preprocess.Store, orders ...preprocess.Arrived) []preprocess.Extracted {
	t.Helper()
	out, err := preprocess.NewExtractor(mustParse(t, set), store, time.Hour).Extract(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExtractorAsksOncePerColumn(t *testing.T) {
	const set = `
name: asks
version: 1
event: {id: order_id, time: occurred_at}
entities:
  customer: [customer_id]
  buyer: [customer_id]
  terminal: [terminal_id]
  pair: [customer_id, terminal_id]
  unused: [email]
features:
  plain: {value: amount}
  doubled: {expr: "amount * 2"}
  a: {mean: amount, by: customer, window: 7d}
  b: {sum: plain, by: buyer, window: 1d, delay: 2d}
  c: {count: "*", by: customer, window: 1d, delay: 30d}
  d: {sum: doubled, by: customer, window: 1d}
  e: {rate: fraud, by: terminal, window: 1d, delay: 7d}
  f: {count: "*", by: pair, window: 1h}
`
	var store scripted
	out := extract(t, set, &store, arrived("1", text("customer_id", "42"), text("terminal_id", "T1"), number("amount", 5), text("email", "x")), arrived("2", text("terminal_id", "T1")))

	const hour, day = 3600 * 1_000_000, 24 * 3600 * 1_000_000
	doubled := store.visits[0].Asks[1].Column
	if !strings.HasPrefix(doubled, "=") || len(doubled) != 17 {
		t.Errorf("the column of a computed feature is %q", doubled)
	}
	want := []preprocess.Visit{
		{
			ID: "1", At: noon, Arrival: preprocess.Arrival{Offset: 7}, Content: 1, Labelled: []string{"terminal_id:T1"},
			Asks: []preprocess.Ask{
				// One for a, b and, since it reaches furthest, c; of the entities customer and buyer, which are the same.
				{Key: "customer_id:42", Column: "amount", Value: 5, From: noon - 31*day, To: noon, Keep: 31*day + hour},
				{Key: "customer_id:42", Column: doubled, Value: 10, From: noon - day, To: noon, Keep: day + hour},
				{Key: "terminal_id:T1", Column: "*", Value: math.NaN(), From: noon - 8*day, To: noon - 7*day, Keep: 8*day + hour},
				{Key: "terminal_id:T1", Marks: true, From: noon - 8*day, To: noon - 7*day, Keep: 8*day + hour},
				{Key: "customer_id,terminal_id:2:42T1", Column: "*", Value: math.NaN(), From: noon - hour, To: noon, Keep: 2 * hour},
			},
		},
		{
			ID: "2", At: noon, Arrival: preprocess.Arrival{Offset: 7}, Content: 1, Labelled: []string{"terminal_id:T1"},
			Asks: []preprocess.Ask{
				{Key: "terminal_id:T1", Column: "*", Value: math.NaN(), From: noon - 8*day, To: noon - 7*day, Keep: 8*day + hour},
				{Key: "terminal_id:T1", Marks: true, From: noon - 8*day, To: noon - 7*day, Keep: 8*day + hour},
			},
		},
	}
	if diff := cmp.Diff(want, store.visits, cmp.Comparer(same)); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
	// Without the entity there is nothing to aggregate.
	if got := out[1].Vector.Values; !slices.EqualFunc(got, []float64{math.NaN(), math.NaN(), math.NaN(), 0, 0, 0, math.NaN(), 0}, same) {
		t.Errorf("features of an order without a customer: %v", got)
	}
}

// TestExtractorAsksForWhatItKeeps of orders that a where does not take, of values that are known only when the order is scored, and of merged columns.
func TestExtractorAsksForWhatItKeeps(t *testing.T) {
	const set = `
name: keeps
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id]}
features:
  large: {count: "*", by: customer, window: 1h, where: "amount > 220"}
  frauds: {count: "*", by: customer, window: 1h, where: "fraud && amount > 1"}
  genuine: {sum: amount, by: customer, window: 1h, where: "!fraud"}
  to_large: {max: large, by: customer, window: 1h}
  hot: {sum: amount, by: customer, window: 1h, resolution: 5m}
  decayed: {decayed_count: "*", by: customer, half_life: 1h, window: 2h, resolution: 5m}
  tags: {distinct: tag, by: customer, window: 1h, delay: 1h}
`
	type asked struct {
		First string // of the column's name
		Adds  preprocess.Adds
		Value float64
		Merge preprocess.Merging
		Back  int64 // seconds from the order to From
	}
	of := func(amount float64) (all []asked) {
		var store scripted
		extract(t, set, &store, arrived("1", text("customer_id", "1"), number("amount", amount)))
		for _, a := range store.visits[0].Asks {
			if a.Marks {
				continue
			}
			one := asked{First: strings.TrimRight(a.Column, "0123456789abcdef"), Adds: a.Adds, Value: a.Value, Back: (noon - a.From) / 1_000_000}
			if a.Merge != nil {
				one.Merge, one.First = *a.Merge, a.Column
			}
			all = append(all, one)
		}
		return all
	}
	const fraud, both = 1, 3 // for which label an order counts
	const cell, hour = 300_000_000, 3600_000_000
	want := []asked{
		{First: "*?", Adds: preprocess.AddNothing, Back: 3600},
		{First: "*!", Value: fraud, Back: 3600},
		{First: "amount!", Value: 100, Back: 3600},
		{First: "*!", Value: both - fraud, Back: 3600},
		{First: "=", Adds: preprocess.AddSeen, Back: 3600}, // of large
		{First: "amount~300000000", Value: 100, Merge: preprocess.Merging{Resolution: cell}, Back: 3900},
		{First: "*~300000000@3600000000", Value: 1, Merge: preprocess.Merging{Resolution: cell, HalfLife: hour}, Back: 7500},
		{First: "#tag", Value: math.NaN(), Back: 7200},
	}
	if diff := cmp.Diff(want, of(100), cmp.Comparer(same)); diff != "" {
		t.Errorf("of a small order (-want +got):\n%s", diff)
	}
	want[0].Adds, want[0].Value = preprocess.AddNow, math.NaN()
	want[2].Value, want[4].Value, want[5].Value = 300, 0, 300
	if diff := cmp.Diff(want, of(300), cmp.Comparer(same)); diff != "" {
		t.Errorf("of a large order (-want +got):\n%s", diff)
	}
}

func TestVersionsShareTheColumnsThatMeanTheSame(t *testing.T) {
	column := func(features string) string {
		var store scripted
		extract(t, "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n"+features, &store, arrived("1", text("c", "1"), number("amount", 1)))
		return store.visits[0].Asks[0].Column
	}
	one := column("  x2: {expr: \"amount * 2\"}\n  s: {sum: x2, by: c, window: 1d}\n")
	equal := column("  other: {value: amount}\n  twice: {expr: amount*2}\n  s: {mean: twice, by: c, window: 7d}\n")
	filtered := column("  a: {count: \"*\", by: c, window: 1d, where: \"amount > 7\"}\n")
	if again := column("  b: {since_last: \"*\", by: c, window: 2d, delay: 1d, where: amount>7}\n"); filtered != again {
		t.Errorf("columns %q and %q hold the same", filtered, again)
	}
	if one != equal || !strings.HasPrefix(one, "=") {
		t.Errorf("columns %q and %q hold the same", one, equal)
	}
	seen := map[string]string{one: "amount * 2"}
	for _, features := range []string{
		"  x2: {expr: \"amount * 3\"}\n  s: {sum: x2, by: c, window: 1d}\n",
		"  x2: {expr: \"amount * 2\", default: 0}\n  s: {sum: x2, by: c, window: 1d}\n",
		"  x: {value: amount, default: 1}\n  x2: {expr: \"x * 2\"}\n  s: {sum: x2, by: c, window: 1d}\n",
		"  x: {value: amount, default: 2}\n  x2: {expr: \"x * 2\"}\n  s: {sum: x2, by: c, window: 1d}\n",
		"  x: {value: amount, encode: {hash: 8}}\n  s: {sum: x, by: c, window: 1d}\n",
		"  x: {value: amount, encode: {hash: 9}}\n  s: {sum: x, by: c, window: 1d}\n",
		"  s: {sum: amount, by: c, window: 1d}\n",
		"  s: {count: \"*\", by: c, window: 1d}\n",
		"  s: {count: \"*\", by: c, window: 1d, where: \"amount > 0\"}\n",
		"  s: {count: \"*\", by: c, window: 1d, where: \"amount > 0 || fraud\"}\n",
		"  s: {sum: amount, by: c, window: 1d, where: \"amount > 0\"}\n",
		"  s: {sum: amount, by: c, window: 1d, resolution: 1m}\n",
		"  s: {sum: amount, by: c, window: 1d, resolution: 2m}\n",
		"  s: {decayed_sum: amount, by: c, half_life: 1d, resolution: 1m}\n",
		"  s: {decayed_sum: amount, by: c, half_life: 2d, resolution: 1m}\n",
		"  s: {distinct: amount, by: c, window: 1d}\n",
		"  s: {distinct: amount, by: c, window: 1d, resolution: 1m}\n",
		"  a: {value: amount, default: 1}\n  s: {count: \"*\", by: c, window: 1d, where: \"a > 0\"}\n",
		"  a: {value: amount, default: 2}\n  s: {count: \"*\", by: c, window: 1d, where: \"a > 0\"}\n",
		"  n: {count: \"*\", by: c, window: 2d, where: \"amount > 1\"}\n  s: {sum: n, by: c, window: 1d}\n",
	} {
		if c := column(features); seen[c] != "" {
			t.Errorf("%s\nand %s\nshare the column %q", features, seen[c], c)
		} else {
			seen[c] = features
		}
	}
}

// TestColumnsTellWhoseOrdersTheyAreMadeOf: entities of one name may have other fields in another feature set.
func TestColumnsTellWhoseOrdersTheyAreMadeOf(t *testing.T) {
	column := func(entities, by string) string {
		var store scripted
		set := "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {t: [t], " + entities + "}\nfeatures:\n" +
			"  n: {count: \"*\", by: " + by + ", window: 1d}\n  s: {sum: n, by: t, window: 1d}\n"
		extract(t, set, &store, arrived("1", text("t", "1")))
		return store.visits[0].Asks[0].Column
	}
	one, other, renamed := column("c: [customer_id]", "c"), column("c: [account_id]", "c"), column("d: [customer_id]", "d")
	if one == other || one != renamed {
		t.Errorf("columns %q and %q hold other things, %q and %q the same", one, other, one, renamed)
	}
}

func TestKeysOfDifferentEntitiesDiffer(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {a: [a, b], one: [\"x:y\"], two: [x]}\nfeatures:\n  n: {count: \"*\", by: a, window: 1d}\n  m: {count: \"*\", by: one, window: 1d}\n  o: {count: \"*\", by: two, window: 1d}\n"
	long := strings.Repeat("k", 600)
	orders := [][]schemas.Field{
		{text("a", "1"), text("b", "23")},
		{text("a", "12"), text("b", "3")},
		{text("a", "1:2"), text("b", "3")},
		{text("a", long), text("b", "1")},
		{text("a", long), text("b", "2")},
		{text("x:y", "1")},
		{text("x", "y:1")},
	}
	seen := make(map[string]int)
	for i, fields := range orders {
		var store scripted
		extract(t, set, &store, arrived("1", fields...))
		if len(store.visits[0].Asks) != 1 {
			t.Fatalf("order %d: %d asks", i, len(store.visits[0].Asks))
		}
		key := store.visits[0].Asks[0].Key
		if j, twice := seen[key]; twice || len(key) > 512 {
			t.Errorf("orders %d and %d have the key %q", j, i, key)
		}
		seen[key] = i
	}
}

func TestInfinitiesNeverEnterAVector(t *testing.T) {
	const set = `
name: inf
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id]}
features:
  amount: {value: amount}
  filled: {value: amount, default: 3}
  times: {expr: "amount * amount"}
  orders: {count: "*", by: customer, window: 1d}
  total: {sum: amount, by: customer, window: 1d}
  average: {mean: amount, by: customer, window: 1d}
`
	customer := text("customer_id", "1")
	nan := math.NaN()
	tests := []struct {
		amount float64
		want   []float64
	}{
		{math.Inf(1), []float64{nan, 3, nan, 1, 0, nan}},
		{math.Inf(-1), []float64{nan, 3, nan, 2, 0, nan}},
		{1.5e308, []float64{1.5e308, 1.5e308, nan, 3, 1.5e308, 1.5e308}},
		{1e308, []float64{1e308, 1e308, nan, 4, nan, nan}}, // the sum is too large for a double
	}
	x := preprocess.NewExtractor(mustParse(t, set), memstore.New(memstore.Config{}), time.Hour)
	for i, test := range tests {
		o := arrived(strconv.Itoa(i), customer, number("amount", test.amount))
		o.Arrival.Offset = int64(i)
		out, err := x.Extract(t.Context(), []preprocess.Arrived{o})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(out[0].Vector.Values, test.want, same) {
			t.Errorf("%v gives %v, want %v", test.amount, out[0].Vector.Values, test.want)
		}
	}
}

func TestEncodeMakesNumbersOfStrings(t *testing.T) {
	const set = `
name: codes
version: 1
event: {id: order_id, time: occurred_at}
features:
  brand: {value: brand, encode: {map: {VISA: 1, "840": 2, "": 3}, other: 0}}
  strict: {value: brand, encode: {map: {VISA: 1}}, default: -1}
  bucket: {value: brand, encode: {hash: 1024}}
`
	nan := math.NaN()
	tests := []struct {
		brand schemas.Value
		want  []float64
	}{
		// The hashes are FNV-1a's published ones: its offset basis, and of "a".
		{schemas.StringValue(""), []float64{3, -1, 0xcbf29ce484222325 % 1024}},
		{schemas.StringValue("a"), []float64{0, -1, 0xaf63dc4c8601ec8c % 1024}},
		{schemas.Value{}, []float64{nan, -1, nan}},
		{schemas.BoolValue(true), []float64{nan, -1, nan}},
		{schemas.FloatValue(840), []float64{nan, -1, nan}},
	}
	for _, test := range tests {
		var store scripted
		got := extract(t, set, &store, arrived("1", schemas.Field{Name: "brand", Value: test.brand}))[0].Vector.Values
		if !slices.EqualFunc(got, test.want, same) {
			t.Errorf("a %v gives %v, want %v", test.brand.Kind(), got, test.want)
		}
	}
	var store scripted
	out := extract(t, set, &store, arrived("1", text("brand", "VISA")), arrived("2", schemas.Field{Name: "brand", Value: schemas.IntValue(840)}), arrived("3", text("brand", "840")))
	if v := out[0].Vector.Values; v[0] != 1 || v[1] != 1 {
		t.Errorf("VISA gives %v", v)
	}
	if v, w := out[1].Vector.Values, out[2].Vector.Values; v[0] != 2 || !slices.Equal(v, w) {
		t.Errorf("840 gives %v as an integer and %v as a string", v, w)
	}
}

func TestRepeatsAndConflictsAreTold(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n  n: {count: \"*\", by: c, window: 1d}\n"
	x := preprocess.NewExtractor(mustParse(t, set), memstore.New(memstore.Config{}), time.Hour)
	first := arrived("1", text("c", "1"))
	again, other, between := first, first, arrived("2", text("c", "1"))
	again.Arrival.Offset, other.Arrival.Offset, other.Content, between.Arrival.Offset = 9, 10, 2, 8
	// Between has the same time as first and came after it, so neither first nor its copies see it.
	out, err := x.Extract(t.Context(), []preprocess.Arrived{first, between, again, other, first})
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		n                float64
		repeat, conflict bool
	}
	var got []told
	for _, o := range out {
		got = append(got, told{o.Vector.Values[0], o.Repeat, o.Conflict})
	}
	want := []told{{1, false, false}, {2, false, false}, {1, true, false}, {1, true, true}, {1, false, false}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(told{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAnOrderThatMayHaveBeenHereBeforeSeesNothingThatCameAfterIt: the store has lost what it knew of the order, and has a later one that lies before it.
func TestAnOrderThatMayHaveBeenHereBeforeSeesNothingThatCameAfterIt(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n  n: {count: \"*\", by: c, window: 1d}\n"
	for again, want := range map[bool]float64{false: 2, true: 1} {
		x := preprocess.NewExtractor(mustParse(t, set), memstore.New(memstore.Config{}), time.Hour)
		late, order := arrived("late", text("c", "1")), arrived("order", text("c", "1"))
		late.Arrival.Offset, late.Order.At, order.Again = 9, order.Order.At.Add(-time.Minute), again
		if _, err := x.Extract(t.Context(), []preprocess.Arrived{late}); err != nil {
			t.Fatal(err)
		}
		if out, err := x.Extract(t.Context(), []preprocess.Arrived{order}); err != nil || out[0].Vector.Values[0] != want {
			t.Errorf("again %v: %v, %v; want %v", again, out, err, want)
		}
	}
}

func TestOfLabelsKnownAtOneTimeFraudCounts(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n  n: {sum: fraud, by: c, window: 1d, delay: 1h}\n"
	const before = noon - 2*3600*1_000_000
	mark := func(id string, known int64, fraud bool) preprocess.Mark {
		return preprocess.Mark{At: before, ID: schemas.OrderID(id), Known: known, Fraud: fraud}
	}
	tests := []struct {
		marks []preprocess.Mark
		want  float64
	}{
		{nil, 0},
		{[]preprocess.Mark{mark("a", 1, true), mark("a", 1, false)}, 1},
		{[]preprocess.Mark{mark("a", 1, false), mark("a", 1, true)}, 1},
		{[]preprocess.Mark{mark("a", 1, true), mark("a", 2, false)}, 0},
		{[]preprocess.Mark{mark("a", 1, false), mark("a", 2, true)}, 1},
		{[]preprocess.Mark{mark("a", 1, true), mark("a", noon+1, false)}, 1},
		{[]preprocess.Mark{mark("a", noon, true)}, 1},
		{[]preprocess.Mark{mark("a", noon+1, true)}, 0},
		{[]preprocess.Mark{mark("a", 1, true), mark("b", 1, false), mark("c", 1, true)}, 2},
	}
	for i, test := range tests {
		store := scripted{answer: func(v []preprocess.Visit) ([]preprocess.Found, error) {
			points := []preprocess.Point{{At: before, Ref: &preprocess.Ref{ID: "a"}}, {At: before, Ref: &preprocess.Ref{ID: "b"}}, {At: before, Ref: &preprocess.Ref{ID: "c"}}}
			return []preprocess.Found{{First: v[0].Arrival, Views: []preprocess.View{{Points: points}, {Marks: test.marks}}}}, nil
		}}
		if got := extract(t, set, &store, arrived("1", text("c", "1")))[0].Vector.Values[0]; got != test.want {
			t.Errorf("marks %d: %v frauds, want %v", i, got, test.want)
		}
	}
}

func TestExtractorTrustsNoHalfAnswer(t *testing.T) {
	const set = "name: x\nversion: 1\nevent: {id: i, time: t}\nentities: {c: [c]}\nfeatures:\n  n: {rate: fraud, by: c, window: 1d}\n"
	errAway := errors.New("away")
	answers := map[string][]preprocess.Found{
		"0 of 1 visits were answered": {},
		"visit 0 of 1, with 0 views":  {{}},
		"visit 1 of 1":                {{Views: make([]preprocess.View, 2)}, {Views: make([]preprocess.View, 2)}},
		"away":                        nil,
	}
	for want, found := range answers {
		store := scripted{answer: func([]preprocess.Visit) ([]preprocess.Found, error) {
			if found == nil {
				return nil, errAway
			}
			return found, nil
		}}
		_, err := preprocess.NewExtractor(mustParse(t, set), &store, 0).Extract(t.Context(), []preprocess.Arrived{arrived("1", text("c", "1"))})
		if err == nil || !strings.Contains(err.Error(), want) || want == "away" && !errors.Is(err, errAway) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	out, err := preprocess.NewExtractor(mustParse(t, set), &scripted{}, 0).Extract(t.Context(), nil)
	if out != nil || err != nil {
		t.Errorf("no orders give %v, %v", out, err)
	}
}
