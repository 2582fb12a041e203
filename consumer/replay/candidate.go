package replay

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"verdict/preprocess"
	"verdict/schemas"
	"verdict/scorer"
)

// Candidate is a model and a policy that decide the history: either alone, or both.
type Candidate struct {
	Model  *scorer.Bundle // nil: there are no scores
	Policy *scorer.Policy // nil: there are no actions

	scorer *scorer.Scorer
}

// NewCandidate returns the candidate that decides the vectors of a layout by a model and a policy, or why these do not belong together.
func NewCandidate(layout *schemas.Layout, model *scorer.Bundle, policy *scorer.Policy) (Candidate, error) {
	if model == nil && policy == nil {
		return Candidate{}, errors.New("a candidate needs a model or a policy")
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: model, Policy: policy})
	return Candidate{Model: model, Policy: policy, scorer: s}, err
}

// Name returns what people call the candidate: model@version+policy@version.
func (c *Candidate) Name() string {
	switch {
	case c.Model == nil:
		return c.Policy.Version().String()
	case c.Policy == nil:
		return c.Model.Version().String()
	default:
		return c.Model.Version().String() + "+" + c.Policy.Version().String()
	}
}

// decisionsFile returns the name of the file of the candidate at place i: the main one's is decisions.jsonl.
func decisionsFile(i int) string {
	if i == 0 {
		return "decisions.jsonl"
	}
	return fmt.Sprintf("decisions-%d.jsonl", i+1)
}

// judge is a candidate at work. The first one's decisions are the worker's own; all others decide the same vectors, beside it.
type judge struct {
	Candidate
	scribe // on the pen's goroutine

	place     int // among the candidates
	pen       *pen[decided]
	decisions []schemas.Decision // of a step, side by side with its cases
	err       error              // of a step

	// For a report.
	mute   bool        // the model cannot tell what its inputs contribute, or nobody asks
	inputs []int       // where they stand in the vectors
	row    []float64   // of one case
	shares [][]float64 // of a step, side by side with its cases: what each input contributed; nil of a case that is not in the sample
}

// step is what the judges are given of one step: the orders that are decided, without repeats.
type step struct {
	places    []int // in the worker's slices
	orders    []schemas.Order
	vectors   []schemas.FeatureVector
	decisions []schemas.Decision // of the main candidate, in the worker's slice: by places
}

// take fills the step with what the worker decided.
func (s *step) take(orders []preprocess.Arrived, extracted []preprocess.Extracted, decisions []schemas.Decision) {
	s.places, s.orders, s.vectors, s.decisions = s.places[:0], s.orders[:0], s.vectors[:0], decisions
	for i := range decisions {
		if !extracted[i].Repeat {
			s.places = append(s.places, i)
			s.orders, s.vectors = append(s.orders, orders[i].Order), append(s.vectors, extracted[i].Vector)
		}
	}
}

// decide has all judges decide the step, each on a goroutine of its own.
func (t *transport) decide() error {
	if len(t.judges) == 1 {
		return t.judges[0].work(&t.step, t.report != nil)
	}
	var all sync.WaitGroup
	for _, j := range t.judges {
		all.Go(func() { j.err = j.work(&t.step, t.report != nil) })
	}
	all.Wait()
	errs := make([]error, len(t.judges))
	for i, j := range t.judges {
		errs[i] = j.err
	}
	return errors.Join(errs...)
}

func (j *judge) work(s *step, explain bool) error {
	if err := j.decide(s); err != nil {
		return err
	}
	if explain {
		j.explain(s)
	}
	d := j.pen.blank()
	d.reset(len(s.orders))
	for i := range s.orders {
		d.take(j.decision(s, i))
	}
	j.pen.hand(d)
	return nil
}

// decide decides the step, which the worker has done for the first judge.
func (j *judge) decide(s *step) error {
	if j.place == 0 {
		return nil
	}
	j.decisions = slices.Grow(j.decisions[:0], len(s.orders))[:len(s.orders)]
	if err := j.scorer.Decide(s.orders, s.vectors, j.decisions); err != nil {
		return fmt.Errorf("deciding by %s: %w", j.Name(), err)
	}
	for i, place := range s.places {
		d, main := &j.decisions[i], &s.decisions[place]
		d.OrderID, d.OccurredAt, d.DecidedAt, d.Source, d.Content = main.OrderID, main.OccurredAt, main.DecidedAt, main.Source, main.Content
	}
	return nil
}

// decision returns the judge's decision of case i of the step.
func (j *judge) decision(s *step, i int) *schemas.Decision {
	if j.place == 0 {
		return &s.decisions[s.places[i]]
	}
	return &j.decisions[i]
}
