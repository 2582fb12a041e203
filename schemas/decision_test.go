package schemas_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/sr"
	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

const publicDecision = `{"order_id":"1102483","action":"review","score":0.4127,"occurred_at":"2018-07-25T12:00:00Z","decided_at":"2026-01-31T12:00:00.123456Z",` +
	`"model":{"name":"card","version":"1","hash":"89abcdef01234567"},"features":{"name":"card","version":"1","hash":"0123456789abcdef"},` +
	`"policy":{"name":"card","version":"4","hash":"fedcba9876543210","rule":"very_large"},` +
	`"reasons":[{"feature":"terminal_fraud_rate_30d","value":0.31,"contribution":1.84},{"feature":"seconds_since_last","value":null,"contribution":-0.25}],` +
	`"degraded":["features"],"challengers":[{"name":"card","version":"2","score":0.3911}]}`

func TestDecisionHasTheContractsJSON(t *testing.T) {
	d := schematest.Decision()
	if diff := cmp.Diff(publicDecision, string(schemas.AppendPublic(nil, &d))); diff != "" {
		t.Error(diff)
	}
	record := strings.TrimSuffix(publicDecision, "}") + `,"inputs":{"amount":75.81,"terminal_fraud_rate_30d":0.31,"seconds_since_last":null},"source":{"topic":"orders","partition":3,"offset":1099511627776},"content":"00ff00ff12345678"}`
	if diff := cmp.Diff("x"+record, string(schemas.AppendDecision([]byte("x"), &d))); diff != "" {
		t.Error(diff)
	}
}

func TestDecisionWithoutModelOrPolicyHasNulls(t *testing.T) {
	d := schemas.Decision{OrderID: "1", Action: schemas.Review, Score: math.NaN(), OccurredAt: time.Unix(1, 0), DecidedAt: time.Unix(2, 5e8)}
	const want = `{"order_id":"1","action":"review","score":null,"occurred_at":"1970-01-01T00:00:01Z","decided_at":"1970-01-01T00:00:02.5Z","model":null,"features":null,"policy":null,"reasons":[],"degraded":[],"challengers":[]}`
	if diff := cmp.Diff(want, string(schemas.AppendPublic(nil, &d))); diff != "" {
		t.Error(diff)
	}
	d.Action = ""
	raw := schemas.AppendDecision(nil, &d)
	if !bytes.HasPrefix(raw, []byte(`{"order_id":"1","action":null,"score":null,`)) {
		t.Errorf("an action that nobody decided: %s", raw)
	}
	if back, err := schemas.DecodeDecision(raw); err != nil || back.Action != "" {
		t.Errorf("read back as %q, %v", back.Action, err)
	}
	d.Policy = schemas.PolicyVersion{Version: schemas.Version{Name: "p", Version: "1", Hash: "h"}}
	if got := string(schemas.AppendPublic(nil, &d)); !strings.Contains(got, `"policy":{"name":"p","version":"1","hash":"h","rule":null}`) {
		t.Errorf("a policy without a rule: %s", got)
	}
}

func TestNumbersAreWrittenAsEncodingJSONDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		for i, f := range d.Inputs.Values {
			want, err := json.Marshal(f)
			if err != nil { // NaN
				want = []byte("null")
			}
			one := schemas.Decision{Score: d.Inputs.Values[i]}
			if got := schemas.AppendPublic(nil, &one); !bytes.Contains(got, append([]byte(`"score":`), append(want, ',')...)) {
				t.Fatalf("%v is written as %s, want %s", f, got, want)
			}
		}
	})
}

// bitwise compares doubles by their bits, so that −0 is not 0 and NaN is NaN, and layouts by their names.
var bitwise = cmp.Options{
	cmp.Comparer(func(a, b float64) bool {
		return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
	}),
	cmp.Comparer(func(a, b *schemas.Layout) bool {
		return a.Features == b.Features && cmp.Equal(a.Names, b.Names, cmpopts.EquateEmpty())
	}),
	cmpopts.EquateEmpty(),
}

func TestDecisionsComeBackBitForBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		raw := schemas.AppendDecision(nil, &d)
		if !json.Valid(raw) {
			t.Fatalf("not JSON: %s", raw)
		}
		back, err := schemas.DecodeDecision(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, back, bitwise); diff != "" {
			t.Fatal(diff)
		}
		if again := schemas.AppendDecision(nil, &back); !bytes.Equal(raw, again) {
			t.Fatalf("written again: %s, not %s", again, raw)
		}
		public, err := schemas.PublicDecision(raw)
		if err != nil || !bytes.Equal(public, schemas.AppendPublic(nil, &d)) {
			t.Fatalf("public: %s, %v", public, err)
		}
	})
}

func TestPublicDecisionIsNotFooledByNames(t *testing.T) {
	d := schematest.Decision()
	d.Policy.Rule = `,"inputs":{`
	d.Reasons[0].Feature = `inputs`
	raw := schemas.AppendDecision(nil, &d)
	if public, err := schemas.PublicDecision(raw); err != nil || !bytes.Equal(public, schemas.AppendPublic(nil, &d)) {
		t.Errorf("got %s, %v", public, err)
	}
	for _, raw := range []string{"", "{}", publicDecision, "null"} {
		if _, err := schemas.PublicDecision([]byte(raw)); codeOf(t, err) != "decision_shape" {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestDecisionIDIsReadFromTheStartOfARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		if id, err := schemas.DecisionID(schemas.AppendDecision(nil, &d)); err != nil || id != d.OrderID {
			t.Fatalf("got %q, %v, want %q", id, err, d.OrderID)
		}
	})
	for _, raw := range []string{"", "{}", "null", `{"order_id":"`, `{"order_id":""}`, `{"order_id":"not an id"}`, ` {"order_id":"1"}`, `{"order_id":"` + strings.Repeat("x", 129) + `"}`} {
		if id, err := schemas.DecisionID([]byte(raw)); codeOf(t, err) != "decision_shape" || id != "" {
			t.Errorf("%q: %q, %v", raw, id, err)
		}
	}
}

func TestTheTimeOfADecisionIsReadFromItsStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		want := d.DecidedAt.Truncate(time.Microsecond)
		for _, raw := range [][]byte{schemas.AppendDecision(nil, &d), schemas.AppendPublic(nil, &d)} {
			if at, ok := schemas.DecidedAt(raw); !ok || !at.Equal(want) {
				t.Fatalf("got %v, %v, want %v", at, ok, want)
			}
		}
	})
	for _, raw := range []string{"", "{}", `{"a":1,"decided_at":"`, `{"a":1,"decided_at":"yesterday"}`, strings.Repeat(" ", 600) + `,"decided_at":"2026-01-01T00:00:00Z"`} {
		if at, ok := schemas.DecidedAt([]byte(raw)); ok {
			t.Errorf("%q: %v", raw, at)
		}
	}
}

func TestDecodeDecisionRefusesOtherShapes(t *testing.T) {
	d := schematest.Decision()
	whole := string(schemas.AppendDecision(nil, &d))
	for _, change := range [][2]string{
		{`"order_id":"1102483"`, `"order_id":7`},
		{`"action":"review"`, `"action":1`},
		{`"score":0.4127`, `"score":"high"`},
		{`"decided_at":"2026-01-31T12:00:00.123456Z"`, `"decided_at":1`},
		{`"model":{"name":"card","version":"1",`, `"model":{"name":"card",`},
		{`"reasons":[{`, `"reasons":[1,{`},
		{`"degraded":["features"]`, `"degraded":"features"`},
		{`"inputs":{"amount":75.81,`, `"inputs":{"amount":true,`},
		{`"partition":3`, `"partition":3000000000`},
		{`"offset":1099511627776`, `"offset":1.5`},
		{`"content":"00ff00ff12345678"`, `"content":"00ff"`},
	} {
		raw := strings.Replace(whole, change[0], change[1], 1)
		if raw == whole {
			t.Fatalf("%s changes nothing", change[0])
		}
		if _, err := schemas.DecodeDecision([]byte(raw)); codeOf(t, err) != "decision_shape" {
			t.Errorf("%s: %v", change[1], err)
		}
	}
	if _, err := schemas.DecodeDecision([]byte(strings.Replace(whole, `{`, `{"later":[1],`, 1))); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

func FuzzDecodeDecision(f *testing.F) {
	d := schematest.Decision()
	f.Add(schemas.AppendDecision(nil, &d))
	f.Add([]byte(publicDecision))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := schemas.DecodeDecision(raw)
		if codeOf(t, err) != "" {
			return
		}
		// Whatever is taken is written in one form, which is stable.
		first := schemas.AppendDecision(nil, &d)
		back, err := schemas.DecodeDecision(first)
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		if again := schemas.AppendDecision(nil, &back); !bytes.Equal(first, again) {
			t.Fatalf("%s\n%s", first, again)
		}
	})
}

func TestDecisionFollowsTheOrdersFormat(t *testing.T) {
	fake, registry := schematest.Registry(t)
	codec := schemas.NewDecisionCodec(registry, "decisions-value")
	d := schematest.Decision()
	record := schemas.AppendDecision(nil, &d)
	if got, err := codec.Encode(t.Context(), schemas.Format{}, record); err != nil || !bytes.Equal(got, record) {
		t.Errorf("JSON: %s, %v", got, err)
	}
	if fake.SubjectExists("decisions-value") {
		t.Error("the schema was registered for JSON")
	}
	got, err := codec.Encode(t.Context(), schemas.Format{Avro: true, SchemaID: 9}, record)
	if err != nil {
		t.Fatal(err)
	}
	kept, ok := fake.GetSchema("decisions-value", 1)
	if !ok || !bytes.HasPrefix(got, schematest.Frame(uint32(kept.ID), nil)) {
		t.Errorf("framed %x, want schema %d", got[:5], kept.ID)
	}
	reader, err := schemas.NewCodec(schemas.CodecConfig{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := reader.Decode(t.Context(), got)
	if err != nil || rec.At(schemas.ParsePath("policy.rule")).Str() != "very_large" || rec.Get("decided_at").Micros() != d.DecidedAt.UnixMicro() || rec.Get("content").Str() != "00ff00ff12345678" {
		t.Errorf("read back: %v, %v", rec, err)
	}
}

func TestAvroDecisionsAreReadByTwoOtherLibraries(t *testing.T) {
	fake, registry := schematest.Registry(t)
	text, _ := schemas.DefaultText("decision")
	fake.SeedSchema("d", 1, 1, sr.Schema{Schema: text, Type: sr.TypeAvro})
	codec := schemas.NewDecisionCodec(registry, "d")
	twmb, second := mustAvro(t, text), goavroOpinion(t, text)
	rapid.Check(t, func(t *rapid.T) {
		d := schematest.AnyDecision().Draw(t, "decision")
		framed, err := codec.Encode(t.Context(), schemas.Format{Avro: true}, schemas.AppendDecision(nil, &d))
		if err != nil {
			t.Fatal(err)
		}
		var opinion map[string]any
		if rest, err := twmb.Decode(framed[5:], &opinion); err != nil || len(rest) > 0 {
			t.Fatalf("twmb/avro: %v, %d bytes left", err, len(rest))
		}
		inputs, _ := opinion["inputs"].(map[string]any)
		for i, name := range d.Inputs.Layout.Names {
			want := d.Inputs.Values[i]
			got, isNumber := inputs[name].(float64)
			if isNumber == math.IsNaN(want) || isNumber && math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%q is %v, want %v", name, inputs[name], want)
			}
		}
		if opinion["order_id"] != string(d.OrderID) || opinion["action"] != string(d.Action) || len(inputs) != len(d.Inputs.Values) {
			t.Fatalf("twmb/avro reads %v", opinion)
		}
		if _, rest, err := second.NativeFromBinary(framed[5:]); err != nil || len(rest) > 0 {
			t.Fatalf("goavro: %v, %d bytes left", err, len(rest))
		}
	})
}

func BenchmarkAppendDecision(b *testing.B) {
	d := schematest.Decision()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = schemas.AppendDecision(dst[:0], &d)
	}
}

func BenchmarkDecodeDecision(b *testing.B) {
	d := schematest.Decision()
	raw := schemas.AppendDecision(nil, &d)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schemas.DecodeDecision(raw); err != nil {
			b.Fatal(err)
		}
	}
}
