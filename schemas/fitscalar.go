package schemas

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (f *fitter) whole(t *avroType, v *Value) {
	i := v.Int()
	switch v.kind {
	case Int:
	case Float:
		var ok bool
		if i, ok = wholeFloat(*v); !ok {
			f.fault("schema_mismatch", "has a fraction or is too large; must be "+t.wants())
			return
		}
	default:
		f.wrong(t, v)
		return
	}
	if t.kind == avroInt && i != int64(int32(i)) {
		f.fault("value_range", "is beyond 32 bits; must be "+t.wants())
	}
	f.set(v, IntValue(i))
}

// wholeFloat returns the integer that a Float, by all the digits it was written with, is exactly.
func wholeFloat(v Value) (int64, bool) {
	number := v.Number()
	if v.str != "" && math.Abs(number) >= 1<<53 {
		return wholeLiteral(v.str)
	}
	if v.str != "" && !decimalFits(v.str, maxPrecision, 0) || number != math.Trunc(number) || math.Abs(number) >= 1<<63 {
		return 0, false
	}
	return int64(number), true
}

// wholeLiteral returns the integer that a literal such as 9007199254740993.0 or 1e18 is exactly.
func wholeLiteral(literal string) (int64, bool) {
	if !decimalFits(literal, 19, 0) {
		return 0, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	e, _ := strconv.Atoi(exponent)
	point := len(whole) + e
	digits := whole + fraction
	if point < len(digits) {
		digits = digits[:point]
	}
	i, err := strconv.ParseInt(digits+strings.Repeat("0", max(0, min(point-len(digits), 20))), 10, 64)
	return i, err == nil
}

func (f *fitter) double(t *avroType, v *Value) {
	if v.kind != Int && v.kind != Float {
		f.wrong(t, v)
		return
	}
	number := v.Number()
	if t.kind == avroFloat {
		number = float64(float32(number))
		if math.IsInf(number, 0) {
			f.fault("value_range", "is beyond what a float holds")
		}
	}
	f.set(v, FloatValue(number))
}

// text takes a string, and an integer too where any string may stand: ids come as either and are kept as they came.
func (f *fitter) text(t *avroType, v *Value) {
	switch {
	case t.kind == avroString && v.kind == Int:
	case v.kind != String:
		f.wrong(t, v)
	case t.kind == avroFixed && len(v.str) != t.size:
		f.fault("schema_mismatch", fmt.Sprintf("has %d bytes; must be %s", len(v.str), t.wants()))
	case t.kind == avroEnum && !slices.Contains(t.symbols, v.str):
		if f.resolving && t.otherSymbol != "" {
			f.set(v, StringValue(t.otherSymbol))
			return
		}
		f.fault("schema_mismatch", "is not one of the allowed values; must be "+t.wants())
	}
}

func (f *fitter) decimal(t *avroType, v *Value) {
	literal, number := v.str, v.Number()
	switch v.kind {
	case Int:
		literal = strconv.FormatInt(v.Int(), 10)
	case Float:
		if literal == "" {
			literal = strconv.FormatFloat(number, 'g', -1, 64)
		}
	case String:
		if !isDecimal(literal) {
			f.fault("schema_mismatch", "is a string that is not a decimal number; must be "+t.wants())
			return
		}
		var err error
		if number, err = strconv.ParseFloat(literal, 64); err != nil {
			f.fault("value_range", "is beyond what a double holds")
			return
		}
	default:
		f.wrong(t, v)
		return
	}
	if !f.resolving && !decimalFits(literal, t.precision, t.scale) {
		f.fault("schema_mismatch", "has too many digits; must be "+t.wants())
		return
	}
	f.set(v, exactDecimal(number, literal))
}

// time takes RFC 3339, whole epoch milliseconds, and for a date a full date or days since 1970 too.
func (f *fitter) time(t *avroType, v *Value) {
	var at Value
	switch v.kind {
	case Time:
		return
	case String:
		at = parseInstant(v.str, t.logical == date)
		if at.Missing() {
			f.fault("schema_mismatch", "is a string that is not a time; must be "+t.wants())
			return
		}
	case Int:
		at = scaledTime(v.Int(), 1000)
		if f.resolving || t.logical == date {
			at = t.fromLong(v.Int())
		}
	case Float:
		ms := v.Number()
		if ms != math.Trunc(ms) {
			f.fault("schema_mismatch", "has a fraction; must be "+t.wants())
			return
		}
		if us := ms * 1000; t.logical != date && math.Abs(us) < 1<<63 {
			at = MicrosValue(int64(us))
		}
	default:
		f.wrong(t, v)
		return
	}
	if at.Missing() {
		f.fault("timestamp_range", "is out of range; must be "+t.wants())
		return
	}
	f.set(v, at)
}

// parseInstant reads RFC 3339, or also a date alone; missing when it is neither.
func parseInstant(s string, dates bool) Value {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil && dates {
		at, err = time.Parse(time.DateOnly, s)
	}
	if err != nil {
		return Value{}
	}
	return TimeValue(at)
}
