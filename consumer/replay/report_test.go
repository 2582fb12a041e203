package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/backtest"
	"verdict/consumer/replay"
	"verdict/schemas"
)

// reporting returns a replay of orders and labels by two candidates, with a report.
func reporting(t *testing.T, orders, labels []byte) (cfg replay.Config, out string) {
	t.Helper()
	cfg, out = small(t, put(t, "orders.jsonl", orders))
	cfg.Labels = location(t, put(t, "labels.jsonl", labels))
	cfg.Write = replay.NoFeatures
	cfg.Candidates = []replay.Candidate{candidate(t, cfg, nil, rules(t, cfg, "1", "2")), candidate(t, cfg, nil, rules(t, cfg, "2", "5"))}
	cfg.Report = &replay.ReportConfig{
		Amount: schemas.ParsePath("amount"), Customer: "customer", CustomerKey: []schemas.Path{schemas.ParsePath("customer_id")},
		Segments: []schemas.Path{schemas.ParsePath("customer_id")},
	}
	return cfg, out
}

func TestReportCountsWhatTheCandidatesDecided(t *testing.T) {
	orders, labels := history(2000)
	cfg, out := reporting(t, orders, labels)
	cfg.Decide = true
	cfg.Report.Page = func(w io.Writer, r *backtest.Report) error {
		_, err := io.WriteString(w, r.Candidates[1].Name)
		return err
	}
	done := run(t, cfg)
	report, err := backtest.Read(strings.NewReader(read(t, out, "report.json")))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"decisions.jsonl", "decisions-2.jsonl"} {
		counts := make(map[string]int)
		for _, line := range lines([]byte(read(t, out, name))) {
			d, err := schemas.DecodeDecision(line)
			if err != nil {
				t.Fatal(err)
			}
			counts[string(d.Action)]++
		}
		got := make(map[string]int)
		for _, a := range report.Candidates[i].Actions {
			if a.Orders > 0 {
				got[a.Action] = a.Orders
			}
		}
		if diff := cmp.Diff(counts, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// Frauds are told by the last label of each order, whenever it became known.
	frauds, latest := 0, make(map[string]schemas.Label)
	for _, line := range lines(labels) {
		rec, err := schemas.DecodeJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		label, err := schemas.NewLabel(rec)
		if err != nil {
			t.Fatal(err)
		}
		latest[string(label.ID)] = label
	}
	for _, label := range latest {
		if label.Fraud {
			frauds++
		}
	}
	p := report.Period
	if p.Orders != 2000 || p.Frauds != frauds || p.Labelled != len(latest) || p.Customers != 20 || report.Method.Amount != "amount" || len(report.Segments[0].Values) != 20 {
		t.Errorf("%+v, want 2000 orders, %d frauds, %d labels", p, frauds, len(latest))
	}
	if report.Provenance.Digest != done.Digests[0].Digest || report.Provenance.Features != cfg.Features.Version() || report.Comparisons[0].Flips == 0 {
		t.Errorf("%+v", report.Provenance)
	}
	if read(t, out, "report.html") != "small@2" {
		t.Error("report.html is not what the page was given")
	}
}

func TestReportTakesTheLabelThatStandsAtTheEnd(t *testing.T) {
	// o1: withdrawn later. o2: fraud and not at the same moment, the fraud stands. o3: honest, then fraud, in the wrong order in the file.
	labels := label(1, true, 50) + label(1, false, 60) + label(2, true, 40) + label(2, false, 40) + label(3, true, 70) + label(3, false, 60)
	cfg, _ := reporting(t, []byte(order(1, "a", 0, 1)+order(2, "a", 1, 2)+order(3, "b", 2, 4)), []byte(labels))
	p := run(t, cfg).Report.Period
	if p.Frauds != 2 || p.FraudAmount != 6 || p.Labelled != 3 {
		t.Errorf("%+v, want the frauds o2 and o3", p)
	}
}

func TestReportHoldsCandidatesAgainstWhatWasDecidedLive(t *testing.T) {
	orders, labels := history(1000)
	was, lived := deciding(t, put(t, "orders.jsonl", orders)) // reviews from the third order of a customer's day on, as the first candidate does
	run(t, was)
	cfg, _ := reporting(t, orders, labels)
	cfg.Live = location(t, lived+"/decisions.jsonl")
	report := run(t, cfg).Report
	if len(report.Comparisons) != 3 || report.Live == nil {
		t.Fatalf("%d comparisons, live %v", len(report.Comparisons), report.Live)
	}
	if same, other := report.Comparisons[0], report.Comparisons[1]; same.From != "live" || same.Compared != 1000 || same.Flips != 0 || other.Flips == 0 {
		t.Errorf("live with the first %d of %d, with the second %d", same.Flips, same.Compared, other.Flips)
	}
}

func TestReportKnowsOfFraudsBeforeItBegins(t *testing.T) {
	var orders string
	for i := range 40 {
		orders += order(i, fmt.Sprint("c", i%4), float64(i)*24, 1)
	}
	cfg, _ := reporting(t, []byte(orders), []byte(label(0, true, 24)))
	cfg.Since = time.Date(2026, 1, 21, 0, 0, 0, 0, time.UTC)
	cfg.Report.Backtest.Known = &backtest.Known{Delay: 7 * 24 * time.Hour}
	if p := run(t, cfg).Report.Period; p.Orders != 20 || p.KnownCustomer != 5 || p.Counted != 15 {
		t.Errorf("%+v, want 20 orders, 5 of the customer whose fraud was known", p)
	}
}

func TestGateIsAskedAndItsAnswerStandsInTheReport(t *testing.T) {
	orders, labels := history(500)
	for require, want := range map[string]bool{"orders == 500": true, "orders == 500 && flips > 0.99": false} {
		cfg, out := reporting(t, orders, labels)
		gate, err := backtest.Require(require)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Report.Gate, cfg.Report.Require = gate, require
		done := run(t, cfg)
		report, err := backtest.Read(strings.NewReader(read(t, out, "report.json")))
		if err != nil {
			t.Fatal(err)
		}
		if p := report.Provenance; p.Require != require || p.Met != want || !strings.Contains(done.Gate, "orders == 500: met") {
			t.Errorf("%s: %+v, told %s", require, p, done.Gate)
		}
	}
}

func TestReportDoesNotDependOnTheBatchSize(t *testing.T) {
	orders, labels := history(1500)
	var want string
	for _, batch := range []int{1, 7, 1000} {
		cfg, out := reporting(t, orders, labels)
		cfg.Batch = batch
		run(t, cfg)
		got := read(t, out, "report.json")
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("batches of %d: %s", batch, diff)
		}
	}
}

func TestReportLeavesOutAnAmountThatWasAGuess(t *testing.T) {
	orders := bytes.ReplaceAll([]byte(order(1, "a", 0, 1)+order(2, "a", 1, 2)), []byte(`"amount"`), []byte(`"amount_of":"x","amount"`))
	cfg, _ := reporting(t, orders, nil)
	cfg.Report.Amount, cfg.Report.Guess = schemas.ParsePath("amount_of"), true
	if report := run(t, cfg).Report; report.Method.Amount != "" || !math.IsNaN(float64(report.Period.Amount)) && report.Period.Amount != 0 {
		t.Errorf("%+v, %+v", report.Method, report.Period)
	}
	cfg, _ = reporting(t, orders, nil)
	cfg.Report.Amount = schemas.ParsePath("amount_of")
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrReport) {
		t.Errorf("error %v, want ErrReport", err)
	}
}

func TestReportRefusesLiveDecisionsThatAreNone(t *testing.T) {
	cfg, out := reporting(t, []byte(order(1, "a", 0, 1)), nil)
	cfg.Live = location(t, put(t, "decisions.jsonl", []byte(order(1, "a", 0, 1))))
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrLive) {
		t.Errorf("error %v, want ErrLive", err)
	}
	empty(t, out)
}
