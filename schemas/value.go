package schemas

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind says which of its forms a Value has.
type Kind uint8

// The forms of a Value. The zero Kind is Missing: a field that is absent or null.
const (
	Missing Kind = iota
	Bool
	Int    // 64-bit signed
	Float  // never NaN; an Avro decimal is the double nearest to it
	String // also Avro bytes, fixed and enums
	Time   // an instant, in microseconds since 1970 (Avro timestamps and dates)
	List
	Object
)

// String returns the kind's name as error texts use it.
func (k Kind) String() string {
	return [...]string{"missing", "boolean", "integer", "number", "string", "time", "list", "object"}[k]
}

// Value is one decoded field value. It is small, is passed by value, and holds no interface, so that decoding an order boxes nothing.
// A Value is immutable; the zero Value is missing.
type Value struct {
	kind Kind
	num  uint64 // Bool 0/1; Int and Time as int64 bits; Float as IEEE 754 bits
	str  string // a String's text; a Float's decimal, where that is not what the double's shortest text says (exactDecimal), and its literal while a schema is held against it
	nest *nest  // List and Object only
}

type nest struct {
	list []Value
	rec  Record
}

// BoolValue returns b as a Value.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// IntValue returns i as a Value.
func IntValue(i int64) Value { return Value{kind: Int, num: uint64(i)} }

// FloatValue returns f as a Value; NaN is missing.
func FloatValue(f float64) Value {
	if f != f {
		return Value{}
	}
	return Value{kind: Float, num: math.Float64bits(f)}
}

// StringValue returns s as a Value.
func StringValue(s string) Value { return Value{kind: String, str: s} }

// TimeValue returns the instant t as a Value, cut to the microsecond.
func TimeValue(t time.Time) Value { return MicrosValue(t.UnixMicro()) }

// MicrosValue returns the instant of us microseconds since 1970 as a Value.
func MicrosValue(us int64) Value { return Value{kind: Time, num: uint64(us)} }

// ListValue returns list as a Value, which then owns it.
func ListValue(list []Value) Value { return Value{kind: List, nest: &nest{list: list}} }

// ObjectValue returns rec as a Value, which then owns it.
func ObjectValue(rec Record) Value { return Value{kind: Object, nest: &nest{rec: rec}} }

// Kind returns the value's form.
func (v Value) Kind() Kind { return v.kind }

// Missing says whether there is no value.
func (v Value) Missing() bool { return v.kind == Missing }

// Bool returns a Bool's truth, false for every other kind.
func (v Value) Bool() bool { return v.kind == Bool && v.num == 1 }

// Int returns an Int's number, 0 for every other kind.
func (v Value) Int() int64 {
	if v.kind != Int {
		return 0
	}
	return int64(v.num)
}

// Str returns a String's text, "" for every other kind.
func (v Value) Str() string {
	if v.kind != String {
		return ""
	}
	return v.str
}

// Micros returns a Time's microseconds since 1970, 0 for every other kind.
func (v Value) Micros() int64 {
	if v.kind != Time {
		return 0
	}
	return int64(v.num)
}

// List returns a List's elements, nil for every other kind. They are not to be changed.
func (v Value) List() []Value {
	if v.kind != List {
		return nil
	}
	return v.nest.list
}

// Object returns an Object's fields, nil for every other kind. They are not to be changed.
func (v Value) Object() Record {
	if v.kind != Object {
		return nil
	}
	return v.nest.rec
}

// Number returns the value as a feature takes it: a number as a double, a boolean as 1 or 0, and NaN (missing) for everything else.
func (v Value) Number() float64 {
	switch v.kind {
	case Bool:
		return float64(v.num)
	case Int:
		return float64(int64(v.num))
	case Float:
		return math.Float64frombits(v.num)
	default:
		return math.NaN()
	}
}

// Key returns the value as an id or an entity's key: a string as it is, an integer in decimal digits; false for everything else.
// So the customer 42 and the customer "42" are one customer.
func (v Value) Key() (string, bool) {
	switch v.kind {
	case String:
		return v.str, v.str != ""
	case Int:
		return strconv.FormatInt(int64(v.num), 10), true
	default:
		return "", false
	}
}

// Field is one named value of a Record.
type Field struct {
	Name  string
	Value Value
}

// Record is an order's (or a nested object's) fields in the order in which they came. Names are distinct.
type Record []Field

// Get returns the field of that name, missing when there is none.
func (r Record) Get(name string) Value {
	for i := range r {
		if r[i].Name == name {
			return r[i].Value
		}
	}
	return Value{}
}

// Path is where a field lies: one name a level. In texts the names are joined by dots: payment.card.fingerprint.
type Path []string

// ParsePath splits a dotted path.
func ParsePath(s string) Path { return strings.Split(s, ".") }

// String returns the path as it is written in a spec.
func (p Path) String() string { return strings.Join(p, ".") }

// At returns the value at path, missing when any step of the way is.
func (r Record) At(path Path) Value {
	if len(path) == 0 {
		return Value{}
	}
	v := r.Get(path[0])
	for _, name := range path[1:] {
		v = v.Object().Get(name)
	}
	return v
}
