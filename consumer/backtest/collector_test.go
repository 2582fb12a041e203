package backtest_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/consumer/backtest"
)

// equalNumbers takes one missing figure for another.
var equalNumbers = cmp.Comparer(func(a, b backtest.Number) bool { return a == b || a.Missing() && b.Missing() })

// collect returns the report of rows.
func collect(t *testing.T, cfg backtest.Config, rows []backtest.Row) *backtest.Report {
	t.Helper()
	c, err := backtest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := c.Add(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportReadsBackAsItWasWritten(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}}
	for name, rows := range map[string][]backtest.Row{
		"nothing": nil,
		"little":  {{At: 1, ID: "a", Scores: []float64{0.5}, Label: backtest.Fraud}, {At: 1, ID: "b", Scores: []float64{0.4}}},
	} {
		want := collect(t, cfg, rows)
		var text bytes.Buffer
		if err := want.Write(&text); err != nil {
			t.Fatal(err)
		}
		got, err := backtest.Read(&text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, equalNumbers, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
}
