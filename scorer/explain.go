package scorer

import (
	"cmp"
	"math"
	"slices"

	"verdict/schemas"
)

// Explanation is a decision and what each input of its champion did to the raw score.
type Explanation struct {
	Decision schemas.Decision // without Challengers, and without what Decide leaves to its caller

	// Base is the raw score to which the contributions are added: what the model expects before it looks at an order. NaN when the model cannot tell.
	Base float64
	// Contributions are of all inputs, those that moved the score most first. They and Base add up to the raw score. Empty when the model cannot tell.
	Contributions []schemas.Reason
}

// Explain decides one order as Decide would, but asks no challenger, and tells what each input contributed. Its error means a caller's mistake.
func (s *Scorer) Explain(order *schemas.Order, vector *schemas.FeatureVector) (Explanation, error) {
	d := s.now.Load()
	w := d.borrow()
	defer d.release(w)
	e := Explanation{Base: math.NaN()}
	orders, vectors, decisions := []schemas.Order{*order}, []schemas.FeatureVector{*vector}, make([]schemas.Decision, 1)
	if err := d.begin(w, orders, vectors, decisions); err != nil {
		return Explanation{}, err
	}
	d.score(w, decisions)
	d.settle(w, w.by[0], &orders[0], &vectors[0], &decisions[0])
	e.Decision = decisions[0]
	names, ok := d.split(w, w.by[0], vector, &e.Decision)
	if !ok {
		return e, nil
	}
	e.Base = w.shares[len(names)]
	for i, share := range w.shares[:len(names)] {
		e.Contributions = append(e.Contributions, schemas.Reason{Feature: names[i], Value: w.row[i], Contribution: share})
	}
	slices.SortStableFunc(e.Contributions, func(a, b schemas.Reason) int {
		return cmp.Compare(math.Abs(b.Contribution), math.Abs(a.Contribution))
	})
	return e, nil
}
