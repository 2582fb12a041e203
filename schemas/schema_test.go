package schemas_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

func parse(t testing.TB, text string) *schemas.Schema {
	t.Helper()
	s, err := schemas.ParseSchema("test.avsc", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// faultsOf returns pointer → text of what the schema finds wrong.
func faultsOf(t *testing.T, s *schemas.Schema, raw string) map[string]string {
	t.Helper()
	_, err := s.DecodeJSON([]byte(raw))
	if err == nil {
		return nil
	}
	var m *schemas.Malformed
	if !errors.As(err, &m) {
		t.Fatalf("%s: %v", raw, err)
	}
	all := map[string]string{}
	for _, f := range m.Faults {
		all[f.Pointer] = f.Detail
	}
	return all
}

func TestSmallestOrderFitsTheDefaultSchema(t *testing.T) {
	rec, err := schemas.DefaultOrderSchema().DecodeJSON([]byte(schematest.Plain))
	if err != nil {
		t.Fatal(err)
	}
	if v := rec.Get("occurred_at"); v.Kind() != schemas.Time || v.Micros() != 1528675224000000 {
		t.Errorf("occurred_at is %v %d", v.Kind(), v.Micros())
	}
	if v := rec.Get("amount"); v.Kind() != schemas.Float || v.Number() != 75.81 || v.Str() != "" {
		t.Errorf("amount is %v %v %q", v.Kind(), v.Number(), v.Str())
	}
	if len(rec) != 5 {
		t.Errorf("there are %d fields, want the 5 that were sent", len(rec))
	}
}

func TestJSONFormsOfOneOrderAreTheSame(t *testing.T) {
	s := schemas.DefaultOrderSchema()
	want := uint64(0)
	for i, raw := range []string{
		schematest.Plain,
		`{"amount":"75.81","terminal_id":8121,"customer_id":3711,"occurred_at":1528675224000,"order_id":680886}`,
		`{"amount":7581e-2,"card":null,"terminal_id":"8121","customer_id":"3711","occurred_at":"2018-06-11T02:00:24.000+02:00","order_id":"680886"}`,
		`{"amount":75.8100,"terminal_id":"8121","customer_id":"3711","occurred_at":1.528675224e12,"order_id":"680886","currency":null}`,
	} {
		rec, err := s.DecodeJSON([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if i == 0 {
			want = schemas.Digest(rec)
		}
		if schemas.Digest(rec) != want {
			t.Errorf("%s: has another digest than the first form", raw)
		}
		o, err := schemas.NewOrder(rec, schemas.Binding{ID: schemas.Path{"order_id"}, Time: schemas.Path{"occurred_at"}}, nil)
		if err != nil || o.ID != "680886" || !o.At.Equal(schematest.Start) {
			t.Errorf("%s: is order %q of %v, %v", raw, o.ID, o.At, err)
		}
	}
}

func TestIDsAreKeptAsTheyCame(t *testing.T) {
	rec, err := schemas.DefaultOrderSchema().DecodeJSON([]byte(strings.Replace(schematest.Plain, `"3711"`, `3711`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if v := rec.Get("customer_id"); v.Kind() != schemas.Int || v.Int() != 3711 {
		t.Errorf("customer_id is %v", v)
	}
}

func TestEveryFaultIsTold(t *testing.T) {
	got := faultsOf(t, schemas.DefaultOrderSchema(), `{"order_id":1.5,"occurred_at":true,"terminal_id":null,"amount":75.8100000000000000001,"card":{"netwrk":"VISA","country":["DE"]},"Email":"x","zzzzzzzz":0}`)
	want := map[string]string{
		"/order_id":     "is a number; must be a string or a whole number",
		"/occurred_at":  "is a boolean; must be an RFC 3339 time such as 2026-01-31T12:00:00Z or milliseconds since 1970",
		"/customer_id":  "is missing; must be a string or a whole number",
		"/terminal_id":  "is null; must be a string or a whole number",
		"/amount":       "has too many digits; must be a decimal number of at most 38 digits, 18 of them after the point",
		"/card/netwrk":  "is not a field of the schema; did you mean network?",
		"/card/country": "is a list; must be a string or a whole number",
		"/Email":        "is not a field of the schema; did you mean email?",
		"/zzzzzzzz":     "is not a field of the schema",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMillisecondsAreWhole(t *testing.T) {
	for at, want := range map[string]map[string]string{
		"1.5":              {"/occurred_at": "has a fraction; must be an RFC 3339 time such as 2026-01-31T12:00:00Z or milliseconds since 1970"},
		"1528675224000.25": {"/occurred_at": "has a fraction; must be an RFC 3339 time such as 2026-01-31T12:00:00Z or milliseconds since 1970"},
	} {
		got := faultsOf(t, schemas.DefaultOrderSchema(), `{"order_id":"1","occurred_at":`+at+`,"customer_id":"c","terminal_id":"t","amount":1}`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", at, diff)
		}
	}
}

const zoo = `{"type":"record","name":"Zoo","namespace":"a.b","fields":[
	{"name":"i","type":"int","default":7},
	{"name":"l","type":["null","long"]},
	{"name":"f","type":["null","float"],"default":null},
	{"name":"d","type":["double","null"],"default":1.5},
	{"name":"e","type":{"type":"enum","name":"Colour","symbols":["RED","GREEN"],"default":"RED"},"default":"GREEN"},
	{"name":"x","type":["null",{"type":"fixed","name":"Four","size":4}],"default":null},
	{"name":"day","type":["null",{"type":"int","logicalType":"date"}],"default":null},
	{"name":"list","type":{"type":"array","items":"long"},"default":[1,2]},
	{"name":"map","type":{"type":"map","values":"double"},"default":{"b":2,"a":1}},
	{"name":"either","type":["null","long","string",{"type":"record","name":"Bank","fields":[{"name":"iban","type":"string"}]},{"type":"record","name":"Wallet","fields":[{"name":"wallet","type":"string"},{"name":"n","type":"int","default":3}]}],"default":null},
	{"name":"other","type":["null","Bank"],"default":null},
	{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2},"default":"\u0004\u00d2"}
]}`

func TestDefaultsFillAbsentFields(t *testing.T) {
	rec, err := parse(t, zoo).DecodeJSON([]byte(`{"d":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Get("i").Int() != 7 || rec.Get("e").Str() != "GREEN" || rec.Get("price").Number() != 12.34 || len(rec.Get("list").List()) != 2 || rec.Get("map").Object().Get("b").Number() != 2 {
		t.Errorf("defaults are wrong: %v", rec)
	}
	if rec.Get("d").Number() != 2 || !rec.Get("l").Missing() || !rec.Get("either").Missing() {
		t.Errorf("what was sent, or is null by default, is wrong: %v", rec)
	}
}

func TestNumbersBecomeWhatTheSchemaSays(t *testing.T) {
	s := parse(t, zoo)
	for raw, want := range map[string]int64{`1E2`: 100, `1.0`: 1, `9007199254740993`: 9007199254740993, `9007199254740993.0`: 9007199254740993, `9.007199254740993e15`: 9007199254740993, `-9223372036854775808.00`: -1 << 63, `0.1e1`: 1, `1e18`: 1e18} {
		rec, err := s.DecodeJSON([]byte(`{"l":` + raw + `}`))
		if err != nil || rec.Get("l").Kind() != schemas.Int || rec.Get("l").Int() != want {
			t.Errorf("%s as a long is %v, %v; want %d", raw, rec.Get("l").Int(), err, want)
		}
	}
	for _, raw := range []string{`1.5`, `1e19`, `9007199254740993.5`, `9223372036854775808.0`, `"1"`, `true`, `1.00000000000000000000001`, `1e300`} {
		if faultsOf(t, s, `{"l":`+raw+`}`)["/l"] == "" {
			t.Errorf("%s is taken as a long", raw)
		}
	}
	rec, err := s.DecodeJSON([]byte(`{"i":2147483647,"f":0.1,"d":3,"day":"2026-01-31"}`))
	if err != nil {
		t.Fatal(err)
	}
	if f := rec.Get("f"); f.Number() != float64(float32(0.1)) {
		t.Errorf("a float is %v, want 32 bits of it as Avro would have", f.Number())
	}
	if d := rec.Get("d"); d.Kind() != schemas.Float {
		t.Errorf("a whole number for a double is an %v", d.Kind())
	}
	if d := rec.Get("day"); d.Micros() != 1769817600*1e6 {
		t.Errorf("a date is %d", d.Micros())
	}
	if got := faultsOf(t, s, `{"i":2147483648}`)["/i"]; got == "" {
		t.Error("an int of 33 bits is taken")
	}
}

func TestUnionsTakeTheFirstBranchThatFits(t *testing.T) {
	s := parse(t, zoo)
	rec, err := s.DecodeJSON([]byte(`{"either":{"wallet":"w"}}`))
	if err != nil || rec.At(schemas.ParsePath("either.n")).Int() != 3 {
		t.Errorf("the second record of a union: %v, %v", rec, err)
	}
	if rec, err = s.DecodeJSON([]byte(`{"either":"text"}`)); err != nil || rec.Get("either").Str() != "text" {
		t.Errorf("a string of a union: %v, %v", rec, err)
	}
	if got := faultsOf(t, s, `{"either":{"cash":1}}`)["/either"]; !strings.Contains(got, "no branch") {
		t.Errorf("what fits no branch: %q", got)
	}
}

func TestDecimalsFitByTheirDigits(t *testing.T) {
	s := parse(t, zoo)
	for _, raw := range []string{`0`, `-0.0`, `1234.56`, `"1234.56"`, `1234.5600000000000000000000`, `123456e-2`, `9999.99`, `1e3`, `0.01`, `1e-2`, `"-9999.99"`} {
		if got := faultsOf(t, s, `{"price":`+raw+`}`); got != nil {
			t.Errorf("%s is refused: %v", raw, got)
		}
	}
	for _, raw := range []string{`12345.6`, `0.001`, `1e4`, `1e-3`, `9999.999`, `1234.560000000000000000000001`, `"1,5"`, `""`, `"1."`, `".5"`, `"+1"`, `"1e"`, `"01"`, `" 1"`, `"1e999999999999"`} {
		if got := faultsOf(t, s, `{"price":`+raw+`}`)["/price"]; got == "" {
			t.Errorf("%s is taken as a decimal of 6 digits, 2 after the point", raw)
		}
	}
}

func TestSchemaKnowsItsFields(t *testing.T) {
	s := parse(t, zoo)
	for path, want := range map[string]schemas.Kind{
		"i": schemas.Int, "l": schemas.Int, "f": schemas.Float, "d": schemas.Float, "e": schemas.String, "x": schemas.String, "day": schemas.Time, "list": schemas.List,
		"map": schemas.Object, "either": schemas.Missing, "other": schemas.Object, "other.iban": schemas.String, "either.iban": schemas.String, "either.n": schemas.Int, "price": schemas.Float, "map.any": schemas.Missing,
	} {
		kind, known := s.Kind(schemas.ParsePath(path))
		if !known || kind != want || !s.Has(schemas.ParsePath(path)) {
			t.Errorf("%s: %v, %v; want %v", path, kind, known, want)
		}
	}
	for _, path := range []string{"I", "", "i.x", "list.0", "other.wallet", "either.n.x"} {
		if _, known := s.Kind(schemas.ParsePath(path)); known || s.Has(schemas.ParsePath(path)) {
			t.Errorf("%q is known", path)
		}
	}
	want := strings.Split("order_id occurred_at customer_id terminal_id amount currency market card card.fingerprint card.network card.country email ip device_id terminal_country", " ")
	if diff := cmp.Diff(want, schemas.DefaultOrderSchema().Paths()); diff != "" {
		t.Error(diff)
	}
}

// hostileSchemas are refused, whether they come from a file or from a registry.
func hostileSchemas() map[string]string {
	var fields, doubling strings.Builder
	for i := range 5001 {
		fmt.Fprintf(&fields, `,{"name":"f%d","type":"int"}`, i)
	}
	inner := `"null"`
	for i := range 40 {
		inner = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"%s"}]}`, i, inner, map[bool]string{true: "null", false: fmt.Sprintf("R%d", i-1)}[i == 0])
	}
	fmt.Fprint(&doubling, inner)
	record := func(fields string) string { return `{"type":"record","name":"R","fields":[` + fields + `]}` }
	return map[string]string{
		"recursive through a union": record(`{"name":"next","type":["null","R"]}`),
		"recursive without end":     record(`{"name":"next","type":"R"}`),
		"recursive through a list":  record(`{"name":"next","type":{"type":"array","items":"R"}}`),
		"10 MB":                     record(`{"name":"a","type":"int","doc":"` + strings.Repeat("x", 10<<20) + `"}`),
		"5001 fields":               record(fields.String()[1:]),
		"2^40 fields":               doubling.String(),
		"100 deep":                  record(`{"name":"a","type":` + strings.Repeat(`{"type":"array","items":`, 200) + `"int"` + strings.Repeat(`}`, 200) + `}`),
		"a name with a quote":       record(`{"name":"a\"b","type":"int"}`),
		"a name with a dot":         record(`{"name":"a.b","type":"int"}`),
		"a name with a newline":     record(`{"name":"a\nb","type":"int"}`),
		"a field twice":             record(`{"name":"a","type":"int"},{"name":"a","type":"int"}`),
		"an unknown type":           record(`{"name":"a","type":"integer"}`),
		"a wrong default":           record(`{"name":"a","type":"int","default":"x"}`),
		"a decimal of 10^9 digits":  record(`{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":1000000000,"scale":999999999}}`),
		"a fixed of 2^60":           record(`{"name":"a","type":"int"},{"name":"x","type":{"type":"fixed","name":"F","size":1152921504606846976}}`),
	}
}

func TestHostileSchemasAreRefused(t *testing.T) {
	for name, text := range hostileSchemas() {
		if _, err := schemas.ParseSchema("x.avsc", []byte(text)); err == nil {
			t.Errorf("%s: is taken", name)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	for _, text := range []string{``, `{}x`, `"int"`, `[]`, `{"type":"enum","name":"E","symbols":["A"]}`, `{"type":"string"}`} {
		if _, err := schemas.ParseSchema("x.avsc", []byte(text)); err == nil {
			t.Errorf("%s: is taken as the schema of an order", text)
		}
	}
}
