package schemas

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// Limits of an Avro schema. They stand for the largest schema that is still somebody's order and not an attack.
const (
	maxSchemaBytes  = 256 << 10
	maxSchemaFields = 5000 // in all, every name expanded wherever it is used
	maxPrecision    = 1000 // digits of a decimal
	maxFixed        = 64 << 10
)

type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroFixed
	avroEnum
	avroArray
	avroMap
	avroRecord
	avroUnion
)

var avroKinds = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "array", "map", "record", "union"}

type avroLogical uint8

const (
	plain avroLogical = iota
	decimal
	date
	millis
	micros
	nanos
)

// avroType is a schema made ready for walking a datum: names are resolved, and it is free of cycles.
type avroType struct {
	kind             avroKind
	logical          avroLogical
	size             int // bytes of a fixed
	precision, scale int // of a decimal
	symbols          []string
	otherSymbol      string // of an enum, for symbols that it does not know; "" without
	elem             *avroType
	branches         []*avroType
	some             []*avroType // the branches but null
	fields           []avroField
	index            map[string]int // :: name → place in fields
	aliases          map[string]int // :: former name → place in fields
	weight           int            // how many types it is made of when every name is expanded
	least            int            // fewest bytes that a datum of it takes
}

type avroField struct {
	name     string
	typ      *avroType
	optional bool  // has a default or may be null
	other    Value // the default; missing when it is null or there is none
}

// parseAvro parses the schema of a record. Named holds the types of the schemas that it refers to, already parsed, and may be nil.
func parseAvro(text string, named *avroNames) (*avroType, error) {
	if len(text) > maxSchemaBytes {
		return nil, fmt.Errorf("an Avro schema of %d bytes, more than the allowed %d", len(text), maxSchemaBytes)
	}
	if err := checkNesting(text); err != nil {
		return nil, err
	}
	if named == nil {
		named = newAvroNames()
	}
	parsed, err := named.cache.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parsing an Avro schema: %w", err)
	}
	t, err := named.build(parsed.Root())
	if err != nil {
		return nil, fmt.Errorf("parsing an Avro schema: %w", err)
	}
	return t, nil
}

// checkNesting refuses deep nesting before anything that recurses sees the text.
func checkNesting(text string) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > 2*maxDepth {
				return fmt.Errorf("a schema is nested more than %d deep", 2*maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// avroNames are the named types of one schema and of those that it refers to.
type avroNames struct {
	cache avro.SchemaCache
	types map[string]*avroType // :: full name → type; nil while it is being built
	scope string               // namespace of the record that is being built
}

func newAvroNames() *avroNames { return &avroNames{types: map[string]*avroType{}} }

func (n *avroNames) build(node *avro.SchemaNode) (*avroType, error) {
	t, err := n.shape(node)
	if err != nil {
		return nil, err
	}
	if t.weight > maxSchemaFields {
		return nil, fmt.Errorf("more than %d fields", maxSchemaFields)
	}
	return t, nil
}

func (n *avroNames) shape(node *avro.SchemaNode) (*avroType, error) {
	switch node.Type {
	case "record", "error":
		return n.record(node)
	case "enum":
		t := &avroType{kind: avroEnum, symbols: node.Symbols, otherSymbol: node.EnumDefault, weight: 1, least: 1}
		n.types[fullName(node)] = t
		return t, nil
	case "fixed":
		if node.Size > maxFixed {
			return nil, fmt.Errorf("the type %q has %d bytes, more than the allowed %d", node.Name, node.Size, maxFixed)
		}
		t := &avroType{kind: avroFixed, size: node.Size, weight: 1, least: node.Size}
		n.types[fullName(node)] = t
		return t, t.setLogical(node)
	case "array":
		return n.collection(avroArray, node.Items)
	case "map":
		return n.collection(avroMap, node.Values)
	case "union":
		return n.union(node)
	}
	if i := slices.Index(avroKinds[:avroFixed], node.Type); i >= 0 {
		t := &avroType{kind: avroKind(i), weight: 1, least: [...]int{0, 1, 1, 1, 4, 8, 1, 1}[i]}
		return t, t.setLogical(node)
	}
	return n.named(node.Type)
}

// named finds a type by its full name, or by its name in the namespace around it.
func (n *avroNames) named(name string) (*avroType, error) {
	t, known := n.types[name]
	if n.scope != "" && !strings.Contains(name, ".") {
		if near, ok := n.types[n.scope+"."+name]; ok {
			t, known = near, true
		}
	}
	if !known {
		return nil, fmt.Errorf("the type %q is not known", name)
	}
	if t == nil {
		return nil, fmt.Errorf("the type %q contains itself; an order cannot be recursive", name)
	}
	return t, nil
}

func fullName(node *avro.SchemaNode) string {
	if node.Namespace == "" || strings.Contains(node.Name, ".") {
		return node.Name
	}
	return node.Namespace + "." + node.Name
}

func (n *avroNames) record(node *avro.SchemaNode) (*avroType, error) {
	name := fullName(node)
	n.types[name] = nil
	outer := n.scope
	n.scope = name[:max(0, strings.LastIndexByte(name, '.'))]
	defer func() { n.scope = outer }()
	t := &avroType{kind: avroRecord, weight: 1, index: make(map[string]int, len(node.Fields))}
	for i := range node.Fields {
		f := &node.Fields[i]
		ft, err := n.build(&f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
		field := avroField{name: f.Name, typ: ft, optional: f.HasDefault || ft.nullable()}
		if f.HasDefault {
			field.other = ft.fromDefault(f.Default)
		}
		t.index[f.Name] = i
		for _, former := range f.Aliases {
			if t.aliases == nil {
				t.aliases = map[string]int{}
			}
			t.aliases[former] = i
		}
		t.fields = append(t.fields, field)
		t.weight = min(t.weight+ft.weight, maxSchemaFields+1)
		t.least = min(t.least+ft.least, math.MaxInt32)
	}
	n.types[name] = t
	return t, nil
}

func (n *avroNames) collection(kind avroKind, of *avro.SchemaNode) (*avroType, error) {
	elem, err := n.build(of)
	if err != nil {
		return nil, err
	}
	return &avroType{kind: kind, elem: elem, weight: elem.weight + 1, least: 1}, nil
}

func (n *avroNames) union(node *avro.SchemaNode) (*avroType, error) {
	t := &avroType{kind: avroUnion, weight: 1, least: 1}
	for i := range node.Branches {
		b, err := n.build(&node.Branches[i])
		if err != nil {
			return nil, err
		}
		t.branches = append(t.branches, b)
		if b.kind != avroNull {
			t.some = append(t.some, b)
		}
		t.weight = min(t.weight+b.weight, maxSchemaFields+1)
	}
	return t, nil
}

// setLogical takes the logical types that make a difference. Others (uuid, time of day, duration) are what they are made of.
func (t *avroType) setLogical(node *avro.SchemaNode) error {
	switch l := node.LogicalType; {
	case l == "decimal" && (t.kind == avroBytes || t.kind == avroFixed):
		t.logical, t.precision, t.scale = decimal, node.Precision, node.Scale
		if t.precision > maxPrecision {
			return fmt.Errorf("a decimal of %d digits, more than the allowed %d", t.precision, maxPrecision)
		}
	case l == "date" && t.kind == avroInt:
		t.logical = date
	case t.kind != avroLong:
	case l == "timestamp-millis" || l == "local-timestamp-millis":
		t.logical = millis
	case l == "timestamp-micros" || l == "local-timestamp-micros":
		t.logical = micros
	case l == "timestamp-nanos" || l == "local-timestamp-nanos":
		t.logical = nanos
	}
	return nil
}

func (t *avroType) nullable() bool {
	return t.kind == avroNull || t.kind == avroUnion && len(t.some) < len(t.branches)
}

// alternatives are the types that a value which is not null may have.
func (t *avroType) alternatives() []*avroType {
	if t.kind != avroUnion {
		return []*avroType{t}
	}
	return t.some
}

// isTime says whether its values decode into Times.
func (t *avroType) isTime() bool { return t.logical >= date }
