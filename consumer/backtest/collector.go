package backtest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Collector takes rows and makes the report of them. It is not safe for concurrent use.
type Collector struct {
	cfg   Config
	since int64 // microseconds; rows before it only say which customers were known
	until int64
	from  int64 // the first day whose frauds make a customer known

	// Columns, one value a row.
	at         []int64
	amount     []float64
	customer   []uint64 // hash of the customer's key, of the order's id where there is none
	label      []Label
	live       decided
	candidates []decided
	segments   []column

	known      map[uint64]int64 // :: customer → day of the first fraud since from
	latest     int64            // time of an order or of a label, microseconds
	customers  bool             // some row has one
	drift      drifts
	importance []shares
	pairs      []pair
}

// decided are the columns of one candidate, or of what was decided live.
type decided struct {
	score    []float64
	action   []Action
	cost     []float64 // nil until a row has costs; NaN where one has none
	expected []float64
}

func (d *decided) add(score float64, action Action) {
	d.score, d.action = append(d.score, score), append(d.action, action)
}

// column is the values of a segment's field, each as a number.
type column struct {
	row    []uint32
	number map[string]uint32 // :: value → its place in values
	values []string
}

// maxValues is how many different values of a segment's field are told apart while rows come in; those that come first. The rest has number restValue.
const (
	maxValues = 20_000
	restValue = math.MaxUint32
)

func (c *column) add(value string) {
	n, ok := c.number[value]
	switch {
	case ok:
	case len(c.values) == maxValues:
		n = restValue
	default:
		n = uint32(len(c.values))
		value = string(append([]byte(nil), value...)) // not the whole text that it is a part of
		c.number[value], c.values = n, append(c.values, value)
	}
	c.row = append(c.row, n)
}

// shares sums a candidate's contributions.
type shares struct {
	sum []float64
	n   int
}

// New returns an empty collector, or what is wrong with the configuration.
func New(cfg Config) (*Collector, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Collector{
		cfg: cfg, since: math.MinInt64, until: cfg.until(), from: math.MinInt64, latest: math.MinInt64,
		candidates: make([]decided, len(cfg.Candidates)), segments: make([]column, len(cfg.Segments)),
		known: make(map[uint64]int64), importance: make([]shares, len(cfg.Candidates)), pairs: pairsOf(&cfg),
	}
	if !cfg.Since.IsZero() {
		c.since = cfg.Since.UnixMicro()
	}
	if cfg.Known != nil && !cfg.Known.From.IsZero() {
		c.from = dayOf(cfg.Known.From.UnixMicro())
	}
	for i := range c.segments {
		c.segments[i].number = make(map[string]uint32)
	}
	for i := range c.importance {
		c.importance[i].sum = make([]float64, len(cfg.Candidates[i].Inputs))
	}
	c.drift = newDrifts(&cfg)
	return c, nil
}

// Rows returns how many rows the report will be of: those since Config.Since.
func (c *Collector) Rows() int { return len(c.at) }

// Add takes a row, which it does not keep. Its error is a caller's mistake: a row that does not fit the configuration, of which nothing is taken.
func (c *Collector) Add(r *Row) error {
	if err := c.fits(r); err != nil {
		return err
	}
	label := r.Label
	if label != NoLabel && r.LabelKnown > c.until {
		label = NoLabel
	}
	if label != NoLabel {
		c.latest = max(c.latest, r.LabelKnown)
	}
	c.latest = max(c.latest, r.At)
	customer := r.Customer
	if customer == 0 {
		customer = xxhash.Sum64String(r.ID)
	}
	if day := dayOf(r.At); c.cfg.Known != nil && label == Fraud && day >= c.from {
		if first, ok := c.known[customer]; !ok || day < first {
			c.known[customer] = day
		}
	}
	if r.At < c.since {
		return nil
	}
	c.customers = c.customers || r.Customer != 0
	c.keep(r, customer, label)
	c.drift.add(r)
	for i, of := range r.Contributions {
		c.importance[i].add(of)
	}
	for i := range c.pairs {
		c.pairs[i].see(r, label, c.cfg.Examples)
	}
	return nil
}

// maxRows is how many rows there may be: their places are kept in 32 bits.
const maxRows = 1 << 30

func (c *Collector) fits(r *Row) error {
	n := len(c.cfg.Candidates)
	switch {
	case len(r.Scores) != n:
		return fmt.Errorf("a row with %d scores, %d candidates", len(r.Scores), n)
	case r.Actions != nil && len(r.Actions) != n, r.Costs != nil && len(r.Costs) != n, r.Reasons != nil && len(r.Reasons) != n,
		r.Contributions != nil && len(r.Contributions) != n:
		return fmt.Errorf("a row with actions, costs, reasons or contributions of another number of candidates than %d", n)
	case len(r.Segments) != len(c.cfg.Segments):
		return fmt.Errorf("a row with %d segments, not %d", len(r.Segments), len(c.cfg.Segments))
	case r.Vector != nil && len(r.Vector) != len(c.cfg.Features):
		return fmt.Errorf("a row with %d features, not %d", len(r.Vector), len(c.cfg.Features))
	case len(c.at) == maxRows:
		return fmt.Errorf("more than %d rows", maxRows)
	}
	for i, of := range r.Contributions {
		if of != nil && len(of) != len(c.cfg.Candidates[i].Inputs) {
			return errors.New("contributions of another number of inputs than the candidate's")
		}
	}
	return nil
}

// keep adds the row to the columns.
func (c *Collector) keep(r *Row, customer uint64, label Label) {
	c.at, c.amount, c.customer, c.label = append(c.at, r.At), append(c.amount, r.Amount), append(c.customer, customer), append(c.label, label)
	if c.cfg.Live {
		c.live.add(r.LiveScore, r.LiveAction)
	}
	for i := range c.segments {
		c.segments[i].add(r.Segments[i])
	}
	for i := range c.candidates {
		action := NoAction
		if r.Actions != nil {
			action = r.Actions[i]
		}
		d := &c.candidates[i]
		d.add(r.Scores[i], action)
		if r.Costs == nil && d.cost == nil {
			continue
		}
		cost, expected := math.NaN(), math.NaN()
		if r.Costs != nil {
			cost, expected = r.Costs[i].of(action, label, r.Scores[i])
		}
		for len(d.cost) < len(c.at)-1 { // the first with costs: none before had any
			d.cost, d.expected = append(d.cost, math.NaN()), append(d.expected, math.NaN())
		}
		d.cost, d.expected = append(d.cost, cost), append(d.expected, expected)
	}
}

// of returns what the action costs given the label, and what it was expected to cost given the score; NaN when that cannot be told.
func (c *Costs) of(action Action, label Label, score float64) (cost, expected float64) {
	switch action {
	case Approve:
		if label == Fraud {
			cost = c.Chargeback
		}
		return cost + 0*c.Chargeback, score * c.Chargeback // a cost that is not known makes both so, whatever the label
	case Review:
		return c.Review, c.Review
	case Reject:
		if label != Fraud {
			cost = c.LostSale
		}
		return cost + 0*c.LostSale, (1 - score) * c.LostSale
	default:
		return math.NaN(), math.NaN()
	}
}

func (s *shares) add(of []float64) {
	if of == nil || slices.ContainsFunc(of, math.IsNaN) {
		return
	}
	s.n++
	for i, x := range of {
		s.sum[i] += math.Abs(x)
	}
}

// Microseconds of a day.
const microsOfDay = 24 * 3600 * 1_000_000

// dayOf returns the number of the UTC day since 1970.
func dayOf(micros int64) int64 {
	day := micros / microsOfDay
	if micros%microsOfDay < 0 {
		day--
	}
	return day
}
