package scorer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/scorer"
)

// costly is a condition that no evaluation of an order of manyItems comes to the end of.
const costly = "items.exists(a, items.exists(b, a + b < 0))"

// manyItems is an order's fields: of a thousand items, a text where a number might be, and the amount.
func manyItems(amount float64) schemas.Record {
	items := make([]schemas.Value, 1000)
	for i := range items {
		items[i] = schemas.IntValue(int64(i))
	}
	return append(amountOf(amount), schemas.Field{Name: "items", Value: schemas.ListValue(items)}, schemas.Field{Name: "market", Value: schemas.StringValue("DE")},
		schemas.Field{Name: "text", Value: schemas.StringValue("x")})
}

func TestARuleThatCannotBeEvaluatedApprovesNothing(t *testing.T) {
	rules := func(all ...string) string {
		return "rules:\n  - {id: " + strings.Join(all, "}\n  - {id: ") + "}\n"
	}
	const thresholds = "thresholds: {review: 0.3, reject: 0.8}\n"
	for name, c := range map[string]struct {
		policy   string
		p        float64
		amount   float64
		action   schemas.Action
		rule     string
		degraded string
	}{
		"too costly":               {rules("a, when: \""+costly+"\", then: reject") + thresholds, 0.1, 5, schemas.Review, "", "[policy]"},
		"on_degraded":              {rules("a, when: \""+costly+"\", then: review") + thresholds + "on_degraded: reject\n", 0.1, 5, schemas.Reject, "", "[policy]"},
		"of the wrong kind":        {rules("a, when: text > 5, then: reject") + thresholds, 0.1, 5, schemas.Review, "", "[policy]"},
		"no boolean":               {rules("a, when: text, then: reject") + thresholds, 0.1, 5, schemas.Review, "", "[policy]"},
		"missing":                  {rules("a, when: nothing > 5, then: reject") + thresholds, 0.1, 5, schemas.Approve, "", "[]"},
		"a rule before":            {rules("b, when: amount > 3, then: approve", "a, when: \""+costly+"\", then: reject") + thresholds, 0.9, 5, schemas.Approve, "b", "[]"},
		"a rule after approves":    {rules("a, when: \""+costly+"\", then: reject", "b, when: amount > 3, then: approve") + thresholds, 0.1, 5, schemas.Review, "", "[policy]"},
		"a rule after rejects":     {rules("a, when: \""+costly+"\", then: review", "b, when: amount > 3, then: reject") + thresholds, 0.1, 5, schemas.Reject, "b", "[policy]"},
		"a rule that would pass":   {rules("a, when: \""+costly+"\", then: approve") + thresholds, 0.1, 5, schemas.Review, "", "[policy]"},
		"the thresholds are out":   {rules("a, when: \""+costly+"\", then: reject") + thresholds, 0.9, 5, schemas.Review, "", "[policy]"},
		"before costs":             {rules("a, when: text > 5, then: reject") + "cost: {chargeback: 10, lost_sale: 1}\non_degraded: reject\n", 0, 5, schemas.Reject, "", "[policy]"},
		"in a cost":                {"cost: {chargeback: \"" + costly + " ? 1 : 2\", lost_sale: 1}\n", 0.1, 5, schemas.Review, "", "[cost]"},
		"without a score":          {rules("a, when: text > 5, then: reject") + thresholds, -1, 5, schemas.Review, "", "[model policy]"},
		"a part of it that is not": {rules("a, when: amount > 50 && text > 5, then: reject") + thresholds, 0.1, 5, schemas.Approve, "", "[]"},
	} {
		s, layout := byCost(t, c.policy)
		d := decideOne(t, s, layout, manyItems(c.amount), c.p)
		if d.Action != c.action || d.Policy.Rule != c.rule || fmt.Sprint(d.Degraded) != c.degraded {
			t.Errorf("%s: %s by %q, degraded %v; want %s by %q, %s", name, d.Action, d.Policy.Rule, d.Degraded, c.action, c.rule, c.degraded)
		}
	}
}

// TestARouteThatCannotBeEvaluatedLeavesTheOrderToTheDefaultModelAndApprovesNothing has a champion and a challenger for orders that nobody can tell.
func TestARouteThatCannotBeEvaluatedLeavesTheOrderToTheDefaultModelAndApprovesNothing(t *testing.T) {
	dir := t.TempDir()
	models(t, dir, map[string]string{"card": "card@1", "de": "card-de@3", "next": "card@2"})
	write(t, dir, map[string]string{
		"routing.yaml": "champions:\n  - {when: \"" + costly + "\", model: de}\n  - {when: amount > 1, model: next}\nchallengers:\n  - {when: text > 5, model: next}\n",
		"policy.yaml":  "name: a\nversion: 1\nrules: [{id: big, when: amount > 10, then: reject}]\nthresholds: {review: 3, reject: 80}\n",
	})
	layout := layoutOf(t, "amount", "count_1d")
	champion, err := scorer.LoadBundle(dir+"/card", loaders())
	if err != nil {
		t.Fatal(err)
	}
	load := func(dir string) (*scorer.Bundle, error) { return scorer.LoadBundle(dir, loaders()) }
	r, err := scorer.LoadRouting(scorer.RoutingConfig{File: dir + "/routing.yaml", Layout: layout, Champion: champion, Load: load})
	if err != nil {
		t.Fatal(err)
	}
	p, err := scorer.LoadPolicy(dir+"/policy.yaml", nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	s, err := scorer.New(scorer.Config{
		Layout: layout, Champion: champion, Routing: r, Policy: p,
		Unruled: func(condition string, err error) { told = append(told, condition+": "+err.Error()) },
		LeftOut: func(challenger schemas.Version, why string, orders int) {
			told = append(told, fmt.Sprint(challenger.String(), " ", why, " ", orders))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]schemas.Decision, 2)
	orders := []schemas.Order{{ID: "1", Fields: manyItems(2)}, {ID: "2", Fields: manyItems(20)}}
	vectors := []schemas.FeatureVector{{Layout: layout, Values: []float64{1, 1}}, {Layout: layout, Values: []float64{20, 1}}}
	if err := s.Decide(orders, vectors, got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`card@1 2 review "" [routing]`, `card@1 21 reject "big" [routing]`} {
		d := got[i]
		if is := fmt.Sprintf("%s %v %s %q %v", d.Model, d.Score, d.Action, d.Policy.Rule, d.Degraded); is != want {
			t.Errorf("order %d: %s, want %s", i, is, want)
		}
	}
	costs := "champion 1: it takes more steps than one evaluation may"
	if diff := cmp.Diff([]string{costs, costs, "card@2 unsure 1", "card@2 unsure 1"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefusesThresholdsThatNoProbabilityReaches(t *testing.T) {
	layout := layoutOf(t, "amount", "count_1d")
	bundle := func(more string) *scorer.Bundle {
		t.Helper()
		golden := "amount,count_1d,score\n"
		b, err := scorer.OpenBundle(folder(t, bundleFiles(goodBundle+more, golden)), loaders())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct{ thresholds, bundle, want string }{
		{"{review: 30, reject: 80}", "", "thresholds: review: 30 lies outside of 0 to 1, and model card@3 gives probabilities (30 % is 0.3)|thresholds: reject: 80 lies outside of 0 to 1"},
		{"{review: 0.3, reject: 1.01}", "output: probability\n", "reject: 1.01 lies outside"},
		{"{review: -0.3, reject: 0.5}", "", "review: -0.3 lies outside of 0 to 1, and model card@3 gives probabilities (output: margin"},
		{"{review: -1, reject: 2}", "output: margin\n", ""},
		{"{review: -1, reject: 0.2}", "output: margin\ncalibration: {sigmoid: [-1, 0]}\n", "review: -1 lies outside"},
		{"{review: 0, reject: 1}", "", ""},
	} {
		file := folder(t, map[string]string{"policy.yaml": "name: a\nversion: 1\nthresholds: " + c.thresholds + "\n"}) + "/policy.yaml"
		p, err := scorer.LoadPolicy(file, nil, layout)
		if err != nil {
			t.Fatal(err)
		}
		_, err = scorer.New(scorer.Config{Layout: layout, Champion: bundle(c.bundle), Policy: p})
		if c.want == "" && err != nil {
			t.Errorf("%s %s: %v", c.thresholds, c.bundle, err)
		}
		for want := range strings.SplitSeq(c.want, "|") {
			if want != "" && (err == nil || !strings.Contains(err.Error(), file+":3: thresholds: ") || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s %s: %v, want %s", c.thresholds, c.bundle, err, want)
			}
		}
	}
}
