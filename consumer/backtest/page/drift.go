package page

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"verdict/consumer/backtest"
)

// The usual reading of the index: below the first nothing moved, above the second much did.
const (
	psiSome = 0.1
	psiMuch = 0.25

	driftFeatures    = 60  // that are shown, those that moved most first
	importantOnes    = 25  // features of an importance table
	sparkWidth       = 120 // pixels
	sparkHeight      = 20
	sparkWeeksNeeded = 2
)

// drift is how scores and features moved from week to week.
type drift struct {
	Base     string // the week that others are held against
	Chart    *chart // of scores
	Rows     []driftRow
	LeftOut  int
	Weeks    *table // every figure of the rows
	Smallest string // weeks with fewer orders are not in the maxima
}

type driftRow struct {
	Name, Max, When, Missing string
	Score                    bool
	Word, Class              string
	Spark                    string // a path of the index by week, psiMuch being at half height
}

func newDrift(r *backtest.Report, all []subject) drift {
	d := r.Drift
	if d.Base < 0 || d.Base >= len(d.Weeks) {
		return drift{}
	}
	out := drift{Base: d.Weeks[d.Base].Start, Smallest: "1,000"}
	out.Chart = scoreDrift(d, all)
	features := slices.Clone(d.Features)
	slices.SortStableFunc(features, func(a, b backtest.FeatureDrift) int {
		return cmp.Or(cmp.Compare(zeroed(b.Max), zeroed(a.Max)), cmp.Compare(most(b.PSI), most(a.PSI)))
	})
	if len(features) > driftFeatures {
		out.LeftOut, features = len(features)-driftFeatures, features[:driftFeatures]
	}
	out.Weeks = &table{Caption: "Index by week", Head: []string{"Week of"}}
	for i := range d.Scores {
		row := driftRowOf(d, &d.Scores[i])
		row.Name, row.Score = "score of "+row.Name, true
		out.Rows = append(out.Rows, row)
	}
	for i := range features {
		out.Rows = append(out.Rows, driftRowOf(d, &features[i]))
	}
	for _, row := range out.Rows {
		out.Weeks.Head = append(out.Weeks.Head, row.Name)
	}
	for w, week := range d.Weeks {
		cells := []string{week.Start}
		for _, list := range [][]backtest.FeatureDrift{d.Scores, features} {
			for i := range list {
				cells = append(cells, rate(pick(list[i].PSI, w)))
			}
		}
		out.Weeks.Rows = append(out.Weeks.Rows, cells)
	}
	return out
}

func zeroed(n backtest.Number) float64 {
	if n.Missing() {
		return -1
	}
	return float64(n)
}

func driftRowOf(d backtest.Drift, f *backtest.FeatureDrift) driftRow {
	row := driftRow{Name: clean(f.Name), Max: rate(float64(f.Max)), When: missing, Missing: missing}
	switch moved := float64(f.Max); {
	case math.IsNaN(moved):
		row.Word = "too few orders"
	case moved >= psiMuch:
		row.Word, row.Class = "much", "worse"
	case moved >= psiSome:
		row.Word, row.Class = "some", "unclear"
	default:
		row.Word, row.Class = "little", "better"
	}
	var path strings.Builder
	pen := "M"
	for w := range d.Weeks {
		psi := pick(f.PSI, w)
		if psi == float64(f.Max) && !d.Weeks[w].Small {
			row.When = d.Weeks[w].Start
		}
		if math.IsNaN(psi) {
			pen = "M"
			continue
		}
		x := scale{hi: float64(max(1, len(d.Weeks)-1)), from: 1, to: sparkWidth - 1}
		y := scale{hi: 2 * psiMuch, from: sparkHeight - 1, to: 1}
		path.WriteString(pen + px(x.at(float64(w))) + " " + px(y.at(min(psi, 2*psiMuch))))
		pen = "L"
	}
	if len(d.Weeks) >= sparkWeeksNeeded {
		row.Spark = path.String()
	}
	row.Missing = percent(most(f.Missing))
	return row
}

// most is the largest of some figures, missing when all are.
func most(of []backtest.Number) float64 {
	out := math.NaN()
	for _, n := range of {
		if v := float64(n); math.IsNaN(out) || v > out {
			out = v
		}
	}
	return out
}

// scoreDrift is the chart of the scores' index by week; nil below two weeks.
func scoreDrift(d backtest.Drift, all []subject) *chart {
	if len(d.Weeks) < sparkWeeksNeeded {
		return nil
	}
	highest := psiMuch
	var xs []float64
	for _, week := range d.Weeks {
		xs = append(xs, unix(week.Start))
	}
	for i := range d.Scores {
		if psi := most(d.Scores[i].PSI); psi > highest {
			highest = psi
		}
	}
	c := &chart{
		ID: "drift", Title: "Drift of scores by week", About: "Population stability index of the scores of each week.",
		X: axis{Label: "Week of", Kind: dates}, Y: axis{Label: "Index (PSI)", Kind: rates, Hi: top(highest)},
		Note: "The faint line is 0.25, above which a distribution is usually said to have moved much.",
	}
	c.X.Lo, c.X.Hi = apart(slices.Min(xs), slices.Max(xs))
	c.lay()
	at := px(c.y().at(psiMuch))
	c.Diagonal = "M" + px(plotLeft) + " " + at + "L" + px(plotRight) + " " + at
	for i := range d.Scores {
		if i >= len(all) || all[i].Live {
			break
		}
		ys := make([]float64, len(xs))
		for w := range ys {
			ys[w] = pick(d.Scores[i].PSI, w)
		}
		c.add(line{Name: all[i].Name, Class: all[i].Class, Subject: all[i].Key}, xs, ys, func(w int) string { return "week of " + d.Weeks[w].Start + ": " + rate(ys[w]) })
	}
	return c
}

// importance is one candidate's table.
type importance struct {
	Subject, Title, Class string
	Explained             string
	Rows                  []importanceRow
	LeftOut               int
}

type importanceRow struct{ Feature, Mean, Part, Bar string }

func newImportance(all []subject) []importance {
	var out []importance
	for _, s := range all {
		list := s.F.Importance
		if len(list) == 0 {
			continue
		}
		t := importance{Subject: s.Key, Title: s.Name, Class: s.Class, Explained: count(s.F.Explained)}
		if len(list) > importantOnes {
			t.LeftOut, list = len(list)-importantOnes, list[:importantOnes]
		}
		most := float64(list[0].Mean)
		for _, f := range list {
			row := importanceRow{Feature: clean(f.Feature), Mean: score(f.Mean), Part: percent(float64(f.Part))}
			if most > 0 {
				row.Bar = px(100 * float64(f.Mean) / most)
			}
			t.Rows = append(t.Rows, row)
		}
		out = append(out, t)
	}
	return out
}
