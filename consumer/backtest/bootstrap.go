package backtest

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Intervals are of the cluster bootstrap with Poisson weights: in each replicate every customer, with all of his orders, is there as often as a Poisson variable
// of mean 1 says, which is drawing customers with replacement for as many of them as there are here (Hanley and MacGibbon 2006; Chamandy et al., Estimating
// uncertainty for massive data streams, 2012). Customers are drawn and not orders, since a fraudster's orders are alike and come together: orders drawn as if
// independent give intervals that are too narrow. Days are not drawn: a test has few of them, and each then has all customers' orders of its own.
//
// A customer's weight in replicate b is a hash of the seed, b and the customer's key. So it does not depend on the order of rows, and all candidates have the
// same weights: what is told of a difference is of the same drawn customers on both sides.

// replicate are the figures of one drawn sample.
type replicate struct {
	area, average     float64
	precision, recall float64   // at the budget
	atK, cardAtK      []float64 // means over days, one for each of TopK
	roc, pr           []float64 // heights of the curves at the places of their bands; nil where there is no such curve
}

// resample returns the replicates of a sample in order. Rates and recalls are the places of the bands.
func (s *sample) resample(of *counted, cfg *Config, rates, recalls []float64) []replicate {
	all := make([]replicate, cfg.Bootstrap)
	ranked := s.ranking()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), cfg.Bootstrap) {
		wg.Go(func() {
			weights, left := make([]uint8, len(of.keys)), make([]uint8, len(of.keys))
			stops := make([]stop, 0, len(ranked.blocks))
			for {
				b := int(next.Add(1)) - 1
				if b >= cfg.Bootstrap {
					return
				}
				draw(weights, of.keys, cfg.Seed, b)
				stops = ranked.stops(weights, stops)
				all[b] = s.measure(cfg, stops, weights, left)
				all[b].roc, all[b].pr = rocAt(stops, rates), prAt(stops, recalls)
			}
		})
	}
	wg.Wait()
	return all
}

// measure returns the figures of rows that weigh as their cluster does, whose stops those are. Left is room to work in, of the same length as weights.
func (s *sample) measure(cfg *Config, stops []stop, weights, left []uint8) replicate {
	r := replicate{atK: make([]float64, len(cfg.TopK)), cardAtK: make([]float64, len(cfg.TopK))}
	var frauds uint64
	r.area, r.average, frauds = areas(stops)
	f := s.budget(cfg.Budget, weights)
	r.precision, r.recall = float64(ratio(float64(f.frauds), float64(f.taken))), float64(ratio(float64(f.frauds), float64(frauds)))
	for i, k := range cfg.TopK {
		r.atK[i] = float64(mean(s.precisions(k, weights)))
		copy(left, weights)
		r.cardAtK[i] = float64(mean(s.cardPrecisions(k, left)))
	}
	return r
}

// whole returns the figures of the sample itself.
func (s *sample) whole(of *counted, cfg *Config) replicate {
	weights := ones(len(of.keys))
	return s.measure(cfg, s.ranking().stops(weights, nil), weights, make([]uint8, len(of.keys)))
}

// poisson are P(X ≤ i) of a Poisson variable of mean 1, in parts of 2^32.
func poisson() []uint64 {
	all, sum, term := []uint64{}, 0.0, math.Exp(-1)
	for i := 1; i <= 12; i++ { // P(X > 11) is below 2^-32
		sum += term
		term /= float64(i)
		all = append(all, uint64(sum*(1<<32)))
	}
	return all
}

// draw sets the weights of replicate b.
func draw(weights []uint8, keys []uint64, seed uint64, b int) {
	upTo := poisson()
	salt := mix(mix(seed) + uint64(b))
	for i, key := range keys {
		u, w := mix(key^salt)>>32, 0
		for w < len(upTo) && u >= upTo[w] {
			w++
		}
		weights[i] = uint8(w)
	}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// coverage is the part of replicates that lies within an interval.
const coverage = 0.95

// interval returns the percentile interval of a figure over the replicates; nil when most of them have no such figure.
func interval(all []replicate, figure func(*replicate) float64) *Interval {
	values := make([]float64, 0, len(all))
	for i := range all {
		if x := figure(&all[i]); x == x {
			values = append(values, x)
		}
	}
	return intervalOf(values, len(all))
}

func intervalOf(values []float64, of int) *Interval {
	if len(values) == 0 || 2*len(values) < of {
		return nil
	}
	slices.Sort(values)
	at := func(i int) float64 { return values[i] }
	return &Interval{Low: Number(quantile(len(values), (1-coverage)/2, at)), High: Number(quantile(len(values), (1+coverage)/2, at))}
}
