package treemodel

import "math"

// logf is the float32 logarithm of glibc since 2.27, bit for bit: XGBoost takes the margin of base_score from it, and it does not always round right. The
// method and the numbers are those of Arm's optimized routines (MIT licence), whose logf glibc has; where processors have FMA, glibc uses a version of
// it that was compiled with FMA, and Go computes math.FMA the same on every machine.
//
// x is z × 2^k with z between 0.7 and 1.4, and z lies in one of 16 parts. The table has 1/c and log(c) of a point c in each, so that z/c - 1 is small, and
// log(x) = log(1 + (z/c - 1)) + log(c) + k × log(2), the first by a polynomial.
func logf(x float32) float32 {
	const (
		parts = 16
		from  = 0x3f330000 // the bits of 0.7, where the first part begins
		ln2   = 0x1.62e42fefa39efp-1
		a0    = -0x1.00ea348b88334p-2
		a1    = 0x1.5575b0be00b6ap-2
		a2    = -0x1.ffffef20a4123p-2
	)
	switch {
	case x == 0:
		return float32(math.Inf(-1))
	case !(x > 0):
		return float32(math.NaN())
	case math.IsInf(float64(x), 1):
		return x
	}
	bits := math.Float32bits(x)
	if bits < 1<<23 { // denormal
		bits = math.Float32bits(x*(1<<23)) - 23<<23
	}
	above := bits - from
	part := logParts[above>>19%parts]
	k := float64(int32(above) >> 23)
	z := float64(math.Float32frombits(bits - above&^(1<<23-1)))
	r := math.FMA(z, part.inverse, -1)
	y0 := math.FMA(k, ln2, part.log)
	r2 := r * r
	y := math.FMA(a1, r, a2)
	y = math.FMA(a0, r2, y)
	return float32(math.FMA(y, r2, y0+r))
}

// logParts has 1/c and log(c) of a point c of each part.
var logParts = [16]struct{ inverse, log float64 }{
	{0x1.661ec79f8f3bep+0, -0x1.57bf7808caadep-2},
	{0x1.571ed4aaf883dp+0, -0x1.2bef0a7c06ddbp-2},
	{0x1.49539f0f010bp+0, -0x1.01eae7f513a67p-2},
	{0x1.3c995b0b80385p+0, -0x1.b31d8a68224e9p-3},
	{0x1.30d190c8864a5p+0, -0x1.6574f0ac07758p-3},
	{0x1.25e227b0b8eap+0, -0x1.1aa2bc79c81p-3},
	{0x1.1bb4a4a1a343fp+0, -0x1.a4e76ce8c0e5ep-4},
	{0x1.12358f08ae5bap+0, -0x1.1973c5a611cccp-4},
	{0x1.0953f419900a7p+0, -0x1.252f438e10c1ep-5},
	{1, 0},
	{0x1.e608cfd9a47acp-1, 0x1.aa5aa5df25984p-5},
	{0x1.ca4b31f026aap-1, 0x1.c5e53aa362eb4p-4},
	{0x1.b2036576afce6p-1, 0x1.526e57720db08p-3},
	{0x1.9c2d163a1aa2dp-1, 0x1.bc2860d22477p-3},
	{0x1.886e6037841edp-1, 0x1.1058bc8a07ee1p-2},
	{0x1.767dcf5534862p-1, 0x1.4043057b6ee09p-2},
}
