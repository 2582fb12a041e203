package scorer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// maxReasons is how many reasons a decision has at most.
const maxReasons = 3

// What a decision's Degraded names.
const (
	noFeatures = "features"
	noModel    = "model"
)

// Config is what a Scorer is made of.
type Config struct {
	Layout   *schemas.Layout // of the vectors; required
	Champion *Bundle         // nil scores nothing: for a policy of rules alone, or a replay
	Policy   *Policy         // nil decides nothing: decisions have scores and no action
}

// Scorer decides orders. It is safe for concurrent use.
type Scorer struct {
	layout   *schemas.Layout
	champion *Bundle
	policy   *Policy
	model    schemas.Version
	marks    marks
	missing  []float64 // what rules see of features that could not be had
	work     sync.Pool // of *work
}

// marks are the values of Degraded, shared by all decisions.
type marks struct{ features, model []string }

// work is what one call of Decide works in.
type work struct {
	vectors []schemas.FeatureVector // those that can be scored
	places  []int                   // of them in the call
	scores  []float64
	row     []float64 // one row, in the model's order
	shares  []float64
	reasons []schemas.Reason
	find    scratch
	in      expr.Input
}

// New checks that the model reads what preprocessing gives.
func New(cfg Config) (*Scorer, error) {
	if cfg.Layout == nil {
		return nil, errors.New("a scorer needs a feature set")
	}
	s := &Scorer{layout: cfg.Layout, champion: cfg.Champion, policy: cfg.Policy, marks: marks{features: []string{noFeatures}, model: []string{noModel}}}
	s.missing = slices.Repeat([]float64{math.NaN()}, len(cfg.Layout.Names))
	if cfg.Champion != nil {
		if err := cfg.Champion.fits(cfg.Layout); err != nil {
			return nil, err
		}
		s.model = cfg.Champion.Version()
	}
	if cfg.Policy != nil && !slices.Equal(cfg.Policy.features, cfg.Layout.Names) {
		return nil, fmt.Errorf("policy %s was read for other features than those of %s", cfg.Policy.Version(), cfg.Layout.Features)
	}
	if cfg.Champion == nil && cfg.Policy != nil {
		if err := cfg.Policy.withoutScore(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Policy returns what the scorer decides by; nil when it only scores.
func (s *Scorer) Policy() *Policy { return s.policy }

// Parts says what the scorer decides with, a line for each part.
func (s *Scorer) Parts() []string {
	var parts []string
	if b := s.champion; b != nil {
		parts = append(parts, fmt.Sprintf("model %s (%s): %d inputs of %s", b.version, b.version.Hash, len(b.layout.Names), b.features))
	}
	if p := s.policy; p != nil {
		parts = append(parts, fmt.Sprintf("policy %s (%s): %d rules, review from %s, reject from %s", p.version, p.version.Hash, len(p.rules), level(p.review), level(p.reject)))
	}
	return parts
}

// level returns a threshold as texts say it.
func level(threshold float64) string {
	if math.IsInf(threshold, 1) {
		return "no score"
	}
	return fmt.Sprint(threshold)
}

// Decide writes the decision for orders[i], whose features are vectors[i], to decisions[i]: all but OrderID, OccurredAt, DecidedAt, Source and Content,
// which the caller knows. A vector without values says that the features could not be had. The model is asked once for all orders. What cannot be
// scored is decided by the rules and on_degraded, and never approved. Its error means a caller's mistake, not an order's.
func (s *Scorer) Decide(orders []schemas.Order, vectors []schemas.FeatureVector, decisions []schemas.Decision) error {
	if len(vectors) != len(orders) || len(decisions) != len(orders) {
		return fmt.Errorf("%d orders, %d vectors and %d decisions: they belong together one by one", len(orders), len(vectors), len(decisions))
	}
	w, _ := s.work.Get().(*work)
	if w == nil {
		w = &work{}
	}
	defer s.release(w)
	if err := s.begin(w, vectors, decisions); err != nil {
		return err
	}
	s.score(w, decisions)
	for i := range orders {
		s.act(w, &orders[i], &vectors[i], &decisions[i])
		if decisions[i].Action != schemas.Approve {
			decisions[i].Reasons = s.reasons(w, &vectors[i], &decisions[i])
		}
	}
	return nil
}

// release gives the working memory back without what belongs to the caller.
func (s *Scorer) release(w *work) {
	clear(w.vectors)
	w.in = expr.Input{}
	s.work.Put(w)
}

// begin fills what does not depend on the score, and finds the vectors that can be scored.
func (s *Scorer) begin(w *work, vectors []schemas.FeatureVector, decisions []schemas.Decision) error {
	w.vectors, w.places = w.vectors[:0], w.places[:0]
	for i := range vectors {
		v, d := &vectors[i], &decisions[i]
		d.Action, d.Score, d.Model, d.Features = "", math.NaN(), s.model, s.layout.Features
		d.Policy, d.Reasons, d.Degraded, d.Challengers = schemas.PolicyVersion{}, nil, nil, nil
		d.Inputs = *v
		if v.Values == nil {
			d.Degraded = s.marks.features
			continue
		}
		if v.Layout != s.layout || len(v.Values) != len(s.layout.Names) {
			return fmt.Errorf("vector %d has %d values, or is not of feature set %s", i, len(v.Values), s.layout.Features)
		}
		w.vectors, w.places = append(w.vectors, *v), append(w.places, i)
	}
	return nil
}

// score asks the model. A model that fails, or gives no finite number, leaves its orders degraded.
func (s *Scorer) score(w *work, decisions []schemas.Decision) {
	if s.champion == nil {
		return
	}
	w.scores = slices.Grow(w.scores[:0], len(w.places))[:len(w.places)]
	err := s.champion.Predict(w.vectors, w.scores)
	for i, place := range w.places {
		d := &decisions[place]
		if err != nil || math.IsNaN(w.scores[i]) || math.IsInf(w.scores[i], 0) {
			d.Degraded = s.marks.model
			continue
		}
		d.Score = w.scores[i]
	}
}

// act applies the policy to one order.
func (s *Scorer) act(w *work, order *schemas.Order, vector *schemas.FeatureVector, d *schemas.Decision) {
	if s.policy == nil {
		return
	}
	d.Policy.Version = s.policy.version
	w.in = expr.Input{Fields: order.Fields, Features: vector.Values, Score: d.Score}
	if vector.Values == nil {
		w.in.Features = s.missing
	}
	d.Action, d.Policy.Rule = s.policy.decide(&w.in, len(d.Degraded) > 0)
}

// reasons returns the features that raised a score most. There are none when the model cannot tell.
func (s *Scorer) reasons(w *work, vector *schemas.FeatureVector, d *schemas.Decision) []schemas.Reason {
	if s.champion == nil || d.Action == "" || math.IsNaN(d.Score) {
		return nil
	}
	names := s.champion.layout.Names
	if err := s.champion.locate(&w.find, vector.Layout); err != nil {
		return nil
	}
	w.row, w.shares, w.reasons = w.row[:0], slices.Grow(w.shares[:0], len(names)+1)[:len(names)+1], w.reasons[:0]
	for _, place := range w.find.places {
		w.row = append(w.row, vector.Values[place])
	}
	if err := s.champion.engine.Contributions(w.row, w.shares); err != nil {
		return nil
	}
	for i, share := range w.shares[:len(names)] {
		if share > 0 {
			w.reasons = append(w.reasons, schemas.Reason{Feature: names[i], Value: w.row[i], Contribution: share})
		}
	}
	slices.SortStableFunc(w.reasons, func(a, b schemas.Reason) int {
		switch {
		case a.Contribution > b.Contribution:
			return -1
		case a.Contribution < b.Contribution:
			return 1
		default:
			return 0
		}
	})
	return slices.Clone(w.reasons[:min(maxReasons, len(w.reasons))])
}
