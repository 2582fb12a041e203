package schemas_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// FuzzParseSchema reads any text as a schema. What is taken can be asked for its fields and given orders.
func FuzzParseSchema(f *testing.F) {
	for name, text := range hostileSchemas() {
		if name != "10 MB" {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(orderText(f)))
	f.Add([]byte(zoo))
	f.Add([]byte(`{"type":"object","properties":{"m":{"type":"object","additionalProperties":{"type":"integer"}}},"additionalProperties":false}`))
	f.Add([]byte(`{"$defs":{"a":{"$ref":"#/$defs/a"}},"type":"object","properties":{"a":{"$ref":"#/$defs/a"},"b":{"pattern":"(a{1,1000}){1,1000}"}}}`))
	f.Add([]byte(`{"type":"object","$ref":"http://localhost/x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := schemas.ParseSchema("x.avsc", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.avsc: ") {
				t.Fatalf("%v does not say where", err)
			}
			return
		}
		for _, path := range s.Paths() {
			if !s.Has(schemas.ParsePath(path)) {
				t.Fatalf("%q is a path and no field", path)
			}
		}
		if doc := s.JSONSchema(); len(bytes.TrimSpace(doc)) == 0 {
			t.Fatal("the API's document has nothing to say of it")
		}
		for _, order := range []string{`{}`, schematest.Plain, `{"a":null,"b":[{}],"c":{"a":1e300}}`} {
			_, err := s.DecodeJSON([]byte(order))
			var bad *schemas.Malformed
			if err != nil && !errors.As(err, &bad) {
				t.Fatalf("%s: %v", order, err)
			}
		}
	})
}
