package consumer

import (
	"math"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"verdict/schemas"
	"verdict/scorer"
)

// How a challenger's scores are held against its champions'.
const (
	driftWindow = 2000 // latest orders that are compared; PSI of two samples as large from one distribution is near 0.01
	driftEvery  = 500  // orders between two computations, and before the first
	driftBins   = 10   // of equally many of the champion's scores
)

// Challengers are the metrics of models that are asked beside the champion, and of which models, policy and feature set are at work. The label model is
// name@version of a bundle: as many as are served, since what is served no longer is forgotten.
type Challengers struct {
	serving    *prometheus.GaugeVec     // :: role, name, version, hash → 1
	difference *prometheus.HistogramVec // :: model; score less the champion's
	actions    *prometheus.CounterVec   // :: model, action (the decision's), challenger_action
	psi        *prometheus.GaugeVec     // :: model
	leftOut    *prometheus.CounterVec   // :: model, why: slow, busy, failed, no_score, unsure, away
	failures   *prometheus.CounterVec   // :: model; champions' too

	mu     sync.Mutex
	models map[string]bool   // guarded by mu :: model that is served → true
	drifts map[string]*drift // guarded by mu :: model → its latest scores; those that are served alone
}

func newChallengers(f promauto.Factory) *Challengers {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Namespace: "verdict", Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "verdict", Name: name, Help: help}, labels)
	}
	return &Challengers{
		serving: gauge("serving_info", "1 for each feature set, champion, challenger and policy at work.", "role", "name", "version", "hash"),
		difference: f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "verdict", Name: "challenger_score_difference", Help: "A challenger's score less the champion's, of one order.",
			Buckets: []float64{-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.001, 0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5},
		}, []string{"model"}),
		actions: counter("challenger_actions_total", "Orders by what was decided and what the policy would have made of the challenger's score.", "model", "action", "challenger_action"),
		psi: gauge("challenger_psi", "Population stability index of a challenger's scores against the champion's, over the latest 2,000 orders of both: "+
			"0 is the same distribution, above 0.25 another one.", "model"),
		leftOut:  counter("challenger_left_out_total", "Orders that a challenger did not score: slow, busy (with earlier ones), failed, no_score, unsure (its condition could not be evaluated), away (when it was loaded).", "model", "why"),
		failures: counter("model_failures_total", "Calls that a model, champion or challenger, answered with an error: its orders are degraded, or it is left out of them.", "model"),
		drifts:   make(map[string]*drift),
	}
}

// Serves notes what is decided with from now on. What was before and is no longer is forgotten.
func (c *Challengers) Serves(parts []scorer.Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving.Reset()
	drifts, models := make(map[string]*drift), make(map[string]bool)
	for _, p := range parts {
		models[p.Version.String()] = p.Role == "champion" || p.Role == "challenger" || models[p.Version.String()]
		c.serving.WithLabelValues(p.Role, p.Version.Name, p.Version.Version, p.Version.Hash).Set(1)
		if p.Role != "challenger" {
			continue
		}
		model := p.Version.String()
		if drifts[model] = c.drifts[model]; drifts[model] == nil || drifts[model].hash != p.Version.Hash {
			drifts[model] = &drift{hash: p.Version.Hash}
			c.psi.DeleteLabelValues(model)
		}
	}
	for model := range c.drifts {
		if drifts[model] != nil {
			continue
		}
		of := prometheus.Labels{"model": model}
		c.difference.DeletePartialMatch(of)
		c.actions.DeletePartialMatch(of)
		c.psi.DeletePartialMatch(of)
		c.leftOut.DeletePartialMatch(of)
	}
	for model := range c.models {
		if !models[model] {
			c.failures.DeleteLabelValues(model)
		}
	}
	c.drifts, c.models = drifts, models
}

// LeftOut counts orders that a challenger did not score.
func (c *Challengers) LeftOut(model schemas.Version, why string, orders int) {
	c.leftOut.WithLabelValues(model.String(), why).Add(float64(orders))
}

// Failed counts a call that a model answered with an error.
func (c *Challengers) Failed(model schemas.Version) { c.failures.WithLabelValues(model.String()).Inc() }

// compare holds the challengers of a decision against it. One that is served no longer is passed over.
func (c *Challengers) compare(d *schemas.Decision) {
	if len(d.Challengers) == 0 || math.IsNaN(d.Score) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range d.Challengers {
		by := &d.Challengers[i]
		model := by.Name + "@" + by.Version
		drift := c.drifts[model]
		if drift == nil {
			continue
		}
		c.difference.WithLabelValues(model).Observe(by.Score - d.Score)
		if by.Action != "" && d.Action != "" {
			c.actions.WithLabelValues(model, string(d.Action), string(by.Action)).Inc()
		}
		if psi, ok := drift.add(d.Score, by.Score); ok {
			c.psi.WithLabelValues(model).Set(psi)
		}
	}
}

// drift keeps the latest scores of a champion and a challenger, in rings.
type drift struct {
	hash                 string // of the challenger's bundle
	champion, challenger []float64
	next, fresh          int       // place in the rings; orders since the last computation
	sorted               []float64 // reused
}

// add keeps the scores of one order, and returns the population stability index when it is time for one.
func (r *drift) add(champion, challenger float64) (float64, bool) {
	if len(r.champion) < driftWindow {
		r.champion, r.challenger = append(r.champion, champion), append(r.challenger, challenger)
	} else {
		r.champion[r.next], r.challenger[r.next] = champion, challenger
		r.next = (r.next + 1) % driftWindow
	}
	if r.fresh++; r.fresh < driftEvery {
		return 0, false
	}
	r.fresh = 0
	return r.index(), true
}

// index is Σ (q − p) · ln(q / p) over bins that divide the champion's scores evenly, p and q being the parts of the champion's and of the challenger's scores
// in a bin. Half an order is added to each bin, so that an empty one gives a number. Equal scores share a bin: of few different ones there are fewer bins.
func (r *drift) index() float64 {
	n := len(r.champion)
	r.sorted = append(r.sorted[:0], r.champion...)
	slices.Sort(r.sorted)
	edges := make([]float64, 0, driftBins) // a bin holds what is above its lower edge, and its upper edge
	for i := 1; i < driftBins; i++ {
		if edge := r.sorted[i*n/driftBins-1]; edge < r.sorted[n-1] {
			edges = append(edges, edge)
		}
	}
	edges = slices.Compact(edges)
	p, q := make([]float64, len(edges)+1), make([]float64, len(edges)+1)
	for i := range n {
		p[binOf(edges, r.champion[i])]++
		q[binOf(edges, r.challenger[i])]++
	}
	index, all := 0.0, float64(n)+0.5*float64(len(p))
	for i := range p {
		a, b := (p[i]+0.5)/all, (q[i]+0.5)/all
		index += (b - a) * math.Log(b/a)
	}
	return index
}

func binOf(edges []float64, x float64) int {
	at, _ := slices.BinarySearch(edges, x)
	return at
}
