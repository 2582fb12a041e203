package schemas

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a document with nothing but faults may cost.
const (
	maxFaults  = 32 // that are told
	maxGuesses = 8  // of which so many unknown names are compared with all that are known
)

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
	if f.resolving || len(f.faults) == maxFaults {
		return
	}
	detail := "is not a field of the schema"
	if len(f.faults) < maxGuesses {
		detail += Meant(name, t.names())
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
	if len(f.faults) == maxFaults {
		return
	}
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
