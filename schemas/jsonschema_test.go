package schemas_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
)

const basket = `{
	"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["id","placed","total"],"additionalProperties":false,
	"$defs":{"money":{"type":"number","minimum":0,"multipleOf":0.01},"tree":{"type":"object","properties":{"name":{"type":"string"},"child":{"$ref":"#/$defs/tree"}}}},
	"properties":{
		"id":{"type":["string","integer"]},
		"placed":{"type":"string","format":"date-time"},
		"total":{"$ref":"#/$defs/money"},
		"quantity":{"type":"integer"},
		"card":{"type":"object","properties":{"pan":{"type":"string","pattern":"^[0-9a-f]{16}$"},"network":{"enum":["VISA","AMEX"]}}},
		"items":{"type":"array","items":{"type":"object","properties":{"price":{"$ref":"#/$defs/money"}}}},
		"extra":{"type":"object"},
		"category":{"$ref":"#/$defs/tree"}
	}}`

func TestJSONSchemaTellsEveryFault(t *testing.T) {
	s := parse(t, basket)
	got := faultsOf(t, s, `{"id":true,"total":-1,"totl":3,"card":{"pan":"4111111111111111x","network":"visa"},"items":[{"price":1},{"price":"2"}]}`)
	want := map[string]string{
		"/id":            "is boolean; must be integer or string",
		"/placed":        "is missing",
		"/total":         "is below the minimum of 0",
		"/totl":          "is not a field of the schema; did you mean total?",
		"/card/pan":      "does not match the pattern ^[0-9a-f]{16}$",
		"/card/network":  "is not one of the allowed values; must be one of [VISA AMEX]",
		"/items/1/price": "is string; must be number",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestJSONSchemaUnknownFieldHasItsOwnCode(t *testing.T) {
	_, err := parse(t, basket).DecodeJSON([]byte(`{"id":1,"placed":"2026-01-31T12:00:00Z","total":1,"Total":1}`))
	if got := codeOf(t, err); got != "json_unknown_field" {
		t.Errorf("got %q (%v)", got, err)
	}
}

func TestJSONSchemaNumbersBecomeWhatItSays(t *testing.T) {
	rec, err := parse(t, basket).DecodeJSON([]byte(`{"id":7,"placed":"2026-01-31T12:00:00Z","total":75,"quantity":2.0,"items":[{"price":1}],"extra":{"n":1,"x":1.50}}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]schemas.Kind{"id": schemas.Int, "total": schemas.Float, "quantity": schemas.Int, "extra.n": schemas.Int, "extra.x": schemas.Float} {
		v := rec.At(schemas.ParsePath(path))
		if v.Kind() != want || v.Str() != "" {
			t.Errorf("%s is a %v with text %q, want a %v without", path, v.Kind(), v.Str(), want)
		}
	}
	if v := rec.Get("items").List()[0].Object().Get("price"); v.Kind() != schemas.Float {
		t.Errorf("a price in a list is a %v", v.Kind())
	}
}

func TestJSONSchemaKnowsItsFields(t *testing.T) {
	s := parse(t, basket)
	for path, want := range map[string]schemas.Kind{
		"id": schemas.Missing, "placed": schemas.String, "total": schemas.Float, "quantity": schemas.Int, "card": schemas.Object, "card.network": schemas.String, "items": schemas.List,
		"extra.anything.below": schemas.Missing, "category.name": schemas.String, "category.child.child": schemas.Missing,
	} {
		if kind, known := s.Kind(schemas.ParsePath(path)); !known || kind != want {
			t.Errorf("%s: %v, %v; want %v", path, kind, known, want)
		}
	}
	for _, path := range []string{"totl", "card.pam", "id.x"} {
		if s.Has(schemas.ParsePath(path)) {
			t.Errorf("%s is known", path)
		}
	}
}

func TestJSONSchemaRefersToNothingElse(t *testing.T) {
	for _, ref := range []string{"http://127.0.0.1:1/x.json", "file:///etc/passwd", "other.json"} {
		_, err := schemas.ParseSchema("order.json", []byte(`{"type":"object","properties":{"a":{"$ref":"`+ref+`"}}}`))
		if err == nil || !strings.Contains(err.Error(), "cannot refer") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestJSONSchemaFaultsAreBounded(t *testing.T) {
	_, err := parse(t, basket).DecodeJSON([]byte(`{"items":[` + strings.Repeat(`{"price":"x"},`, 1000) + `{}]}`))
	var m *schemas.Malformed
	if !errors.As(err, &m) || len(m.Faults) != 32 {
		t.Errorf("%d faults are told, want 32", len(m.Faults))
	}
}
