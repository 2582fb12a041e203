package scorer_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/schemas"
	"verdict/scorer"
)

// marginBundle scores amount + count_1d, by the linear engine.
func marginBundle(t testing.TB) *scorer.Bundle {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, bundleFiles(goodBundle+"output: margin\n", "amount,count_1d,score\n3,1,4\n"))
	b, err := scorer.LoadBundle(dir, loaders())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newScorer(t *testing.T) (*scorer.Scorer, *schemas.Layout) {
	t.Helper()
	policy, err := loadPolicy(t, goodPolicy, blocked)
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, "count_1d", "amount")
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: marginBundle(t), Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	return s, layout
}

func order(terminal, customer string, amount float64) schemas.Order {
	return schemas.Order{ID: "o", Fields: schemas.Record{
		{Name: "terminal_id", Value: schemas.StringValue(terminal)}, {Name: "customer_id", Value: schemas.StringValue(customer)}, {Name: "amount", Value: schemas.FloatValue(amount)},
	}}
}

func TestDecideAppliesRulesThenThresholds(t *testing.T) {
	s, layout := newScorer(t)
	for name, c := range map[string]struct {
		order         schemas.Order
		count, amount float64
		action        schemas.Action
		rule          string
		score         float64
		degraded      []string
	}{
		"below":                        {order("t", "c", 1), 0.1, 0.1, schemas.Approve, "", 0.2, nil},
		"at review":                    {order("t", "c", 1), 0.1, 0.2, schemas.Review, "", 0.30000000000000004, nil},
		"at reject":                    {order("t", "c", 1), 0, 0.8, schemas.Reject, "", 0.8, nil},
		"list":                         {order("t-1", "c", 1), 0, 0, schemas.Reject, "blocked_terminal", 0, nil},
		"list entry with a comment":    {order("t-2", "c", 1), 0, 0, schemas.Reject, "blocked_terminal", 0, nil},
		"list entry with #":            {order("t#3", "c", 1), 0, 0, schemas.Reject, "blocked_terminal", 0, nil},
		"first match wins":             {order("t-1", "c-1", 1), 0, 0, schemas.Reject, "blocked_terminal", 0, nil},
		"rule over threshold":          {order("t", "c-1", 1), 0, 0.9, schemas.Approve, "trusted", 0.9, nil},
		"rule on a feature":            {order("t", "c", 1), 0, 6000, schemas.Review, "very_large", 6000, nil},
		"rule on the score":            {order("t", "c", 1), 20, 0, schemas.Review, "both", 20, nil},
		"NaN score":                    {order("t", "c", 1), 0, -1, schemas.Review, "", math.NaN(), []string{"model"}},
		"NaN score, rule":              {order("t-1", "c", 1), 0, -1, schemas.Reject, "blocked_terminal", math.NaN(), []string{"model"}},
		"NaN score, approving rule":    {order("t", "c-1", 1), 0, -1, schemas.Review, "", math.NaN(), []string{"model"}},
		"NaN score, rule on the score": {order("t", "c", 1), 20, -1, schemas.Review, "", math.NaN(), []string{"model"}},
		"failing model":                {order("t", "c", 1), 0, 2e6, schemas.Review, "very_large", math.NaN(), []string{"model"}},
		"infinite":                     {order("t", "c", 1), math.Inf(1), 1, schemas.Review, "", math.NaN(), []string{"model"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]schemas.Decision, 1)
			vector := schemas.FeatureVector{Layout: layout, Values: []float64{c.count, c.amount}}
			if err := s.Decide([]schemas.Order{c.order}, []schemas.FeatureVector{vector}, got); err != nil {
				t.Fatal(err)
			}
			d := got[0]
			if d.Action != c.action || d.Policy.Rule != c.rule || !(d.Score == c.score || d.Score != d.Score && c.score != c.score) {
				t.Errorf("got %s by %q at %v, want %s by %q at %v", d.Action, d.Policy.Rule, d.Score, c.action, c.rule, c.score)
			}
			if diff := cmp.Diff(c.degraded, d.Degraded); diff != "" {
				t.Error(diff)
			}
			if d.Model.Name != "card" || d.Model.Version != "3" || d.Features != layout.Features || d.Policy.Version.Version != "4" {
				t.Errorf("versions: %+v", d)
			}
			if diff := cmp.Diff(vector.Values, d.Inputs.Values); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecideWithoutFeaturesAsksNoModelAndDoesNotApprove(t *testing.T) {
	s, layout := newScorer(t)
	orders := []schemas.Order{order("t", "c-1", 1), order("t", "c", 1), order("t-1", "c", 1)}
	vectors := []schemas.FeatureVector{{}, {Layout: layout, Values: []float64{0, 0.1}}, {Layout: layout}}
	got := make([]schemas.Decision, 3)
	if err := s.Decide(orders, vectors, got); err != nil {
		t.Fatal(err)
	}
	type short struct {
		Action   schemas.Action
		Score    float64
		Degraded []string
	}
	var all []short
	for _, d := range got {
		all = append(all, short{d.Action, d.Score, d.Degraded})
	}
	want := []short{{schemas.Review, math.NaN(), []string{"features"}}, {schemas.Approve, 0.1, nil}, {schemas.Reject, math.NaN(), []string{"features"}}}
	if diff := cmp.Diff(want, all, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestDecideGivesReasonsForWhatIsNotApproved(t *testing.T) {
	s, layout := newScorer(t)
	orders := []schemas.Order{order("t", "c", 1), order("t", "c", 1), order("t", "c", 1)}
	vectors := []schemas.FeatureVector{{Layout: layout, Values: []float64{0.5, 0.6}}, {Layout: layout, Values: []float64{-0.2, 0.6}}, {Layout: layout, Values: []float64{0, 0.1}}}
	got := make([]schemas.Decision, 3)
	if err := s.Decide(orders, vectors, got); err != nil {
		t.Fatal(err)
	}
	want := [][]schemas.Reason{
		{{Feature: "amount", Value: 0.6, Contribution: 0.6}, {Feature: "count_1d", Value: 0.5, Contribution: 0.5}},
		{{Feature: "amount", Value: 0.6, Contribution: 0.6}},
		nil,
	}
	for i := range got {
		if diff := cmp.Diff(want[i], got[i].Reasons); diff != "" {
			t.Errorf("order %d: %s", i, diff)
		}
	}
}

func TestDecideForgetsWhatTheDecisionsHeld(t *testing.T) {
	s, layout := newScorer(t)
	got := []schemas.Decision{{OrderID: "o", Action: schemas.Reject, Reasons: []schemas.Reason{{}}, Degraded: []string{"x"}, Policy: schemas.PolicyVersion{Rule: "r"}, Challengers: []schemas.Challenger{{}}}}
	if err := s.Decide([]schemas.Order{order("t", "c", 1)}, []schemas.FeatureVector{{Layout: layout, Values: []float64{0, 0}}}, got); err != nil {
		t.Fatal(err)
	}
	d := got[0]
	if d.OrderID != "o" || d.Action != schemas.Approve || d.Reasons != nil || d.Degraded != nil || d.Policy.Rule != "" || d.Challengers != nil {
		t.Errorf("got %+v", d)
	}
}

func TestDecideRefusesACallersMistakes(t *testing.T) {
	s, layout := newScorer(t)
	o, v := []schemas.Order{order("t", "c", 1)}, []schemas.FeatureVector{{Layout: layout, Values: []float64{0, 0}}}
	for name, err := range map[string]error{
		"decisions":    s.Decide(o, v, make([]schemas.Decision, 2)),
		"vectors":      s.Decide(o, nil, make([]schemas.Decision, 1)),
		"short vector": s.Decide(o, []schemas.FeatureVector{{Layout: layout, Values: []float64{0}}}, make([]schemas.Decision, 1)),
		"other layout": s.Decide(o, []schemas.FeatureVector{{Layout: layoutOf(t, "amount", "count_1d"), Values: []float64{0, 0}}}, make([]schemas.Decision, 1)),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNewRefusesAModelOfOtherFeatures(t *testing.T) {
	b := marginBundle(t)
	other, err := schemas.NewLayout(schemas.Version{Name: "card", Version: "2"}, []string{"amount", "count_1d"})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := loadPolicy(t, goodPolicy, blocked)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  scorer.Config
		want string
	}{
		"version":     {scorer.Config{Layout: other, Champion: b}, "model card@3 was trained on features card@1, not on card@2"},
		"input":       {scorer.Config{Layout: layoutOf(t, "amount", "count_2d"), Champion: b}, "model card@3 reads count_1d, which feature set card@1 does not have; did you mean count_2d?"},
		"no layout":   {scorer.Config{}, "needs a feature set"},
		"other order": {scorer.Config{Layout: layoutOf(t, "amount", "count_1d"), Champion: b, Policy: policy}, "policy card@4 was read for other features than those of card@1"},
		"no model":    {scorer.Config{Layout: layoutOf(t, "count_1d", "amount"), Policy: policy}, "there is no model"},
	} {
		if _, err := scorer.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDecideWithoutPolicyOnlyScores(t *testing.T) {
	layout := layoutOf(t, "amount", "count_1d")
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: marginBundle(t)})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]schemas.Decision, 1)
	if err := s.Decide([]schemas.Order{order("t", "c", 1)}, []schemas.FeatureVector{{Layout: layout, Values: []float64{2, 3}}}, got); err != nil {
		t.Fatal(err)
	}
	if d := got[0]; d.Action != "" || d.Score != 5 || d.Policy != (schemas.PolicyVersion{}) {
		t.Errorf("got %+v", d)
	}
}

func TestDecideApprovesWithoutAllocating(t *testing.T) {
	layout := layoutOf(t, "amount", "count_1d")
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: marginBundle(t), Policy: thresholdsOnly(t)})
	if err != nil {
		t.Fatal(err)
	}
	const n = 64
	orders, vectors, decisions := make([]schemas.Order, n), make([]schemas.FeatureVector, n), make([]schemas.Decision, n)
	for i := range vectors {
		orders[i], vectors[i] = order("t", "c", 1), schemas.FeatureVector{Layout: layout, Values: []float64{0.1, 0}}
	}
	// None an order; a few a call where the race detector empties the pools.
	if got := testing.AllocsPerRun(20, func() { _ = s.Decide(orders, vectors, decisions) }); got > n/4 {
		t.Errorf("%v allocations for %d orders", got, n)
	}
}

func thresholdsOnly(t testing.TB) *scorer.Policy {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"policy.yaml": "name: a\nversion: 1\nthresholds: {reject: 0.5}\n"})
	p, err := scorer.LoadPolicy(dir+"/policy.yaml", nil, layoutOf(t, "amount", "count_1d"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
