package backtest_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"verdict/consumer/backtest"
)

// line is an order or a label of the Handbook's.
type line struct {
	ID       string    `json:"order_id"`
	At       time.Time `json:"occurred_at"`
	Customer string    `json:"customer_id"`
	Amount   float64   `json:"amount"`
	KnownAt  time.Time `json:"known_at"`
}

func readLines(t *testing.T, name string, take func(line)) {
	t.Helper()
	shared := os.Getenv("VERDICT_SHARED")
	if shared == "" {
		t.Skip("VERDICT_SHARED is not set: no Handbook orders")
	}
	f, err := os.Open(filepath.Join(shared, "data", "handbook", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	for s.Scan() {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		take(l)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// The test week of the Handbook's single split, from 2018-07-25: its rows, its frauds and what a perfect score's card precision is, once the customers are left
// out whose fraud was known.
func TestHandbooksTestWeekIsThatOfTheBook(t *testing.T) {
	frauds := make(map[string]time.Time)
	readLines(t, "labels.jsonl.gz", func(l line) { frauds[l.ID] = l.KnownAt })
	first := time.Date(2018, 7, 25, 0, 0, 0, 0, time.UTC)
	c, err := backtest.New(backtest.Config{
		Candidates: []backtest.Candidate{{Name: "amount"}, {Name: "oracle"}}, Customer: "customer_id", Amount: "amount", Bootstrap: -1,
		Since: first.AddDate(0, 0, 14), Known: &backtest.Known{From: first, Delay: 7 * 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	readLines(t, "orders.jsonl.gz", func(l line) {
		if !l.At.Before(first.AddDate(0, 0, 21)) {
			return
		}
		h := fnv.New64a()
		h.Write([]byte(l.Customer))
		row := backtest.Row{At: l.At.UnixMicro(), ID: l.ID, Amount: l.Amount, Customer: h.Sum64(), Scores: []float64{l.Amount, 0}}
		if known, fraud := frauds[l.ID]; fraud {
			row.Label, row.LabelKnown, row.Scores[1] = backtest.Fraud, known.UnixMicro(), 1
		}
		if err := c.Add(&row); err != nil {
			t.Fatal(err)
		}
	})
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	if r.Period.Counted != 58264 || r.Period.Frauds != 385 || r.Period.Days != 7 {
		t.Errorf("%d orders and %d frauds in %d days, want 58264 and 385 in 7", r.Period.Counted, r.Period.Frauds, r.Period.Days)
	}
	for _, f := range r.Candidates {
		if perfect := f.AtK[0].Perfect; math.Abs(float64(perfect)-0.3971) > 0.00005 {
			t.Errorf("a perfect score's card precision is %v, want 0.3971", perfect)
		}
	}
	if got := r.Candidates[1].AtK[0].Card; got != r.Candidates[1].AtK[0].Perfect {
		t.Errorf("the oracle's card precision is %v", got)
	}
}
