package backtest

import (
	"bytes"
	"math"
	"strconv"
)

// Number is a figure of a report: null in JSON when it is NaN, which is a figure that could not be had, such as a precision of nothing.
type Number float64

// MarshalJSON writes the number in the fewest digits that read back the same.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(nil, f, format, -1, 64), nil
}

// UnmarshalJSON reads a number, or null as NaN.
func (n *Number) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		*n = Number(math.NaN())
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	*n = Number(f)
	return err
}

// Missing says whether the figure could not be had.
func (n Number) Missing() bool { return math.IsNaN(float64(n)) }

// ratio returns a / b, and a missing number for b = 0.
func ratio(a, b float64) Number {
	if b == 0 {
		return Number(math.NaN())
	}
	return Number(a / b)
}

func missing() Number { return Number(math.NaN()) }
