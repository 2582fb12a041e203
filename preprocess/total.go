package preprocess

import "math"

// Total is a sum of doubles in about twice their precision: High + Low, Low being what rounding took from High. Adding in another order, or in parts,
// changes Value only where the exact sum lies within 2^-100 or so, relative to the sum of the magnitudes, of the middle between two doubles. So totals that
// are merged from others do not drift. (Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", algorithm IV, with Knuth's TwoSum.)
type Total struct{ High, Low float64 }

// Value returns the sum as the nearest double; infinite when it is too large for one.
func (t *Total) Value() float64 {
	if math.IsInf(t.High, 0) {
		return t.High // of infinities Low is no number
	}
	return t.High + t.Low
}

// Add adds x.
func (t *Total) Add(x float64) {
	s := t.High + x
	t.Low += lost(t.High, x, s)
	t.High = s
}

// lost is exactly what rounding took from s = a + b.
func lost(a, b, s float64) float64 {
	of := s - a
	return (a - (s - of)) + (b - of)
}

// Plus adds another total.
func (t *Total) Plus(u Total) {
	t.Add(u.High)
	t.Low += u.Low
}

// addSquare adds x², exactly.
func (t *Total) addSquare(x float64) {
	square := x * x
	t.Add(square)
	if !math.IsInf(square, 0) {
		t.Low += math.FMA(x, x, -square)
	}
}

// times returns t·f.
func (t *Total) times(f float64) Total {
	high := t.High * f
	return Total{High: high, Low: math.FMA(t.High, f, -high) + t.Low*f}
}
