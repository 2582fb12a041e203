package backtest

import (
	"math"
	"slices"
)

// calibrationBins is how many bins calibration is told in; 10 of equal width are what the expected calibration error is commonly over.
const calibrationBins = 10

// calibration is how well scores are probabilities.
type calibration struct {
	brier, ece, eceQuantile Number
	width, quantile         []Bin
}

// calibrate holds scores against shares of frauds. All is missing where a score is no probability.
//
// Brier is the mean of (score − fraud)² (Brier 1950; scikit-learn's brier_score_loss). The expected calibration error is Σ (orders of a bin ÷ all) · |share of
// frauds − mean score| over bins of equal width (Naeini, Cooper, Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015); where frauds
// are rare nearly all orders are in its first bin, so it is told over bins of equally many orders too. Bins are those of scikit-learn's calibration_curve.
func (s *sample) calibrate() calibration {
	n := len(s.rows)
	if n == 0 || s.score[0] > 1 || s.score[n-1] < 0 {
		return calibration{brier: missing(), ece: missing(), eceQuantile: missing(), width: []Bin{}, quantile: []Bin{}}
	}
	var even, many []float64
	for i := range calibrationBins + 1 {
		even = append(even, float64(i)/calibrationBins)
		many = append(many, s.percentile(float64(i)/calibrationBins))
	}
	sum := 0.0
	for i, score := range s.score {
		d := score - float64(s.marks[i]&markFraud)
		sum += d * d
	}
	c := calibration{brier: Number(sum / float64(n))}
	c.width, c.ece = s.bins(even)
	c.quantile, c.eceQuantile = s.bins(many)
	return c
}

// percentile returns the score below which a part of all lies, between neighbours by straight line, as numpy's percentile does.
func (s *sample) percentile(part float64) float64 {
	return quantile(len(s.score), part, func(i int) float64 { return s.score[len(s.score)-1-i] })
}

// quantile returns the quantile of n rising values.
func quantile(n int, part float64, at func(i int) float64) float64 {
	place := part * float64(n-1)
	low := min(int(place), n-1)
	high := min(low+1, n-1)
	a, b, t := at(low), at(high), place-float64(low)
	if t >= 0.5 {
		return b - (b-a)*(1-t)
	}
	return a + (b-a)*t
}

func (s *sample) bins(edges []float64) ([]Bin, Number) {
	n := len(edges) - 1
	orders, scores, frauds := make([]int, n), make([]float64, n), make([]int, n)
	for i, score := range s.score {
		at, _ := slices.BinarySearch(edges[1:n], score) // a bin holds its upper edge
		orders[at]++
		scores[at] += score
		frauds[at] += int(s.marks[i] & markFraud)
	}
	told, off := make([]Bin, 0, n), 0.0
	for i := range n {
		if orders[i] == 0 {
			continue
		}
		of := float64(orders[i])
		b := Bin{From: Number(edges[i]), To: Number(edges[i+1]), N: orders[i], Score: Number(scores[i] / of), Fraud: Number(float64(frauds[i]) / of)}
		off += of * math.Abs(float64(b.Fraud-b.Score))
		told = append(told, b)
	}
	return told, Number(off / float64(len(s.score)))
}

// scoreBins is in how many bins scores are counted.
const scoreBins = 50

// distribution counts the scores of all rows by what is known of them.
func (c *Collector) distribution(score []float64, counts []bool) []ScoreBin {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range score {
		if s == s && !math.IsInf(s, 0) {
			low, high = min(low, s), max(high, s)
		}
	}
	if low > high {
		return []ScoreBin{}
	}
	if low >= 0 && high <= 1 {
		low, high = 0, 1
	}
	if low == high {
		high = low + 1
	}
	told := make([]ScoreBin, scoreBins)
	for i := range told {
		told[i].From, told[i].To = Number(low+(high-low)*float64(i)/scoreBins), Number(low+(high-low)*float64(i+1)/scoreBins)
	}
	for row, s := range score {
		if s != s || math.IsInf(s, 0) {
			continue
		}
		b := &told[max(0, min(scoreBins-1, int((s-low)/(high-low)*scoreBins)))]
		switch {
		case !counts[row]:
			b.Unknown++
		case c.label[row] == Fraud:
			b.Fraud++
		default:
			b.Honest++
		}
	}
	return told
}
