package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight = 960, 540
	plotLeft, plotRight   = 70, 150
	plotTop, plotBottom   = 60, 50
	innerWidth            = plotWidth - plotLeft - plotRight
	innerHeight           = plotHeight - plotTop - plotBottom
	legendLine            = 18
	pointsANine           = 24 // points of a line for each further 9
)

// colours of the lines, in the order of the stages: Okabe and Ito's palette, which is told apart by eyes that mix up red and green too.
func colours() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#888888"}
}

// plot is the frame that lines are drawn in.
type plot struct {
	strings.Builder
	low, high float64 // ms, powers of ten
	nines     float64 // the right edge is at 1 − 10^−nines
}

func (p *plot) x(q float64) float64 { return plotLeft + innerWidth*-math.Log10(1-q)/p.nines }

func (p *plot) y(ms float64) float64 {
	return plotTop + innerHeight*(1-math.Log10(ms/p.low)/math.Log10(p.high/p.low))
}

// Plot writes the stages' latencies by percentile as an SVG picture: to the right the share of orders that had their decision by then, on a scale of
// 1/(1−q), so that each further 9 is as wide; upwards milliseconds, on a logarithmic scale. A line ends where orders had no decision.
func Plot(w io.Writer, s *Setting, stages []*Result) error {
	p := plot{}
	p.fit(stages)
	fmt.Fprintf(&p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&p, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	p.text(plotLeft, 24, `font-size="15"`, "Latency by percentile, from when an order was due until its decision")
	p.text(plotLeft, 44, `fill="#555"`, s.Machine.CPU+", "+number(float64(s.Machine.Cores))+" cores · "+s.Began.UTC().Format(time.RFC3339)+" · "+s.Verdict)
	p.axes()
	for i, r := range stages {
		p.line(i, r)
	}
	p.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.String())
	return err
}

// fit finds the edges that hold all lines.
func (p *plot) fit(stages []*Result) {
	least, most, intended := math.Inf(1), 0.0, int64(100)
	for _, r := range stages {
		intended = max(intended, r.Intended)
		for _, o := range []float64{0, float64(r.Counts[Decided]) / math.Max(1, float64(r.Intended))} {
			if v := r.Quantile(o); v != Never {
				least, most = math.Min(least, millis(v)), math.Max(most, millis(v))
			}
		}
	}
	if most == 0 {
		least, most = 1, 10
	}
	p.low, p.high = math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
	if p.low >= p.high {
		p.high = 10 * p.low
	}
	p.nines = math.Ceil(math.Log10(float64(intended)))
}

func millis(d time.Duration) float64 { return math.Max(float64(d)/float64(time.Millisecond), 0.001) }

func (p *plot) axes() {
	for v := p.low; v < p.high*1.01; v *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if ms := v * step; ms < p.high*1.01 {
				p.rule(plotLeft, p.y(ms), plotLeft+innerWidth, p.y(ms))
				p.text(plotLeft-8, p.y(ms)+4, `text-anchor="end"`, number(math.Round(ms*1000)/1000))
			}
		}
	}
	p.text(14, plotTop-10, `fill="#555"`, "ms")
	for n := 0.0; n <= p.nines; n++ {
		q := 1 - math.Pow(10, -n)
		p.rule(p.x(q), plotTop, p.x(q), plotTop+innerHeight)
		p.text(p.x(q), plotTop+innerHeight+18, `text-anchor="middle"`, "p"+number(math.Round(100*q*1e6)/1e6))
	}
	half := p.x(0.5)
	p.rule(half, plotTop, half, plotTop+innerHeight)
	p.text(half, plotTop+innerHeight+18, `text-anchor="middle"`, "p50")
	p.text(plotLeft+innerWidth/2, plotTop+innerHeight+40, `text-anchor="middle" fill="#555"`, "share of the orders that were due")
}

func (p *plot) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(p, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x1, y1, x2, y2)
}

func (p *plot) text(x, y float64, attributes, text string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(text))
}

// line draws the i-th stage, and its name beside the frame.
func (p *plot) line(i int, r *Result) {
	colour, dashes := colours()[i%len(colours())], ""
	if i >= len(colours()) {
		dashes = ` stroke-dasharray="6 3"`
	}
	name := number(r.Stage.Rate) + "/s"
	if undecided := r.Intended - r.Counts[Decided]; undecided > 0 && r.Intended > 0 {
		name += fmt.Sprintf(" (%.2g %% undecided)", 100*float64(undecided)/float64(r.Intended))
	}
	var points strings.Builder
	end := math.Log10(math.Max(1, float64(r.Intended))) // the last order is at 1 − 1/n
	for step := 0.0; step <= math.Ceil(end*pointsANine); step++ {
		q := 1 - math.Pow(10, -math.Min(step/pointsANine, end))
		v := r.Quantile(q)
		if v == Never {
			break
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", p.x(q), p.y(millis(v)))
	}
	fmt.Fprintf(p, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="%s"/>`+"\n", colour, dashes, strings.TrimSpace(points.String()))
	y := float64(plotTop + 12 + legendLine*i)
	fmt.Fprintf(p, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s" stroke-width="2"%s/>`+"\n", plotLeft+innerWidth+10, y-4, plotLeft+innerWidth+28, y-4, colour, dashes)
	p.text(plotLeft+innerWidth+34, y, `fill="#222"`, name)
}

// Page writes the plot as an HTML page, with the setting and the stages below it. It loads nothing from elsewhere.
func Page(w io.Writer, s *Setting, stages []*Result) error {
	var picture, text strings.Builder
	if err := Plot(&picture, s, stages); err != nil {
		return err
	}
	s.Print(&text)
	Columns(&text)
	for _, r := range stages {
		r.Row(&text)
	}
	_, err := fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>verdict bench</title>
<style>body{font-family:system-ui,sans-serif;margin:2em auto;max-width:70em}pre{overflow:auto;font-size:12px}</style>
%s<pre>%s</pre></html>
`, picture.String(), html.EscapeString(text.String()))
	return err
}
