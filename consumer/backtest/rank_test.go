package backtest_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"verdict/consumer/backtest"
)

// What the figures mean, by counting pairs and prefixes of few orders with equal scores and weights from a bootstrap apart.
func TestAreaIsThePartOfPairsInOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		cfg := backtest.Config{Candidates: []backtest.Candidate{{Name: "a"}}, Bootstrap: -1}
		c, err := backtest.New(cfg)
		if err != nil {
			r.Fatal(err)
		}
		n := rapid.IntRange(1, 40).Draw(r, "orders")
		score, fraud := make([]float64, n), make([]bool, n)
		for i := range n {
			score[i], fraud[i] = float64(rapid.IntRange(0, 9).Draw(r, "score"))/8, rapid.Bool().Draw(r, "fraud")
			row := backtest.Row{At: int64(i), ID: fmt.Sprint(i), Scores: score[i : i+1]}
			if fraud[i] {
				row.Label = backtest.Fraud
			}
			if err := c.Add(&row); err != nil {
				r.Fatal(err)
			}
		}
		rep, err := c.Report()
		if err != nil {
			r.Fatal(err)
		}
		inOrder, pairs, sum, frauds := 0.0, 0.0, 0.0, 0.0
		for i := range n {
			if !fraud[i] {
				continue
			}
			frauds++
			above, aboveFrauds := 0.0, 0.0
			for j := range n {
				if score[j] >= score[i] {
					above++
					if fraud[j] {
						aboveFrauds++
					}
				}
				if fraud[j] {
					continue
				}
				pairs++
				switch {
				case score[i] > score[j]:
					inOrder++
				case score[i] == score[j]:
					inOrder += 0.5
				}
			}
			sum += aboveFrauds / above // the precision at each fraud's own score
		}
		if got, want := float64(rep.Headline.AUC), inOrder/pairs; math.Abs(got-want) > 1e-12 || math.IsNaN(got) != math.IsNaN(want) {
			r.Errorf("AUC %v, want %v", got, want)
		}
		if got, want := float64(rep.Headline.AveragePrecision), sum/frauds; math.Abs(got-want) > 1e-12 || math.IsNaN(got) != math.IsNaN(want) {
			r.Errorf("average precision %v, want %v", got, want)
		}
	})
}

func TestThinnedCurveIsNearWhatWasLeftOut(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lengths := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 1e-3), rapid.Float64Range(0, 10)), 60, 400).Draw(r, "lengths")
		const limit = 50
		kept := backtest.Thin(len(lengths), limit, func(i int) float64 { return lengths[i] })
		if len(kept) > limit || kept[0] != 0 || kept[len(kept)-1] != len(lengths)-1 {
			r.Fatalf("kept %v of %d", kept, len(lengths))
		}
		whole := 0.0
		for _, l := range lengths[1:] {
			whole += l
		}
		next := 0
		for i := range lengths {
			if i > kept[next] {
				next++
			}
			away := 0.0
			for j := i + 1; j <= kept[next]; j++ {
				away += lengths[j]
			}
			if away > whole/(limit-2)*(1+1e-9) {
				r.Errorf("point %d lies %v before the next that is kept, of %v in all", i, away, whole)
			}
		}
	})
}
