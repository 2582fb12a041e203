package page

import (
	"strconv"

	"verdict/consumer/backtest"
)

// segment is one field's breakdown: a table for each subject.
type segment struct {
	Field  string
	Tables []segmentTable
}

type segmentTable struct {
	Subject, Title, Class string
	Rows                  []segmentRow
	Flips                 bool // rows have them
}

// segmentRow is one value's. Key is that of its option in the switch.
type segmentRow struct {
	Key, Value     string
	Words          bool // Value is ours (no value, all others), not the order's
	Orders, Frauds string
	BaseRate       string
	AP, AUC        string
	Bar            string // AP in percent of the bar's width
	Recall, Caught string
	Blocked, Flips string
}

// newSegments returns the tables, and the options of the switch, which are the same values.
func newSegments(r *backtest.Report, all []subject) ([]segment, []option) {
	var out []segment
	var names []option
	for f := range r.Segments {
		s := segment{Field: clean(r.Segments[f].Field)}
		for v := range r.Segments[f].Values {
			value, _ := valueName(&r.Segments[f].Values[v])
			names = append(names, option{segmentKey(f, v), s.Field + " = " + value})
		}
		for i, who := range all {
			t := segmentTable{Subject: who.Key, Title: who.Name, Class: who.Class}
			for v := range r.Segments[f].Values {
				value := &r.Segments[f].Values[v]
				if row, ok := segmentRowOf(value, i, who.Live); ok {
					row.Key = segmentKey(f, v)
					row.Flips = flipsOf(r, value, i, who)
					t.Flips = t.Flips || row.Flips != ""
					t.Rows = append(t.Rows, row)
				}
			}
			if len(t.Rows) > 0 {
				s.Tables = append(s.Tables, t)
			}
		}
		if len(s.Tables) > 0 {
			out = append(out, s)
		}
	}
	return out, names
}

func segmentKey(field, value int) string { return strconv.Itoa(field) + "." + strconv.Itoa(value) }

// valueName is what a segment is called, and whether those are our words.
func valueName(v *backtest.SegmentValue) (name string, ours bool) {
	switch {
	case v.Rest:
		return "all others", true
	case v.Value == "":
		return "no value", true
	default:
		return clean(v.Value), false
	}
}

func segmentRowOf(v *backtest.SegmentValue, i int, live bool) (segmentRow, bool) {
	figures := v.Live
	if !live {
		if i >= len(v.Candidates) {
			return segmentRow{}, false
		}
		figures = &v.Candidates[i]
	}
	if figures == nil {
		return segmentRow{}, false
	}
	row := segmentRow{
		Orders: count(v.Orders), Frauds: count(v.Frauds), BaseRate: percent(float64(v.BaseRate)),
		AP: rate(float64(figures.AveragePrecision)), AUC: rate(float64(figures.AUC)), Recall: rate(float64(figures.Recall)),
		Caught: percent(float64(figures.CaughtPart)), Blocked: money(float64(figures.Blocked)),
	}
	if !figures.AveragePrecision.Missing() {
		row.Bar = px(float64(figures.AveragePrecision) * 100)
	}
	row.Value, row.Words = valueName(v)
	return row, true
}

// flipsOf is the share of orders of a value that a candidate decides otherwise than live, or than the main candidate: by the first comparison of the two.
func flipsOf(r *backtest.Report, v *backtest.SegmentValue, i int, who subject) string {
	if who.Live {
		return ""
	}
	base := liveName
	if r.Live == nil {
		base = r.Candidates[0].Name
	}
	for c := range min(len(v.Flips), len(r.Comparisons)) {
		pair := r.Comparisons[c]
		if name := r.Candidates[i].Name; pair.To == name && pair.From == base || pair.From == name && pair.To == base {
			return percent(float64(v.Flips[c].Part))
		}
	}
	return ""
}
