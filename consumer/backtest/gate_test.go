package backtest_test

import (
	"fmt"
	"strings"
	"testing"

	"verdict/consumer/backtest"
)

// gateReport is of two candidates on four orders, of which the first ranks both frauds first.
func gateReport(t *testing.T) *backtest.Report {
	t.Helper()
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "card@2+p@1"}, {Name: "card@1+p@1"}}, Bootstrap: -1, TopK: []int{2, 100}, Amount: "amount"}
	label := []backtest.Label{backtest.Fraud, backtest.Fraud, backtest.Honest, backtest.Honest}
	var rows []backtest.Row
	for i, scores := range [][]float64{{0.9, 0.1}, {0.8, 0.9}, {0.2, 0.4}, {0.1, 0.3}} {
		r := backtest.Row{At: int64(i), ID: fmt.Sprint(i), Amount: 10, Scores: scores, Label: label[i]}
		for _, s := range scores {
			action := backtest.Approve
			if s >= 0.5 {
				action = backtest.Reject
			}
			r.Actions = append(r.Actions, action)
		}
		rows = append(rows, r)
	}
	return collect(t, cfg, rows)
}

func TestGateIsMetByFiguresThatAreGoodEnough(t *testing.T) {
	r := gateReport(t)
	for _, test := range []struct {
		text string
		ok   bool
		told string
	}{
		{"average_precision >= 0.69 && flips < 0.02", false, "average_precision >= 0.69: met (average_precision 1)\nflips < 0.02: not met (flips 0.25)"},
		{"auc == 1 && frauds == 2", true, "auc == 1: met (auc 1)\nfrauds == 2: met (frauds 2)"},
		{"candidates[0].auc > candidates[1].auc", true, "candidates[0].auc > candidates[1].auc: met (candidates[0].auc 1, candidates[1].auc 0.5)"},
		{"candidates[ 1 ] . auc > 0.6 || auc > 0.6", true, "candidates[ 1 ] . auc > 0.6 || auc > 0.6: met (candidates[1].auc 0.5, auc 1)"},
		{"candidates.all(c, c.brier < 0.01)", false, "candidates.all(c, c.brier < 0.01): not met"},
		{"candidates.exists(c, c.name == 'card@1+p@1' && c.auc < 0.6)", true, "candidates.exists(c, c.name == 'card@1+p@1' && c.auc < 0.6): met"},
		{"size(candidates) == 2", true, "size(candidates) == 2: met"},
		{"live.auc > 0.5", false, "live.auc > 0.5: not met, for want of a figure (live.auc none)"},
		{"missing(live.auc) && precision_at_2 == 1.0", true, "missing(live.auc): met (live.auc none)\nprecision_at_2 == 1.0: met (precision_at_2 1)"},
		{"precision_at_3 > 0", false, "precision_at_3 > 0: not met, for want of a figure (precision_at_3 none)"},
		{"precision_at_100 == 0.02", true, "precision_at_100 == 0.02: met (precision_at_100 0.02)"},
		{"headline.psi_max_of == 'a && b' || true", true, "headline.psi_max_of == 'a && b' || true: met (headline.psi_max_of \"\")"},
		{"flip_worth == 10.0 && comparisons[0].auc.gain == 0.5", true, "flip_worth == 10.0: met (flip_worth 10)\ncomparisons[0].auc.gain == 0.5: met (comparisons[0].auc.gain 0.5)"},
		{"!(psi_max > 0.2)", false, "!(psi_max > 0.2): not met, for want of a figure (psi_max none)"},
		{"candidates[7].auc > 0", false, "candidates[7].auc > 0: not met, for want of a figure (candidates[7].auc none)"},
		{"headline['auc'] > 0.5", true, "headline['auc'] > 0.5: met"},
		{"auc > 'x'", false, "auc > 'x': not met, since it has no answer that is yes or no (auc 1)"},
		{"true", true, "true: met"},
		{"headline['auc']", false, "headline['auc']: not met, since it has no answer that is yes or no"},
		{"provenance.partial", false, "provenance.partial: not met (provenance.partial false)"},
	} {
		g, err := backtest.Require(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		ok, told, err := g.Check(r)
		if err != nil || ok != test.ok || told != test.told {
			t.Errorf("%s: %v, %v\n got %s\nwant %s", test.text, ok, err, told, test.told)
		}
	}
}

func TestGateRefusesUnknownFigures(t *testing.T) {
	for text, want := range map[string]string{
		"average_precison > 0.5":                        "unknown figure average_precison; did you mean average_precision?",
		"auc > 0.5 && flip < 0.1":                       "unknown figure flip; did you mean flips?",
		"candidates[0].auk > 0.5":                       "unknown figure candidates[0].auk: there is no auk; did you mean auc?",
		"candidates.all(c, c.breir < 0.1)":              "unknown figure c.breir: there is no breir; did you mean brier?",
		"period.ordrs > 1":                              "unknown figure period.ordrs: there is no ordrs; did you mean orders?",
		"candidates.auc > 1":                            "unknown figure candidates.auc: there is no auc",
		"headline['aucc'] > 1":                          "unknown figure headline.aucc: there is no aucc; did you mean auc?",
		"comparisons[0].at_k[0].precision.gane > 0":     "there is no gane; did you mean gain?",
		"candidates[0].at_k.exists(a, a.presision > 0)": "there is no presision; did you mean precision?",
		"average_precision":                             "average_precision is a figure, and no condition on it",
		"auc > 0.5 && candidates[0].auc":                "candidates[0].auc is a figure, and no condition on it",
		"1.0":                                           "gives a number",
		"auc >":                                         "Syntax error",
		"":                                              "Syntax error",
	} {
		if g, err := backtest.Require(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Require(%q) = %v, %v, want %q", text, g, err, want)
		}
	}
}

func TestGateIsHeldAgainstWhatAReportWillHave(t *testing.T) {
	for text, want := range map[string]string{
		"precision_at_77 > 0.1":                           "precision_at_77: the report has precision at [10 100]",
		"card_precision_at_7 > 0":                         "card_precision_at_7: the report has precision at [10 100]",
		"candidates[2].auc > 0":                           "candidates[2]: the report has 2 candidates, counted from 0",
		"comparisons[1].flips < 3":                        "comparisons[1]: the report has 1 comparisons, counted from 0",
		"candidates[1].auc > 0 && precision_at_10 > 0":    "",
		"candidates.all(c, c.at_k[5].k > 0) || auc > 0.1": "",
	} {
		g, err := backtest.Require(text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := g.Fits(2, []int{10, 100}, false); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if err := g.Fits(3, []int{7, 10, 77}, true); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestGateRefusesReportsOfAnotherFormat(t *testing.T) {
	g, err := backtest.Require("auc > 0")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Check(&backtest.Report{Format: 99}); err == nil {
		t.Error("it was taken")
	}
}

func FuzzRequire(f *testing.F) {
	for _, text := range []string{"average_precision >= 0.69 && flips < 0.02", "candidates[0].auc > 1", "candidates.all(c, c.at_k.all(k, k.precision > 0))", "a['b'].c", "\"x\\\"&&\" == 'y'", "((", "&&", "[0].a"} {
		f.Add(text)
	}
	r := &backtest.Report{Format: backtest.FormatVersion, Candidates: []backtest.Figures{{}}}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := backtest.Require(text)
		if err != nil {
			return
		}
		if _, told, err := g.Check(r); err != nil || told == "" {
			t.Errorf("%q: told %q, %v", text, told, err)
		}
	})
}
