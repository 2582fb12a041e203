package expr

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"verdict/schemas"
)

func compute1(x quick, f func(float64) float64) quick {
	return func(in *Input) value {
		v := x(in)
		if v.kind != kindNumber {
			return unfit(v, v)
		}
		return numberOf(f(v.num))
	}
}

func compute2(x, y quick, f func(a, b float64) float64) quick {
	return func(in *Input) value {
		v, w := x(in), y(in)
		if v.kind != kindNumber || w.kind != kindNumber {
			return unfit(v, w)
		}
		return numberOf(f(v.num, w.num))
	}
}

// add is of numbers. CEL also joins texts, with a limit to how long.
func add(x, y quick) quick {
	return func(in *Input) value {
		v, w := x(in), y(in)
		switch {
		case v.kind == kindNumber && w.kind == kindNumber:
			return numberOf(v.num + w.num)
		case v.kind == kindText && w.kind == kindText:
			return value{kind: kindForeign}
		default:
			return unfit(v, w)
		}
	}
}

// relation says how two values lie, and as a set of bits, for which of these an operator is true.
type relation uint8

const (
	less relation = 1 << iota
	same
	greater
)

func relate[T cmp.Ordered](a, b T) relation {
	switch {
	case a < b:
		return less
	case a > b:
		return greater
	default:
		return same
	}
}

// ordered is < <= > >= of two numbers, two texts (by bytes) or two booleans (false < true).
func ordered(x, y quick, holds relation) quick {
	return func(in *Input) value {
		v, w := x(in), y(in)
		switch {
		case v.kind != w.kind:
			return unfit(v, w)
		case v.kind == kindNumber || v.kind == kindTruth:
			return truthOf(relate(v.num, w.num)&holds != 0)
		case v.kind == kindText:
			return truthOf(relate(v.text, w.text)&holds != 0)
		default:
			return unfit(v, w)
		}
	}
}

// equal is == when wanted is true, != when it is false. Values of two kinds are not equal: 42 is not '42'.
func equal(x, y quick, wanted bool) quick {
	return func(in *Input) value {
		v, w := x(in), y(in)
		if v.kind.absent() || w.kind.absent() || v.kind.leftToCEL() || w.kind.leftToCEL() {
			return unfit(v, w)
		}
		return truthOf((v.kind == w.kind && v.num == w.num && v.text == w.text) == wanted)
	}
}

// decide is || where one that is true decides, and && where one that is false does: on either side, whatever is missing on the other.
func decide(x, y quick, by bool) quick {
	decided := truthOf(by)
	return func(in *Input) value {
		v := x(in)
		if v == decided {
			return v
		}
		w := y(in)
		switch {
		case v.kind.leftToCEL():
			return value{kind: kindForeign}
		case w == decided:
			return w
		case v.kind == kindTruth && w.kind == kindTruth:
			return w
		default:
			return unfit(v, w)
		}
	}
}

func not(x quick) quick {
	return func(in *Input) value {
		v := x(in)
		if v.kind != kindTruth {
			return unfit(v, v)
		}
		return truthOf(v.num == 0)
	}
}

// choose is ?: of which only the part that is chosen is evaluated.
func choose(condition, yes, no quick) quick {
	return func(in *Input) value {
		v := condition(in)
		switch {
		case v.kind != kindTruth:
			return unfit(v, v)
		case v.num != 0:
			return yes(in)
		default:
			return no(in)
		}
	}
}

// isAbsent is missing(x).
func isAbsent(x quick) quick {
	return func(in *Input) value {
		v := x(in)
		if v.kind == kindForeign {
			return v
		}
		return truthOf(v.kind.absent())
	}
}

// clock is hour(t) or weekday(t), of whole seconds since 1970.
func clock(x quick, of func(seconds int64) int64) quick {
	return func(in *Input) value {
		v := x(in)
		var seconds int64
		ok := true
		switch v.kind {
		case kindText:
			seconds, ok = secondsOfText(v.text)
		case kindNumber:
			t, err := schemas.ParseTime(schemas.FloatValue(v.num))
			seconds, ok = t.Unix(), err == nil
		case kindTime:
			seconds = int64(v.num)
		default:
			return unfit(v, v)
		}
		if !ok {
			return value{}
		}
		return value{kind: kindNumber, num: float64(of(seconds))}
	}
}

const daySeconds = 24 * 60 * 60

func hourOf(seconds int64) int64 { return floorMod(seconds, daySeconds) / (60 * 60) }

// weekdayOf counts from Monday; 1970 began on a Thursday.
func weekdayOf(seconds int64) int64 { return floorMod(floorDiv(seconds, daySeconds)+3, 7) }

func floorMod(a, b int64) int64 { return a - b*floorDiv(a, b) }

func floorDiv(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

func distance(at [4]quick) quick {
	return func(in *Input) value {
		var deg [4]float64
		var bad value // what the operands that are no numbers make of it
		fits := true
		for i, q := range at {
			v := q(in)
			if v.kind != kindNumber && fits {
				bad, fits = unfit(v, v), false
			} else if v.kind != kindNumber {
				bad = unfit(bad, v)
			}
			deg[i] = v.num
		}
		if !fits {
			return bad
		}
		return numberOf(greatCircleKm(deg))
	}
}

// member is a call of the form text.name(text).
func member(name string, args []quick) quick {
	if len(args) != 2 {
		return nil
	}
	switch name {
	case "startsWith":
		return textTest(args[0], args[1], strings.HasPrefix)
	case "endsWith":
		return textTest(args[0], args[1], strings.HasSuffix)
	case "contains":
		return textTest(args[0], args[1], strings.Contains)
	default:
		return nil
	}
}

func textTest(x, y quick, holds func(s, part string) bool) quick {
	return func(in *Input) value {
		v, w := x(in), y(in)
		if v.kind != kindText || w.kind != kindText {
			return unfit(v, w)
		}
		return truthOf(holds(v.text, w.text))
	}
}

// runes is size(text), in code points as CEL counts them.
func runes(x quick) quick {
	return func(in *Input) value {
		v := x(in)
		if v.kind != kindText {
			return unfit(v, v)
		}
		return value{kind: kindNumber, num: float64(utf8.RuneCountInString(v.text))}
	}
}
