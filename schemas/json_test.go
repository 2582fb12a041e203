package schemas_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// codeOf returns the code of a *Malformed, "" for no error.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var m *schemas.Malformed
	if !errors.As(err, &m) {
		t.Fatalf("got %v, want a *Malformed", err)
	}
	return m.Code
}

func TestDecodeJSONKeepsOrderKindsAndDigits(t *testing.T) {
	rec, err := schemas.DecodeJSON([]byte(` {"z":9007199254740993,"a":-0.0,"s":"a\u00e9\n","t":true,"n":null,"l":[1,[],"x"],"o":{"k":1E2},"":1.0} `))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range rec {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, ","); got != "z,a,s,t,n,l,o," {
		t.Errorf("names are %q", got)
	}
	if v := rec.Get("z"); v.Kind() != schemas.Int || v.Int() != 9007199254740993 {
		t.Errorf("z is %v %d", v.Kind(), v.Int())
	}
	if v := rec.Get("a"); v.Kind() != schemas.Float || !math.Signbit(v.Number()) {
		t.Errorf("a is %v %v, want -0", v.Kind(), v.Number())
	}
	if v := rec.Get("s"); v.Str() != "aé\n" {
		t.Errorf("s is %q", v.Str())
	}
	if !rec.Get("t").Bool() || !rec.Get("n").Missing() {
		t.Error("t or n is wrong")
	}
	if l := rec.Get("l").List(); len(l) != 3 || l[0].Int() != 1 || l[1].Kind() != schemas.List || l[2].Str() != "x" {
		t.Errorf("l is %v", l)
	}
	for _, p := range []string{"o.k", ""} {
		if v := rec.At(schemas.ParsePath(p)); v.Kind() != schemas.Float || v.Str() != "" {
			t.Errorf("%q is a %v with text %q, want a number without", p, v.Kind(), v.Str())
		}
	}
}

func TestDecodeJSONTakesWholeNumbersExactlyOrRefusesThem(t *testing.T) {
	for text, want := range map[string]int64{"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "0": 0, "-0": 0} {
		rec, err := schemas.DecodeJSON([]byte(`{"n":` + text + `}`))
		if err != nil || rec.Get("n").Int() != want || rec.Get("n").Kind() != schemas.Int {
			t.Errorf("%s gives %v, %v", text, rec, err)
		}
	}
	for _, text := range []string{"9223372036854775808", "-9223372036854775809", "1e309", "-1e309", "1e-325", strings.Repeat("9", 400)} {
		_, err := schemas.DecodeJSON([]byte(`{"n":` + text + `}`))
		if got := codeOf(t, err); got != "value_range" {
			t.Errorf("%s is refused with %q, want value_range", text, got)
		}
	}
	if rec, err := schemas.DecodeJSON([]byte(`{"n":0.000e-999}`)); err != nil || rec.Get("n").Number() != 0 {
		t.Errorf("a zero written at length gives %v, %v", rec, err)
	}
}

func TestDecodeJSONPointsAtTheFault(t *testing.T) {
	for raw, want := range map[string]string{
		`{"a":{"b":[0,{"c":1,"c":2}]}}`: "/a/b/1/c",
		`{"a":{"x/y~z":[1e999]}}`:       "/a/x~1y~0z/0",
	} {
		_, err := schemas.DecodeJSON([]byte(raw))
		var m *schemas.Malformed
		if !errors.As(err, &m) || len(m.Faults) != 1 || m.Faults[0].Pointer != want {
			t.Errorf("%s: %+v, want a fault at %s", raw, err, want)
		}
	}
}

func TestDecodeJSONAllowsDepth64(t *testing.T) {
	if _, err := schemas.DecodeJSON([]byte(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)); err != nil {
		t.Error(err)
	}
}

func TestDecodedRecordsDoNotChangeWithTheBytes(t *testing.T) {
	raw := []byte(schematest.Plain)
	rec, err := schemas.DecodeJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if _, err := schemas.DecodeJSON([]byte(strings.Repeat(" ", len(raw)-2) + "{}")); err != nil {
		t.Fatal(err)
	}
	if got := rec.Get("customer_id").Str(); got != "3711" {
		t.Errorf("customer_id has become %q", got)
	}
}

func TestHostileJSONIsRefusedByItsCode(t *testing.T) {
	codec, err := schemas.NewCodec(schemas.CodecConfig{Schema: schemas.DefaultOrderSchema()})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range schematest.Hostile() {
		rec, _, err := codec.Decode(t.Context(), bad.Raw)
		if got := codeOf(t, err); got != bad.Code || rec != nil {
			t.Errorf("%s: got code %q (%v) and %v, want %q", bad.Name, got, err, rec, bad.Code)
		}
	}
}

func TestMalformedTextsHaveNoContents(t *testing.T) {
	const secret = "4111111111111111"
	s := schemas.DefaultOrderSchema()
	for _, field := range []string{"order_id", "occurred_at", "amount", "card", "email"} {
		for _, value := range []string{`["` + secret + `"]`, `"` + secret + `x"`, `{"network":"` + secret + `"}`} {
			_, err := s.DecodeJSON([]byte(`{"` + field + `":` + value + `}`))
			var m *schemas.Malformed
			if !errors.As(err, &m) {
				t.Fatalf("%s: %v", field, err)
			}
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: the error tells the contents: %s", field, text)
			}
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(schematest.Plain))
	for _, bad := range schematest.Hostile() {
		if len(bad.Raw) < 1000 {
			f.Add(bad.Raw)
		}
	}
	s := schemas.DefaultOrderSchema()
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, err := schemas.DecodeJSON(raw)
		code := codeOf(t, err)
		// Whatever the library takes as strict JSON is either decoded or refused for what it says, never for its syntax; and the other way round.
		strict := jsontext.Value(raw).IsValid()
		switch code {
		case "json_syntax", "json_duplicate", "empty":
			if strict {
				t.Fatalf("valid JSON is refused: %v", err)
			}
		case "":
			if !strict {
				t.Fatal("what is not JSON is decoded")
			}
			var loose map[string]any
			if err := json.Unmarshal(raw, &loose); err != nil || len(loose) != len(rec) {
				t.Fatalf("encoding/json reads %d fields (%v), we %d", len(loose), err, len(rec))
			}
			sameAsLoose(t, schemas.ObjectValue(rec), loose)
		}
		if fitted, err := s.DecodeJSON(raw); codeOf(t, err) == "" {
			again, err := s.DecodeJSON(raw)
			if err != nil || schemas.Digest(fitted) != schemas.Digest(again) {
				t.Fatalf("decoded again it has another digest, or is refused: %v", err)
			}
		}
	})
}

// sameAsLoose holds a value against what encoding/json makes of it.
func sameAsLoose(t *testing.T, v schemas.Value, loose any) {
	t.Helper()
	switch loose := loose.(type) {
	case nil:
		if !v.Missing() {
			t.Fatalf("got %v, want null", v.Kind())
		}
	case bool:
		if v.Kind() != schemas.Bool || v.Bool() != loose {
			t.Fatalf("got %v, want %v", v, loose)
		}
	case float64:
		if v.Number() != loose {
			t.Fatalf("got %v, want %v", v.Number(), loose)
		}
	case string:
		if v.Str() != loose {
			t.Fatalf("got %q, want %q", v.Str(), loose)
		}
	case []any:
		if len(v.List()) != len(loose) {
			t.Fatalf("got %d elements, want %d", len(v.List()), len(loose))
		}
		for i := range loose {
			sameAsLoose(t, v.List()[i], loose[i])
		}
	case map[string]any:
		for name, want := range loose {
			sameAsLoose(t, v.Object().Get(name), want)
		}
	}
}

func BenchmarkDecodeJSON(b *testing.B) {
	raw := []byte(schematest.Plain)
	b.Run("any", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.DecodeJSON(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("schema", func(b *testing.B) {
		s := schemas.DefaultOrderSchema()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.DecodeJSON(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
