package schemas_test

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// TestTheJSONSchemaOfAnAvroSchemaTakesWhatItTakes holds documents against both.
func TestTheJSONSchemaOfAnAvroSchemaTakesWhatItTakes(t *testing.T) {
	s := schemas.DefaultOrderSchema()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("order.json", text); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("order.json")
	if err != nil {
		t.Fatal(err)
	}
	plain := string(schematest.Order(1))
	for _, doc := range []string{
		plain,
		`{"order_id":1,"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3","amount":"4.50","card":{"network":"VISA"},"email":null}`,
		`{"order_id":1,"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3"}`,
		`{"order_id":1,"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3","amount":true}`,
		`{"order_id":1,"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3","amount":1,"amuont":2}`,
		`{"order_id":1,"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3","amount":1,"card":{"colour":"red"}}`,
		`{"order_id":[],"occurred_at":1793527200000,"customer_id":2,"terminal_id":"3","amount":1}`,
		`[]`,
	} {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(doc)))
		if err != nil {
			t.Fatal(err)
		}
		_, ours := s.DecodeJSON([]byte(doc))
		theirs := compiled.Validate(value)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("%s: Avro says %v, its JSON Schema %v", doc, ours, theirs)
		}
	}
}
