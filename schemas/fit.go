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
	f.faults = append(f.faults, Fault{Detail: detail})
	f.codes = append(f.codes, code)
}

// under places the faults that were found since there were so many below a name.
func (f *fitter) under(name string, since int) {
	for i := range f.faults[since:] {
		at := &f.faults[since+i].Pointer
		*at = cutPointer(Path{name}.Pointer() + *at)
	}
}

// at notes a fault at a name.
func (f *fitter) at(name, code, detail string) {
	before := len(f.faults)
	f.fault(code, detail)
	f.under(name, before)
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
		before := len(f.faults)
		f.value(field.typ, &rec[i].Value)
		f.under(field.name, before)
		if field.name != rec[i].Name && !f.trying {
			rec[i].Name = field.name
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

// set changes a value to what the schema makes of it.
func (f *fitter) set(v *Value, to Value) {
	if !f.trying {
		*v = to
	}
}

func (f *fitter) value(t *avroType, v *Value) {
	if t.kind == avroUnion {
		f.union(t, v)
		return
	}
	if v.kind == Missing {
		if t.kind != avroNull {
			f.fault("schema_mismatch", "is null; must be "+t.wants())
		}
		return
	}
	switch {
	case t.logical == decimal:
		f.decimal(t, v)
		return
	case t.isTime():
		f.time(t, v)
		return
	}
	switch t.kind {
	case avroBoolean:
		f.of(Bool, t, v)
	case avroInt, avroLong:
		f.whole(t, v)
	case avroFloat, avroDouble:
		f.double(t, v)
	case avroString, avroBytes, avroFixed, avroEnum:
		f.text(t, v)
	case avroArray:
		if f.of(List, t, v) {
			f.list(t, v.List())
		}
	case avroMap:
		if f.of(Object, t, v) {
			f.object(t, v.Object())
		}
	case avroRecord:
		if f.of(Object, t, v) {
			f.nested(t, v)
		}
	default: // null, and the value is not; a union was handled above
		f.wrong(t, v)
	}
}

// of notes a fault unless the value is of that kind.
func (f *fitter) of(k Kind, t *avroType, v *Value) bool {
	if v.kind != k {
		f.wrong(t, v)
	}
	return v.kind == k
}

func (f *fitter) wrong(t *avroType, v *Value) {
	f.fault("schema_mismatch", "is "+aKind(*v)+"; must be "+t.wants())
}

// union takes the first branch that the value fits.
func (f *fitter) union(t *avroType, v *Value) {
	if v.kind == Missing {
		if !t.nullable() {
			f.fault("schema_mismatch", "is null; must be "+t.wants())
		}
		return
	}
	some := t.alternatives()
	if len(some) == 1 {
		f.value(some[0], v)
		return
	}
	for _, b := range some {
		if f.fits(b, v) {
			f.value(b, v)
			return
		}
	}
	f.fault("schema_mismatch", "is "+aKind(*v)+" that fits no branch of the union; must be "+t.wants())
}

func (f *fitter) fits(t *avroType, v *Value) bool {
	try := fitter{resolving: f.resolving, trying: true}
	try.value(t, v)
	return len(try.faults) == 0
}

func (f *fitter) list(t *avroType, list []Value) {
	for i := range list {
		before := len(f.faults)
		f.value(t.elem, &list[i])
		if len(f.faults) > before {
			f.under(strconv.Itoa(i), before)
		}
	}
}

func (f *fitter) object(t *avroType, rec Record) {
	for i := range rec {
		before := len(f.faults)
		f.value(t.elem, &rec[i].Value)
		f.under(rec[i].Name, before)
	}
}

// nested fits a record within. Defaults may have made it longer, and so another one.
func (f *fitter) nested(t *avroType, v *Value) {
	rec := f.record(t, v.Object())
	f.set(v, ObjectValue(rec))
}

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
	f.set(v, FloatValue(number))
}

// time takes RFC 3339, epoch milliseconds, and for a date a full date or days since 1970 too.
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
		if us := math.Floor(v.Number() * 1000); t.logical != date && math.Abs(us) < 1<<63 {
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
