package backtest

import (
	"math"
	"slices"
)

// ranking is a sample's clusters in the order of its scores, cut into blocks, so that a bootstrap goes over them in plain sums: almost all rows are honest
// ones whose score no fraud has.
type ranking struct {
	clusters []uint32
	blocks   []block
}

// block is where parts of clusters end: honest rows above a run of equal scores with a fraud, that run's honest rows, its frauds. The last may lack the run.
type block struct{ above, honest, frauds int }

// ranking returns the sample's.
func (s *sample) ranking() *ranking {
	r := &ranking{clusters: make([]uint32, 0, len(s.marks))}
	var frauds []uint32 // of the run
	from := 0           // where the run begins in r.clusters
	for _, mark := range s.marks {
		if mark&markFraud != 0 {
			frauds = append(frauds, mark>>markShift)
		} else {
			r.clusters = append(r.clusters, mark>>markShift)
		}
		if mark&markEnd == 0 {
			continue
		}
		if len(frauds) > 0 {
			b := block{above: from, honest: len(r.clusters)}
			r.clusters = append(r.clusters, frauds...)
			b.frauds = len(r.clusters)
			r.blocks, frauds = append(r.blocks, b), frauds[:0]
		}
		from = len(r.clusters)
	}
	r.blocks = append(r.blocks, block{above: from, honest: from, frauds: from})
	return r
}

// rank returns the area under the ROC curve and the average precision of rows that weigh as their cluster does, nil weighing each 1, and the weight of all
// frauds. The figures are NaN when there is no fraud or, for the area, nothing honest.
//
// The area is the part of pairs of a fraud and an honest order in which the fraud has the higher score, an equal score counting half (Fawcett, An introduction
// to ROC analysis, 2006): what scikit-learn's roc_auc_score gives. Pairs are counted in integers. The average precision is Σ (Rₙ − Rₙ₋₁) Pₙ over the different
// scores, recall and precision being those of the orders at or above: scikit-learn's average_precision_score, without interpolation between them.
func (r *ranking) rank(weights []uint8) (area, precision float64, frauds uint64) {
	return areas(r.stops(weights, nil))
}

// areas returns what rank does.
func areas(stops []stop) (area, precision float64, frauds uint64) {
	var honest, pairs uint64 // above; pairs count 2 each
	sum := 0.0
	for _, s := range stops {
		above, tied, found := s.above-honest, s.honest-s.above, s.frauds-frauds
		pairs += above*2*frauds + tied*(2*frauds+found)
		frauds, honest = s.frauds, s.honest
		if found > 0 {
			sum += float64(found) * (float64(frauds) / float64(frauds+honest))
		}
	}
	area, precision = math.NaN(), math.NaN()
	if frauds > 0 {
		precision = sum / float64(frauds)
	}
	if frauds > 0 && honest > 0 {
		area = float64(pairs) / 2 / (float64(frauds) * float64(honest))
	}
	return area, precision, frauds
}

// weigh returns the weight of clusters.
func weigh(clusters []uint32, weights []uint8) uint64 {
	if weights == nil {
		return uint64(len(clusters))
	}
	var a, b uint64 // two sums, so that one addition need not wait for the other
	for len(clusters) >= 2 {
		a += uint64(weights[clusters[0]])
		b += uint64(weights[clusters[1]])
		clusters = clusters[2:]
	}
	if len(clusters) == 1 {
		a += uint64(weights[clusters[0]])
	}
	return a + b
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
	different := 0
	for _, mark := range s.marks {
		different += int(mark & markEnd / markEnd)
	}
	all := make([]step, 0, different)
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

// belowOrAt puts steps at or above a threshold before the others.
func belowOrAt(s step, threshold float64) int {
	if s.score >= threshold {
		return -1
	}
	return 1
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
// few of all. What lies at or above each of those in use, if given, is told beside them. Money says whether rows have amounts.
func thresholds(steps []step, limit int, money bool, inUse ...*float64) []Threshold {
	told := make([]Threshold, 0, min(len(steps), limit+len(inUse)))
	if len(steps) == 0 {
		return told
	}
	last := steps[len(steps)-1]
	frauds, honest, orders := math.Max(1, float64(last.frauds)), math.Max(1, float64(last.orders-last.frauds)), math.Log1p(float64(last.orders))
	places := thin(len(steps), limit, func(i int) float64 {
		a, b := &steps[i-1], &steps[i]
		more := float64(b.frauds - a.frauds)
		return more/frauds + (float64(b.orders-a.orders)-more)/honest + (math.Log1p(float64(b.orders))-math.Log1p(float64(a.orders)))/orders
	})
	for _, threshold := range inUse {
		if threshold == nil {
			continue
		}
		if n, _ := slices.BinarySearchFunc(steps, *threshold, belowOrAt); n > 0 {
			places = append(places, n-1)
		}
	}
	slices.Sort(places)
	for _, i := range slices.Compact(places) {
		t := Threshold{Score: Number(steps[i].score), Orders: steps[i].orders, Frauds: steps[i].frauds, FraudAmount: missing(), HonestAmount: missing()}
		if money {
			t.FraudAmount, t.HonestAmount = Number(steps[i].fraudAmount), Number(steps[i].honestAmount)
		}
		told = append(told, t)
	}
	return told
}
