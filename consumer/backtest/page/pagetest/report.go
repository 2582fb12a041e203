// Package pagetest makes reports for tests of the page: of orders made up by a seeded generator, measured by the Collector as a replay's are.
package pagetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"verdict/consumer/backtest"
	"verdict/schemas"
)

// Config says what kind of history the report is of. The zero value gives nothing.
type Config struct {
	Days       int
	Orders     int // a day
	Candidates int
	Features   int
	Live       bool
	Segments   [][]string                   // a field's values, for each field; orders are spread over them
	ID         func(n int) string           // nil: numbers
	Name       func(candidate int) string   // nil: card@2+card@5 and so on
	Change     func(cfg *backtest.Config)   // nil: nothing; a last word on the Collector's configuration
	Provenance func(*backtest.Provenance)   // nil: what a replay of files fills in
	Row        func(n int, r *backtest.Row) // nil: nothing; a last word on each row
}

// Year is a year of history, three candidates against live.
func Year() Config {
	return Config{
		Days: 365, Orders: 160, Candidates: 3, Features: 40, Live: true,
		Segments: [][]string{{"FR", "DE", "IT", "ES", "NL", "", "PL", "AT"}, {"web", "app", "terminal"}},
	}
}

// Fortnight is two weeks of many orders: one candidate against live.
func Fortnight() Config {
	return Config{Days: 14, Orders: 3000, Candidates: 1, Features: 14, Live: true, Segments: [][]string{{"FR", "DE", "IT"}}}
}

// Report makes the orders and measures them.
func (c Config) Report() (*backtest.Report, error) {
	start := time.Date(2018, 4, 2, 0, 0, 0, 0, time.UTC)
	cfg := backtest.Config{
		Live: c.Live, Amount: "amount", Customer: "customer", TopK: []int{20, 100}, Budget: 20, Bootstrap: 40, Seed: 7,
		Mature: 7 * 24 * time.Hour, Until: start.AddDate(0, 0, c.Days).Add(-time.Second),
	}
	for i := range c.Candidates {
		review, reject := 0.3, 0.8
		name := fmt.Sprintf("card@%d+card@%d", i+2, i+5)
		if c.Name != nil {
			name = c.Name(i)
		}
		candidate := backtest.Candidate{
			Name: name, Model: schemas.Version{Name: "card", Version: fmt.Sprint(i + 2), Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
			Features: schemas.Version{Name: "card", Version: "1", Hash: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
			Policy:   schemas.Version{Name: "card", Version: fmt.Sprint(i + 5), Hash: "fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13"},
			Review:   &review, Reject: &reject,
		}
		cfg.Candidates = append(cfg.Candidates, candidate)
	}
	names := []string{"amount", "at_night", "on_weekend", "customer_orders_1d", "customer_amount_mean_7d", "terminal_orders_1d", "terminal_fraud_rate_7d"}
	for f := range c.Features {
		name := fmt.Sprintf("feature_%02d", f)
		if f < len(names) {
			name = names[f]
		}
		cfg.Features = append(cfg.Features, name)
	}
	for i := range cfg.Candidates {
		cfg.Candidates[i].Inputs = cfg.Features
	}
	for f := range c.Segments {
		cfg.Segments = append(cfg.Segments, []string{"country", "channel", "product"}[f%3])
	}
	if c.Change != nil {
		c.Change(&cfg)
	}
	collector, err := backtest.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("configuring the collector: %w", err)
	}
	if err := c.fill(collector, cfg, start); err != nil {
		return nil, fmt.Errorf("adding the orders: %w", err)
	}
	r, err := collector.Report()
	if err != nil {
		return nil, fmt.Errorf("measuring: %w", err)
	}
	r.Provenance = backtest.Provenance{
		Program: "verdict 1.0", Orders: []string{"orders.jsonl.gz"}, Labels: []string{"labels.jsonl.gz"}, Live: []string{"kafka://broker:9092/decisions"},
		Features: cfg.Candidates[0].Features, Digest: "b5bb9d8014a0f9b1d61e21e796d78dcc",
		Require: "average_precision >= 0.6 && flips < 0.02", Met: true,
	}
	if c.Provenance != nil {
		c.Provenance(&r.Provenance)
	}
	return r, nil
}

// fill adds the orders: one in eighty is a fraud, and each candidate sees frauds a little better than the one after it, live worst.
func (c Config) fill(collector *backtest.Collector, cfg backtest.Config, start time.Time) error {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range c.Days * c.Orders {
		at := start.Add(time.Duration(n) * 24 * time.Hour / time.Duration(c.Orders))
		fraud := random.IntN(80) == 0
		row := backtest.Row{
			At: at.UnixMicro(), ID: fmt.Sprint(1_000_000 + n), Amount: math.Round(100*math.Exp(3.5+random.NormFloat64())) / 100,
			Customer: 1 + random.Uint64N(uint64(max(1, c.Orders*3))), Label: backtest.Honest, LabelKnown: at.Add(5 * 24 * time.Hour).UnixMicro(),
		}
		if fraud {
			row.Label, row.Amount = backtest.Fraud, row.Amount*3
		}
		if c.ID != nil {
			row.ID = c.ID(n)
		}
		for _, values := range c.Segments {
			row.Segments = append(row.Segments, values[min(random.IntN(len(values)), random.IntN(len(values)))])
		}
		seen := random.NormFloat64()
		for i := range cfg.Candidates {
			s := sees(random, fraud, seen, 3.2-0.25*float64(i))
			row.Scores, row.Actions = append(row.Scores, s), append(row.Actions, act(s))
			row.Reasons = append(row.Reasons, []schemas.Reason{{Feature: "terminal_fraud_rate_7d", Value: 0.31, Contribution: 3 * s}, {Feature: "amount", Value: row.Amount, Contribution: -0.4}})
			row.Contributions = append(row.Contributions, contributions(random, n, len(cfg.Features)))
		}
		if c.Live {
			row.LiveScore = sees(random, fraud, seen, 2.4)
			row.LiveAction, row.LiveReasons = act(row.LiveScore), []schemas.Reason{{Feature: "amount", Value: row.Amount, Contribution: 0.9}}
		}
		for f := range cfg.Features {
			v := random.NormFloat64() + float64(f%5)*0.4*float64(n)/float64(c.Days*c.Orders)
			if f%7 == 3 && random.IntN(12) == 0 {
				v = math.NaN()
			}
			row.Vector = append(row.Vector, v)
		}
		if c.Row != nil {
			c.Row(n, &row)
		}
		if err := collector.Add(&row); err != nil {
			return err
		}
	}
	return nil
}

// sees is a score between 0 and 1: of a model that tells frauds apart by so many deviations, with what all models see in common.
func sees(random *rand.Rand, fraud bool, common, by float64) float64 {
	z := -5 + 0.8*common + 0.6*random.NormFloat64()
	if fraud {
		z += by + random.NormFloat64()
	}
	return 1 / (1 + math.Exp(-z))
}

func act(score float64) backtest.Action {
	switch {
	case score >= 0.8:
		return backtest.Reject
	case score >= 0.3:
		return backtest.Review
	default:
		return backtest.Approve
	}
}

// contributions are those of every tenth order.
func contributions(random *rand.Rand, n, features int) []float64 {
	if n%10 != 0 {
		return nil
	}
	out := make([]float64, features)
	for f := range out {
		out[f] = random.NormFloat64() / float64(1+f)
	}
	return out
}
