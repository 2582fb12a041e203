package bench

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Arrivals says how intended send times lie.
type Arrivals uint8

// The arrivals: of a Poisson process, as independent callers make them, or evenly spaced.
const (
	Poisson Arrivals = iota
	Even
)

// schedule gives the intended send times of a stage, from its start.
func schedule(arrivals Arrivals, rate float64, length time.Duration, rng *rand.Rand) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		at := 0.0 // seconds
		for n := 0; ; n++ {
			if arrivals == Even {
				at = float64(n) / rate
			} else {
				at += rng.ExpFloat64() / rate
			}
			due := time.Duration(math.Round(at * float64(time.Second)))
			if due >= length || !yield(due) {
				return
			}
		}
	}
}
