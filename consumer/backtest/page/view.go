package page

import (
	"slices"
	"strings"

	"verdict/consumer/backtest"
	"verdict/schemas"
)

// view is what the templates show: words, figures as text, and charts as paths. Every figure of it stands in the report.
type view struct {
	R            *backtest.Report
	Title        string
	Subjects     []subject
	Verdict      verdict
	Facts        []fact
	Gate         string // what was required of the report, "" for nothing
	Coverage     string // of intervals
	Figures      figures
	Gains        []gains
	Curves       []*chart
	Daily        []*chart
	AtK          *table
	Days         *table
	Money        []*chart
	Actions      []titled
	Calibration  []*chart
	Scores       []*chart
	Segments     []segment
	SegmentNames []option
	Flips        []flips
	Drift        drift
	Importance   []importance
	WhatIf       *whatIf
}

// fact is a line of the page's head.
type fact struct{ Name, Text string }

// titled is a table of one subject.
type titled struct {
	Subject, Title string
	Table          *table
}

// option is a line of a select.
type option struct{ Key, Name string }

func newView(r *backtest.Report) *view {
	all := subjects(r)
	v := &view{R: r, Subjects: all, Title: "Backtest"}
	if len(r.Candidates) > 0 {
		v.Title = "Backtest of " + clean(r.Candidates[0].Name)
	}
	v.Verdict = newVerdict(r)
	v.Facts = append(facts(r), versions(all)...)
	v.Coverage, v.Gate = part(r), clean(r.Provenance.Require)
	v.Figures = newFigures(r, all)
	v.Gains = newGains(r, all)
	v.Curves = []*chart{roc(r, all), precisionRecall(r, all)}
	v.Daily, v.AtK, v.Days = daily(r, all), atK(r, all), dayTable(r, all)
	v.Money = moneyCharts(r, all)
	v.Actions = actions(all)
	v.Calibration = calibration(all)
	v.Scores = scoreCharts(all)
	v.Segments, v.SegmentNames = newSegments(r, all)
	v.Flips = newFlips(r, all)
	v.Drift = newDrift(r, all)
	v.Importance = newImportance(all)
	v.WhatIf = newWhatIf(r, all)
	return v
}

func facts(r *backtest.Report) []fact {
	p := r.Period
	out := []fact{
		{"Period", stamp(p.First) + " to " + stamp(p.Last)},
		{"Orders", count(p.Orders) + " in all; " + count(p.Counted) + " count, on " + count(p.Days) + " days"},
		{"Frauds", count(p.Frauds) + " of those that count (" + percent(float64(p.BaseRate)) + ")"},
		{"Labels", percent(float64(p.LabelledPart)) + " of the orders that count have one; the others count as honest"},
	}
	if p.Immature > 0 || p.MatureDays > 0 {
		out = append(out, fact{"Left out as too young", count(p.Immature) + " (" + percent(float64(p.ImmaturePart)) + "): younger than " +
			short(float64(p.MatureDays)) + " days at the end of what is known, " + stamp(p.Known)})
	}
	if p.KnownCustomer > 0 {
		out = append(out, fact{"Left out as known", count(p.KnownCustomer) + " orders of customers whose fraud was known before"})
	}
	if p.Customers > 0 {
		out = append(out, fact{"Customers", count(p.Customers)})
	}
	if !p.Amount.Missing() && r.Method.Amount != "" {
		out = append(out, fact{"Amount", money(float64(p.Amount)) + ", of which fraud " + money(float64(p.FraudAmount)) + " (field " + clean(r.Method.Amount) + ")"})
	}
	for _, s := range []struct {
		name string
		from []string
	}{{"Orders from", r.Provenance.Orders}, {"Labels from", r.Provenance.Labels}, {"Live decisions from", r.Provenance.Live}} {
		if len(s.from) > 0 {
			out = append(out, fact{s.name, joined(s.from)})
		}
	}
	if r.Provenance.Digest != "" {
		out = append(out, fact{"Digest of all decisions", clean(r.Provenance.Digest)})
	}
	if r.Provenance.Program != "" {
		out = append(out, fact{"Made by", clean(r.Provenance.Program)})
	}
	return out
}

func joined(names []string) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == 20:
			return b.String() + " and " + count(len(names)-i) + " more"
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(clean(n))
	}
	return b.String()
}

// versions is a fact for each file that took part; what all have in common is told once.
func versions(all []subject) []fact {
	var out []fact
	var hashes []string
	for _, s := range all {
		for _, part := range []struct {
			what string
			of   schemas.Version
		}{{"Model", s.F.Model}, {"Features", s.F.Features}, {"Policy", s.F.Policy}} {
			if part.of.Name == "" {
				continue
			}
			f := fact{part.what + " of " + s.Name, clean(part.of.Name + "@" + part.of.Version)}
			hash := clean(part.of.Hash)
			if i := slices.IndexFunc(out, func(o fact) bool { return o.Text == f.Text && strings.HasPrefix(o.Name, part.what+" of ") }); i >= 0 && hashes[i] == hash {
				out[i].Name += ", " + s.Name
				continue
			}
			out, hashes = append(out, f), append(hashes, hash)
		}
	}
	for i := range out {
		if hashes[i] != "" {
			out[i].Text += ", hash " + hashes[i]
		}
	}
	return out
}
