package scorer

import (
	"errors"
	"fmt"
	"math"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// costs choose the action of least expected cost. With p, the score, as the probability of fraud, they expect
//
//	approve  p · chargeback      a fraud goes through
//	review   review              whoever looks at the order sees what it is
//	reject   (1 − p) · lostSale  an honest order is turned away
//
// and of equal costs the milder action is taken.
type costs struct {
	chargeback, review, lostSale amount
	reviews                      bool // review may be chosen; without a cost of it nobody reviews
}

// amount is a number of the policy or, for each order, of an expression.
type amount struct {
	fixed float64
	of    *expr.Program // nil: fixed
}

// at returns the amount for an order; NaN, which is no cost, where it is missing or below 0.
func (a *amount) at(in *expr.Input) float64 {
	x := a.fixed
	if a.of != nil {
		x = a.of.Number(in)
	}
	if x < 0 {
		return math.NaN()
	}
	return x
}

// choose returns the action for an order with a score. It is false when a cost cannot be had, or the score is no probability.
func (c *costs) choose(in *expr.Input) (schemas.Action, bool) {
	p := in.Score
	approve, reject := p*c.chargeback.at(in), (1-p)*c.lostSale.at(in)
	if !(p >= 0 && p <= 1) || math.IsNaN(approve) || math.IsNaN(reject) {
		return "", false
	}
	best, least := schemas.Approve, approve
	if c.reviews {
		review := c.review.at(in)
		if math.IsNaN(review) {
			return "", false
		}
		if review < least {
			best, least = schemas.Review, review
		}
	}
	if reject < least {
		best = schemas.Reject
	}
	return best, true
}

// HasCosts says whether the policy chooses the action of least expected cost.
func (p *Policy) HasCosts() bool { return p.cost != nil }

// Thresholds returns from which scores on orders are reviewed and rejected; nil is no such threshold.
func (p *Policy) Thresholds() (review, reject *float64) {
	if at := p.review; !math.IsInf(at, 1) {
		review = &at
	}
	if at := p.reject; !math.IsInf(at, 1) {
		reject = &at
	}
	return review, reject
}

// Costs returns what the policy expects a mistake with an order to cost: a fraud that is approved, a review, an honest order that is rejected. NaN is what
// cannot be had; all are without a policy of costs, and the review is where the policy's costs have none.
func (s *Scorer) Costs(order *schemas.Order, vector *schemas.FeatureVector) (chargeback, review, lostSale float64) {
	d := s.now.Load()
	none := math.NaN()
	if d.policy == nil || d.policy.cost == nil {
		return none, none, none
	}
	w := d.borrow()
	defer d.release(w)
	c, in := d.policy.cost, d.input(w, order, vector, none)
	if review = none; c.reviews {
		review = c.review.at(in)
	}
	return c.chargeback.at(in), review, c.lostSale.at(in)
}

// costs reads the policy's costs.
func (d *policyReader) costs(n *yaml.Node) *costs {
	found := d.Only(n, "cost", "chargeback", "review", "lost_sale")
	d.Need(n, "cost", found, "chargeback", "lost_sale")
	c := &costs{reviews: found["review"] != nil}
	for _, one := range []struct {
		key  string
		into *amount
	}{{"chargeback", &c.chargeback}, {"review", &c.review}, {"lost_sale", &c.lostSale}} {
		if found[one.key] != nil {
			*one.into = d.amount(found[one.key], "cost: "+one.key)
		}
	}
	return c
}

func (d *policyReader) amount(n *yaml.Node, what string) amount {
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float") {
		fixed, ok := d.Number(n, what)
		if ok && fixed < 0 {
			d.Fault(n, "%s: %v is below 0", what, fixed)
		}
		return amount{fixed: fixed}
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		d.Fault(n, "%s: a number or an expression is wanted, not %s", what, strictyaml.Shape(n))
		return amount{}
	}
	program := d.compile(n, what, n.Value)
	if program != nil && program.UsesScore() {
		d.Fault(n, "%s: a cost does not read the score: what is expected of it is the score times the cost", what)
	}
	return amount{of: program}
}

// fitsThresholds says whether a policy's thresholds can be reached, and missed, by a bundle's scores.
func (b *Bundle) fitsThresholds(p *Policy) error {
	if p == nil || b.margin && !b.Calibrated() {
		return nil
	}
	var faults []error
	for _, l := range p.levels {
		if l.at >= 0 && l.at <= 1 {
			continue
		}
		hint := "output: margin in bundle.yaml, without a calibration, takes any"
		if l.at > 1 && l.at <= 100 {
			hint = fmt.Sprintf("%v %% is %v", l.at, l.at/100)
		}
		faults = append(faults, fmt.Errorf("%s:%d: thresholds: %s: %v lies outside of 0 to 1, and model %s gives probabilities (%s)", p.file, l.line, l.key, l.at, b.version, hint))
	}
	return errors.Join(faults...)
}

// fitsCosts says whether a bundle's scores can be taken for probabilities of fraud.
func (b *Bundle) fitsCosts(p *Policy) error {
	if p == nil || p.cost == nil || !b.margin || b.Calibrated() {
		return nil
	}
	return errors.New(p.file + ": policy " + p.version.String() + " has costs, which take the score for the probability of fraud, but model " + b.version.String() +
		" gives margins: calibrate it (calibration in bundle.yaml), or say output: probability")
}
