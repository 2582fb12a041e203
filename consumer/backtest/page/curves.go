package page

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"verdict/consumer/backtest"
)

const (
	tablePoints = 21  // of a curve in its table
	manyCurves  = 400 // points of a chart's curves at six subjects; with more of them each has fewer, so that the page stays small
)

// curvePoints picks the points that are drawn of a curve.
func curvePoints(points []backtest.Point, subjects int) (xs, ys []float64) {
	for _, i := range spread(len(points), max(60, min(manyCurves, 6*manyCurves/max(1, subjects)))) {
		xs, ys = append(xs, float64(points[i].X)), append(ys, float64(points[i].Y))
	}
	return xs, ys
}

func roc(r *backtest.Report, all []subject) *chart {
	c := &chart{
		ID: "roc", Title: "ROC curve", About: "Share of frauds found against share of honest orders flagged, over all thresholds.",
		X: axis{Label: "Honest orders flagged", Kind: percents, Hi: 1}, Y: axis{Label: "Frauds found", Kind: percents, Hi: 1},
		Diagonal: "M" + strconv.Itoa(plotLeft) + " " + strconv.Itoa(plotBottom) + "L" + strconv.Itoa(plotRight) + " " + strconv.Itoa(plotTop),
	}
	c.Note = "The faint line is what chance would find." + bands(r, all)
	c.lay()
	c.Table = &table{Caption: "ROC curve in figures", Head: []string{"Candidate", "Score at or above", "Honest orders flagged", "Frauds found"}}
	for _, s := range all {
		xs, ys := curvePoints(s.F.ROC, len(all))
		c.add(line{Name: s.Name + ", AUC " + rate(float64(s.F.AUC)), Class: s.Class, Subject: s.Key, Band: c.band(s.F.ROCBand)}, xs, ys, nil)
		c.Table.points(s, s.F.ROC)
	}
	return c
}

// bands says what the shaded bands are, if there are any.
func bands(r *backtest.Report, all []subject) string {
	for _, s := range all {
		if len(s.F.ROCBand) > 1 || len(s.F.PRBand) > 1 {
			return " Shaded: the " + part(r) + " interval at each place."
		}
	}
	return ""
}

func (t *table) points(s subject, points []backtest.Point) {
	for _, i := range spread(len(points), tablePoints) {
		p := points[i]
		t.Rows = append(t.Rows, []string{s.Name, score(p.Score), percent(float64(p.X)), percent(float64(p.Y))})
	}
}

// score is a score in four significant digits.
func score(n backtest.Number) string {
	if n.Missing() {
		return missing
	}
	return grouped(strconv.FormatFloat(float64(n), 'g', 4, 64))
}

func precisionRecall(r *backtest.Report, all []subject) *chart {
	c := &chart{
		ID: "pr", Title: "Precision and recall", About: "Share of frauds among what is flagged against share of frauds found, over all thresholds.",
		X: axis{Label: "Frauds found (recall)", Kind: percents, Hi: 1}, Y: axis{Label: "Frauds among the flagged (precision)", Kind: percents, Hi: 1},
	}
	if base := float64(r.Period.BaseRate); base > 0 {
		at := px(c.y().at(base))
		c.Diagonal = "M" + strconv.Itoa(plotLeft) + " " + at + "L" + strconv.Itoa(plotRight) + " " + at
		c.Note = "The faint line is what chance would reach: " + percent(base) + "."
	}
	c.Note += bands(r, all)
	c.lay()
	c.Table = &table{Caption: "Precision and recall in figures", Head: []string{"Candidate", "Score at or above", "Frauds found", "Frauds among the flagged"}}
	for _, s := range all {
		xs, ys := curvePoints(s.F.PR, len(all))
		c.add(line{Name: s.Name + ", AP " + rate(float64(s.F.AveragePrecision)), Class: s.Class, Subject: s.Key, Band: c.band(s.F.PRBand)}, xs, ys, nil)
		c.Table.points(s, s.F.PR)
	}
	return c
}

const manyDays = 60 // from more on, charts by day show means of seven days

// daily are the charts of precision at k by day, of orders and of customers, for the headline's k (100, or the first).
func daily(r *backtest.Report, all []subject) []*chart {
	k := mainK(r)
	if k < 0 {
		return nil
	}
	at := count(r.Method.TopK[k])
	var out []*chart
	for _, kind := range []struct {
		id, title, about string
		of               func(d backtest.Day) []backtest.Number
	}{
		{"day-orders", "Precision at " + at + " by day", "orders", func(d backtest.Day) []backtest.Number { return d.Precision }},
		{"day-customers", "Customer precision at " + at + " by day", "distinct customers, found once", func(d backtest.Day) []backtest.Number { return d.Card }},
	} {
		c := &chart{
			ID: kind.id, Title: kind.title, About: "Share of frauds among the " + at + " highest scores of each day: " + kind.about + ".",
			X: axis{Label: "Day", Kind: dates}, Y: axis{Label: "Frauds among the " + at, Kind: percents},
		}
		c.X.Lo, c.X.Hi = dayEnds(all)
		highest, weekly := 0.0, false
		xs, ys := make([][]float64, len(all)), make([][]float64, len(all))
		for i, s := range all {
			xs[i], ys[i], weekly = byDay(s.F.Days, func(d backtest.Day) float64 { return pick(kind.of(d), k) }, c.X.Lo)
			for _, y := range ys[i] {
				if y > highest {
					highest = y
				}
			}
		}
		if weekly {
			c.Note = "Each point is the mean of seven days, drawn at the first of them; the table has every day."
		}
		c.Y.Hi = min(1, top(highest))
		c.lay()
		for i, s := range all {
			c.add(line{Name: s.Name, Class: s.Class, Subject: s.Key}, xs[i], ys[i], func(n int) string { return day(xs[i][n]) + ": " + percent(ys[i][n]) })
		}
		if len(c.Lines) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// byDay are points of days, or where they are many, of each seven days from first on.
func byDay(list []backtest.Day, of func(backtest.Day) float64, first float64) (xs, ys []float64, weekly bool) {
	const week = 7 * 24 * 60 * 60
	weekly = len(list) > manyDays
	n := 0.0
	for _, d := range list {
		at, y := unix(d.Day), of(d)
		if weekly && math.IsNaN(y) {
			continue
		}
		if weekly {
			at = first + week*math.Floor((at-first)/week)
		}
		if last := len(xs) - 1; weekly && last >= 0 && xs[last] == at {
			n++
			ys[last] += (y - ys[last]) / n
			continue
		}
		xs, ys, n = append(xs, at), append(ys, y), 1
	}
	return xs, ys, weekly
}

// mainK is the index of the headline's k, -1 without any.
func mainK(r *backtest.Report) int {
	for i, k := range r.Method.TopK {
		if k == 100 {
			return i
		}
	}
	return min(0, len(r.Method.TopK)-1)
}

func pick(values []backtest.Number, i int) float64 {
	if i >= len(values) {
		return math.NaN()
	}
	return float64(values[i])
}

func unix(date string) float64 {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return math.NaN()
	}
	return float64(t.Unix())
}

// dayEnds are the first and the last day of all, never the same.
func dayEnds(all []subject) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range all {
		for _, d := range s.F.Days {
			if at := unix(d.Day); !math.IsNaN(at) {
				lo, hi = min(lo, at), max(hi, at)
			}
		}
	}
	return apart(lo, hi)
}

// apart are two times at least a day apart, whatever they were.
func apart(lo, hi float64) (from, to float64) {
	const day = 24 * 60 * 60
	switch {
	case lo > hi:
		return 0, day
	case lo == hi:
		return lo - day, hi + day
	}
	return lo, hi
}

func atK(r *backtest.Report, all []subject) *table {
	t := &table{Caption: "Precision at k, mean of days", Head: []string{"Candidate", "k", "Of orders", part(r) + " interval", "Of customers", part(r) + " interval", "Of customers, a perfect score"}}
	for _, s := range all {
		for _, a := range s.F.AtK {
			t.Rows = append(t.Rows, []string{s.Name, count(a.K), rate(float64(a.Precision)), interval(a.Interval), rate(float64(a.Card)), interval(a.CardInterval), rate(float64(a.Perfect))})
		}
	}
	return t
}

func interval(i *backtest.Interval) string {
	if i == nil || i.Low.Missing() {
		return missing
	}
	return between(i, rate)
}

// dayTable is a row a day, with columns of each subject.
func dayTable(r *backtest.Report, all []subject) *table {
	k := mainK(r)
	if k < 0 {
		return nil
	}
	t := &table{Caption: "By day: precision at " + count(r.Method.TopK[k]) + ", of orders and of customers", Head: []string{"Day", "Orders", "Frauds"}}
	rows := map[string][]string{}
	for i, s := range all {
		t.Head = append(t.Head, "Orders, "+s.Name, "Customers, "+s.Name)
		for _, d := range s.F.Days {
			row := rows[d.Day]
			if row == nil {
				row = []string{d.Day, count(d.Orders), count(d.Frauds)}
			}
			for len(row) < 3+2*i {
				row = append(row, missing)
			}
			rows[d.Day] = append(row, rate(pick(d.Precision, k)), rate(pick(d.Card, k)))
		}
	}
	for _, day := range slices.Sorted(maps.Keys(rows)) {
		row := rows[day]
		for len(row) < len(t.Head) {
			row = append(row, missing)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func calibration(all []subject) []*chart {
	c := &chart{
		ID: "calibration", Title: "Calibration", About: "Share of frauds against mean score, in ten ranges of scores of equal width.",
		X: axis{Label: "Mean score", Kind: rates, Hi: 1}, Y: axis{Label: "Frauds", Kind: percents, Hi: 1},
		Diagonal: "M" + strconv.Itoa(plotLeft) + " " + strconv.Itoa(plotBottom) + "L" + strconv.Itoa(plotRight) + " " + strconv.Itoa(plotTop),
		Note:     "On the faint line a score of 0.3 means that three of ten such orders are frauds.",
	}
	c.lay()
	c.Table = &table{Caption: "Calibration in figures", Head: []string{"Candidate", "Scores", "Orders", "Mean score", "Frauds"}}
	for _, s := range all {
		c.bins(s, s.F.Calibration)
	}
	q := &chart{
		ID: "calibration-quantiles", Title: "Calibration by tenths of orders", About: "Share of frauds against mean score, in ten ranges that hold equally many orders. Both axes are logarithmic.",
		X: axis{Label: "Mean score (log)", Kind: rates, Lo: 1e-4, Hi: 1, Log: true}, Y: axis{Label: "Frauds (log)", Kind: percents, Lo: 1e-4, Hi: 1, Log: true},
		Diagonal: c.Diagonal, Note: "Logarithmic: here the many low scores can be told apart. Shares below 0.01" + unitPercent + " are drawn at it.",
	}
	q.lay()
	q.Table = &table{Caption: "Calibration by tenths in figures", Head: c.Table.Head}
	for _, s := range all {
		q.bins(s, s.F.Quantiles)
	}
	if len(c.Lines) == 0 {
		return nil
	}
	return []*chart{c, q}
}

func (c *chart) bins(s subject, bins []backtest.Bin) {
	var xs, ys []float64
	for _, b := range bins {
		xs, ys = append(xs, float64(b.Score)), append(ys, float64(b.Fraud))
		c.Table.Rows = append(c.Table.Rows, []string{s.Name, score(b.From) + " to " + score(b.To), count(b.N), score(b.Score), percent(float64(b.Fraud))})
	}
	c.add(line{Name: s.Name, Class: s.Class, Subject: s.Key}, xs, ys, func(i int) string {
		return "mean score " + score(bins[i].Score) + ": " + percent(ys[i]) + " frauds of " + count(bins[i].N) + " orders"
	})
}

// scoreCharts are histograms of scores, one for each subject.
func scoreCharts(all []subject) []*chart {
	var out []*chart
	for _, s := range all {
		bins := s.F.Scores
		if len(bins) == 0 {
			continue
		}
		most := 1
		t := &table{Caption: "Scores of " + s.Name, Head: []string{"Scores", "Honest", "Fraud", "Not counted"}}
		from, to := make([]float64, len(bins)), make([]float64, len(bins))
		classes := []struct {
			name, class string
			values      []float64
		}{{"Honest", "honest", nil}, {"Fraud", "fraud", nil}, {"Not counted", "unknown", nil}}
		for i, b := range bins {
			from[i], to[i] = float64(b.From), float64(b.To)
			for j, n := range []int{b.Honest, b.Fraud, b.Unknown} {
				classes[j].values = append(classes[j].values, float64(n))
				most = max(most, n)
			}
			if b.Honest+b.Fraud+b.Unknown > 0 {
				t.Rows = append(t.Rows, []string{score(b.From) + " to " + score(b.To), count(b.Honest), count(b.Fraud), count(b.Unknown)})
			}
		}
		lo, hi := from[0], to[len(to)-1]
		if !(hi > lo) {
			hi = lo + 1
		}
		c := &chart{
			ID: "scores-" + s.Key, Title: "Scores of " + s.Name, Subject: s.Key, About: "How many orders have which score, honest ones and frauds. The vertical axis is logarithmic.",
			X: axis{Label: "Score", Kind: rates, Lo: lo, Hi: hi}, Y: axis{Label: "Orders (log)", Kind: counts, Lo: 0.5, Hi: math.Pow(10, math.Ceil(math.Log10(float64(most)+1))), Log: true},
			Table: t,
		}
		c.lay()
		for _, class := range classes {
			if anyOver(class.values, 0) {
				xs, ys := stairs(from, to, class.values)
				c.add(line{Name: class.name, Class: class.class}, xs, ys, nil)
			}
		}
		out = append(out, c)
	}
	return out
}

func anyOver(values []float64, limit float64) bool {
	for _, v := range values {
		if v > limit {
			return true
		}
	}
	return false
}
