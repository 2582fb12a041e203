package scorer_test

import (
	"math"
	"testing"

	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// The example is what a newcomer starts from: it must load as it lies there, and decide.
func TestTheExampleBundleAndPolicyDecide(t *testing.T) {
	bundle, err := scorer.LoadBundle("../deploy/example/models/handbook/1", map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: "handbook", Version: "1"}, bundle.Layout().Names)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scorer.LoadPolicy("../deploy/example/policy.yaml", schemas.DefaultOrderSchema(), layout)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: bundle, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	quiet := vectorOf(layout, map[string]float64{"amount": 20})
	large := vectorOf(layout, map[string]float64{"amount": 900})
	risky := vectorOf(layout, map[string]float64{"amount": 20, "terminal_id_risk_1day_window": 1, "terminal_id_risk_7day_window": 1, "terminal_id_risk_30day_window": 0.5})
	orders, got := make([]schemas.Order, 3), make([]schemas.Decision, 3)
	if err := s.Decide(orders, []schemas.FeatureVector{quiet, large, risky}, got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		approved bool
		reason   string
	}{{true, ""}, {false, "amount"}, {false, "terminal_id_risk_7day_window"}} {
		d := got[i]
		if (d.Action == schemas.Approve) != want.approved || len(d.Degraded) > 0 || math.IsNaN(d.Score) {
			t.Errorf("vector %d: %s at %v", i, d.Action, d.Score)
		}
		if want.reason != "" && (len(d.Reasons) == 0 || d.Reasons[0].Feature != want.reason) {
			t.Errorf("vector %d: the first reason is not %s: %+v", i, want.reason, d.Reasons)
		}
	}
}

func TestTheExampleOfCostsDecidesByThem(t *testing.T) {
	bundle, err := scorer.LoadBundle("../deploy/example/models/handbook/1", map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: "handbook", Version: "1"}, bundle.Layout().Names)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scorer.LoadPolicy("../deploy/example/policy-cost.yaml", schemas.DefaultOrderSchema(), layout)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: bundle, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]schemas.Decision, 1)
	for _, amount := range []float64{1, 20, 150, 220, 221, 900} {
		if err := s.Decide(make([]schemas.Order, 1), []schemas.FeatureVector{vectorOf(layout, map[string]float64{"amount": amount})}, got); err != nil {
			t.Fatal(err)
		}
		p, want := got[0].Score, schemas.Approve
		switch approve, reject := p*(amount+15), (1-p)*amount*0.2; {
		case reject < approve && reject < 3:
			want = schemas.Reject
		case approve > 3:
			want = schemas.Review
		}
		if got[0].Action != want || len(got[0].Degraded) > 0 {
			t.Errorf("%v at %v: %s %v, want %s", amount, p, got[0].Action, got[0].Degraded, want)
		}
	}
}

// vectorOf is an ordinary order's features, with some changed.
func vectorOf(layout *schemas.Layout, changed map[string]float64) schemas.FeatureVector {
	v := schemas.FeatureVector{Layout: layout, Values: []float64{20, 0, 0, 2, 25, 14, 25, 60, 25, 1, 0, 7, 0, 30, 0}}
	for name, x := range changed {
		at, _ := layout.Index(name)
		v.Values[at] = x
	}
	return v
}
