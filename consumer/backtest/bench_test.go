package backtest_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"verdict/consumer/backtest"
)

// history returns a function that gives row i of a made-up history of n orders over that many days, the same each time; the row is its own and used again.
func history(cfg *backtest.Config, n, days, customers int) func(i int) *backtest.Row {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	step := int64(days) * 24 * 3600 * 1_000_000 / int64(n)
	r := &backtest.Row{
		Scores: make([]float64, len(cfg.Candidates)), Actions: make([]backtest.Action, len(cfg.Candidates)), Vector: make([]float64, len(cfg.Features)),
		Segments: make([]string, len(cfg.Segments)),
	}
	action := func(score float64) backtest.Action {
		switch {
		case score >= 0.8:
			return backtest.Reject
		case score >= 0.5:
			return backtest.Review
		default:
			return backtest.Approve
		}
	}
	return func(i int) *backtest.Row {
		from := rand.New(rand.NewPCG(7, uint64(i)))
		customer := from.IntN(customers)
		fraud := from.Float64() < 0.004 || customer%50 == 0 && from.Float64() < 0.2
		r.At, r.ID, r.Amount, r.Customer, r.Label, r.LabelKnown = start+int64(i)*step, fmt.Sprint("order-", i), math.Exp(from.NormFloat64()+3), uint64(customer)+1, backtest.NoLabel, 0
		shift := -3.0
		if fraud {
			shift, r.Label, r.LabelKnown = 0, backtest.Fraud, r.At+7*24*3600*1_000_000
		}
		for j := range r.Scores {
			r.Scores[j] = 1 / (1 + math.Exp(-shift-1.3*from.NormFloat64()))
			r.Actions[j] = action(r.Scores[j])
		}
		if cfg.Live {
			r.LiveScore = 1 / (1 + math.Exp(-shift-1.5*from.NormFloat64()))
			r.LiveAction = action(r.LiveScore)
		}
		for j := range r.Vector {
			r.Vector[j] = from.NormFloat64() * 10
		}
		for j := range r.Segments {
			r.Segments[j] = fmt.Sprint("country-", customer%(10*(j+1)))
		}
		return r
	}
}

func benchConfig(candidates int, live bool) backtest.Config {
	cfg := backtest.Config{Live: live, Amount: "amount", Customer: "customer", Segments: []string{"country"}}
	for i := range candidates {
		cfg.Candidates = append(cfg.Candidates, backtest.Candidate{Name: fmt.Sprint("card@", i+1)})
	}
	for i := range 15 {
		cfg.Features = append(cfg.Features, fmt.Sprint("f", i))
	}
	return cfg
}

func collectMany(b *testing.B, cfg backtest.Config, n int) *backtest.Collector {
	b.Helper()
	c, err := backtest.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	row := history(&cfg, n, 60, 5000)
	for i := range n {
		if err := c.Add(row(i)); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// The report of 600,000 orders with 200 bootstrap replicates.
func BenchmarkReport(b *testing.B) {
	for _, test := range []struct {
		name       string
		candidates int
		live       bool
	}{{"one", 1, false}, {"two and live", 2, true}} {
		b.Run(test.name, func(b *testing.B) {
			c := collectMany(b, benchConfig(test.candidates, test.live), 600_000)
			for b.Loop() {
				if _, err := c.Report(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a row takes while rows come in, and in the end.
func BenchmarkAdd(b *testing.B) {
	cfg := benchConfig(1, false)
	row := history(&cfg, 1<<20, 60, 5000)
	b.Run("make the row", func(b *testing.B) {
		i := 0
		for b.Loop() {
			row(i & (1<<20 - 1))
			i++
		}
	})
	b.Run("and add it", func(b *testing.B) {
		c, err := backtest.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		i := 0
		for b.Loop() {
			if err := c.Add(row(i & (1<<20 - 1))); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("memory", func(b *testing.B) {
		const n = 1_000_000
		for b.Loop() {
			var before, held runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := collectMany(b, cfg, n)
			runtime.GC()
			runtime.ReadMemStats(&held)
			b.ReportMetric(float64(held.HeapAlloc-before.HeapAlloc)/n, "B/row")
			if _, err := c.Report(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
