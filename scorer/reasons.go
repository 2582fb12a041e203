package scorer

import (
	"cmp"
	"math"
	"slices"

	"verdict/schemas"
)

// maxReasons is how many reasons a decision has at most.
const maxReasons = 3

// reasons returns the features that raised the score of an order's champion most. There are none when the model cannot tell.
func (d *served) reasons(w *work, by int, vector *schemas.FeatureVector, to *schemas.Decision) []schemas.Reason {
	if to.Action == "" {
		return nil
	}
	names, ok := d.split(w, by, vector, to)
	if !ok {
		return nil
	}
	w.reasons = w.reasons[:0]
	for i, share := range w.shares[:len(names)] {
		if share > 0 {
			w.reasons = append(w.reasons, schemas.Reason{Feature: names[i], Value: w.row[i], Contribution: share})
		}
	}
	if len(w.reasons) == 0 {
		return nil // whatever working memory it had: Clone keeps the difference between nil and none
	}
	slices.SortStableFunc(w.reasons, func(a, b schemas.Reason) int { return cmp.Compare(b.Contribution, a.Contribution) })
	return slices.Clone(w.reasons[:min(maxReasons, len(w.reasons))])
}

// split splits an order's raw score among the inputs of its champion, whose names it returns: values in w.row, contributions and then the base in w.shares.
// False when the model cannot tell.
func (d *served) split(w *work, by int, vector *schemas.FeatureVector, to *schemas.Decision) ([]string, bool) {
	champion, find := d.champions[by], &w.asked[by].find
	if champion == nil || math.IsNaN(to.Score) {
		return nil, false
	}
	names := champion.layout.Names
	if err := champion.locate(find, vector.Layout); err != nil {
		return nil, false
	}
	w.row, w.shares = w.row[:0], slices.Grow(w.shares[:0], len(names)+1)[:len(names)+1]
	for _, place := range find.places {
		w.row = append(w.row, vector.Values[place])
	}
	if err := champion.engine.Contributions(w.row, w.shares); err != nil {
		return nil, false
	}
	return names, true
}
