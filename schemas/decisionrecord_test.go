package schemas_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

func TestDecisionReaderGivesTheRecordThatWasWritten(t *testing.T) {
	_, registry := schematest.Registry(t)
	codec := schemas.NewDecisionCodec(registry, "decisions-value")
	reader, err := schemas.NewDecisionReader(registry)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		record := schemas.AppendDecision(nil, &d)
		for _, format := range []schemas.Format{{}, {Avro: true}} {
			value, err := codec.Encode(t.Context(), format, record)
			if err != nil {
				t.Fatal(err)
			}
			got, back, err := reader.Record(t.Context(), value)
			if err != nil || !bytes.Equal(got, record) || back.OrderID != d.OrderID || back.Source != d.Source {
				t.Fatalf("%+v: %s, want %s (%v)", format, got, record, err)
			}
		}
	})
}

func TestDecisionReaderRefusesWhatIsNoDecision(t *testing.T) {
	reader, err := schemas.NewDecisionReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	for value, code := range map[string]string{"": "empty", "{}": "decision_shape", "[1]": "schema_mismatch", "\x00\x00\x00\x00\x07": "schema_unavailable"} {
		if _, _, err := reader.Record(t.Context(), []byte(value)); codeOf(t, err) != code {
			t.Errorf("%q: %v", value, err)
		}
	}
}
