package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// jsonSchema is an order schema given as a JSON Schema, compiled once. It governs JSON; an Avro order is governed by its writer's schema.
type jsonSchema struct {
	compiled *jsonschema.Schema
	shape    *shape
}

func parseJSONSchema(text []byte) (*jsonSchema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing a JSON Schema: %w", err)
	}
	const url = "verdict:///order.json"
	c := jsonschema.NewCompiler()
	c.UseLoader(nothingElse{})
	if err := c.AddResource(url, doc); err != nil {
		return nil, fmt.Errorf("parsing a JSON Schema: %w", err)
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, fmt.Errorf("parsing a JSON Schema: %w", err)
	}
	b := shapeBuilder{open: map[*jsonschema.Schema]bool{}}
	s := b.shape(compiled)
	if s.kinds&(1<<Object) == 0 {
		return nil, errors.New("neither the Avro schema of a record nor the JSON Schema of an object")
	}
	if b.made > maxSchemaFields {
		return nil, fmt.Errorf("more than %d fields", maxSchemaFields)
	}
	return &jsonSchema{compiled: compiled, shape: s}, nil
}

// nothingElse refuses every reference to another document.
type nothingElse struct{}

// Load fails.
func (nothingElse) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema cannot refer to another document", url)
}

// fit holds a record against the schema and turns its numbers into the kinds that the schema says.
func (j *jsonSchema) fit(rec Record) (Record, error) {
	err := j.compiled.Validate(plainObject(rec))
	var invalid *jsonschema.ValidationError
	switch {
	case errors.As(err, &invalid):
		f := jsonFaults{shape: j.shape}
		f.collect(invalid)
		return nil, f.malformed()
	case err != nil:
		return nil, &Malformed{Code: "schema_mismatch", Detail: "does not fit the order schema"}
	}
	return j.shape.numbers(ObjectValue(rec)).Object(), nil
}

// plainObject gives a record the form that the validator knows.
func plainObject(rec Record) map[string]any {
	m := make(map[string]any, len(rec))
	for i := range rec {
		m[rec[i].Name] = plainValue(rec[i].Value)
	}
	return m
}

func plainValue(v Value) any {
	switch v.Kind() {
	case Bool:
		return v.Bool()
	case Int:
		return v.Int()
	case Float:
		return json.Number(v.str)
	case String:
		return v.Str()
	case List:
		list := make([]any, len(v.List()))
		for i, elem := range v.List() {
			list[i] = plainValue(elem)
		}
		return list
	case Object:
		return plainObject(v.Object())
	case Missing, Time: // JSON has no times of its own
	}
	return nil
}

// numbers makes each number the one kind that the schema has for it, and drops its literal.
func (s *shape) numbers(v Value) Value {
	if s == nil {
		s = &shape{}
	}
	switch v.Kind() {
	case Int:
		if s.kinds&(1<<Int|1<<Float) == 1<<Float {
			return FloatValue(v.Number())
		}
	case Float:
		if i, ok := wholeFloat(v); ok && s.kinds&(1<<Int|1<<Float) == 1<<Int {
			return IntValue(i)
		}
		return FloatValue(v.Number())
	case List:
		for i, elem := range v.List() {
			v.List()[i] = s.elem.numbers(elem)
		}
	case Object:
		for i, field := range v.Object() {
			v.Object()[i].Value = s.fields[field.Name].numbers(field.Value)
		}
	case Missing, Bool, String, Time:
	}
	return v
}

// shapeBuilder reads what a spec may ask out of a compiled schema.
type shapeBuilder struct {
	open map[*jsonschema.Schema]bool // schemas that are being read: one met again is recursive, and taken as anything
	made int
}

func (b *shapeBuilder) shape(sch *jsonschema.Schema) *shape {
	s := &shape{}
	if sch == nil || b.open[sch] || b.made > maxSchemaFields {
		s.open, s.kinds = true, math.MaxUint16
		return s
	}
	b.open[sch] = true
	defer delete(b.open, sch)
	b.made++
	s.kinds = typeKinds(sch)
	for _, part := range slices.Concat([]*jsonschema.Schema{sch.Ref, sch.If, sch.Then, sch.Else}, sch.AllOf, sch.AnyOf, sch.OneOf) {
		if part == nil {
			continue
		}
		o := b.shape(part)
		if sch.Types != nil { // the parts narrow what the type says
			o.kinds &= s.kinds
		}
		s.merge(o)
	}
	names := make([]string, 0, len(sch.Properties))
	for name := range sch.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s.add(name, b.shape(sch.Properties[name]))
	}
	if items := sch.Items2020; items != nil {
		s.elem = b.shape(items)
	} else if items, ok := sch.Items.(*jsonschema.Schema); ok {
		s.elem = b.shape(items)
	}
	if s.kinds == 0 { // nothing is said: anything
		s.kinds = math.MaxUint16
	}
	s.open = s.open || b.beyond(sch, s)
	return s
}

// beyond says whether an object may be relied on to have fields that the schema does not name. JSON Schema allows them unless told otherwise, yet a
// schema that names fields and is silent on others is taken at its word, so that a mistyped field in a spec is found.
func (b *shapeBuilder) beyond(sch *jsonschema.Schema, s *shape) bool {
	if s.kinds&(1<<Object) == 0 {
		return false
	}
	switch a := sch.AdditionalProperties.(type) {
	case bool:
		return a
	case *jsonschema.Schema:
		return a.Bool == nil || *a.Bool
	}
	return len(s.names) == 0 || len(sch.PatternProperties) > 0
}

// typeKinds returns the kinds that a schema allows by its type, enum or const; 0 when it says nothing.
func typeKinds(sch *jsonschema.Schema) uint16 {
	if sch.Types == nil {
		return valueKinds(sch)
	}
	var kinds uint16
	for _, name := range sch.Types.ToStrings() {
		switch name {
		case "boolean":
			kinds |= 1 << Bool
		case "integer":
			kinds |= 1 << Int
		case "number":
			kinds |= 1 << Float
		case "string":
			kinds |= 1 << String
		case "array":
			kinds |= 1 << List
		case "object":
			kinds |= 1 << Object
		}
	}
	return kinds
}

func valueKinds(sch *jsonschema.Schema) uint16 {
	var values []any
	if sch.Enum != nil {
		values = sch.Enum.Values
	} else if sch.Const != nil {
		values = []any{*sch.Const}
	}
	var kinds uint16
	for _, v := range values {
		switch v.(type) {
		case bool:
			kinds |= 1 << Bool
		case string:
			kinds |= 1 << String
		case nil:
		default:
			return 0
		}
	}
	if kinds == 0 && (len(sch.Properties) > 0 || len(sch.Required) > 0) {
		kinds = 1 << Object
	}
	return kinds
}

// jsonFaults turns the validator's findings into ours, whose texts have no contents.
type jsonFaults struct {
	shape   *shape
	faults  []Fault
	unknown int
}

func (f *jsonFaults) malformed() *Malformed {
	code := "schema_mismatch"
	if f.unknown == len(f.faults) {
		code = "json_unknown_field"
	}
	return mismatch(code, f.faults)
}

func (f *jsonFaults) add(path Path, detail string) {
	if len(f.faults) < maxFaults {
		f.faults = append(f.faults, Fault{Pointer: cutPointer(path.Pointer()), Detail: detail})
	}
}

func (f *jsonFaults) collect(e *jsonschema.ValidationError) {
	at := Path(slices.Clone(e.InstanceLocation))
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not: // one text for all that the branches say
		f.add(at, "fits none (or too many) of the alternatives of "+strings.Join(e.ErrorKind.KeywordPath(), "/"))
		return
	case *kind.Required:
		for _, name := range k.Missing {
			f.add(append(slices.Clone(at), name), "is missing")
		}
		return
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			f.unknownField(at, name)
		}
		return
	}
	for _, cause := range e.Causes {
		f.collect(cause)
	}
	if len(e.Causes) == 0 {
		f.add(at, jsonFault(e.ErrorKind))
	}
}

func (f *jsonFaults) unknownField(at Path, name string) {
	before := len(f.faults)
	detail := "is not a field of the schema"
	if s := f.around(at); s != nil && before < maxGuesses {
		detail += Meant(name, s.names)
	}
	f.add(append(slices.Clone(at), name), detail)
	f.unknown += len(f.faults) - before
}

// around returns the shape of the object at a path, nil when it is not known.
func (f *jsonFaults) around(at Path) *shape {
	if len(at) == 0 {
		return f.shape
	}
	s, _ := f.shape.at(at)
	return s
}

func jsonFault(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is %s; must be %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return fmt.Sprintf("is not one of the allowed values; must be one of %v", k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Format:
		return "is not a valid " + k.Want
	case *kind.Pattern:
		return "does not match the pattern " + k.Want
	case *kind.Minimum:
		return "is below the minimum of " + k.Want.RatString()
	case *kind.Maximum:
		return "is above the maximum of " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "is not above " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "is not below " + k.Want.RatString()
	case *kind.MultipleOf:
		return "is not a multiple of " + k.Want.FloatString(9)
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d", k.Want)
	default:
		return "breaks the schema's " + strings.Join(k.KeywordPath(), "/")
	}
}
