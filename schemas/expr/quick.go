package expr

import (
	"math"

	"cel.dev/cel-go/common/types"
)

// quick evaluates an expression, or a part of one, without CEL: what an order costs is then tens of nanoseconds and no allocation. There is one for
// expressions of the common operations on numbers, booleans and texts (see quickPlan). It gives what CEL gives, or foreign, and then CEL is run.
type quick func(*Input) value

// value is what a quick gives. It is small enough to be passed in registers: the Go compiler does so up to four words.
type value struct {
	kind kind
	num  float64 // of a number, never NaN or infinite; of a truth 1 or 0; of a time whole seconds since 1970; else 0
	text string  // of a text; else ""
}

type kind uint8

// The kinds of a value. From kindTime on, only some calls know what to do: the others leave it to CEL.
const (
	kindMissing kind = iota
	kindUnfit        // nothing, of values that are there and of the wrong kinds: missing too, but for Holds
	kindNumber
	kindTruth
	kindText
	kindTime    // a Time field's: hour() and weekday() read it
	kindNest    // a list or an object of the order: only missing() has an answer
	kindForeign // anything that CEL may make something of
)

// leftToCEL says whether only CEL knows what becomes of a value of this kind in most operations.
func (k kind) leftToCEL() bool { return k >= kindTime }

// numberOf returns f as a value, missing where it is no finite number.
func numberOf(f float64) value {
	if f != f || math.IsInf(f, 0) {
		return value{}
	}
	return value{kind: kindNumber, num: f}
}

func truthOf(b bool) value {
	if b {
		return value{kind: kindTruth, num: 1}
	}
	return value{kind: kindTruth}
}

func textValue(s string, ok bool) value {
	if !ok {
		return value{}
	}
	return value{kind: kindText, text: s}
}

// absent says whether there is no value.
func (k kind) absent() bool { return k <= kindUnfit }

// unfit returns what an operation gives when its operands are not of the kinds that it takes: foreign where CEL may know more, else missing where one of them is,
// else unfit.
func unfit(x, y value) value {
	switch {
	case x.kind.leftToCEL() || y.kind.leftToCEL():
		return value{kind: kindForeign}
	case x.kind != kindUnfit && y.kind != kindUnfit && (x.kind == kindMissing || y.kind == kindMissing):
		return value{}
	default:
		return value{kind: kindUnfit}
	}
}

// result returns v as Program.Number does; false when CEL is to be run.
func (v value) result() (float64, bool) {
	switch v.kind {
	case kindNumber, kindTruth:
		return v.num, true
	case kindMissing, kindUnfit, kindText:
		return math.NaN(), true
	default:
		return 0, false
	}
}

// constantOf returns a literal's value; false for those that only CEL knows.
func constantOf(literal any) (value, bool) {
	switch v := literal.(type) {
	case types.Double:
		n := numberOf(float64(v))
		return n, n.kind == kindNumber
	case types.Bool:
		return truthOf(bool(v)), true
	case types.String:
		return textValue(string(v), true), true
	default:
		return value{}, false
	}
}
