package backtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"verdict/consumer/backtest"
)

// sklearnCase is a set of rows with what scikit-learn and the Handbook's functions make of them: testdata/figures.py writes it.
type sklearnCase struct {
	Name     string    `json:"name"`
	TopK     []int     `json:"top_k"`
	Budget   int       `json:"budget"`
	At       []int64   `json:"at"`
	Customer []uint64  `json:"customer"`
	Fraud    []int     `json:"fraud"`
	Score    []float64 `json:"score"`
	Figures  struct {
		AUC              *float64     `json:"auc"`
		AveragePrecision float64      `json:"average_precision"`
		ROC              [][3]float64 `json:"roc"`
		PR               [][3]float64 `json:"pr"`
		Brier            *float64     `json:"brier"`
		ECE              float64      `json:"ece_uniform"`
		ECEQuantile      float64      `json:"ece_quantile"`
		Uniform          [][2]float64 `json:"uniform"`
		Quantile         [][2]float64 `json:"quantile"`
		AtK              []struct {
			K          int       `json:"k"`
			Card       float64   `json:"card"`
			CardByDay  []float64 `json:"card_by_day"`
			Cards      []int     `json:"cards"`
			Order      float64   `json:"order"`
			OrderByDay []float64 `json:"order_by_day"`
		} `json:"at_k"`
		Recall    *float64 `json:"recall"`
		Precision float64  `json:"precision"`
	} `json:"figures"`
}

func (c *sklearnCase) report(t *testing.T) *backtest.Report {
	t.Helper()
	rows := make([]backtest.Row, len(c.At))
	for i := range rows {
		rows[i] = backtest.Row{At: c.At[i], ID: strconv.Itoa(i), Amount: math.NaN(), Customer: c.Customer[i] + 1, Scores: []float64{c.Score[i]}}
		if c.Fraud[i] == 1 {
			rows[i].Label = backtest.Fraud
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Customer: "customer", TopK: c.TopK, Budget: c.Budget, Bootstrap: -1}
	return collect(t, cfg, rows)
}

// near says whether two figures are equal to 1e-9.
func near(t *testing.T, what string, got backtest.Number, want float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= 1e-9) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func (c *sklearnCase) check(t *testing.T) {
	t.Helper()
	r := c.report(t)
	got, want := &r.Candidates[0], &c.Figures
	if want.AUC != nil {
		near(t, "AUC", got.AUC, *want.AUC)
	} else if !got.AUC.Missing() {
		t.Errorf("AUC is %v, want none", got.AUC)
	}
	near(t, "average precision", got.AveragePrecision, want.AveragePrecision)
	curve(t, "ROC", got.ROC, want.ROC)
	curve(t, "PR", got.PR, want.PR)
	if want.Brier != nil {
		near(t, "Brier", got.Brier, *want.Brier)
		near(t, "ECE", got.ECE, want.ECE)
		near(t, "ECE of quantiles", got.ECEQuantile, want.ECEQuantile)
		bins(t, "uniform", got.Calibration, want.Uniform)
		bins(t, "quantile", got.Quantiles, want.Quantile)
	} else if !got.Brier.Missing() || len(got.Calibration) > 0 {
		t.Error("scores that are no probabilities have a calibration")
	}
	for i, at := range want.AtK {
		near(t, fmt.Sprint("precision at ", at.K), got.AtK[i].Precision, at.Order)
		near(t, fmt.Sprint("card precision at ", at.K), got.AtK[i].Card, at.Card)
		if len(got.Days) != len(at.Cards) {
			t.Fatalf("%d days, want %d", len(got.Days), len(at.Cards))
		}
		for day, d := range got.Days {
			near(t, fmt.Sprint(d.Day, ": precision at ", at.K), d.Precision[i], at.OrderByDay[day])
			near(t, fmt.Sprint(d.Day, ": card precision at ", at.K), d.Card[i], at.CardByDay[day])
			if i == 0 && d.Cards != at.Cards[day] {
				t.Errorf("%s: %d customers with a fraud, want %d", d.Day, d.Cards, at.Cards[day])
			}
		}
	}
	if want.Recall != nil {
		near(t, "recall at the budget", got.Budget.Recall, *want.Recall)
		near(t, "precision at the budget", got.Budget.Precision, want.Precision)
	}
}

// curve holds a thinned curve against a whole one: its points are points of that, the ends too, and none of those left out is far.
func curve(t *testing.T, name string, got []backtest.Point, whole [][3]float64) {
	t.Helper()
	if len(got) > 400 {
		t.Errorf("%s has %d points", name, len(got))
	}
	if len(whole) == 0 {
		if len(got) > 0 {
			t.Errorf("%s has %d points, want none", name, len(got))
		}
		return
	}
	by := make(map[float64][3]float64, len(whole))
	for _, p := range whole {
		by[p[2]] = p
	}
	for _, p := range got {
		if p.Score.Missing() {
			continue
		}
		at, ok := by[float64(p.Score)]
		if !ok {
			t.Errorf("%s has a point at score %v, which is no score", name, p.Score)
			continue
		}
		near(t, fmt.Sprint(name, " x at ", p.Score), p.X, at[0])
		near(t, fmt.Sprint(name, " y at ", p.Score), p.Y, at[1])
	}
	for _, p := range whole {
		nearest := math.Inf(1)
		for _, q := range got {
			nearest = min(nearest, math.Hypot(float64(q.X)-p[0], float64(q.Y)-p[1]))
		}
		if nearest > 0.04 {
			t.Errorf("%s: nothing within %.3f of (%v, %v)", name, nearest, p[0], p[1])
		}
	}
}

func bins(t *testing.T, name string, got []backtest.Bin, want [][2]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d %s bins, want %d", len(got), name, len(want))
		return
	}
	for i := range got {
		near(t, name+" bin's score", got[i].Score, want[i][0])
		near(t, name+" bin's frauds", got[i].Fraud, want[i][1])
	}
}

func checkSklearn(t *testing.T, text []byte) {
	t.Helper()
	var cases []sklearnCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for i := range cases {
		t.Run(cases[i].Name, func(t *testing.T) { cases[i].check(t) })
	}
}

func TestFiguresAreThoseOfScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/figures.json")
	if err != nil {
		t.Fatal(err)
	}
	checkSklearn(t, text)
}

func TestRandomScoresGiveTheFiguresOfScikitLearn(t *testing.T) {
	python := os.Getenv("VERDICT_PYTHON")
	if python == "" {
		t.Skip("VERDICT_PYTHON is not set: no Python with scikit-learn and pandas to compare with")
	}
	for _, size := range []int{10, 60, 300, 5000} {
		seed := rand.IntN(1 << 30)
		t.Run(fmt.Sprint("size=", size, ",seed=", seed), func(t *testing.T) {
			var told bytes.Buffer
			cmd := exec.Command(python, "testdata/figures.py", strconv.Itoa(seed), strconv.Itoa(size))
			cmd.Stderr = &told
			text, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, told.Bytes())
			}
			checkSklearn(t, text)
		})
	}
}
