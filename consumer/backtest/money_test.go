package backtest_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/backtest"
	"verdict/schemas"
)

// manyRows are rows of benchConfig, copied out.
func manyRows(cfg *backtest.Config, n, days, customers int) []backtest.Row {
	row := history(cfg, n, days, customers)
	rows := make([]backtest.Row, n)
	for i := range rows {
		r := *row(i)
		r.Scores, r.Actions, r.Vector, r.Segments = slices.Clone(r.Scores), slices.Clone(r.Actions), slices.Clone(r.Vector), slices.Clone(r.Segments)
		r.Amount = math.Round(r.Amount) // sums of whole amounts are exact in any order
		rows[i] = r
	}
	return rows
}

// tallied is a plain count of what got an action.
func tallied(rows []backtest.Row, name string, action func(*backtest.Row) backtest.Action) backtest.ByAction {
	by := backtest.ByAction{Action: name}
	for i := range rows {
		r := &rows[i]
		if action(r).String() != name {
			continue
		}
		by.Orders++
		if r.Label == backtest.Fraud {
			by.Frauds++
			by.FraudAmount += backtest.Number(r.Amount)
		} else {
			by.HonestAmount += backtest.Number(r.Amount)
		}
	}
	return by
}

func TestMoneyIsThatOfAPlainCount(t *testing.T) {
	cfg := benchConfig(2, true)
	cfg.Bootstrap = -1
	rows := manyRows(&cfg, 3000, 10, 200)
	r := collect(t, cfg, rows)
	of := func(which int) func(*backtest.Row) backtest.Action {
		return func(r *backtest.Row) backtest.Action {
			if which < 0 {
				return r.LiveAction
			}
			return r.Actions[which]
		}
	}
	for which, f := range map[int]*backtest.Figures{-1: r.Live, 0: &r.Candidates[0], 1: &r.Candidates[1]} {
		var want []backtest.ByAction
		for _, name := range []string{"approve", "review", "reject"} {
			want = append(want, tallied(rows, name, of(which)))
		}
		if diff := cmp.Diff(want, f.Actions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
		caught := want[1].FraudAmount + want[2].FraudAmount
		if f.Caught != caught || f.CaughtPart != caught/(caught+want[0].FraudAmount) || f.Blocked != want[2].HonestAmount {
			t.Errorf("%s: caught %v, %v, blocked %v", f.Name, f.Caught, f.CaughtPart, f.Blocked)
		}
	}
	f := &r.Candidates[1]
	if n := len(f.Thresholds); n < 200 || n > 400 {
		t.Errorf("%d thresholds", n)
	}
	for _, at := range f.Thresholds {
		want := backtest.Threshold{Score: at.Score}
		for i := range rows {
			if rows[i].Scores[1] < float64(at.Score) {
				continue
			}
			want.Orders++
			if rows[i].Label == backtest.Fraud {
				want.Frauds++
				want.FraudAmount += backtest.Number(rows[i].Amount)
			} else {
				want.HonestAmount += backtest.Number(rows[i].Amount)
			}
		}
		if want != at {
			t.Errorf("at %v: %+v, want %+v", at.Score, at, want)
		}
	}
}

func TestThresholdsInUseAreAmongThoseTold(t *testing.T) {
	rows := normal(7, 3000, 1, 0.1, 1)
	cfg := two(-1)
	review, reject, never := 0.123456789, 1.75, 1e9
	cfg.Candidates[0].Review, cfg.Candidates[0].Reject, cfg.Candidates[1].Reject = &review, &reject, &never
	f := collect(t, cfg, rows).Candidates[0]
	for _, threshold := range []float64{review, reject} {
		want, frauds := 0, 0
		for i := range rows {
			if rows[i].Scores[0] >= threshold {
				want++
				if rows[i].Label == backtest.Fraud {
					frauds++
				}
			}
		}
		last := backtest.Threshold{}
		for _, at := range f.Thresholds { // falling
			if float64(at.Score) >= threshold {
				last = at
			}
		}
		if last.Orders != want || last.Frauds != frauds {
			t.Errorf("at %v: %d orders and %d frauds, want %d and %d", threshold, last.Orders, last.Frauds, want, frauds)
		}
	}
}

func TestComparisonSaysWhoFlipsAndWhatThatIsWorth(t *testing.T) {
	cfg := benchConfig(2, true)
	cfg.Bootstrap, cfg.Examples = -1, 5
	rows := manyRows(&cfg, 2000, 10, 200)
	for i := range rows { // of some nothing was decided live
		if i%7 == 0 {
			rows[i].LiveScore, rows[i].LiveAction = math.NaN(), backtest.NoAction
		}
		rows[i].Reasons = [][]schemas.Reason{{{Feature: "f", Value: 1, Contribution: float64(i)}}, nil}
	}
	r := collect(t, cfg, rows)
	var names []string
	for _, m := range r.Comparisons {
		names = append(names, m.From+">"+m.To)
	}
	if diff := cmp.Diff([]string{"live>card@1", "live>card@2", "card@2>card@1"}, names); diff != "" {
		t.Fatal(diff)
	}
	m := &r.Comparisons[0]
	var flips, compared int
	var worth, byAmount float64
	cells := make(map[string]int)
	for i := range rows {
		row := &rows[i]
		from, to := row.LiveAction, row.Actions[0]
		if from == backtest.NoAction {
			continue
		}
		compared++
		cells[fmt.Sprint(from, ">", to)]++
		if from == to {
			continue
		}
		flips++
		byAmount = max(byAmount, row.Amount)
		stopped := func(a backtest.Action) bool { return a != backtest.Approve }
		fraud := row.Label == backtest.Fraud
		switch {
		case fraud && !stopped(from):
			worth += row.Amount
		case fraud && !stopped(to):
			worth -= row.Amount
		case !fraud && to == backtest.Reject:
			worth -= row.Amount
		case !fraud && from == backtest.Reject:
			worth += row.Amount
		}
	}
	if m.Compared != compared || m.Flips != flips || float64(m.Worth) != worth || r.Headline.FlipCount != flips || r.Headline.FlipWorth != m.Worth || m.Orders != compared {
		t.Errorf("%d of %d flips worth %v, of %d; want %d of %d worth %v", m.Flips, m.Compared, m.Worth, m.Orders, flips, compared, worth)
	}
	got := make(map[string]int)
	for _, cell := range m.Matrix {
		got[cell.From+">"+cell.To] = cell.Orders
	}
	if diff := cmp.Diff(cells, got); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	if len(m.ByAmount) != 5 || float64(m.ByAmount[0].Amount) != byAmount || len(m.ByScore) != 5 {
		t.Fatalf("examples %+v", m.ByAmount)
	}
	for i, e := range m.ByScore {
		if e.From == e.To || len(e.ToReasons) != 1 || fmt.Sprint("order-", int(e.ToReasons[0].Contribution)) != e.ID {
			t.Errorf("example %+v", e)
		}
		if i > 0 && math.Abs(float64(e.ToScore-e.FromScore)) > math.Abs(float64(m.ByScore[i-1].ToScore-m.ByScore[i-1].FromScore)) {
			t.Error("examples do not fall")
		}
	}
}

func TestSegmentsAreReportsOfTheirOrders(t *testing.T) {
	cfg := benchConfig(2, true)
	cfg.Bootstrap, cfg.Segments = -1, []string{"country", "wide"}
	rows := manyRows(&cfg, 3000, 10, 400)
	for i := range rows {
		rows[i].Segments[1] = fmt.Sprint(i % 45)
	}
	r := collect(t, cfg, rows)
	wide := r.Segments[1].Values
	if last := wide[len(wide)-1]; len(wide) != 21 || !last.Rest || last.Orders != 10*67+15*66 {
		t.Errorf("%d values, the last %+v", len(wide), last.Orders)
	}
	orders := 0
	for _, v := range r.Segments[0].Values {
		var part []backtest.Row
		for i := range rows {
			if rows[i].Segments[0] == v.Value {
				part = append(part, rows[i])
			}
		}
		alone := collect(t, cfg, part)
		orders += v.Orders
		if v.Orders != alone.Period.Counted || v.Frauds != alone.Period.Frauds || v.FraudAmount != alone.Period.FraudAmount || v.Amount != alone.Period.Amount {
			t.Errorf("%s: %d orders, %d frauds", v.Value, v.Orders, v.Frauds)
		}
		for i := range cfg.Candidates {
			got, want := v.Candidates[i], alone.Candidates[i]
			figures := func(auc, average, brier, caught, blocked backtest.Number) []backtest.Number {
				return []backtest.Number{auc, average, brier, caught, blocked}
			}
			if diff := cmp.Diff(figures(want.AUC, want.AveragePrecision, want.Brier, want.Caught, want.Blocked),
				figures(got.AUC, got.AveragePrecision, got.Brier, got.Caught, got.Blocked), equalNumbers); diff != "" || len(got.Thresholds) > 50 {
				t.Errorf("%s, %s, %d thresholds (-want +got):\n%s", v.Value, cfg.Candidates[i].Name, len(got.Thresholds), diff)
			}
			if diff := cmp.Diff(want.Actions, got.Actions); diff != "" {
				t.Errorf("%s: actions (-want +got):\n%s", v.Value, diff)
			}
		}
		for i, m := range alone.Comparisons {
			if v.Flips[i].Flips != m.Flips || v.Flips[i].Compared != m.Compared {
				t.Errorf("%s: flips %+v, want %d", v.Value, v.Flips[i], m.Flips)
			}
		}
	}
	if orders != r.Period.Counted {
		t.Errorf("segments have %d orders, want %d", orders, r.Period.Counted)
	}
	found := 0
	for _, v := range r.Segments[0].Values {
		found += v.Candidates[0].Found
	}
	if found != r.Candidates[0].Budget.Found {
		t.Errorf("segments found %d at the budget, want %d", found, r.Candidates[0].Budget.Found)
	}
}

func TestCostsAreOfTheActionsAndLabels(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Bootstrap: -1}
	costs := []backtest.Costs{{Chargeback: 100, Review: 5, LostSale: 20}}
	row := func(id string, score float64, action backtest.Action, label backtest.Label, costs []backtest.Costs) backtest.Row {
		return backtest.Row{ID: id, Scores: []float64{score}, Actions: []backtest.Action{action}, Label: label, Costs: costs}
	}
	r := collect(t, cfg, []backtest.Row{
		row("no costs", 0.5, backtest.Approve, backtest.Fraud, nil),
		row("let through", 0.25, backtest.Approve, backtest.Fraud, costs),                                          // 100; 25 expected
		row("rightly let through", 0.125, backtest.Approve, backtest.Honest, costs),                                // 0; 12.5
		row("looked at", 0.5, backtest.Review, backtest.NoLabel, costs),                                            // 5; 5
		row("turned away", 0.75, backtest.Reject, backtest.NoLabel, costs),                                         // 20; 5
		row("rightly turned away", 0.75, backtest.Reject, backtest.Fraud, costs),                                   // 0; 5
		row("of unknown cost", 0.5, backtest.Approve, backtest.Honest, []backtest.Costs{{Chargeback: math.NaN()}}), // none
	})
	if f := r.Candidates[0]; f.Cost != 125 || f.ExpectedCost != 52.5 || f.CostOrders != 5 {
		t.Errorf("cost %v, expected %v, of %d", f.Cost, f.ExpectedCost, f.CostOrders)
	}
}

func TestImportanceIsTheMeanContribution(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a", Inputs: []string{"x", "y"}}, {Name: "b"}}, Bootstrap: -1}
	row := func(of []float64) backtest.Row {
		return backtest.Row{ID: "o", Scores: []float64{0.5, 0.5}, Contributions: [][]float64{of, nil}}
	}
	r := collect(t, cfg, []backtest.Row{row([]float64{1, -3}), row([]float64{0, 5}), row(nil), {ID: "p", Scores: []float64{1, 1}}})
	want := []backtest.Importance{{Feature: "y", Mean: 4, Part: 8.0 / 9}, {Feature: "x", Mean: 0.5, Part: 1.0 / 9}}
	if diff := cmp.Diff(want, r.Candidates[0].Importance); diff != "" || r.Candidates[0].Explained != 2 {
		t.Errorf("of %d (-want +got):\n%s", r.Candidates[0].Explained, diff)
	}
}

func TestOrdersWithoutAScoreAreInNoFigureOfScores(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Amount: "amount", Bootstrap: -1}
	r := collect(t, cfg, []backtest.Row{
		{ID: "1", Amount: 1, Scores: []float64{0.9}, Actions: []backtest.Action{backtest.Reject}, Label: backtest.Fraud},
		{ID: "2", Amount: 2, Scores: []float64{math.NaN()}, Actions: []backtest.Action{backtest.Review}, Label: backtest.Fraud},
		{ID: "3", Amount: 4, Scores: []float64{0.1}, Actions: []backtest.Action{backtest.Approve}},
		{ID: "4", Amount: 9, Scores: []float64{0.2}, Label: backtest.Fraud}, // not decided: not caught
	})
	f := r.Candidates[0]
	if f.Orders != 3 || f.Unscored != 1 || f.AUC != 1 || f.Actions[1].Frauds != 1 || f.Budget.Recall != 1 || f.Caught != 3 || f.CaughtPart != 0.25 || len(f.Actions) != 4 {
		t.Errorf("%+v", f)
	}
}

func TestScoresAreCountedByWhatIsKnown(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Mature: 24 * time.Hour, Until: time.UnixMicro(start + day), Bootstrap: -1}
	rows := []backtest.Row{
		{At: start, ID: "1", Scores: []float64{0}},
		{At: start, ID: "2", Scores: []float64{1}, Label: backtest.Fraud, LabelKnown: start},
		{At: start, ID: "3", Scores: []float64{0.5}},
		{At: start + 1, ID: "young", Scores: []float64{0.5}, Label: backtest.Fraud, LabelKnown: start},
		{At: start, ID: "4", Scores: []float64{math.NaN()}},
	}
	bins := collect(t, cfg, rows).Candidates[0].Scores
	want := map[int]backtest.ScoreBin{0: {From: 0, To: 0.02, Honest: 1}, 25: {From: 0.5, To: 0.52, Honest: 1, Unknown: 1}, 49: {From: 0.98, To: 1, Fraud: 1}}
	for i, b := range bins {
		if w, ok := want[i]; ok && b != w || !ok && b.Honest+b.Fraud+b.Unknown > 0 {
			t.Errorf("bin %d is %+v, want %+v", i, b, w)
		}
	}
	rows[0].Scores[0] = -3 // scores that are no probabilities
	if bins := collect(t, cfg, rows).Candidates[0].Scores; bins[0].From != -3 || bins[49].To != 1 || bins[0].Honest != 1 {
		t.Errorf("%+v", bins)
	}
}

func TestHeadlineIsTheMainCandidates(t *testing.T) {
	cfg := benchConfig(2, true)
	cfg.Bootstrap, cfg.Features = -1, nil
	r := collect(t, cfg, manyRows(&cfg, 4000, 10, 200))
	h, f, m := r.Headline, r.Candidates[0], r.Comparisons[0]
	for name, pair := range map[string][2]backtest.Number{
		"auc": {h.AUC, f.AUC}, "average_precision": {h.AveragePrecision, f.AveragePrecision}, "brier": {h.Brier, f.Brier}, "ece": {h.ECE, f.ECE},
		"precision_at_100": {h.PrecisionAt100, f.AtK[0].Precision}, "card_precision_at_100": {h.CardPrecisionAt100, f.AtK[0].Card},
		"precision_at_budget": {h.PrecisionAtBudget, f.Budget.Precision}, "recall_at_budget": {h.RecallAtBudget, f.Budget.Recall},
		"caught": {h.FraudAmountCaught, f.Caught}, "caught_part": {h.FraudAmountCaughtPart, f.CaughtPart}, "blocked": {h.HonestAmountBlocked, f.Blocked},
		"flips": {h.Flips, m.FlipsPart}, "flip_worth": {h.FlipWorth, m.Worth}, "auc_gain": {h.AUCGain, m.AUC.Gain}, "ap_gain": {h.AveragePrecisionGain, m.AP.Gain},
		"base_rate": {h.BaseRate, backtest.Number(r.Period.Frauds) / backtest.Number(r.Period.Counted)},
		"gain":      {m.AUC.Gain, r.Candidates[0].AUC - r.Live.AUC}, "ap gain": {m.AP.Gain, r.Candidates[0].AveragePrecision - r.Live.AveragePrecision},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	if h.Candidate != "card@1" || m.From != "live" || m.To != h.Candidate || h.Orders != 4000 {
		t.Errorf("%+v", h)
	}
}
