package preprocess_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/preprocess"
)

const diffHead = `name: d
version: 1
event: {id: id, time: at}
entities: {customer: [customer], pair: [customer, terminal]}
features:
`

func diffOf(t *testing.T, from, to string) *preprocess.Diff {
	t.Helper()
	sets := make([]*preprocess.FeatureSet, 2)
	for i, features := range []string{from, to} {
		set, err := preprocess.Parse("d.yaml", []byte(diffHead+features), nil)
		if err != nil {
			t.Fatal(err)
		}
		sets[i] = set
	}
	d := preprocess.Compare(sets[0], sets[1])
	if d.Same() != (sets[0].Version().Hash == sets[1].Version().Hash) {
		t.Errorf("same is %v for %s and %s", d.Same(), sets[0].Version().Hash, sets[1].Version().Hash)
	}
	return d
}

// TestCompareTellsWhatOfAFeatureChanged, for each key that a feature may have.
func TestCompareTellsWhatOfAFeatureChanged(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		want     preprocess.Change
	}{
		{`{value: a}`, `{value: b}`, preprocess.Change{Key: "value", Was: "a", Is: "b"}},
		{`{value: a}`, `{value: a, default: 2}`, preprocess.Change{Key: "default", Is: "2"}},
		{`{value: a, encode: {hash: 8}}`, `{value: a, encode: {map: {x: 1}, other: 0.5}}`, preprocess.Change{Key: "encode", Was: "{hash: 8}", Is: "{map: {x: 1}, other: 0.5}"}},
		{`{expr: "a + 1"}`, `{expr: "a + 2"}`, preprocess.Change{Key: "expr", Was: "a + 1", Is: "a + 2"}},
		{`{value: a}`, `{expr: "a"}`, preprocess.Change{Was: "value: a", Is: "expr: a"}},
		{`{count: "*", by: customer, window: 1d}`, `{count: "*", by: pair, window: 1d}`, preprocess.Change{Key: "by", Was: "customer", Is: "pair"}},
		{`{count: "*", by: customer, window: 1d}`, `{count: "*", by: customer, window: 1d12h}`, preprocess.Change{Key: "window", Was: "1d", Is: "1d12h"}},
		{`{sum: a, by: customer, window: 1d}`, `{sum: fraud, by: customer, window: 1d}`, preprocess.Change{Key: "sum", Was: "a", Is: "fraud"}},
		{`{mean: a, by: customer, window: 1d}`, `{max: a, by: customer, window: 1d}`, preprocess.Change{Was: "mean: a", Is: "max: a"}},
		{`{mean: a, by: customer, window: 1d}`, `{mean: a, by: customer, window: 1d, delay: 30m}`, preprocess.Change{Key: "delay", Is: "30m"}},
		{`{mean: a, by: customer, window: 1d}`, `{mean: a, by: customer, window: 1d, resolution: 10m}`, preprocess.Change{Key: "resolution", Is: "10m"}},
		{`{mean: a, by: customer, window: 1d}`, `{mean: a, by: customer, window: 1d, exclude_current: true}`, preprocess.Change{Key: "exclude_current", Is: "true"}},
		{`{mean: a, by: customer, window: 1d, where: "a > 1"}`, `{mean: a, by: customer, window: 1d, where: "a > 2"}`, preprocess.Change{Key: "where", Was: "a > 1", Is: "a > 2"}},
		{`{decayed_sum: a, by: customer, half_life: 1h, window: 1d}`, `{decayed_sum: a, by: customer, half_life: 2h, window: 1d}`, preprocess.Change{Key: "half_life", Was: "1h", Is: "2h"}},
		{`{count: "*", by: customer, window: 1d, where: "fraud"}`, `{count: "*", by: customer, window: 1d, where: "!fraud"}`, preprocess.Change{Key: "where", Was: "fraud", Is: "!fraud"}},
	} {
		d := diffOf(t, "  x: "+tc.from, "  x: "+tc.to)
		want := []preprocess.Redefinition{{Name: "x", Changes: []preprocess.Change{tc.want}}}
		if diff := cmp.Diff(want, d.Changed, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s to %s: %s", tc.from, tc.to, diff)
		}
		if len(d.Added)+len(d.Removed)+len(d.Moved)+len(d.Missing)+len(d.Event)+len(d.Entities) > 0 {
			t.Errorf("%s to %s: more than that: %+v", tc.from, tc.to, d)
		}
	}
}

// TestCompareFollowsWhatFeaturesName, through as many as there are between.
func TestCompareFollowsWhatFeaturesName(t *testing.T) {
	const rest = `
  b: {expr: "a * 2"}
  c: {max: b, by: customer, window: 1d}
  d: {count: "*", by: customer, window: 1d, where: "c > 3"}
  e: {count: "*", by: customer, window: 1d}`
	d := diffOf(t, "  a: {value: amount}"+rest, "  a: {value: total}"+rest)
	want := []preprocess.Redefinition{
		{Name: "a", Changes: []preprocess.Change{{Key: "value", Was: "amount", Is: "total"}}},
		{Name: "b", Because: []string{"a"}},
		{Name: "c", Because: []string{"b"}},
		{Name: "d", Because: []string{"c"}},
	}
	if diff := cmp.Diff(want, d.Changed, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestCompareMovesAsFewAsItCan(t *testing.T) {
	feature := func(names ...string) (text string) {
		for _, name := range names {
			text += "  " + name + ": {value: " + name + "}\n"
		}
		return text
	}
	d := diffOf(t, feature("a", "b", "c", "d", "gone"), feature("new", "d", "a", "b", "c"))
	if diff := cmp.Diff([]preprocess.Move{{Name: "d", From: 3, To: 1}}, d.Moved); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"gone"}, d.Missing); diff != "" {
		t.Error(diff)
	}
}

// TestCompareTellsWhatOfTheStateIsNeeded: in another column, further back, less far, not any more.
func TestCompareTellsWhatOfTheStateIsNeeded(t *testing.T) {
	const day = 24 * time.Hour
	d := diffOf(t, `
  a: {mean: amount, by: customer, window: 2d}
  b: {rate: fraud, by: pair, window: 9d, delay: 1d}
  c: {last: place, by: customer, window: 1d}`, `
  a: {mean: amount, by: customer, window: 5d}
  b: {rate: fraud, by: pair, window: 4d, delay: 1d}
  d: {max: a, by: customer, window: 3d, where: "amount > 9"}`)
	want := []preprocess.Need{
		{Entity: "[customer]", Column: "amount", Was: 2 * day, Is: 5 * day},
		{Entity: "[customer]", Column: "a, as it was when the order was scored, where amount > 9", Is: 3 * day},
		{Entity: "[customer, terminal]", Column: "the order alone", Was: 10 * day, Is: 5 * day},
		{Entity: "[customer, terminal]", Column: "labels", Was: 10 * day, Is: 5 * day},
		{Entity: "[customer]", Column: "place", Was: day},
	}
	if diff := cmp.Diff(want, d.State); diff != "" {
		t.Error(diff)
	}
	for i, warms := range []bool{true, true, false, false, false} {
		if d.State[i].Warms() != warms {
			t.Errorf("%+v warms %v", d.State[i], !warms)
		}
	}
}

func TestApproximationsAreOfFeaturesWithAResolution(t *testing.T) {
	set, err := preprocess.Parse("d.yaml", []byte(diffHead+`
  exact: {mean: amount, by: customer, window: 5d}
  sum:   {sum: amount, by: customer, window: 5d, delay: 1d, resolution: 10m}
  kinds: {distinct: kind, by: customer, window: 5d, resolution: 1h}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []preprocess.Approximation{
		{Feature: "sum", FarEdge: 5 * time.Minute, MergedBeyond: 192, NearEdge: 10 * time.Minute, Delayed: true},
		{Feature: "kinds", FarEdge: 30 * time.Minute, MergedBeyond: 192, NearEdge: time.Hour, SampledBeyond: 1024, SampleError: 0.04},
	}
	if diff := cmp.Diff(want, set.Approximations()); diff != "" {
		t.Error(diff)
	}
}
