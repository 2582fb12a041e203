package backtest_test

import (
	cmp2 "cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/backtest"
)

// normal returns rows of which a part is fraud and scores are normal, those of frauds higher by the separation; of each customer so many alike.
func normal(seed uint64, customers, each int, rate, separation float64) []backtest.Row {
	from := rand.New(rand.NewPCG(seed, 1))
	var rows []backtest.Row
	for c := range customers {
		label, score := backtest.Honest, from.NormFloat64()
		if from.Float64() < rate {
			label, score = backtest.Fraud, score+separation
		}
		for i := range each {
			rows = append(rows, backtest.Row{
				At: start + int64(c), ID: fmt.Sprint(c, "-", i), Customer: uint64(c) + 1, Scores: []float64{score, score + 0.3*from.NormFloat64()}, Label: label,
			})
		}
	}
	return rows
}

func two(replicates int) backtest.Config {
	return backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}, {Name: "b"}}, Customer: "customer", Bootstrap: replicates, Seed: 5}
}

func width(i *backtest.Interval) float64 { return float64(i.High - i.Low) }

// deLong returns the standard error of the AUC (DeLong, DeLong, Clarke-Pearson 1988).
func deLong(rows []backtest.Row) float64 {
	var frauds, honest []float64
	for i := range rows {
		if rows[i].Label == backtest.Fraud {
			frauds = append(frauds, rows[i].Scores[0])
		} else {
			honest = append(honest, rows[i].Scores[0])
		}
	}
	variance := func(of, against []float64, sign float64) float64 {
		var sum, square float64
		for _, x := range of {
			n := 0.0
			for _, y := range against {
				if sign*(x-y) > 0 {
					n++
				}
			}
			n /= float64(len(against))
			sum, square = sum+n, square+n*n
		}
		n := float64(len(of))
		return (square/n - sum/n*sum/n) / (n - 1)
	}
	return math.Sqrt(variance(frauds, honest, 1) + variance(honest, frauds, -1))
}

func TestIntervalsAreAsWideAsDeLongs(t *testing.T) {
	rows := normal(1, 3000, 1, 0.1, 1)
	r := collect(t, two(1000), rows)
	got, want := width(r.Candidates[0].AUCInterval)/(2*1.96), deLong(rows)
	if math.Abs(got/want-1) > 0.1 {
		t.Errorf("standard error %v, want %v", got, want)
	}
}

func TestOrdersOfOneCustomerAreDrawnTogether(t *testing.T) {
	rows := normal(1, 1000, 5, 0.1, 1)
	var first []backtest.Row
	for i := 0; i < len(rows); i += 5 {
		first = append(first, rows[i])
	}
	once, many := collect(t, two(300), first), collect(t, two(300), rows)
	a, b := once.Candidates[0].AUCInterval, many.Candidates[0].AUCInterval
	if math.Abs(width(b)/width(a)-1) > 0.02 {
		t.Errorf("five orders alike of each customer give %v, one gives %v", b, a)
	}
	for i := range rows {
		rows[i].Customer = 0
	}
	alone := collect(t, two(300), rows).Candidates[0].AUCInterval
	if ratio := width(b) / width(alone); ratio < 1.9 || ratio > 2.6 { // √5 = 2.2
		t.Errorf("orders drawn alone give intervals %.2f times narrower, want √5", ratio)
	}
}

func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	const runs, separation = 100, 1.2
	truth := 0.5 * math.Erfc(-separation/2) // Φ(separation ÷ √2)
	held, gains := 0, 0
	for i := range runs {
		rows := normal(uint64(100+i), 500, 1, 0.1, separation)
		r := collect(t, two(100), rows)
		if in := r.Candidates[0].AUCInterval; float64(in.Low) <= truth && truth <= float64(in.High) {
			held++
		}
		noisy := 0.5 * math.Erfc(-separation/2/math.Sqrt(1+0.3*0.3))
		if in := r.Comparisons[0].AUC.Interval; float64(in.Low) <= truth-noisy && truth-noisy <= float64(in.High) {
			gains++
		}
	}
	if held < runs*90/100 || held > runs*99/100 || gains < runs*90/100 || gains > runs*99/100 {
		t.Errorf("the truth lies in %d of %d intervals, the true gain in %d", held, runs, gains)
	}
}

func TestIntervalsAreReproducible(t *testing.T) {
	rows := normal(3, 500, 2, 0.2, 1)
	cfg := two(50)
	first, again := collect(t, cfg, rows), collect(t, cfg, rows)
	if diff := cmp.Diff(first, again, equalNumbers); diff != "" {
		t.Error(diff)
	}
	cfg.Seed = 6
	if other := collect(t, cfg, rows); *other.Candidates[0].AUCInterval == *first.Candidates[0].AUCInterval {
		t.Error("another seed gives the same interval")
	}
}

// A gain's replicates are of the same customers on both sides: a candidate against its like has none, however wide its own interval.
func TestGainOfTheSameScoresIsNothing(t *testing.T) {
	rows := normal(4, 400, 1, 0.1, 1)
	for i := range rows {
		rows[i].Scores[1] = 2 * rows[i].Scores[0]
	}
	g := collect(t, two(100), rows).Comparisons[0].AUC
	if g.Gain != 0 || *g.Interval != (backtest.Interval{}) || g.From != g.To {
		t.Errorf("%+v, %+v", g, g.Interval)
	}
}

func TestGainsAreOverOrdersWithBothScores(t *testing.T) {
	rows := normal(5, 400, 1, 0.2, 1)
	var both []backtest.Row
	for i := range rows {
		switch i % 5 {
		case 0:
			rows[i].Scores[0] = math.NaN()
		case 1:
			rows[i].Scores[1] = math.NaN()
		default:
			both = append(both, rows[i])
		}
	}
	got, want := collect(t, two(50), rows).Comparisons[0], collect(t, two(50), both).Comparisons[0]
	if diff := cmp.Diff(want.AUC, got.AUC, within); diff != "" || got.Orders != len(both) {
		t.Errorf("of %d orders, want %d (-want +got):\n%s", got.Orders, len(both), diff)
	}
	if diff := cmp.Diff(want.AtK, got.AtK, within); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A replicate is the report of the drawn customers' orders, each copy of a customer being one of his own.
func TestReplicatesAreReportsOfTheDrawnOrders(t *testing.T) {
	const replicates, customers = 15, 60
	cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Customer: "customer", Bootstrap: replicates, TopK: []int{3, 10}, Budget: 4, Seed: 9}
	from := rand.New(rand.NewPCG(8, 8))
	var keys []uint64
	var rows []backtest.Row
	for c := range customers {
		keys = append(keys, uint64(c)+1)
		for i := range 10 {
			r := backtest.Row{At: start + int64(i%6)*day + int64(from.IntN(1e6)), ID: fmt.Sprint(c, "-", i), Customer: uint64(c) + 1, Scores: []float64{from.Float64()}}
			if c%6 == 0 && from.Float64() < 0.4 {
				r.Label, r.Scores[0] = backtest.Fraud, r.Scores[0]+0.3
			}
			rows = append(rows, r)
		}
	}
	f := collect(t, cfg, rows).Candidates[0]
	alone := cfg
	alone.Bootstrap = -1
	figures := make(map[string][]float64)
	rates, precisions := make([][]float64, len(f.ROCBand)), make([][]float64, len(f.PRBand))
	for b := range replicates {
		var drawn []backtest.Row
		weights := backtest.Draw(keys, cfg.Seed, b)
		for i := range rows {
			for copied := range weights[rows[i].Customer-1] {
				r := rows[i]
				r.Customer += uint64(copied) << 32
				drawn = append(drawn, r)
			}
		}
		for i, at := range f.ROCBand {
			rates[i] = append(rates[i], foundAt(drawn, float64(at.X)))
		}
		for i, at := range f.PRBand {
			precisions[i] = append(precisions[i], precisionAt(drawn, float64(at.X)))
		}
		f := collect(t, alone, drawn).Candidates[0]
		for name, x := range map[string]backtest.Number{
			"AUC": f.AUC, "average precision": f.AveragePrecision, "recall": f.Budget.Recall, "precision": f.Budget.Precision,
			"at 3": f.AtK[0].Precision, "at 10": f.AtK[1].Precision, "cards at 3": f.AtK[0].Card, "cards at 10": f.AtK[1].Card,
		} {
			figures[name] = append(figures[name], float64(x))
		}
	}
	if len(f.ROCBand) < 40 || len(f.PRBand) < 15 {
		t.Errorf("bands of %d and %d places", len(f.ROCBand), len(f.PRBand))
	}
	for i, at := range f.ROCBand {
		if diff := cmp.Diff(backtest.Between(rates[i]), &backtest.Interval{Low: at.Low, High: at.High}, within); diff != "" {
			t.Errorf("frauds found where %v of honest orders are flagged (-drawn +got):\n%s", at.X, diff)
		}
	}
	for i, at := range f.PRBand {
		if diff := cmp.Diff(backtest.Between(precisions[i]), &backtest.Interval{Low: at.Low, High: at.High}, within); diff != "" {
			t.Errorf("precision where %v of frauds are found (-drawn +got):\n%s", at.X, diff)
		}
	}
	for name, got := range map[string]*backtest.Interval{
		"AUC": f.AUCInterval, "average precision": f.APInterval, "recall": f.Budget.RecallInterval, "precision": f.Budget.PrecisionInterval,
		"at 3": f.AtK[0].Interval, "at 10": f.AtK[1].Interval, "cards at 3": f.AtK[0].CardInterval, "cards at 10": f.AtK[1].CardInterval,
	} {
		if diff := cmp.Diff(backtest.Between(figures[name]), got, within); diff != "" {
			t.Errorf("%s (-drawn +got):\n%s", name, diff)
		}
	}
}

// cumulated counts what lies at or above each score, from the highest score on.
func cumulated(rows []backtest.Row) (honest, frauds []float64) {
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b backtest.Row) int { return cmp2.Compare(b.Scores[0], a.Scores[0]) })
	honest, frauds = []float64{0}, []float64{0}
	for i := range sorted {
		if i == 0 || sorted[i].Scores[0] != sorted[i-1].Scores[0] {
			honest, frauds = append(honest, honest[len(honest)-1]), append(frauds, frauds[len(frauds)-1])
		}
		if sorted[i].Label == backtest.Fraud {
			frauds[len(frauds)-1]++
		} else {
			honest[len(honest)-1]++
		}
	}
	return honest, frauds
}

// foundAt is the height of the ROC curve of rows, with straight lines between its points and the upper end of a vertical piece.
func foundAt(rows []backtest.Row, rate float64) float64 {
	honest, frauds := cumulated(rows)
	last := len(honest) - 1
	x := rate * honest[last]
	y := math.NaN()
	for i := range honest {
		if honest[i] <= x {
			y = frauds[i]
		} else {
			y += (x - honest[i-1]) / (honest[i] - honest[i-1]) * (frauds[i] - frauds[i-1])
			break
		}
	}
	return y / frauds[last]
}

// precisionAt is the precision of rows at the highest score that finds so many of the frauds.
func precisionAt(rows []backtest.Row, recall float64) float64 {
	honest, frauds := cumulated(rows)
	for i := range frauds {
		if frauds[i] > 0 && frauds[i] >= recall*frauds[len(frauds)-1]*(1-1e-12) {
			return frauds[i] / (frauds[i] + honest[i])
		}
	}
	return math.NaN()
}
