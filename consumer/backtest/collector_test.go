package backtest_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/consumer/backtest"
	"verdict/schemas"
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

const day = int64(24 * 3600 * 1_000_000)

// start is midnight of 2026-03-02, in microseconds.
const start = int64(1_772_409_600_000_000)

func at(micros int64) time.Time { return time.UnixMicro(micros) }

func TestYoungOrdersDoNotCountWhetherLabelledOrNot(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Mature: 10 * 24 * time.Hour, Bootstrap: -1}
	rows := []backtest.Row{
		{At: start, ID: "old", Scores: []float64{0.1}},
		{At: start + day, ID: "old fraud", Scores: []float64{0.9}, Label: backtest.Fraud, LabelKnown: start + 9*day},
		{At: start + 10*day, ID: "just old enough", Scores: []float64{0.2}},
		{At: start + 10*day + 1, ID: "young", Scores: []float64{0.3}},
		{At: start + 11*day, ID: "young fraud", Scores: []float64{0.8}, Label: backtest.Fraud, LabelKnown: start + 12*day},
		{At: start + 12*day, ID: "young and honest", Scores: []float64{0.7}, Label: backtest.Honest, LabelKnown: start + 20*day}, // the last thing known
	}
	p := collect(t, cfg, rows).Period
	if p.Orders != 6 || p.Counted != 3 || p.Immature != 3 || p.Frauds != 1 || p.Labelled != 1 || p.ImmaturePart != 0.5 || !p.Known.Equal(at(start+20*day)) {
		t.Errorf("%+v", p)
	}
}

func TestLabelsKnownAfterTheEndDoNotCount(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Until: at(start + 5*day), Bootstrap: -1}
	rows := []backtest.Row{
		{At: start, ID: "1", Scores: []float64{0.9}, Label: backtest.Fraud, LabelKnown: start + 5*day},
		{At: start, ID: "2", Scores: []float64{0.8}, Label: backtest.Fraud, LabelKnown: start + 5*day + 1},
		{At: start, ID: "3", Scores: []float64{0.1}},
	}
	if r := collect(t, cfg, rows); r.Period.Frauds != 1 || r.Period.Labelled != 1 || r.Headline.AUC != 1 {
		t.Errorf("%+v, AUC %v", r.Period, r.Headline.AUC)
	}
}

// The Handbook's rule, with a delay of 7 days: a fraud of a day, if that is not before the first one, makes its customer known 8 days later.
func TestOrdersOfKnownCustomersDoNotCount(t *testing.T) {
	cfg := backtest.Config{
		Candidates: []backtest.Candidate{{Name: "a"}}, Since: at(start + 14*day), Bootstrap: -1,
		Known: &backtest.Known{From: at(start), Delay: 7 * 24 * time.Hour},
	}
	fraud := func(of uint64, on int64) backtest.Row {
		return backtest.Row{At: start + on*day + 5, ID: "f", Customer: of, Scores: []float64{0.9}, Label: backtest.Fraud, LabelKnown: start + (on+7)*day}
	}
	order := func(of uint64, on int64) backtest.Row {
		return backtest.Row{At: start + on*day + 1, ID: "o", Customer: of, Scores: []float64{0.1}}
	}
	rows := []backtest.Row{
		fraud(1, -1), fraud(2, 0), fraud(3, 6), fraud(4, 7), fraud(5, 14), // before the test, and on its first day
		order(1, 14), order(2, 14), order(3, 14), order(4, 14), order(4, 15), order(5, 21), order(5, 22), order(6, 22),
	}
	r := collect(t, cfg, rows)
	// Counted: customer 1's (a fraud before From), 4's of day 14, 5's fraud and that of day 21, 6's.
	if r.Period.Orders != 9 || r.Period.Counted != 5 || r.Period.KnownCustomer != 4 || r.Period.Frauds != 1 || r.Period.Customers != 4 {
		t.Errorf("%+v", r.Period)
	}
}

func TestRowsThatDoNotFitAreRefused(t *testing.T) {
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a", Inputs: []string{"x"}}, {Name: "b"}}, Segments: []string{"s"}, Features: []string{"x"}}
	good := func() backtest.Row {
		return backtest.Row{Scores: []float64{1, 2}, Segments: []string{""}, Vector: []float64{1}, Contributions: [][]float64{{1}, nil}}
	}
	c, err := backtest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(r *backtest.Row){
		"scores": func(r *backtest.Row) { r.Scores = r.Scores[:1] }, "segments": func(r *backtest.Row) { r.Segments = nil }, "vector": func(r *backtest.Row) { r.Vector = []float64{1, 2} },
		"actions": func(r *backtest.Row) { r.Actions = []backtest.Action{1} }, "costs": func(r *backtest.Row) { r.Costs = []backtest.Costs{{}} },
		"contributions": func(r *backtest.Row) { r.Contributions[0] = []float64{1, 2} }, "reasons": func(r *backtest.Row) { r.Reasons = [][]schemas.Reason{nil} },
	} {
		r := good()
		spoil(&r)
		if c.Add(&r) == nil || c.Rows() != 0 {
			t.Errorf("a row with wrong %s was taken", name)
		}
	}
	r := good()
	if err := c.Add(&r); err != nil || c.Rows() != 1 {
		t.Error(err, c.Rows())
	}
}

func TestConfigurationsThatMakeNoSenseAreRefused(t *testing.T) {
	one := []backtest.Candidate{{Name: "a"}}
	for _, cfg := range []backtest.Config{
		{},
		{Candidates: []backtest.Candidate{{Name: "a"}, {Name: "a"}}},
		{Candidates: one, TopK: []int{0}},
		{Candidates: one, Budget: -1},
		{Candidates: one, Mature: -1},
		{Candidates: one, Bootstrap: 1 << 20},
		{Candidates: one, Known: &backtest.Known{Delay: -1}},
	} {
		if _, err := backtest.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// within takes figures for equal that differ in their last digits: sums of rows in another order.
var within = cmp.Comparer(func(a, b backtest.Number) bool {
	return a.Missing() && b.Missing() || math.Abs(float64(a-b)) <= 1e-9*math.Max(1, math.Abs(float64(a)))
})

func TestReportDoesNotDependOnTheOrderOfRowsNorOnThreads(t *testing.T) {
	cfg := benchConfig(2, true)
	cfg.Since, cfg.Bootstrap, cfg.TopK = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 20, []int{5, 100}
	row := history(&cfg, 3000, 20, 100)
	var want *backtest.Report
	for run, threads := range []int{1, 4, 2} {
		order := rand.New(rand.NewPCG(1, uint64(run))).Perm(3000)
		if run == 0 {
			slices.Sort(order)
		}
		c, err := backtest.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range order {
			if err := c.Add(row(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := runtime.GOMAXPROCS(threads)
		got, err := c.Report()
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got, within); diff != "" {
			t.Errorf("run %d (-first +this):\n%s", run, diff)
		}
		again, err := c.Report()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again, equalNumbers); diff != "" {
			t.Errorf("asked again (-first +second):\n%s", diff)
		}
	}
}

func FuzzRead(f *testing.F) {
	cfg := benchConfig(2, true)
	cfg.Bootstrap = 2
	row := history(&cfg, 20, 1, 5)
	c, err := backtest.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 20 {
		if err := c.Add(row(i)); err != nil {
			f.Fatal(err)
		}
	}
	r, err := c.Report()
	if err != nil {
		f.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte(`{"format":1,"candidates":[{"auc":null}],"live":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := backtest.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := r.Write(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := backtest.Read(&again); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
