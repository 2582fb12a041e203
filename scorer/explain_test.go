package scorer_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/scorer"
)

func TestExplainDecidesAsDecideDoesAndContributionsAddUp(t *testing.T) {
	s, layout := newScorer(t)
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.1, 0.4, 0.9, -1, 20, 6000, 2e6, math.NaN(), math.Inf(1)}), 2, 2).Draw(t, "values")
		o := order(rapid.SampledFrom([]string{"t", "t-1"}).Draw(t, "terminal"), rapid.SampledFrom([]string{"c", "c-1"}).Draw(t, "customer"), 1)
		vector := schemas.FeatureVector{Layout: layout, Values: values}
		if rapid.IntRange(0, 9).Draw(t, "had") == 0 {
			vector.Values = nil
		}
		want := make([]schemas.Decision, 1)
		if err := s.Decide([]schemas.Order{o}, []schemas.FeatureVector{vector}, want); err != nil {
			t.Fatal(err)
		}
		got, err := s.Explain(&o, &vector)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[0], got.Decision, cmpopts.EquateNaNs(), cmp.Comparer(func(a, b *schemas.Layout) bool { return a == b })); diff != "" {
			t.Fatalf("decisions (-Decide +Explain):\n%s", diff)
		}
		if math.IsNaN(got.Decision.Score) {
			if len(got.Contributions) != 0 || !math.IsNaN(got.Base) {
				t.Fatalf("without a score: %+v", got)
			}
			return
		}
		sum := got.Base
		for i, c := range got.Contributions {
			sum += c.Contribution
			if i > 0 && math.Abs(c.Contribution) > math.Abs(got.Contributions[i-1].Contribution) {
				t.Fatalf("not in order: %+v", got.Contributions)
			}
			if place, _ := layout.Index(c.Feature); c.Value != values[place] && !(math.IsNaN(c.Value) && math.IsNaN(values[place])) {
				t.Fatalf("%s is %v, not %v", c.Feature, values[place], c.Value)
			}
		}
		if len(got.Contributions) != 2 || math.Abs(sum-got.Decision.Score) > 1e-9*max(1, math.Abs(sum)) { // the bundle's output is the margin
			t.Fatalf("base %v and %+v do not add up to %v", got.Base, got.Contributions, got.Decision.Score)
		}
	})
}

// unasked is an engine that must not be asked once its golden rows are done with.
type unasked struct{ linear }

func (u *unasked) Predict([]float64, []float64) error { panic("the challenger was asked") }

func TestExplainAsksNoChallengerAndRefusesOtherVectors(t *testing.T) {
	dir, layout := t.TempDir(), layoutOf(t, "amount", "count_1d")
	models(t, dir, map[string]string{"next": "card@2"})
	next, err := scorer.OpenBundle(filepath.Join(dir, "next"), map[string]scorer.Loader{
		"lightgbm": func(_ string, inputs []string) (scorer.Engine, error) { return &unasked{linear{names: inputs}}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: marginBundle(t), Routing: scorer.Challenged(next)})
	if err != nil {
		t.Fatal(err)
	}
	o := order("t", "c", 1)
	e, err := s.Explain(&o, &schemas.FeatureVector{Layout: layout, Values: []float64{3, 1}})
	if err != nil || e.Decision.Score != 4 || len(e.Decision.Challengers) != 0 {
		t.Errorf("%+v (%v)", e, err)
	}
	if _, err := s.Explain(&o, &schemas.FeatureVector{Layout: layout, Values: []float64{3}}); err == nil {
		t.Error("a short vector was taken")
	}
}
