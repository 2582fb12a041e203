package page

import (
	"math"
	"slices"
	"strings"

	"verdict/consumer/backtest"
)

// A chart's drawing area in its own pixels. It is narrow, so that its letters can be read on a phone too.
const (
	chartWidth, chartHeight = 440, 300
	plotLeft, plotRight     = 54, 416
	plotTop, plotBottom     = 14, 250
	maxTicks                = 6
	maxDays, maxMonths      = 5, 4               // ticks of an axis of dates: 2 Apr, or Apr 2018
	months                  = 150 * 24 * 60 * 60 // seconds from which on ticks are months
	crowded                 = 30                 // points of a curve, above which they are drawn small
)

// kind says how an axis writes its values; the script knows the same words.
type kind string

const (
	rates    kind = "rate"
	percents kind = "percent"
	counts   kind = "count"
	amounts  kind = "money"
	dates    kind = "date"
)

// axis is one side of a chart: from Lo to Hi.
type axis struct {
	Label  string
	Kind   kind
	Lo, Hi float64
	Log    bool
	Ticks  []tick
}

type tick struct{ At, Text, Anchor string }

// line is one curve: a path of straight pieces. Subject is whose it is, for the switch of candidates.
type line struct {
	Name, Class, Subject string
	D                    string
	Band                 string // a closed path around what the curve may be; "" draws none
	Dots                 []dot
	Radius               int // of Dots
}

type dot struct{ X, Y, Text string }

// chart is drawn by the template "chart": an SVG, its legend, and the same in figures.
type chart struct {
	ID, Title, Note string
	About           string // what a screen reader says of it
	Subject         string // "": of all
	X, Y            axis
	Lines           []line
	Diagonal        string // a path to hold curves against, drawn faintly
	Marker          bool   // a line that the script moves to the chosen threshold
	Table           *table
}

// table is drawn by the template "table". The first column is words, the others are figures.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Words   bool // all columns are words
}

func (c *chart) x() scale {
	return scale{lo: c.X.Lo, hi: c.X.Hi, from: plotLeft, to: plotRight, log: c.X.Log}
}

func (c *chart) y() scale {
	return scale{lo: c.Y.Lo, hi: c.Y.Hi, from: plotBottom, to: plotTop, log: c.Y.Log}
}

// Drawn are the lines in the order in which they are drawn: the first comes last, and lies above the others.
func (c *chart) Drawn() []line {
	drawn := slices.Clone(c.Lines)
	slices.Reverse(drawn)
	return drawn
}

// lay sets the ticks of both axes, once their ends are known.
func (c *chart) lay() {
	c.X.lay(c.x())
	c.Y.lay(c.y())
}

func (a *axis) lay(s scale) {
	at := steps(a.Lo, a.Hi, maxTicks-1)
	switch {
	case a.Log:
		at = decades(a.Lo, a.Hi)
		for len(at) > maxTicks {
			at = everySecond(at)
		}
	case a.Kind == dates:
		n := maxDays
		if a.Hi-a.Lo > months {
			n = maxMonths
		}
		at = days(a.Lo, a.Hi, n)
	case a.Kind == counts && a.Hi < 2*maxTicks:
		at = steps(a.Lo, a.Hi, int(a.Hi))
	}
	a.Ticks = a.Ticks[:0]
	for _, v := range at {
		t := tick{At: px(s.at(v)), Text: a.text(v), Anchor: "middle"}
		if a.Kind == dates && s.at(v) > plotRight-20 {
			t.Anchor = "end" // it would reach beyond the drawing
		}
		a.Ticks = append(a.Ticks, t)
	}
}

func everySecond(at []float64) []float64 {
	var out []float64
	for i := 0; i < len(at); i += 2 {
		out = append(out, at[i])
	}
	return out
}

// text is a tick's.
func (a *axis) text(v float64) string {
	switch a.Kind {
	case percents:
		return short(math.Round(v*1e8)/1e6) + unitPercent
	case dates:
		if a.Hi-a.Lo > months {
			return month(v)
		}
		return day(v)
	default:
		return short(math.Round(v*1e9) / 1e9)
	}
}

// add draws a curve through points; a missing one interrupts it. With dots each point is marked, and text says what it is.
func (c *chart) add(l line, xs, ys []float64, dots func(i int) string) {
	x, y := c.x(), c.y()
	var d strings.Builder
	pen, last := "M", ""
	for i := range xs {
		if math.IsNaN(xs[i]) || math.IsNaN(ys[i]) {
			pen = "M"
			continue
		}
		at := px(x.at(xs[i])) + " " + px(y.at(ys[i]))
		if dots != nil {
			l.Dots = append(l.Dots, dot{px(x.at(xs[i])), px(y.at(ys[i])), dots(i)})
		}
		if at == last && pen == "L" {
			continue // no further than a tenth of a pixel
		}
		d.WriteString(pen)
		d.WriteString(at)
		pen, last = "L", at
	}
	if l.Radius = 3; len(l.Dots) > crowded {
		l.Radius = 2
	}
	l.D = d.String()
	if l.D != "" {
		c.Lines = append(c.Lines, l)
	}
}

// band returns a closed path around what lies between two heights at each place.
func (c *chart) band(all []backtest.Band) string {
	if len(all) < 2 {
		return ""
	}
	x, y := c.x(), c.y()
	var d strings.Builder
	pen := "M"
	at := func(b *backtest.Band, height backtest.Number) {
		d.WriteString(pen + px(x.at(float64(b.X))) + " " + px(y.at(float64(height))))
		pen = "L"
	}
	for i := range all {
		at(&all[i], all[i].High)
	}
	for i := range slices.Backward(all) {
		at(&all[i], all[i].Low)
	}
	d.WriteString("Z")
	return d.String()
}

// stairs turns values of bins, which begin at from and end at to, into the points of a staircase; where bins are left out it falls to zero.
func stairs(from, to, values []float64) (xs, ys []float64) {
	for i := range values {
		switch {
		case i == 0:
			xs, ys = append(xs, from[i]), append(ys, 0)
		case from[i] > to[i-1]:
			xs, ys = append(xs, to[i-1], from[i]), append(ys, 0, 0)
		}
		xs, ys = append(xs, from[i], to[i]), append(ys, values[i], values[i])
	}
	if len(values) > 0 {
		xs, ys = append(xs, to[len(to)-1]), append(ys, 0)
	}
	return xs, ys
}

// top is a round end for an axis on which the largest value is v.
func top(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	at := steps(0, v, maxTicks-1)
	step := at[len(at)-1] / float64(max(1, len(at)-1))
	return step * math.Ceil(v/step-1e-9)
}

// spread picks at most n of m indexes evenly, the first and the last among them.
func spread(m, n int) []int {
	if m <= n {
		n = m
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i
		if n > 1 {
			out[i] = i * (m - 1) / (n - 1)
		}
	}
	return out
}
