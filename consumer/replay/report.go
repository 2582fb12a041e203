package replay

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"verdict/consumer/backtest"
	"verdict/preprocess"
	"verdict/schemas"
)

// ReportConfig says what report a replay makes.
type ReportConfig struct {
	// Backtest is what the report is to have in it. Candidates, Live, Since, Amount, Customer, Segments and Features are filled in by the replay.
	Backtest   backtest.Config
	Provenance backtest.Provenance // all but Program, Orders, Labels and Live is filled in by the replay

	Amount      schemas.Path   // of the orders; nil: none
	Guess       bool           // Amount is a guess: there is none when the first orders have no such number
	Customer    string         // what tells customers apart, for the report: an entity or a field; "": nothing
	CustomerKey []schemas.Path // the fields that make its key
	Segments    []schemas.Path // by whose values all is broken down

	Gate    *backtest.Gate // that the report has to pass; nil: none
	Require string         // the gate's text

	Page func(io.Writer, *backtest.Report) error // writes report.html; nil: there is none
}

// sampled is of how many orders one is asked what each input contributed to its score. Which ones their ids decide, so that it is the same ones in any order.
const sampled = 16

// reporter makes rows of what was decided.
type reporter struct {
	cfg       *ReportConfig
	collector *backtest.Collector
	row       backtest.Row
	labels    *history
	live      *live
	key       []byte
	blank     []float64 // of rows that were not decided
}

// newReporter returns a reporter for the candidates, or what is wrong with the configuration.
func newReporter(cfg *Config, judges []*judge, labels *history, decided *live) (*reporter, error) {
	b := cfg.Report.Backtest
	b.Live, b.Since, b.Features = decided != nil, cfg.Since, cfg.Features.Layout().Names
	b.Amount, b.Customer, b.Segments, b.Candidates = cfg.Report.Amount.String(), cfg.Report.Customer, nil, nil
	for _, path := range cfg.Report.Segments {
		b.Segments = append(b.Segments, path.String())
	}
	for _, j := range judges {
		b.Candidates = append(b.Candidates, j.describe(cfg.Features.Layout()))
	}
	collector, err := backtest.New(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReport, err)
	}
	n := len(judges)
	r := &reporter{
		cfg: cfg.Report, collector: collector, labels: labels, live: decided,
		blank: slices.Repeat([]float64{math.NaN()}, n),
		row: backtest.Row{
			Segments: make([]string, len(b.Segments)), Scores: make([]float64, n), Actions: make([]backtest.Action, n), Reasons: make([][]schemas.Reason, n),
			Contributions: make([][]float64, n),
		},
	}
	if slices.ContainsFunc(judges, func(j *judge) bool { return j.Policy != nil && j.Policy.HasCosts() }) {
		r.row.Costs = make([]backtest.Costs, n)
	}
	labels.find()
	return r, nil
}

// checkReport holds the fields that the report is to read against the first orders, and drops an amount that was but a guess.
func checkReport(cfg *ReportConfig, orders []item) error {
	if !anyFields(orders) {
		return nil
	}
	uses := make([]schemas.FieldUse, 0, len(cfg.Segments)+len(cfg.CustomerKey)+1)
	for _, path := range slices.Concat(cfg.Segments, cfg.CustomerKey) {
		uses = append(uses, schemas.FieldUse{Path: path})
	}
	names := func() []string { return fieldNames(orders) }
	if amount := (schemas.FieldUse{Path: cfg.Amount, Number: true}); cfg.Amount != nil && cfg.Guess {
		if checkUse(amount, orders, names) != "" {
			cfg.Amount = nil
		}
	} else if cfg.Amount != nil {
		uses = append(uses, amount)
	}
	for _, use := range uses {
		if fault := checkUse(use, orders, names); fault != "" {
			return fmt.Errorf("%w the first %d orders: %s", ErrReport, len(orders), fault)
		}
	}
	return nil
}

// describe returns the candidate as a report has it.
func (j *judge) describe(layout *schemas.Layout) backtest.Candidate {
	c := backtest.Candidate{Name: j.Name(), Features: layout.Features}
	if j.Model != nil {
		c.Model, c.Inputs = j.Model.Version(), j.Model.Layout().Names
	}
	if j.Policy != nil {
		c.Policy = j.Policy.Version()
		c.Review, c.Reject = j.Policy.Thresholds()
	}
	return c
}

// known tells of an order that was not decided: a report may have to know whose fraud was known early.
func (r *reporter) known(o *preprocess.Arrived) error {
	row := &r.row
	r.begin(o, nil)
	copy(row.Scores, r.blank)
	for i := range row.Actions {
		row.Actions[i], row.Reasons[i], row.Contributions[i] = backtest.NoAction, nil, nil
	}
	return r.collector.Add(row)
}

// begin fills what a row has of the order itself.
func (r *reporter) begin(o *preprocess.Arrived, vector []float64) {
	row, fields := &r.row, o.Order.Fields
	row.At, row.ID, row.Vector = o.Order.At.UnixMicro(), string(o.Order.ID), vector
	row.Amount = math.NaN()
	if r.cfg.Amount != nil {
		row.Amount = fields.At(r.cfg.Amount).Number()
	}
	row.Customer = r.keyOf(fields)
	for i, path := range r.cfg.Segments {
		row.Segments[i] = segmentOf(fields.At(path))
	}
	row.Label, row.LabelKnown = r.labels.latestOf(o.Order.ID)
	row.LiveScore, row.LiveAction, row.LiveReasons = math.NaN(), backtest.NoAction, nil
	if r.live == nil {
		return
	}
	if was, at := r.live.of(o.Order.ID); was != nil {
		row.LiveScore, row.LiveAction, row.LiveReasons = was.score, was.action, r.live.reasons[at]
	}
}

// add tells of case i of the step.
func (r *reporter) add(s *step, i int, o *preprocess.Arrived, judges []*judge) error {
	row := &r.row
	r.begin(o, s.vectors[i].Values)
	for n, j := range judges {
		d := j.decision(s, i)
		row.Scores[n], row.Actions[n], row.Reasons[n], row.Contributions[n] = d.Score, backtest.ActionOf(d.Action), d.Reasons, j.shares[i]
		if row.Costs != nil {
			c := &row.Costs[n]
			c.Chargeback, c.Review, c.LostSale = j.scorer.Costs(&s.orders[i], &s.vectors[i])
		}
	}
	return r.collector.Add(row)
}

// keyOf returns a hash of the customer's key; 0 of an order that has none.
func (r *reporter) keyOf(fields schemas.Record) uint64 {
	if len(r.cfg.CustomerKey) == 0 {
		return 0
	}
	key, ok := appendKey(r.key[:0], fields, r.cfg.CustomerKey)
	r.key = key
	if !ok {
		return 0
	}
	return max(xxhash.Sum64(key), 1)
}

// appendKey appends the key that the fields make, false when one of them lacks. No two keys run together: the parts have their lengths before them.
func appendKey(key []byte, fields schemas.Record, paths []schemas.Path) ([]byte, bool) {
	for _, path := range paths {
		part, ok := fields.At(path).Key()
		if !ok {
			return key, false
		}
		key = append(binary.AppendUvarint(key, uint64(len(part))), part...)
	}
	return key, true
}

// writeReport makes the report and writes it, when one is wanted.
func (t *transport) writeReport(cfg *Config, files *outputs, broken *InterruptedError, done *Summary) error {
	if t.report == nil {
		return nil
	}
	report, err := t.report.collector.Report()
	if err != nil {
		return fmt.Errorf("making the report: %w", err)
	}
	report.Provenance = cfg.Report.Provenance
	report.Provenance.Features, report.Provenance.Digest = cfg.Features.Version(), t.judges[0].digest.String()
	if broken != nil {
		report.Provenance.Partial, report.Provenance.Through = true, broken.Through.UTC()
	}
	if cfg.Report.Gate != nil {
		met, told, err := cfg.Report.Gate.Check(report)
		if err != nil {
			return fmt.Errorf("asking the gate: %w", err)
		}
		report.Provenance.Require, report.Provenance.Met = cfg.Report.Require, met
		done.Gate = told
	}
	done.Report = report
	file, err := files.create("report.json")
	if err != nil {
		return err
	}
	if err := report.Write(file); err != nil || cfg.Report.Page == nil {
		return err
	}
	if file, err = files.create("report.html"); err != nil {
		return err
	}
	return cfg.Report.Page(file, report)
}

// segmentOf returns the value of a field as a report names it, "" for none.
func segmentOf(v schemas.Value) string {
	switch v.Kind() {
	case schemas.Bool:
		return strconv.FormatBool(v.Number() != 0)
	case schemas.Float:
		return strconv.FormatFloat(v.Number(), 'g', -1, 64)
	default:
		text, _ := v.Key()
		return text
	}
}

// explain asks the model what each input contributed to the scores of the cases that are in the sample.
func (j *judge) explain(s *step) {
	j.shares = slices.Grow(j.shares[:0], len(s.orders))[:len(s.orders)]
	clear(j.shares)
	if j.mute {
		return
	}
	for i := range s.orders {
		if xxhash.Sum64String(string(s.orders[i].ID))%sampled != 0 || math.IsNaN(j.decision(s, i).Score) {
			continue
		}
		j.row = j.row[:0]
		for _, at := range j.inputs {
			j.row = append(j.row, s.vectors[i].Values[at])
		}
		shares := make([]float64, len(j.inputs)+1)
		if err := j.Model.Engine().Contributions(j.row, shares); err != nil {
			j.mute = true // this model cannot tell: there is no importance of it
			return
		}
		j.shares[i] = shares[:len(j.inputs)]
	}
}

// prepare finds the model's inputs in the vectors; a model of several outputs tells nothing.
func (j *judge) prepare(layout *schemas.Layout) {
	j.mute = j.Model == nil || j.Model.Engine().Outputs() != 1
	if j.mute {
		return
	}
	for _, name := range j.Model.Layout().Names {
		at, _ := layout.Index(name) // the scorer has found all of them
		j.inputs = append(j.inputs, at)
	}
}
