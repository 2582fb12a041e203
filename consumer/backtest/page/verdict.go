package page

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"verdict/consumer/backtest"
)

// verdict is the page's first paragraph: the main candidate against what was decided live, or else against the second candidate.
type verdict struct {
	Word  string // Better, Worse, No clear difference, Not comparable, Not compared
	Rest  string // than what was decided live
	Class string
	Lines []string
}

// against is a comparison of which To is the main candidate: that with live, or else with the second candidate; false when there is none.
func against(r *backtest.Report) (backtest.Comparison, bool) {
	if len(r.Candidates) == 0 {
		return backtest.Comparison{}, false
	}
	main := r.Candidates[0].Name
	for _, c := range r.Comparisons {
		switch main {
		case c.To:
			return c, true
		case c.From:
			return turned(c), true
		}
	}
	return backtest.Comparison{}, false
}

// turned is the comparison the other way round, in the figures that the verdict tells.
func turned(c backtest.Comparison) backtest.Comparison {
	c.From, c.To = c.To, c.From
	c.Caught, c.Missed, c.Blocked, c.Passed = c.Missed, c.Caught, c.Passed, c.Blocked
	c.Worth = -c.Worth
	for _, g := range []*backtest.Gain{&c.AUC, &c.AP, &c.Recall} {
		g.From, g.To, g.Gain = g.To, g.From, -g.Gain
		if g.Interval != nil {
			g.Interval = &backtest.Interval{Low: -g.Interval.High, High: -g.Interval.Low}
		}
	}
	return c
}

func newVerdict(r *backtest.Report) verdict {
	if len(r.Candidates) == 0 {
		return verdict{Word: "Nothing was measured", Class: "unclear"}
	}
	main := &r.Candidates[0]
	opening := clean(main.Name) + " was run over " + plural(r.Period.Orders, "order", "orders") + " from " + stamp(r.Period.First) + " to " + stamp(r.Period.Last) + "; "
	if r.Period.Counted == 0 {
		return verdict{Word: "No figures yet", Class: "unclear", Lines: []string{opening + "none of them is old enough to count, so nothing can be said of how well it decides."}}
	}
	v := verdict{Lines: []string{opening + count(r.Period.Counted) + " of them count, among them " + plural(r.Period.Frauds, "fraud", "frauds") + "."}}
	c, compared := against(r)
	if compared {
		v.Word, v.Class = judged(c.AP)
		v.Rest = map[string]string{"Better": "than ", "Worse": "than ", "No clear difference": "from ", "Not comparable": "with "}[v.Word] + who(c.From)
		v.Lines = append(v.Lines, told(c.AP, v.Word, who(c.From), part(r)))
	} else {
		v.Word, v.Class = "Not compared", "unclear"
		v.Lines = append(v.Lines, "There is nothing to hold it against: its average precision is "+withInterval(main.AveragePrecision, main.APInterval, part(r))+".")
	}
	if best := slices.MaxFunc(r.Candidates, func(a, b backtest.Figures) int {
		return cmp.Compare(zeroed(a.AveragePrecision), zeroed(b.AveragePrecision))
	}); best.AveragePrecision > main.AveragePrecision {
		v.Lines = append(v.Lines, "Of the candidates, "+clean(best.Name)+" has the highest average precision, "+rate(float64(best.AveragePrecision))+".")
	}
	if !main.Caught.Missing() {
		v.Lines = append(v.Lines, "By its policy it would have reviewed or rejected frauds worth "+money(float64(main.Caught))+share(main.CaughtPart, " of fraud money")+
			" and rejected "+refused(main.Blocked)+".")
	}
	if compared && c.Compared > 0 {
		v.Lines = append(v.Lines, changed(c))
	}
	return v
}

func refused(worth backtest.Number) string {
	if worth == 0 {
		return "no honest orders"
	}
	return "honest orders worth " + money(float64(worth))
}

// judged says whether a gain is one: its interval, or for want of one nothing, must leave zero out.
func judged(g backtest.Gain) (word, class string) {
	switch {
	case g.Gain.Missing():
		return "Not comparable", "unclear"
	case g.Interval == nil || g.Interval.Low.Missing() || g.Interval.High.Missing():
		return "No clear difference", "unclear"
	case g.Interval.Low > 0:
		return "Better", "better"
	case g.Interval.High < 0:
		return "Worse", "worse"
	default:
		return "No clear difference", "unclear"
	}
}

func who(name string) string {
	if name == liveName {
		return "what was decided live"
	}
	return clean(name)
}

func told(g backtest.Gain, word, other, coverage string) string {
	if g.Gain.Missing() {
		return "Against " + other + " no difference in average precision could be had: one of the two has no scores for these orders."
	}
	figures := "average precision " + rate(float64(g.To)) + " instead of " + rate(float64(g.From)) + " (" + gainText(g)(float64(g.Gain))
	if g.Interval == nil {
		return "Against " + other + ", " + figures + "). There are no intervals, so it cannot be told whether that is more than chance."
	}
	figures += "; " + coverage + " interval " + between(g.Interval, gainText(g)) + ")."
	switch word {
	case "Better", "Worse":
		return "It ranks frauds " + map[string]string{"Better": "better", "Worse": "worse"}[word] + " than " + other + ": " + figures
	default:
		return "It cannot be told from " + other + " with this many frauds: " + figures
	}
}

// changed says what the other actions come to.
func changed(c backtest.Comparison) string {
	text := "It decides " + count(c.Flips) + " of " + plural(c.Compared, "order", "orders") + " (" + percent(float64(c.FlipsPart)) + ") otherwise than " + strings.TrimPrefix(who(c.From), "what ")
	if c.Flips == 0 {
		return text + "."
	}
	var parts []string
	for _, p := range []struct {
		of              backtest.Money
		one, many, what string
	}{
		{c.Caught, "fraud", "frauds", "newly stopped"},
		{c.Missed, "fraud", "frauds", "newly let through"},
		{c.Blocked, "honest order", "honest orders", "newly rejected"},
		{c.Passed, "honest order", "honest orders", "no longer rejected"},
	} {
		if p.of.Orders > 0 {
			parts = append(parts, counted(p.of, p.one, p.many)+" "+p.what)
		}
	}
	if len(parts) == 0 {
		return text + "."
	}
	return text + ": " + strings.Join(parts, ", ") + "."
}

func counted(m backtest.Money, one, many string) string {
	text := plural(m.Orders, one, many)
	if m.Amount.Missing() {
		return text
	}
	return text + " (worth " + money(float64(m.Amount)) + ")"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func share(n backtest.Number, of string) string {
	if n.Missing() {
		return ""
	}
	return " (" + percent(float64(n)) + of + ")"
}

// part names intervals by what they cover: 95 %.
func part(r *backtest.Report) string {
	if r.Method.Coverage.Missing() || r.Method.Coverage == 0 {
		return "95" + unitPercent
	}
	return short(math.Round(float64(r.Method.Coverage)*1000)/10) + unitPercent
}

func between(i *backtest.Interval, text func(float64) string) string {
	return text(float64(i.Low)) + " to " + text(float64(i.High))
}

func withInterval(n backtest.Number, i *backtest.Interval, coverage string) string {
	if i == nil || n.Missing() {
		return rate(float64(n))
	}
	return rate(float64(n)) + " (" + coverage + " interval " + between(i, rate) + ")"
}
