package schemas

import (
	_ "embed"
	"fmt"
)

// The schemas that ship with verdict: of an order when no other is configured, of a label, and of a decision.
var (
	//go:embed order.avsc
	orderAvsc string
	//go:embed label.avsc
	labelAvsc string
	//go:embed decision.avsc
	decisionAvsc string
)

// DefaultText returns the Avro schema that ships under the name order, label or decision.
func DefaultText(name string) (string, bool) {
	text, ok := map[string]string{"order": orderAvsc, "label": labelAvsc, "decision": decisionAvsc}[name]
	return text, ok
}

// Schema says which fields an order has. It comes from an Avro schema (.avsc) or a JSON Schema, and is safe for concurrent use.
type Schema struct {
	avro  *avroType   // of an Avro schema, else nil
	json  *jsonSchema // of a JSON Schema, else nil
	shape *shape
	text  []byte // of a JSON Schema
}

// ParseSchema parses the text of an Avro schema of a record, or of a JSON Schema of an object. File is for its errors.
func ParseSchema(file string, text []byte) (*Schema, error) {
	s, err := parseSchema(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func parseSchema(text []byte) (*Schema, error) {
	doc, err := decodeJSON(text, maxSchemaBytes, exactly)
	if err != nil {
		return nil, err
	}
	if doc.Get("type").Str() != "record" {
		j, err := parseJSONSchema(text)
		if err != nil {
			return nil, err
		}
		return &Schema{json: j, shape: j.shape, text: text}, nil
	}
	t, err := parseAvro(string(text), nil)
	if err != nil {
		return nil, err
	}
	return &Schema{avro: t, shape: t.shape()}, nil
}

// DefaultOrderSchema returns the order schema that ships with verdict.
func DefaultOrderSchema() *Schema {
	s, err := parseSchema([]byte(orderAvsc))
	if err != nil {
		panic(err) // unreachable: the text is compiled in and a test parses it
	}
	return s
}

// Has says whether the schema knows the field; below an object that may have any field it knows all.
func (s *Schema) Has(p Path) bool {
	_, known := s.shape.at(p)
	return known
}

// Kind returns the kind that the field's values have once decoded, Missing when there may be several; false when there is no such field.
// A string field may also hold an Int, since ids come as either and are kept as they came.
func (s *Schema) Kind(p Path) (Kind, bool) {
	f, known := s.shape.at(p)
	if f == nil {
		return Missing, known
	}
	return f.kind(), known
}

// Paths returns the dotted paths of all fields that the schema names.
func (s *Schema) Paths() []string { return s.shape.paths(nil, "") }

// DecodeJSON decodes an order as the package's DecodeJSON does and holds it against the schema. The *Malformed then has every fault by its JSON
// pointer, with the code json_unknown_field when only unknown fields are wrong, else schema_mismatch (timestamp_range, value_range).
func (s *Schema) DecodeJSON(raw []byte) (Record, error) { return s.decodeJSON(raw, DefaultMaxBytes) }

func (s *Schema) decodeJSON(raw []byte, maxBytes int) (Record, error) {
	rec, err := decodeJSON(raw, maxBytes, withLiterals)
	if err != nil {
		return nil, err
	}
	if s.avro != nil {
		return fitRecord(s.avro, rec, false)
	}
	return s.json.fit(rec)
}
