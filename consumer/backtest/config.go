// Package backtest holds what a replay computed against what became known: which orders a model and policy would have caught, refused and let through, and
// how sure one can be of it. Rows go in (rows.go), a Report comes out (report.go), which is all that report.json and report.html are made of; a Gate
// (gate.go) asks it a question. There is no input or output here, no clock and no chance: the same rows give the same report, whatever their order, batches
// and threads, except for examples of equal rank and the week from which drift is counted, which follow the order of the rows.
//
// Rows are kept in columns: 25 bytes a row, 9 more for each candidate and for the live decision, 4 for each segment, 16 for each candidate with costs. The report
// takes some 60 more a row and candidate while it is made. Vectors, ids and reasons are not kept: drift is counted in sketches of each week, importance in
// sums, and only examples have names.
package backtest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"verdict/schemas"
)

// Config says what a Collector is given and what it reports. Candidates is required; the zero value of all else works.
type Config struct {
	Candidates []Candidate // the first is the main one, of which headline figures are
	Live       bool        // rows carry what was decided live, which candidates are compared with

	// Since is from when orders count. Rows before it only say which customers were known (Known). Zero: all count.
	Since time.Time
	// Until is the end of what is known: labels that became known later do not count, and Mature is counted back from it. It is the end of orders and labels, not
	// the end of the orders that are decided: a fraud of the last order may be known a month later. Zero: the latest time of an order or a label among the rows.
	Until time.Time
	// Mature keeps orders younger than this at Until out of all figures that need labels, whether theirs is known or not: frauds become known sooner than
	// that an order was honest, so young orders with a label are not like the rest. Zero: all orders count.
	Mature time.Duration
	// Known keeps orders of customers whose fraud was known before out of the figures that need labels, as the Handbook does; see Known. Nil: none.
	Known *Known

	Amount   string   // name of the amount's field, for the report; "": rows have no amount
	Customer string   // name of the entity or field that tells customers apart; "": rows have none, and there is no card precision
	Segments []string // names of the fields by whose values all is broken down
	Features []string // names of Row.Vector; nil: no drift of features

	TopK      []int     // of precision at k; nil: 100
	Budget    int       // orders that can be reviewed a day; 0: 100
	Bootstrap int       // replicates for intervals; 0: 200, negative: no intervals
	Seed      uint64    // of the bootstrap
	Base      time.Time // a moment in the week that drift is counted against; zero: the first week
	Examples  int       // flips that are told with their ids, of each kind in each comparison; 0: 10, negative: none
}

// Known says which customers' frauds were known when an order came: those of the days from From on (zero: of all rows), more than Delay before the
// order's day. Delay is in whole days. This is the Handbook's rule for its test sets (chapter 5, get_train_test_set), where a card once found is blocked.
type Known struct {
	From  time.Time
	Delay time.Duration
}

// Candidate is a model and a policy that decided the history again.
type Candidate struct {
	Name     string          // model@version+policy@version
	Model    schemas.Version // zero: none
	Features schemas.Version
	Policy   schemas.Version // zero: none
	Inputs   []string        // names of Row.Contributions; nil: no importance
	Review   *float64        // the policy's threshold; nil: none
	Reject   *float64        // the policy's threshold; nil: none
}

// What a Config leaves open.
const (
	defaultTopK      = 100
	defaultBudget    = 100
	defaultBootstrap = 200
	defaultExamples  = 10
	maxCandidates    = 32
	maxBootstrap     = 10_000
)

// complete returns the configuration with what it leaves open filled in, or what is wrong with it.
func (c *Config) complete() (Config, error) {
	filled := *c
	err := filled.fill()
	return filled, err
}

// fill fills in what the configuration leaves open.
func (c *Config) fill() error {
	if len(c.Candidates) == 0 {
		return errors.New("a backtest needs a candidate")
	}
	if len(c.Candidates) > maxCandidates {
		return fmt.Errorf("%d candidates are more than %d", len(c.Candidates), maxCandidates)
	}
	for i := range c.Candidates {
		if slices.ContainsFunc(c.Candidates[:i], func(o Candidate) bool { return o.Name == c.Candidates[i].Name }) {
			return fmt.Errorf("candidate %s stands twice", c.Candidates[i].Name)
		}
	}
	if len(c.TopK) == 0 {
		c.TopK = []int{defaultTopK}
	}
	c.TopK = slices.Compact(slices.Sorted(slices.Values(c.TopK)))
	c.Budget, c.Bootstrap, c.Examples = cmp.Or(c.Budget, defaultBudget), cmp.Or(c.Bootstrap, defaultBootstrap), cmp.Or(c.Examples, defaultExamples)
	switch {
	case c.TopK[0] < 1:
		return fmt.Errorf("precision at %d: k is 1 or more", c.TopK[0])
	case c.Budget < 1:
		return fmt.Errorf("a budget of %d reviews a day: 1 or more is wanted", c.Budget)
	case c.Bootstrap > maxBootstrap:
		return fmt.Errorf("%d bootstrap replicates are more than %d", c.Bootstrap, maxBootstrap)
	case c.Mature < 0 || c.Known != nil && c.Known.Delay < 0:
		return errors.New("a negative length of time")
	}
	c.Bootstrap, c.Examples = max(0, c.Bootstrap), max(0, c.Examples)
	return nil
}

// until returns the end of what is known in microseconds, the largest there is when it is not yet known.
func (c *Config) until() int64 {
	if c.Until.IsZero() {
		return math.MaxInt64
	}
	return c.Until.UnixMicro()
}
