package page

import (
	"math"
	"slices"
	"strconv"

	"verdict/consumer/backtest"
)

// moneyCharts are what thresholds do: one chart of money for all subjects, where orders have amounts, then one for each.
func moneyCharts(r *backtest.Report, all []subject) []*chart {
	frauds := float64(r.Period.FraudAmount)
	honest := float64(r.Period.Amount) - frauds
	both := &chart{
		ID: "money-curve", Title: "Fraud money stopped for honest money refused", About: "Share of fraud money at or above each threshold against share of honest money at or above it. The horizontal axis is logarithmic.",
		X: axis{Label: "Honest money refused (log)", Kind: percents, Lo: 1e-4, Hi: 1, Log: true}, Y: axis{Label: "Fraud money stopped", Kind: percents, Hi: 1},
		Note: "Up and to the left is better.",
	}
	both.lay()
	both.Table = &table{Caption: "Thresholds in figures", Head: []string{"Candidate", "Score at or above", "Orders", "Frauds", "Fraud money", "Part of it", "Honest money", "Part of it"}}
	var out []*chart
	if frauds > 0 && honest > 0 {
		out = append(out, both)
	}
	for _, s := range all {
		if len(s.F.Thresholds) == 0 {
			continue
		}
		var xs, ys []float64
		for _, t := range s.F.Thresholds {
			xs, ys = append(xs, float64(t.HonestAmount)/honest), append(ys, float64(t.FraudAmount)/frauds)
		}
		both.add(line{Name: s.Name, Class: s.Class, Subject: s.Key}, xs, ys, nil)
		for _, i := range spread(len(s.F.Thresholds), tablePoints) {
			t := s.F.Thresholds[i]
			both.Table.Rows = append(both.Table.Rows, []string{
				s.Name, score(t.Score), count(t.Orders), count(t.Frauds), money(float64(t.FraudAmount)), percent(ys[i]),
				money(float64(t.HonestAmount)), percent(xs[i]),
			})
		}
		out = append(out, byThreshold(s, xs, ys))
	}
	return out
}

// byThreshold is one subject's chart over its threshold; honest and frauds are shares of money.
func byThreshold(s subject, honest, frauds []float64) *chart {
	at, lo, hi := make([]float64, 0, len(honest)), 0.0, 1.0
	flagged, caught := make([]float64, 0, len(honest)), make([]float64, 0, len(honest))
	for _, t := range s.F.Thresholds {
		v := float64(t.Score)
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
		at, flagged, caught = append(at, v), append(flagged, float64(t.Orders)/float64(s.F.Orders)), append(caught, float64(t.Frauds)/float64(s.F.Frauds))
	}
	c := &chart{
		ID: "threshold-" + s.Key, Title: "By threshold: " + s.Name, Subject: s.Key, About: "Shares at or above each threshold of the score.", Marker: true,
		X: axis{Label: "Threshold", Kind: rates, Lo: lo, Hi: hi}, Y: axis{Label: "At or above it", Kind: percents, Hi: 1},
		Table: &table{Caption: "Shares by threshold, " + s.Name, Head: []string{"Score at or above", "Frauds", "Fraud money", "Honest money", "Orders"}},
	}
	c.lay()
	c.add(line{Name: "Fraud money", Class: "fraud"}, at, frauds, nil)
	c.add(line{Name: "Frauds", Class: "frauds"}, at, caught, nil)
	c.add(line{Name: "Honest money", Class: "honest"}, at, honest, nil)
	c.add(line{Name: "Orders", Class: "unknown"}, at, flagged, nil)
	for _, i := range spread(len(at), tablePoints) {
		c.Table.Rows = append(c.Table.Rows, []string{score(backtest.Number(at[i])), percent(caught[i]), percent(frauds[i]), percent(honest[i]), percent(flagged[i])})
	}
	return c
}

// actions is what each subject's own policy did.
func actions(all []subject) []titled {
	var out []titled
	for _, s := range all {
		if len(s.F.Actions) == 0 {
			continue
		}
		t := &table{Caption: "Decided by " + s.Name, Head: []string{"Action", "Orders", "Frauds", "Fraud money", "Honest money"}}
		for _, a := range s.F.Actions {
			t.Rows = append(t.Rows, []string{clean(a.Action), count(a.Orders), count(a.Frauds), money(float64(a.FraudAmount)), money(float64(a.HonestAmount))})
		}
		out = append(out, titled{Subject: s.Key, Title: s.Name, Table: t})
	}
	return out
}

// whatIf is the data of the two sliders: for each set of thresholds what lies at or above them. The script adds nothing to it but differences.
type whatIf struct {
	Days     int       `json:"days"`
	Subjects []whatSet `json:"subjects"`
}

// whatSet is a subject's. Of is keyed by segment: "" is all orders, else the key of an option.
type whatSet struct {
	Key    string               `json:"key"`
	Name   string               `json:"name"`
	Review *float64             `json:"review"`
	Reject *float64             `json:"reject"`
	Of     map[string]whatSteps `json:"of"`
}

// whatSteps are columns, falling by score.
type whatSteps struct {
	N      int       `json:"n"` // orders, frauds and their money in all
	F      int       `json:"f"`
	FM     float64   `json:"fm"`
	HM     float64   `json:"hm"`
	Score  []float64 `json:"s"`
	Orders []int     `json:"o"`
	Frauds []int     `json:"fr"`
	Fraud  []float64 `json:"fa"`
	Honest []float64 `json:"ha"`
}

const whatIfNumbers = 60_000 // in all segments' steps together: about 400 KB; beyond it segments have fewer steps

// newWhatIf returns nil when nobody has thresholds.
func newWhatIf(r *backtest.Report, all []subject) *whatIf {
	w := &whatIf{Days: r.Period.Days}
	sets := 0
	for _, s := range r.Segments {
		sets += len(s.Values) * len(all)
	}
	atMost := max(5, min(50, whatIfNumbers/5/max(1, sets)))
	for i, s := range all {
		if len(s.F.Thresholds) == 0 {
			continue
		}
		set := whatSet{Key: s.Key, Name: s.Name, Review: finite(s.F.Review), Reject: finite(s.F.Reject), Of: map[string]whatSteps{}}
		set.Of[""] = stepsOf(s.F, s.F.Thresholds, 2400/max(6, len(all)), s.F.Orders, s.F.Frauds, float64(r.Period.Amount), float64(r.Period.FraudAmount))
		for f, field := range r.Segments {
			for v := range field.Values {
				value := &field.Values[v]
				figures := value.Live
				if !s.Live {
					figures = nil
					if i < len(value.Candidates) {
						figures = &value.Candidates[i]
					}
				}
				if figures != nil && len(figures.Thresholds) > 0 {
					set.Of[segmentKey(f, v)] = stepsOf(s.F, figures.Thresholds, atMost, figures.Orders, value.Frauds, float64(value.Amount), float64(value.FraudAmount))
				}
			}
		}
		w.Subjects = append(w.Subjects, set)
	}
	if len(w.Subjects) == 0 {
		return nil
	}
	return w
}

// stepsOf returns some of the steps, those of the policy's own thresholds among them.
func stepsOf(of *backtest.Figures, at []backtest.Threshold, atMost, orders, frauds int, amount, fraud float64) whatSteps {
	s := whatSteps{N: orders, F: frauds, FM: cents(fraud), HM: cents(amount - fraud)}
	places := spread(len(at), atMost)
	for _, threshold := range []*float64{of.Review, of.Reject} {
		if threshold == nil {
			continue
		}
		for i := range slices.Backward(at) {
			if float64(at[i].Score) >= *threshold {
				places = append(places, i)
				break
			}
		}
	}
	slices.Sort(places)
	for _, i := range slices.Compact(places) {
		t := at[i]
		if t.Score.Missing() || math.IsInf(float64(t.Score), 0) {
			continue
		}
		s.Score, s.Orders, s.Frauds = append(s.Score, digits(float64(t.Score))), append(s.Orders, t.Orders), append(s.Frauds, t.Frauds)
		s.Fraud, s.Honest = append(s.Fraud, cents(float64(t.FraudAmount))), append(s.Honest, cents(float64(t.HonestAmount)))
	}
	return s
}

// finite leaves out a threshold that JSON has no number for.
func finite(v *float64) *float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

// digits keeps five digits of a score, which no slider shows more of. It rounds down, so that a score lies at or above a threshold of so many digits when it did.
func digits(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	if err != nil {
		return v // unreachable: it was written as a number
	}
	if short <= v || short == 0 {
		return short
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(short)))-4)
	short, err = strconv.ParseFloat(strconv.FormatFloat(short-unit, 'g', 5, 64), 64)
	if err != nil {
		return v // unreachable, as above
	}
	return short
}

// cents rounds an amount to hundredths, which keeps the page small; JSON has no missing number, so that is 0, as is the amount of orders without one.
func cents(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Round(v*100) / 100
}
