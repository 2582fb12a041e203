package schemas

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxFaults is how many faults of one document are told.
const maxFaults = 32

// fitter holds a decoded record against an Avro schema: it notes every fault, turns values into the kinds that the schema says, and adds the
// defaults of absent fields. So features see the same, whether the order came as JSON or as Avro.
type fitter struct {
	resolving bool // the record came as Avro by a writer's schema: fields beyond ours are welcome, and decimals are already decoded
	trying    bool // only to see whether it fits: nothing is changed
	path      Path
	faults    []Fault
	codes     []string // :: fault → its code
}

// fitRecord returns the record as t says, or a *Malformed that has every fault.
func fitRecord(t *avroType, rec Record, resolving bool) (Record, error) {
	f := fitter{resolving: resolving}
	rec = f.record(t, rec)
	if len(f.faults) == 0 {
		return rec, nil
	}
	return nil, f.malformed()
}

func (f *fitter) malformed() *Malformed {
	code := f.codes[0]
	if slices.ContainsFunc(f.codes, func(c string) bool { return c != code }) {
		code = "schema_mismatch"
	}
	if f.resolving && code == "schema_mismatch" {
		code = "schema_incompatible"
	}
	return mismatch(code, f.faults)
}

// mismatch sums faults up in one line.
func mismatch(code string, faults []Fault) *Malformed {
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
	first := faults[0]
	detail := strings.TrimSpace(first.Pointer + " " + first.Detail)
	if n := len(faults) - 1; n > 0 {
		detail += fmt.Sprintf(" (and %d more)", n)
	}
	return &Malformed{Code: code, Detail: detail, Faults: faults}
}

func (f *fitter) fault(code, detail string) {
	if len(f.faults) == maxFaults {
		return
	}
	f.faults = append(f.faults, Fault{Pointer: cutPointer(f.path.Pointer()), Detail: detail})
	f.codes = append(f.codes, code)
}

// at notes a fault at a name below the path.
func (f *fitter) at(name, code, detail string) {
	f.path = append(f.path, name)
	f.fault(code, detail)
	f.path = f.path[:len(f.path)-1]
}

func (f *fitter) record(t *avroType, rec Record) Record {
	var few [64]bool
	seen := few[:0]
	if len(t.fields) > len(few) {
		seen = make([]bool, 0, len(t.fields))
	}
	seen = seen[:len(t.fields)]
	for i := range rec {
		at, known := t.place(rec[i].Name, i, f.resolving)
		if !known {
			f.unknown(t, rec[i].Name)
			continue
		}
		field := &t.fields[at]
		if seen[at] { // by its name and by an alias
			continue
		}
		seen[at] = true
		f.path = append(f.path, field.name)
		v := f.value(field.typ, rec[i].Value)
		f.path = f.path[:len(f.path)-1]
		if !f.trying {
			rec[i] = Field{Name: field.name, Value: v}
		}
	}
	for i := range t.fields {
		field := &t.fields[i]
		switch {
		case seen[i]:
		case !field.optional:
			f.at(field.name, "schema_mismatch", "is missing; must be "+field.typ.wants())
		case !field.other.Missing() && !f.trying:
			rec = append(rec, Field{Name: field.name, Value: field.other})
		}
	}
	return rec
}

// place finds a field by its name, guessing that fields come in the schema's order, and in Avro by its former names too.
func (t *avroType) place(name string, guess int, former bool) (int, bool) {
	if guess < len(t.fields) && t.fields[guess].name == name {
		return guess, true
	}
	at, ok := t.index[name]
	if !ok && former {
		at, ok = t.aliases[name]
	}
	return at, ok
}

func (f *fitter) unknown(t *avroType, name string) {
	if f.resolving {
		return
	}
	detail := "is not a field of the schema"
	if near := nearest(name, t.names()); near != "" {
		detail += "; did you mean " + near + "?"
	}
	f.at(name, "json_unknown_field", detail)
}

func (t *avroType) names() []string {
	names := make([]string, len(t.fields))
	for i := range t.fields {
		names[i] = t.fields[i].name
	}
	return names
}

func (f *fitter) value(t *avroType, v Value) Value {
	if t.kind == avroUnion {
		return f.union(t, v)
	}
	if v.Missing() {
		if t.kind != avroNull {
			f.fault("schema_mismatch", "is null; must be "+t.wants())
		}
		return v
	}
	switch {
	case t.logical == decimal:
		return f.decimal(t, v)
	case t.isTime():
		return f.time(t, v)
	}
	switch t.kind {
	case avroBoolean:
		if v.Kind() == Bool {
			return v
		}
	case avroInt, avroLong:
		return f.whole(t, v)
	case avroFloat, avroDouble:
		return f.double(t, v)
	case avroString, avroBytes, avroFixed, avroEnum:
		return f.text(t, v)
	case avroArray:
		if v.Kind() == List {
			f.list(t, v.List())
			return v
		}
	case avroMap:
		if v.Kind() == Object {
			f.object(t, v.Object())
			return v
		}
	case avroRecord:
		if v.Kind() == Object {
			return f.nested(t, v)
		}
	}
	f.wrong(t, v)
	return v
}

func (f *fitter) wrong(t *avroType, v Value) {
	f.fault("schema_mismatch", "is "+aKind(v)+"; must be "+t.wants())
}

// union takes the first branch that the value fits.
func (f *fitter) union(t *avroType, v Value) Value {
	if v.Missing() {
		if !t.nullable() {
			f.fault("schema_mismatch", "is null; must be "+t.wants())
		}
		return v
	}
	var only *avroType
	branches := 0
	for _, b := range t.branches {
		if b.kind != avroNull {
			only = b
			branches++
		}
	}
	if branches == 1 {
		return f.value(only, v)
	}
	for _, b := range t.branches {
		if b.kind != avroNull && f.fits(b, v) {
			return f.value(b, v)
		}
	}
	f.fault("schema_mismatch", "is "+aKind(v)+" that fits no branch of the union; must be "+t.wants())
	return v
}

func (f *fitter) fits(t *avroType, v Value) bool {
	try := fitter{resolving: f.resolving, trying: true}
	try.value(t, v)
	return len(try.faults) == 0
}

func (f *fitter) list(t *avroType, list []Value) {
	for i := range list {
		f.path = append(f.path, strconv.Itoa(i))
		v := f.value(t.elem, list[i])
		f.path = f.path[:len(f.path)-1]
		if !f.trying {
			list[i] = v
		}
	}
}

func (f *fitter) object(t *avroType, rec Record) {
	for i := range rec {
		f.path = append(f.path, rec[i].Name)
		v := f.value(t.elem, rec[i].Value)
		f.path = f.path[:len(f.path)-1]
		if !f.trying {
			rec[i].Value = v
		}
	}
}

func (f *fitter) nested(t *avroType, v Value) Value {
	rec := f.record(t, v.Object())
	if f.trying {
		return v
	}
	return ObjectValue(rec)
}

func (f *fitter) whole(t *avroType, v Value) Value {
	i := v.Int()
	switch v.Kind() {
	case Int:
	case Float:
		var ok bool
		if i, ok = wholeFloat(v); !ok {
			f.fault("schema_mismatch", "has a fraction or is too large; must be "+t.wants())
			return v
		}
	default:
		f.wrong(t, v)
		return v
	}
	if t.kind == avroInt && i != int64(int32(i)) {
		f.fault("value_range", "is beyond 32 bits; must be "+t.wants())
	}
	return IntValue(i)
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

func (f *fitter) double(t *avroType, v Value) Value {
	if k := v.Kind(); k != Int && k != Float {
		f.wrong(t, v)
		return v
	}
	number := v.Number()
	if t.kind == avroFloat {
		number = float64(float32(number))
		if math.IsInf(number, 0) {
			f.fault("value_range", "is beyond what a float holds")
		}
	}
	return FloatValue(number)
}

// text takes a string, and an integer too where any string may stand: ids come as either and are kept as they came.
func (f *fitter) text(t *avroType, v Value) Value {
	switch {
	case t.kind == avroString && v.Kind() == Int:
	case v.Kind() != String:
		f.wrong(t, v)
	case t.kind == avroFixed && len(v.Str()) != t.size:
		f.fault("schema_mismatch", fmt.Sprintf("has %d bytes; must be %s", len(v.Str()), t.wants()))
	case t.kind == avroEnum && !slices.Contains(t.symbols, v.Str()):
		if f.resolving && t.otherSymbol != "" {
			return StringValue(t.otherSymbol)
		}
		f.fault("schema_mismatch", "is not one of the allowed values; must be "+t.wants())
	}
	return v
}

func (f *fitter) decimal(t *avroType, v Value) Value {
	literal := v.str
	switch v.Kind() {
	case Int:
		literal = strconv.FormatInt(v.Int(), 10)
	case Float:
		if literal == "" {
			literal = strconv.FormatFloat(v.Number(), 'g', -1, 64)
		}
	case String:
		if !isDecimal(literal) {
			f.fault("schema_mismatch", "is a string that is not a decimal number; must be "+t.wants())
			return v
		}
	default:
		f.wrong(t, v)
		return v
	}
	if !f.resolving && !decimalFits(literal, t.precision, t.scale) {
		f.fault("schema_mismatch", "has too many digits; must be "+t.wants())
		return v
	}
	if v.Kind() != String {
		return FloatValue(v.Number())
	}
	number, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		f.fault("value_range", "is beyond what a double holds")
		return v
	}
	return FloatValue(number)
}

// time takes RFC 3339, epoch milliseconds, and for a date a full date or days since 1970 too.
func (f *fitter) time(t *avroType, v Value) Value {
	switch v.Kind() {
	case Time:
		return v
	case String:
		if at, err := time.Parse(time.RFC3339Nano, v.Str()); err == nil {
			return TimeValue(at)
		}
		if at, err := time.Parse(time.DateOnly, v.Str()); err == nil && t.logical == date {
			return TimeValue(at)
		}
		f.fault("schema_mismatch", "is a string that is not a time; must be "+t.wants())
		return v
	case Int:
		at := scaledTime(v.Int(), 1000)
		if f.resolving || t.logical == date {
			at = t.fromLong(v.Int())
		}
		if at.Missing() {
			f.fault("timestamp_range", "is out of range; must be "+t.wants())
		}
		return at
	case Float:
		us := math.Floor(v.Number() * 1000)
		if t.logical == date || !(math.Abs(us) < 1<<63) {
			f.fault("timestamp_range", "is out of range; must be "+t.wants())
			return v
		}
		return MicrosValue(int64(us))
	default:
		f.wrong(t, v)
		return v
	}
}
