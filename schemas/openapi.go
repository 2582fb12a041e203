package schemas

import (
	"encoding/json"
	"fmt"
)

// JSONSchema returns the schema as a JSON Schema (draft 2020-12) of the JSON that DecodeJSON takes: for documents such as an API's. It is not quite as
// strict as DecodeJSON, which also holds decimals to their digits and integers to their range.
func (s *Schema) JSONSchema() json.RawMessage {
	if s.json != nil {
		return s.text
	}
	text, err := json.Marshal(s.avro.jsonSchema())
	if err != nil {
		panic(err) // unreachable: maps, strings and numbers
	}
	return text
}

// jsonSchema returns what a JSON value of the type must be, as a JSON Schema.
func (t *avroType) jsonSchema() map[string]any {
	switch t.logical {
	case decimal:
		return map[string]any{
			"description": fmt.Sprintf("a decimal of at most %d digits, %d of them after the point", t.precision, t.scale),
			"oneOf":       []any{map[string]any{"type": "number"}, map[string]any{"type": "string", "format": "decimal"}},
		}
	case date:
		return map[string]any{"type": "string", "format": "date"}
	case millis, micros, nanos:
		return map[string]any{"oneOf": []any{
			map[string]any{"type": "string", "format": "date-time"},
			map[string]any{"type": "integer", "description": "milliseconds since 1970"},
		}}
	case plain:
	}
	switch t.kind {
	case avroRecord:
		return t.objectSchema()
	case avroUnion:
		return t.unionSchema()
	case avroNull:
		return map[string]any{"type": "null"}
	case avroBoolean:
		return map[string]any{"type": "boolean"}
	case avroInt:
		return map[string]any{"type": "integer", "format": "int32"}
	case avroLong:
		return map[string]any{"type": "integer", "format": "int64"}
	case avroFloat, avroDouble:
		return map[string]any{"type": "number"}
	case avroString:
		return map[string]any{"type": []any{"string", "integer"}} // an id may be either
	case avroBytes, avroFixed:
		return map[string]any{"type": "string"}
	case avroEnum:
		return map[string]any{"type": "string", "enum": t.symbols}
	case avroArray:
		return map[string]any{"type": "array", "items": t.elem.jsonSchema()}
	case avroMap:
		return map[string]any{"type": "object", "additionalProperties": t.elem.jsonSchema()}
	}
	return map[string]any{} // unreachable: the kinds are all above
}

func (t *avroType) objectSchema() map[string]any {
	properties, required := make(map[string]any, len(t.fields)), []any{}
	for i := range t.fields {
		f := &t.fields[i]
		properties[f.name] = f.typ.jsonSchema()
		if !f.optional {
			required = append(required, f.name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func (t *avroType) unionSchema() map[string]any {
	branches := make([]any, len(t.branches))
	for i, b := range t.branches {
		branches[i] = b.jsonSchema()
	}
	return map[string]any{"anyOf": branches}
}
