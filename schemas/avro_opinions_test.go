package schemas_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// menagerie has every type of Avro.
const menagerie = `{"type":"record","name":"Menagerie","fields":[
	{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},
	{"name":"s","type":"string"},{"name":"y","type":"bytes"},
	{"name":"x","type":{"type":"fixed","name":"X","size":3}},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},
	{"name":"list","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":["null","string"]},{"name":"n","type":"int"}]}}},
	{"name":"map","type":{"type":"map","values":["null","double"]}},
	{"name":"u","type":["null","long","string","boolean"]},
	{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":40,"scale":7}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}
]}`

func mustAvro(t testing.TB, text string) *avro.Schema {
	t.Helper()
	s, err := avro.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goavroOpinion returns a second library's codec, with the limits without which a few bytes kill the process through it.
func goavroOpinion(t testing.TB, text string) *goavro.Codec {
	t.Helper()
	count, size := goavro.MaxBlockCount, goavro.MaxBlockSize
	goavro.MaxBlockCount, goavro.MaxBlockSize = 1000, 1<<16
	t.Cleanup(func() { goavro.MaxBlockCount, goavro.MaxBlockSize = count, size })
	c, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func drawDatum(t *rapid.T) map[string]any {
	items := []any{}
	for range rapid.IntRange(0, 4).Draw(t, "items") {
		item := map[string]any{"sku": nil, "n": rapid.Int32().Draw(t, "n")}
		if rapid.Bool().Draw(t, "sku?") {
			item["sku"] = rapid.String().Draw(t, "sku")
		}
		items = append(items, item)
	}
	unscaled := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "unscaled"))
	if rapid.Bool().Draw(t, "negative") {
		unscaled.Neg(unscaled)
	}
	instant := rapid.Int64Range(-62135596800, 253402300799)
	return map[string]any{
		"b": rapid.Bool().Draw(t, "b"), "i": rapid.Int32().Draw(t, "i"), "l": rapid.Int64().Draw(t, "l"),
		"f": rapid.Float32().Draw(t, "f"), "d": rapid.Float64().Draw(t, "d"), "s": rapid.String().Draw(t, "s"), "y": rapid.SliceOf(rapid.Byte()).Draw(t, "y"),
		"x": rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "x"), "e": rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "e"),
		"list": items, "map": rapid.MapOfN(rapid.String(), rapid.Just[any](1.5), 0, 5).Draw(t, "map"),
		"u":   rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Int64(), func(i int64) any { return i }), rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Just[any](true)).Draw(t, "u"),
		"dec": new(big.Rat).SetFrac(unscaled, big.NewInt(1e7)),
		"day": time.Unix(rapid.Int64Range(-700000, 2900000).Draw(t, "day")*86400, 0).UTC(),
		"ms":  time.Unix(instant.Draw(t, "ms"), 5e6).UTC(),
		"us":  time.Unix(instant.Draw(t, "us"), 7000).UTC(),
	}
}

// same holds a value against what an Avro library decoded.
func same(v schemas.Value, opinion any) error {
	ok := false
	switch o := opinion.(type) {
	case nil:
		ok = v.Missing()
	case bool:
		ok = v.Kind() == schemas.Bool && v.Bool() == o
	case int32:
		ok = v.Kind() == schemas.Int && v.Int() == int64(o)
	case int64:
		ok = v.Kind() == schemas.Int && v.Int() == o
	case float32:
		ok = v.Kind() == schemas.Float && v.Number() == float64(o)
	case float64:
		ok = v.Kind() == schemas.Float && v.Number() == o
	case string:
		ok = v.Kind() == schemas.String && v.Str() == o
	case []byte:
		ok = v.Kind() == schemas.String && v.Str() == string(o)
	case *big.Rat:
		want, _ := o.Float64() // the nearest, by math/big
		ok = v.Kind() == schemas.Float && v.Number() == want
	case time.Time:
		ok = v.Kind() == schemas.Time && v.Micros() == o.UnixMicro()
	case []any:
		return sameList(v, o)
	case map[string]any:
		return sameMap(v, o)
	}
	if !ok {
		return fmt.Errorf("is %v %+v, and by another opinion %T %v", v.Kind(), v, opinion, opinion)
	}
	return nil
}

func sameList(v schemas.Value, o []any) error {
	if v.Kind() != schemas.List || len(v.List()) != len(o) {
		return fmt.Errorf("is %v of %d elements, want a list of %d", v.Kind(), len(v.List()), len(o))
	}
	for i := range o {
		if err := same(v.List()[i], o[i]); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func sameMap(v schemas.Value, o map[string]any) error {
	if v.Kind() != schemas.Object && len(o) == 1 { // goavro names the branch of a union
		for _, branch := range o {
			return same(v, branch)
		}
	}
	if v.Kind() != schemas.Object || len(v.Object()) != len(o) {
		return fmt.Errorf("is %v of %d fields, want an object of %d", v.Kind(), len(v.Object()), len(o))
	}
	for name, want := range o {
		if err := same(v.Object().Get(name), want); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func TestAvroDecodesAsTwoOtherLibrariesDo(t *testing.T) {
	codec, ids := avroCodec(t, nil, menagerie)
	twmb, second := mustAvro(t, menagerie), goavroOpinion(t, menagerie)
	rapid.Check(t, func(t *rapid.T) {
		datum, err := twmb.Encode(drawDatum(t))
		if err != nil {
			t.Fatal(err)
		}
		rec, _, err := codec.Decode(t.Context(), schematest.Frame(ids[0], datum))
		if err != nil {
			t.Fatal(err)
		}
		var first any
		if rest, err := twmb.Decode(datum, &first); err != nil || len(rest) > 0 {
			t.Fatal(err)
		}
		if err := same(schemas.ObjectValue(rec), first); err != nil {
			t.Fatalf("twmb/avro: %v", err)
		}
		native, rest, err := second.NativeFromBinary(datum)
		if err != nil || len(rest) > 0 {
			t.Fatal(err)
		}
		if err := same(schemas.ObjectValue(rec), native); err != nil {
			t.Fatalf("goavro: %v", err)
		}
	})
}

func FuzzDecodeAvro(f *testing.F) {
	for _, bad := range schematest.HostileAvro(0) {
		f.Add(bad.Raw[5:])
	}
	f.Add([]byte{2, 'x', 4, 0})
	f.Add([]byte{2, 'x', 2, 2, 2, 'k', 84, 0})
	codec, ids := avroCodec(f, nil, schematest.Traps)
	twmb := mustAvro(f, schematest.Traps)
	f.Fuzz(func(t *testing.T, datum []byte) {
		if len(datum) > 4096 {
			return
		}
		rec, _, err := codec.Decode(t.Context(), schematest.Frame(ids[0], datum))
		code := codeOf(t, err)
		var opinion any
		rest, refused := twmb.Decode(datum, &opinion)
		switch {
		case code == "" && (refused != nil || len(rest) > 0):
			t.Fatalf("we take what twmb/avro refuses: %v, %d bytes left", refused, len(rest))
		case code == "":
			if err := same(schemas.ObjectValue(rec), opinion); err != nil {
				t.Fatal(err)
			}
		case code != "avro_decode" && code != "avro_limit" && code != "value_range":
			t.Fatalf("code %q", code)
		}
	})
}

// twosComplement is the form of an Avro decimal.
func twosComplement(i *big.Int) []byte {
	if i.Sign() >= 0 {
		return append([]byte{0}, i.Bytes()...)
	}
	size := uint(len(i.Bytes()) + 1)
	return new(big.Int).Add(i, new(big.Int).Lsh(big.NewInt(1), 8*size)).FillBytes(make([]byte, size))
}

func TestDecimalsAreTheNearestDouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Any bytes, and as often an amount with zeros behind it, as a large scale gives.
		unscaled := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "unscaled")
		if rapid.Bool().Draw(t, "amount") {
			zeros := new(big.Int).Exp(big.NewInt(10), big.NewInt(rapid.Int64Range(0, 25).Draw(t, "zeros")), nil)
			unscaled = twosComplement(zeros.Mul(zeros, big.NewInt(rapid.Int64().Draw(t, "amount"))))
		}
		scale := rapid.IntRange(0, 60).Draw(t, "scale")
		decimal, ok := schemas.DecimalValue(unscaled, scale)
		got := decimal.Number()
		want, _ := avro.RatFromBytes(unscaled, scale).Float64()
		if !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%x with scale %d is %v, and exactly rounded %v", unscaled, scale, got, want)
		}
	})
}

func TestLiteralsHaveTheDigitsThatBigRatCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "literal")
		precision := rapid.IntRange(1, 20).Draw(t, "precision")
		scale := rapid.IntRange(0, precision).Draw(t, "scale")
		exact, ok := new(big.Rat).SetString(literal)
		if !ok || !json.Valid([]byte(literal)) {
			t.Fatalf("%s is not a number", literal)
		}
		unscaled := exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		want := unscaled.IsInt() && new(big.Int).Abs(unscaled.Num()).Cmp(limit) < 0
		if got := schemas.DecimalFits(literal, precision, scale); got != want {
			t.Fatalf("%s fits a decimal(%d,%d): %v, want %v", literal, precision, scale, got, want)
		}
		if !schemas.IsDecimal(literal) {
			t.Fatalf("%s is not taken as a decimal number", literal)
		}
	})
}
