package scorer_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/scorer"
)

// byCost is a scorer whose score is the feature count_1d, and whose policy is this one.
func byCost(t testing.TB, policy string) (*scorer.Scorer, *schemas.Layout) {
	t.Helper()
	layout := layoutOf(t, "count_1d", "amount_1d")
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"policy.yaml": "name: card\nversion: 4\n" + policy,
		"bundle.yaml": "name: card\nversion: 3\nfeatures: card@1\nfile: model.txt\nformat: lightgbm\ninputs: [count_1d]\n", "model.txt": "the model", "golden.csv": "count_1d,score\n1,0.5\n",
	})
	b, err := scorer.LoadBundle(dir, loaders())
	if err != nil {
		t.Fatal(err)
	}
	p, err := scorer.LoadPolicy(dir+"/policy.yaml", nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: b, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	return s, layout
}

// fataler is a test, or a draw of rapid's.
type fataler interface{ Fatal(args ...any) }

// decideOne decides an order of that amount with that probability of fraud; the engine of these tests predicts half of its input.
func decideOne(t fataler, s *scorer.Scorer, layout *schemas.Layout, fields schemas.Record, p float64) schemas.Decision {
	got := make([]schemas.Decision, 1)
	vector := schemas.FeatureVector{Layout: layout, Values: []float64{2 * p, 7}}
	if err := s.Decide([]schemas.Order{{ID: "o", Fields: fields}}, []schemas.FeatureVector{vector}, got); err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func amountOf(x float64) schemas.Record {
	return schemas.Record{{Name: "amount", Value: schemas.FloatValue(x)}}
}

func TestCostsPickTheActionOfLeastExpectedCost(t *testing.T) {
	s, layout := byCost(t, `cost: {chargeback: "amount + 15", review: 3, lost_sale: "amount * 0.2"}`)
	rapid.Check(t, func(t *rapid.T) {
		p, amount := rapid.Float64Range(0, 1).Draw(t, "p"), rapid.Float64Range(0, 5000).Draw(t, "amount")
		approve, review, reject := p*(amount+15), 3.0, (1-p)*(amount*0.2)
		least := min(approve, review, reject)
		want := schemas.Approve
		switch {
		case approve == least:
		case review == least:
			want = schemas.Review
		default:
			want = schemas.Reject
		}
		if d := decideOne(t, s, layout, amountOf(amount), p); d.Action != want || len(d.Degraded) > 0 || d.Policy.Rule != "" {
			t.Fatalf("p %v of %v: %s (%v), want %s: approve %v, review %v, reject %v", p, amount, d.Action, d.Degraded, want, approve, review, reject)
		}
	})
}

func TestEqualCostsGiveTheMilderAction(t *testing.T) {
	for _, c := range []struct {
		policy string
		p      float64
		want   schemas.Action
	}{
		{"cost: {chargeback: 10, review: 5, lost_sale: 10}", 0.5, schemas.Approve}, // all are 5
		{"cost: {chargeback: 20, review: 5, lost_sale: 10}", 0.5, schemas.Review},  // review and reject are 5
		{"cost: {chargeback: 10, lost_sale: 10}", 0.5, schemas.Approve},
		{"cost: {chargeback: 10, lost_sale: 10}", 0.51, schemas.Reject}, // nobody reviews
		{"cost: {chargeback: 0, review: 0, lost_sale: 0}", 1, schemas.Approve},
		{"cost: {chargeback: 10, review: 0, lost_sale: 0}", 1, schemas.Review},
		{"cost: {chargeback: 10, review: 1, lost_sale: 10}", 0, schemas.Approve},
		{"cost: {chargeback: 10, review: 1, lost_sale: 10}", 1, schemas.Reject},
	} {
		s, layout := byCost(t, c.policy)
		if d := decideOne(t, s, layout, amountOf(1), c.p); d.Action != c.want {
			t.Errorf("%s at %v: %s, want %s", c.policy, c.p, d.Action, c.want)
		}
	}
}

func TestAnOrderWithoutACostIsDegraded(t *testing.T) {
	policy := "cost: {chargeback: amount + 15, review: review_cost, lost_sale: 100 / amount_1d}\non_degraded: reject\nrules: [{id: big, when: amount > 1000, then: review}]\n"
	s, layout := byCost(t, policy)
	with := func(amount, review float64) schemas.Record {
		return append(amountOf(amount), schemas.Field{Name: "review_cost", Value: schemas.FloatValue(review)})
	}
	for name, c := range map[string]struct {
		fields   schemas.Record
		p        float64
		action   schemas.Action
		degraded string
	}{
		"all there":          {with(5, 3), 0.1, schemas.Approve, "[]"},
		"no field":           {amountOf(5), 0.1, schemas.Reject, "[cost]"},
		"below 0":            {with(-16, 3), 0.1, schemas.Reject, "[cost]"},
		"review below 0":     {with(5, -3), 0.1, schemas.Reject, "[cost]"},
		"no probability":     {with(5, 3), 1.5, schemas.Reject, "[cost]"},
		"negative, no score": {with(5, 3), -0.5, schemas.Reject, "[model]"},
		"a rule came first":  {amountOf(2000), 0.1, schemas.Review, "[]"},
	} {
		if d := decideOne(t, s, layout, c.fields, c.p); d.Action != c.action || fmt.Sprint(d.Degraded) != c.degraded {
			t.Errorf("%s: %s %v, want %s %s", name, d.Action, d.Degraded, c.action, c.degraded)
		}
	}
}

func TestNewRefusesCostsWithoutAProbability(t *testing.T) {
	layout := layoutOf(t, "amount", "count_1d")
	dir := folder(t, map[string]string{"policy.yaml": "name: a\nversion: 1\ncost: {chargeback: 5, lost_sale: 5}\n"})
	p, err := scorer.LoadPolicy(dir+"/policy.yaml", nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = scorer.New(scorer.Config{Layout: layout, Champion: marginBundle(t), Policy: p}); err == nil || !strings.Contains(err.Error(), "model card@3 gives margins: calibrate it") {
		t.Errorf("margins: %v", err)
	}
	if _, err = scorer.New(scorer.Config{Layout: layout, Policy: p}); err == nil || !strings.Contains(err.Error(), "policy a@1 has costs, but there is no model") {
		t.Errorf("no model: %v", err)
	}
	b, err := scorer.LoadBundle(folder(t, bundleFiles(goodBundle+"output: margin\ncalibration: {sigmoid: [-1, 0]}\n", "amount,count_1d,score\n0,0,0.5\n")), loaders())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = scorer.New(scorer.Config{Layout: layout, Champion: b, Policy: p}); err != nil {
		t.Errorf("calibrated margins: %v", err)
	}
}

func TestListEntriesEndByTheOrdersTime(t *testing.T) {
	list := "t-1,2026-06-01T00:00:00Z\n" +
		"t-2, 2026-06-01T02:00:00+02:00  # why\n" +
		"t-3\n" +
		"t-4,2026-05-01T00:00:00Z\nt-4,2026-07-01T00:00:00Z\nt-4,2026-06-01T00:00:00Z\n" +
		"t-5,2026-05-01T00:00:00Z\nt-5\n" +
		"\"Smith, \"\"J\"\"\"\n" +
		"  \"a # b\" , 2026-06-01T00:00:00Z # c\n"
	policy := "name: a\nversion: 1\nlists: {blocked: lists/blocked.txt}\nrules: [{id: b, when: \"terminal_id in list('blocked')\", then: reject}]\n"
	p, err := loadPolicy(t, policy, list)
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, "count_1d", "amount")
	s, err := scorer.New(scorer.Config{Layout: layout, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	before, end, later := at("2026-05-31T23:59:59.999999Z"), at("2026-06-01T00:00:00Z"), at("2026-07-02T00:00:00Z")
	for _, c := range []struct {
		terminal string
		want     [3]bool // on the list: before, at the end, a month later
	}{
		{"t-1", [3]bool{true, false, false}},
		{"t-2", [3]bool{true, false, false}},
		{"t-3", [3]bool{true, true, true}},
		{"t-4", [3]bool{true, true, false}},
		{"t-5", [3]bool{true, true, true}},
		{`Smith, "J"`, [3]bool{true, true, true}},
		{"a # b", [3]bool{true, false, false}},
		{"t-9", [3]bool{}},
	} {
		for i, when := range []time.Time{before, end, later} {
			o := order(c.terminal, "c", 1)
			o.At = when
			got := make([]schemas.Decision, 1)
			if err := s.Decide([]schemas.Order{o}, []schemas.FeatureVector{{Layout: layout, Values: []float64{0, math.NaN()}}}, got); err != nil {
				t.Fatal(err)
			}
			if on := got[0].Action == schemas.Reject; on != c.want[i] {
				t.Errorf("%s at %s: on the list: %v", c.terminal, when, on)
			}
		}
	}
}
