package backtest

import (
	"math"
	"slices"
)

// Bands are the percentile intervals of a curve's height at places along it, over the same replicates as all intervals (vertical averaging: Fawcett, An
// introduction to ROC analysis, 2006, section 8.2). They hold at each place by itself, not for the whole curve at once.

// maxBand is how many places a band has at most.
const maxBand = 60

// stop is how many honest orders and frauds lie above a run of equal scores, and with it. Weights count.
type stop struct{ above, honest, frauds uint64 }

// stops weighs the ranking's blocks; into is room for the result.
func (r *ranking) stops(weights []uint8, into []stop) []stop {
	into = into[:0]
	var s stop
	from := 0
	for _, b := range r.blocks {
		s.above = s.honest + weigh(r.clusters[from:b.above], weights)
		s.honest = s.above + weigh(r.clusters[b.above:b.honest], weights)
		s.frauds += weigh(r.clusters[b.honest:b.frauds], weights)
		into, from = append(into, s), b.frauds
	}
	return into
}

// rocAt returns the true positive rate at each of the false positive rates, which rise: straight lines between the scores, as the area counts them, and on a
// vertical piece its upper end. Nil without frauds or without honest orders.
func rocAt(stops []stop, rates []float64) []float64 {
	last := stops[len(stops)-1]
	if last.frauds == 0 || last.honest == 0 {
		return nil
	}
	heights, i, before := make([]float64, 0, len(rates)), 0, stop{}
	for _, rate := range rates {
		x := rate * float64(last.honest)
		for i < len(stops)-1 && float64(stops[i].honest) <= x {
			before, i = stops[i], i+1
		}
		now := stops[i]
		y := float64(before.frauds)
		switch run := float64(now.honest - now.above); {
		case x >= float64(now.honest):
			y = float64(now.frauds)
		case x > float64(now.above):
			y += (x - float64(now.above)) / run * float64(now.frauds-before.frauds)
		}
		heights = append(heights, y/float64(last.frauds))
	}
	return heights
}

// prAt returns the precision at each of the recalls, which rise: that of the highest score with which so many frauds are found, as the average precision
// counts it. Nil without frauds.
func prAt(stops []stop, recalls []float64) []float64 {
	last := stops[len(stops)-1]
	if last.frauds == 0 {
		return nil
	}
	heights, i := make([]float64, 0, len(recalls)), 0
	for _, recall := range recalls {
		for i < len(stops)-1 && float64(stops[i].frauds) < recall*float64(last.frauds)*(1-1e-12) {
			i++
		}
		// A stop without a fraud of its own, which weighs nothing in this replicate, is no point of the curve.
		for i < len(stops)-1 && stops[i].frauds == 0 {
			i++
		}
		heights = append(heights, float64(stops[i].frauds)/float64(stops[i].frauds+stops[i].honest))
	}
	return heights
}

// placesOf returns the X of at most maxBand of a curve's points, rising and each once.
func placesOf(curve []Point) []float64 {
	places := make([]float64, 0, maxBand)
	n := min(maxBand, len(curve))
	for i := range n {
		places = append(places, float64(curve[i*(len(curve)-1)/max(1, n-1)].X))
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// bandOf returns the band over the replicates' heights at those places; empty when most of them have none.
func bandOf(drawn []replicate, places []float64, heights func(*replicate) []float64) []Band {
	band := []Band{}
	values := make([]float64, 0, len(drawn))
	for i, x := range places {
		values = values[:0]
		for j := range drawn {
			if all := heights(&drawn[j]); all != nil && !math.IsNaN(all[i]) {
				values = append(values, all[i])
			}
		}
		within := intervalOf(values, len(drawn))
		if within == nil {
			return []Band{}
		}
		band = append(band, Band{X: Number(x), Low: within.Low, High: within.High})
	}
	return band
}
