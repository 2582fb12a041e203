package page

import (
	"math"
	"strconv"

	"verdict/consumer/backtest"
)

// figures is the table of key figures: a row each, a column for each subject.
type figures struct {
	Heads []subject
	Rows  []figureRow
}

type figureRow struct {
	Name  string
	Note  string
	Cells []figureCell
}

// figureCell is a figure with its interval, drawn on a scale that is the same along the row. Low, At and High are between 0 and 100; no Mark, no drawing.
type figureCell struct {
	Subject, Class string
	Text, Interval string
	Mark           bool
	Low, At, High  string
}

func newFigures(r *backtest.Report, all []subject) figures {
	f := figures{Heads: all}
	row := func(name, note string, of func(s subject) (string, backtest.Number, *backtest.Interval)) {
		if r, ok := figureRowOf(name, note, all, of); ok {
			f.Rows = append(f.Rows, r)
		}
	}
	rated := func(get func(f *backtest.Figures) (backtest.Number, *backtest.Interval)) func(subject) (string, backtest.Number, *backtest.Interval) {
		return func(s subject) (string, backtest.Number, *backtest.Interval) {
			n, i := get(s.F)
			return rate(float64(n)), n, i
		}
	}
	plain := func(get func(f *backtest.Figures) string) func(subject) (string, backtest.Number, *backtest.Interval) {
		return func(s subject) (string, backtest.Number, *backtest.Interval) {
			return get(s.F), backtest.Number(math.NaN()), nil
		}
	}
	row("Orders with a score", "", plain(func(f *backtest.Figures) string { return count(f.Orders) }))
	row("Frauds among them", "", plain(func(f *backtest.Figures) string { return count(f.Frauds) }))
	row("Average precision", "of all thresholds; a score of chance has the share of frauds", rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) {
		return f.AveragePrecision, f.APInterval
	}))
	row("AUC", "how often a fraud scores above an honest order", rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) { return f.AUC, f.AUCInterval }))
	for i, k := range r.Method.TopK {
		at := func(f *backtest.Figures) backtest.AtK {
			if i < len(f.AtK) {
				return f.AtK[i]
			}
			return backtest.AtK{Precision: backtest.Number(math.NaN()), Card: backtest.Number(math.NaN())}
		}
		row("Precision at "+count(k)+" a day", "frauds among the highest scores of a day, mean of days", rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) {
			return at(f).Precision, at(f).Interval
		}))
		row("Customer precision at "+count(k)+" a day", "the same of distinct customers, each found once", rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) {
			return at(f).Card, at(f).CardInterval
		}))
	}
	budget := "with " + count(r.Method.Budget) + " reviews a day"
	row("Recall at the budget", budget, rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) {
		return f.Budget.Recall, f.Budget.RecallInterval
	}))
	row("Precision at the budget", budget, rated(func(f *backtest.Figures) (backtest.Number, *backtest.Interval) {
		return f.Budget.Precision, f.Budget.PrecisionInterval
	}))
	row("Fraud money stopped", "by the policy: reviewed or rejected", plain(func(f *backtest.Figures) string {
		if f.Caught.Missing() {
			return missing
		}
		return money(float64(f.Caught)) + share(f.CaughtPart, "")
	}))
	row("Honest money rejected", "by the policy", plain(func(f *backtest.Figures) string { return money(float64(f.Blocked)) }))
	row("Cost", "of the actions, by the policy's costs and the labels", plain(func(f *backtest.Figures) string { return money(float64(f.Cost)) }))
	row("Expected cost", "of the same orders, by the scores", plain(func(f *backtest.Figures) string { return money(float64(f.ExpectedCost)) }))
	row("Brier score", "mean squared error of the score; less is better", plain(func(f *backtest.Figures) string { return fixed(float64(f.Brier), 5) }))
	row("Calibration error", "mean distance of score and share of frauds; less is better", plain(func(f *backtest.Figures) string { return fixed(float64(f.ECE), 5) }))
	return f
}

// figureRowOf returns a row, false when no subject has the figure.
func figureRowOf(name, note string, all []subject, of func(s subject) (string, backtest.Number, *backtest.Interval)) (figureRow, bool) {
	row := figureRow{Name: name, Note: note}
	lo, hi, some := math.Inf(1), math.Inf(-1), false
	for _, s := range all {
		text, _, i := of(s)
		some = some || text != missing
		if i != nil && !i.Low.Missing() && !i.High.Missing() {
			lo, hi = min(lo, float64(i.Low)), max(hi, float64(i.High))
		}
	}
	if !some {
		return row, false
	}
	s := scale{lo: lo, hi: hi, from: 3, to: 97}
	for _, who := range all {
		text, n, i := of(who)
		cell := figureCell{Subject: who.Key, Class: who.Class, Text: text}
		if i != nil && !i.Low.Missing() && !i.High.Missing() {
			cell.Interval = between(i, rate)
			cell.Mark = hi > lo
		}
		if cell.Mark {
			cell.Low, cell.At, cell.High = px(s.at(float64(i.Low))), px(s.at(float64(n))), px(s.at(float64(i.High)))
		}
		row.Cells = append(row.Cells, cell)
	}
	return row, true
}

// gains is what one comparison says of how well is ranked.
type gains struct {
	Subjects string // keys of both
	Title    string
	Open     bool // the others are folded
	Rows     []gainRow
}

type gainRow struct{ Name, From, To, Gain, Interval, Word, Class string }

func newGains(r *backtest.Report, all []subject) []gains {
	var out []gains
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		g := gains{Subjects: keyOf(all, c.From) + " " + keyOf(all, c.To), Title: called(c.To) + " against " + called(c.From)}
		g.add("Average precision", c.AP)
		g.add("AUC", c.AUC)
		for _, at := range c.AtK {
			g.add("Precision at "+strconv.Itoa(at.K)+" a day", at.Precision)
			g.add("Customer precision at "+strconv.Itoa(at.K)+" a day", at.Card)
		}
		g.add("Recall at the budget", c.Recall)
		if len(g.Rows) > 0 {
			g.Open = len(out) == 0
			out = append(out, g)
		}
	}
	return out
}

func (g *gains) add(name string, gain backtest.Gain) {
	if gain.Gain.Missing() {
		return
	}
	text := gainText(gain)
	row := gainRow{Name: name, From: rate(float64(gain.From)), To: rate(float64(gain.To)), Gain: text(float64(gain.Gain))}
	if gain.Interval != nil {
		row.Interval = between(gain.Interval, text)
	}
	row.Word, row.Class = judged(gain)
	g.Rows = append(g.Rows, row)
}

// gainText writes a gain and the ends of its interval: with three decimals, and with five where three would make nothing of a part that is not.
func gainText(g backtest.Gain) func(float64) string {
	decimals, parts := 3, []backtest.Number{g.Gain}
	if g.Interval != nil {
		parts = append(parts, g.Interval.Low, g.Interval.High)
	}
	for _, p := range parts {
		if a := math.Abs(float64(p)); a > 0 && a < 0.0005 {
			decimals = 5
		}
	}
	return func(v float64) string { return signed(v, func(v float64) string { return fixed(v, decimals) }) }
}
