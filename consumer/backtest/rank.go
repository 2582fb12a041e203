package backtest

import "math"

// rank returns the area under the ROC curve and the average precision of rows that weigh as their cluster does; nil weighs each 1. NaN when there is no
// fraud or, for the area, nothing honest.
//
// The area is the part of pairs of a fraud and an honest order in which the fraud has the higher score, an equal score counting half (Fawcett, An introduction
// to ROC analysis, 2006): what scikit-learn's roc_auc_score gives. Pairs are counted in integers. The average precision is Σ (Rₙ − Rₙ₋₁) Pₙ over the different
// scores, recall and precision being those of the orders at or above: scikit-learn's average_precision_score, without interpolation between them.
func (s *sample) rank(weights []uint8) (area, precision float64) {
	var frauds, honest, runFrauds, runHonest, pairs uint64 // above the run of equal scores, and in it; pairs count 2 each
	sum := 0.0
	for _, mark := range s.marks {
		w := uint64(1)
		if weights != nil {
			w = uint64(weights[mark>>markShift])
		}
		if mark&markFraud != 0 {
			runFrauds += w
		} else {
			runHonest += w
		}
		if mark&markEnd == 0 {
			continue
		}
		pairs += runHonest * (2*frauds + runFrauds)
		frauds, honest = frauds+runFrauds, honest+runHonest
		if runFrauds > 0 {
			sum += float64(runFrauds) * (float64(frauds) / float64(frauds+honest))
		}
		runFrauds, runHonest = 0, 0
	}
	if frauds == 0 {
		return math.NaN(), math.NaN()
	}
	if honest == 0 {
		return math.NaN(), sum / float64(frauds)
	}
	return float64(pairs) / 2 / (float64(frauds) * float64(honest)), sum / float64(frauds)
}

// Points of the curves, and of money by threshold, are at most this many.
const (
	maxPoints        = 400
	maxSegmentPoints = 50
)

// step is what lies at or above a score that some row has.
type step struct {
	score                     float64
	orders, frauds            int
	fraudAmount, honestAmount float64
}

// steps returns one step for each different score, falling.
func (s *sample) steps(c *Collector) []step {
	var all []step
	var now step
	for i, row := range s.rows {
		amount := c.amount[row]
		if amount != amount {
			amount = 0
		}
		now.orders++
		if s.marks[i]&markFraud != 0 {
			now.frauds++
			now.fraudAmount += amount
		} else {
			now.honestAmount += amount
		}
		if s.marks[i]&markEnd != 0 {
			now.score = s.score[i]
			all = append(all, now)
		}
	}
	return all
}

// thin returns the places of at most limit of n points, the first and the last among them, so that each point left out lies before a kept one by at most the
// whole length ÷ (limit − 2), along the curve: length(i) is how far point i is from point i − 1.
func thin(n, limit int, length func(i int) float64) []int {
	if n <= limit {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	whole := 0.0
	for i := 1; i < n; i++ {
		whole += length(i)
	}
	// Of every stretch of that length the last point is kept.
	kept, part, come, stretch := []int{0}, whole/float64(limit-2), 0.0, 0
	for i := 1; i < n-1; i++ {
		come += length(i)
		if next := int((come + length(i+1)) / part); next > stretch {
			kept, stretch = append(kept, i), next
		}
	}
	return append(kept, n-1)
}

// curves returns the ROC and precision-recall curves, each thinned along its own length: the ROC curve's is 2, so that each point left out lies within
// 0.006 of a kept one.
func curves(steps []step) (roc, pr []Point) {
	if len(steps) == 0 {
		return []Point{}, []Point{}
	}
	last := steps[len(steps)-1]
	frauds, honest := float64(last.frauds), float64(last.orders-last.frauds)
	roc, pr = []Point{}, []Point{}
	if frauds > 0 && honest > 0 {
		tpr := func(i int) float64 { return float64(steps[i].frauds) / frauds }
		fpr := func(i int) float64 { return float64(steps[i].orders-steps[i].frauds) / honest }
		roc = append(roc, Point{X: 0, Y: 0, Score: missing()})
		for _, i := range thin(len(steps), maxPoints-1, func(i int) float64 { return tpr(i) - tpr(i-1) + fpr(i) - fpr(i-1) }) {
			roc = append(roc, Point{Number(fpr(i)), Number(tpr(i)), Number(steps[i].score)})
		}
	}
	if frauds > 0 {
		recall := func(i int) float64 { return float64(steps[i].frauds) / frauds }
		precision := func(i int) float64 { return float64(steps[i].frauds) / float64(steps[i].orders) }
		for _, i := range thin(len(steps), maxPoints, func(i int) float64 {
			return recall(i) - recall(i-1) + math.Abs(precision(i)-precision(i-1))
		}) {
			pr = append(pr, Point{Number(recall(i)), Number(precision(i)), Number(steps[i].score)})
		}
	}
	return roc, pr
}

// thresholds returns at most limit steps, thinned along recall, false positive rate and the logarithm of the number of orders above, since a policy stops
// few of all. Money says whether rows have amounts.
func thresholds(steps []step, limit int, money bool) []Threshold {
	told := make([]Threshold, 0, min(len(steps), limit))
	if len(steps) == 0 {
		return told
	}
	last := steps[len(steps)-1]
	frauds, honest, orders := math.Max(1, float64(last.frauds)), math.Max(1, float64(last.orders-last.frauds)), math.Log1p(float64(last.orders))
	for _, i := range thin(len(steps), limit, func(i int) float64 {
		a, b := &steps[i-1], &steps[i]
		more := float64(b.frauds - a.frauds)
		return more/frauds + (float64(b.orders-a.orders)-more)/honest + (math.Log1p(float64(b.orders))-math.Log1p(float64(a.orders)))/orders
	}) {
		t := Threshold{Score: Number(steps[i].score), Orders: steps[i].orders, Frauds: steps[i].frauds, FraudAmount: missing(), HonestAmount: missing()}
		if money {
			t.FraudAmount, t.HonestAmount = Number(steps[i].fraudAmount), Number(steps[i].honestAmount)
		}
		told = append(told, t)
	}
	return told
}
