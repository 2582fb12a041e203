package page

import (
	"math"
	"strconv"
	"time"
)

// scale puts values from lo to hi onto pixels; on a logarithmic one lo and hi are powers of ten and what lies below lo is drawn at it.
type scale struct {
	lo, hi   float64
	from, to float64
	log      bool
}

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(math.Max(v, s.lo))
		return s.from + (v-math.Log10(s.lo))/(math.Log10(s.hi)-math.Log10(s.lo))*(s.to-s.from)
	}
	return s.from + (v-s.lo)/(s.hi-s.lo)*(s.to-s.from)
}

// steps are round values from lo to hi, about n of them, at distances of 1, 2 or 5 times a power of ten.
func steps(lo, hi float64, n int) []float64 {
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return []float64{lo}
	}
	raw := (hi - lo) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*0.999 {
			step = m * power
			break
		}
	}
	if math.Abs(lo/step) > 1e12 {
		return []float64{lo} // steps would be lost in rounding
	}
	var out []float64
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
		out = append(out, i*step+0) // a zero has no sign
	}
	return out
}

// decades are the powers of ten from lo to hi.
func decades(lo, hi float64) []float64 {
	var out []float64
	for e := math.Round(math.Log10(lo)); e <= math.Round(math.Log10(hi)); e++ {
		out = append(out, math.Pow(10, e))
	}
	return out
}

// days are round dates between two times in Unix seconds, about n of them at most: every day, week, month, quarter, year or decade.
func days(lo, hi float64, n int) []float64 {
	const day = 24 * 60 * 60
	for _, every := range []float64{1, 2, 7, 14} {
		if (hi-lo)/(every*day) <= float64(n) {
			var out []float64
			for at := math.Ceil(lo/day) * day; at <= hi; at += every * day {
				out = append(out, at)
			}
			return out
		}
	}
	first := time.Unix(int64(lo), 0).UTC()
	first = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, months := range []int{1, 2, 3, 6, 12, 24, 60, 120} {
		if out := everyMonths(first, lo, hi, months); len(out) <= n || months == 120 {
			return out
		}
	}
	return nil // unreachable: the last of the list returns
}

// everyMonths are the first days of months from lo to hi.
func everyMonths(first time.Time, lo, hi float64, months int) []float64 {
	var out []float64
	for at := first; float64(at.Unix()) <= hi; at = at.AddDate(0, months, 0) {
		if float64(at.Unix()) >= lo {
			out = append(out, float64(at.Unix()))
		}
	}
	return out
}

// px is a coordinate to a tenth of a pixel.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
