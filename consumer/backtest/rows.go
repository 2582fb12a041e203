package backtest

import "verdict/schemas"

// Row is one decided order. A Collector keeps none of its slices: they may be used again after Add.
type Row struct {
	At         int64    // event time, microseconds since 1970
	ID         string   // of the order; kept for examples only
	Amount     float64  // NaN: none
	Customer   uint64   // hash of the customer's key; 0: none, and the order counts as a customer of its own
	Segments   []string // a value for each of Config.Segments; "": none
	Label      Label    // the latest that is known at the end of the history
	LabelKnown int64    // when that became known, microseconds since 1970; of no meaning with NoLabel

	// For each of Config.Candidates, in their order.
	Scores        []float64          // NaN: none could be had
	Actions       []Action           // nil: no policy
	Costs         []Costs            // nil: no policy with costs
	Reasons       [][]schemas.Reason // nil: none; kept for examples only
	Contributions [][]float64        // of Candidate.Inputs; nil, or nil for a candidate: this order is not sampled for importance

	// What was decided live, with Config.Live. An order of which nothing is known has no LiveAction and NaN for a score.
	LiveScore   float64
	LiveAction  Action
	LiveReasons []schemas.Reason

	Vector []float64 // the values of Config.Features, NaN where missing; nil: this order does not count for drift
}

// Label is what is known of an order.
type Label uint8

// The labels.
const (
	NoLabel Label = iota
	Honest
	Fraud
)

// Action is what a policy did with an order, in one byte.
type Action uint8

// The actions, from mild to severe.
const (
	NoAction Action = iota
	Approve
	Review
	Reject
)

// actions is how many there are, NoAction among them.
const actions = 4

// ActionOf returns an action of a decision in one byte; NoAction for none of them.
func ActionOf(a schemas.Action) Action {
	switch a {
	case schemas.Approve:
		return Approve
	case schemas.Review:
		return Review
	case schemas.Reject:
		return Reject
	default:
		return NoAction
	}
}

// String returns the action's name, "none" for NoAction.
func (a Action) String() string {
	switch a {
	case Approve:
		return string(schemas.Approve)
	case Review:
		return string(schemas.Review)
	case Reject:
		return string(schemas.Reject)
	default:
		return "none"
	}
}

// Costs are what each mistake with an order costs, by a policy with costs. NaN: not known of this order, which then counts in no cost.
type Costs struct {
	Chargeback float64 // approved, and a fraud
	Review     float64 // reviewed, whatever it is
	LostSale   float64 // rejected, and honest
}

// String returns "fraud", "honest" or "none".
func (l Label) String() string {
	switch l {
	case Fraud:
		return "fraud"
	case Honest:
		return "honest"
	default:
		return "none"
	}
}
