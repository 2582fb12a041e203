package schemas_test

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// orderOf is an order of an amount, which is JSON as it stands there.
func orderOf(t testing.TB, amount string) schemas.Record {
	t.Helper()
	rec, err := schemas.DefaultOrderSchema().DecodeJSON(fmt.Appendf(nil, `{"order_id":"1","occurred_at":"2026-01-31T12:00:00Z","customer_id":"c","terminal_id":"t","amount":%s}`, amount))
	if err != nil {
		t.Fatalf("%s: %v", amount, err)
	}
	return rec
}

func TestDigestHasAllDigitsOfADecimal(t *testing.T) {
	for _, pair := range [][2]string{{"12.5", "12.500000000000000001"}, {"12.5", `"12.500000000000000001"`}, {"9007199254740992", "9007199254740993"}, {"-12.500000000000000001", "12.500000000000000001"}} {
		if schemas.Digest(orderOf(t, pair[0])) == schemas.Digest(orderOf(t, pair[1])) {
			t.Errorf("%s and %s have one digest", pair[0], pair[1])
		}
		if a, b := orderOf(t, pair[0]).Get("amount"), orderOf(t, pair[1]).Get("amount"); a.Number() == b.Number() && a.Digest() != b.Digest() {
			t.Errorf("features that count different values see %s and %s apart", pair[0], pair[1])
		}
	}
	for _, same := range [][]string{
		{"12.5", "12.50", `"12.5"`, "125e-1", "1.25E+1", "12.500000000000000000"},
		{"12.500000000000000001", `"12.5000000000000000010"`, "12500000000000000001e-18"},
		{"9007199254740993", "9007199254740993.0", `"9007199254740993.00"`},
		{"0", "-0.0", `"0.000000000000000000"`},
		{"123.35000000000001", `"123.350000000000010"`},
	} {
		for _, other := range same[1:] {
			if schemas.Digest(orderOf(t, same[0])) != schemas.Digest(orderOf(t, other)) {
				t.Errorf("%s and %s have two digests", same[0], other)
			}
		}
	}
}

// What a double's shortest text says has the digest that the double has: those are kept with decisions.
func TestDigestOfADecimalThatADoubleSaysIsTheDoubles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := schemas.FloatValue(float64(rapid.Int64Range(-1e17, 1e17).Draw(t, "amount")) / 1e4)
		text := fmt.Sprintf("%v", amount.Number())
		rec := schemas.Record{{Name: "amount", Value: amount}}
		s, err := schemas.ParseSchema("s.avsc", []byte(`{"type":"record","name":"s","fields":[{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":18}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		read, err := s.DecodeJSON([]byte(`{"amount":` + text + `}`))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if schemas.Digest(rec) != schemas.Digest(read) {
			t.Fatalf("%s has another digest than its double", text)
		}
	})
}

func TestDigestOfADecimalIsTheSameInAvroAndJSON(t *testing.T) {
	codec, ids := avroCodec(t, schemas.DefaultOrderSchema(), orderText(t))
	schema, err := avro.Parse(orderText(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, amount := range []string{"12.5", "12.500000000000000001", "-12.500000000000000001", "123.35000000000001", "9007199254740993", "10000000000000000000.000000000000000001", "0.05"} {
		asJSON := orderOf(t, amount)
		exact, _ := new(big.Rat).SetString(amount)
		raw, err := schema.AppendEncode(schematest.Frame(ids[0], nil), map[string]any{
			"order_id": "1", "occurred_at": asJSON.Get("occurred_at").Micros(), "customer_id": "c", "terminal_id": "t", "amount": exact,
		})
		if err != nil {
			t.Fatal(err)
		}
		asAvro, _, err := codec.Decode(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if schemas.Digest(asAvro) != schemas.Digest(asJSON) {
			t.Errorf("%s has two digests", amount)
		}
	}
}
