package preprocess_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"verdict/preprocess"
)

// TestTotalIsTheExactSum adds numbers of very different sizes, which mostly cancel, one by one and in parts.
func TestTotalIsTheExactSum(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) float64 {
		return math.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "mantissa"), rapid.IntRange(-200, 200).Draw(t, "exponent"))
	})
	rapid.Check(t, func(t *rapid.T) {
		exact, magnitude := new(big.Float).SetPrec(4000), new(big.Float).SetPrec(4000)
		var parts [3]preprocess.Total
		var all []float64
		add := func(x float64) {
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Add(x)
			all = append(all, x)
			exact.Add(exact, big.NewFloat(x))
			magnitude.Add(magnitude, big.NewFloat(math.Abs(x)))
		}
		for range rapid.IntRange(0, 60).Draw(t, "additions") {
			if len(all) > 0 && rapid.Bool().Draw(t, "cancel") {
				add(-rapid.SampledFrom(all).Draw(t, "one of before"))
			} else {
				add(number.Draw(t, "number"))
			}
		}
		total := parts[0]
		total.Plus(parts[1])
		total.Plus(parts[2])

		got := new(big.Float).SetPrec(4000).SetFloat64(total.High)
		got.Add(got, big.NewFloat(total.Low))
		off := got.Sub(got, exact)
		bound := magnitude.Mul(magnitude, big.NewFloat(float64(len(all)+6)*math.Ldexp(1, -100)))
		if off.Abs(off).Cmp(bound) > 0 {
			t.Fatalf("%v: High %v, Low %v is off by %v, more than %v", all, total.High, total.Low, off, bound)
		}
	})
}

// TestTotalDoesNotDrift: what is added and taken out again a million times leaves nothing behind.
func TestTotalDoesNotDrift(t *testing.T) {
	var total preprocess.Total
	plain := 0.0
	for i := range 1_000_000 {
		x := 0.1 * float64(i%977)
		total.Add(x)
		total.Add(-x / 3)
		plain += x
		plain -= x / 3
	}
	for i := range 1_000_000 {
		x := 0.1 * float64(i%977)
		total.Add(-x)
		total.Add(x / 3)
		plain -= x
		plain += x / 3
	}
	if got := total.Value(); math.Abs(got) > 1e-16 {
		t.Errorf("what is left is %v", got)
	}
	if math.Abs(plain) < 1e-12 {
		t.Errorf("doubles alone leave %v: this shows nothing", plain)
	}
}

func TestTotalOfInfinitiesIsNoNumber(t *testing.T) {
	for _, numbers := range [][]float64{{math.MaxFloat64, math.MaxFloat64}, {-math.MaxFloat64, -math.MaxFloat64, 1}, {math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64}} {
		var total preprocess.Total
		for _, x := range numbers {
			total.Add(x)
		}
		if v := total.Value(); !math.IsInf(v, 0) && !math.IsNaN(v) {
			t.Errorf("%v make %v", numbers, v)
		}
	}
}
