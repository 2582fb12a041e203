package schemas_test

import (
	"bytes"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// avroCodec returns a codec over a registry that has these schemas, and their ids.
func avroCodec(t testing.TB, reader *schemas.Schema, texts ...string) (*schemas.Codec, []uint32) {
	t.Helper()
	fake, registry := schematest.Registry(t)
	var ids []uint32
	for i, text := range texts {
		id := uint32(100 + i)
		fake.SeedSchema("orders", i+1, int(id), sr.Schema{Schema: text, Type: sr.TypeAvro})
		ids = append(ids, id)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{Schema: reader, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	return codec, ids
}

func orderText(t testing.TB) string {
	t.Helper()
	text, ok := schemas.DefaultText("order")
	if !ok {
		t.Fatal("there is no schema of an order")
	}
	return text
}

func avroOrder(t testing.TB, id uint32, n int) []byte {
	t.Helper()
	raw, err := schematest.AvroOrder(id, n)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAvroAndJSONOfOneOrderAreTheSame(t *testing.T) {
	codec, ids := avroCodec(t, schemas.DefaultOrderSchema(), orderText(t))
	for n := range 500 {
		asJSON, f, err := codec.Decode(t.Context(), schematest.Order(n))
		if err != nil || f.Avro {
			t.Fatalf("order %d as JSON: %v %v", n, f, err)
		}
		asAvro, f, err := codec.Decode(t.Context(), avroOrder(t, ids[0], n))
		if err != nil || f != (schemas.Format{Avro: true, SchemaID: int(ids[0])}) {
			t.Fatalf("order %d as Avro: %v %v", n, f, err)
		}
		for _, field := range asJSON {
			if got := asAvro.Get(field.Name); got != field.Value {
				t.Fatalf("order %d: %s is %v as Avro and %v as JSON", n, field.Name, got, field.Value)
			}
		}
		if schemas.Digest(asJSON) != schemas.Digest(asAvro) {
			t.Fatalf("order %d has two digests", n)
		}
	}
}

func TestCodecWithoutRegistryRefusesAvro(t *testing.T) {
	codec, err := schemas.NewCodec(schemas.CodecConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, f, err := codec.Decode(t.Context(), schematest.Frame(7, []byte("x")))
	if got := codeOf(t, err); got != "schema_unavailable" || !f.Avro || f.SchemaID != 7 {
		t.Errorf("got %q and %v", got, f)
	}
}

func TestCodecWithoutSchemaTakesAnyObject(t *testing.T) {
	codec, err := schemas.NewCodec(schemas.CodecConfig{MaxBytes: 20})
	if err != nil {
		t.Fatal(err)
	}
	if rec, _, err := codec.Decode(t.Context(), []byte("\n{\"any\":[1.50]}")); err != nil || rec.Get("any").List()[0].Str() != "" {
		t.Errorf("got %v, %v", rec, err)
	}
	_, _, err = codec.Decode(t.Context(), []byte(`{"any":"12345678901"}`))
	if got := codeOf(t, err); got != "too_large" {
		t.Errorf("21 bytes give %q", got)
	}
}

func TestHostileAvroIsRefusedQuicklyAndSmall(t *testing.T) {
	codec, ids := avroCodec(t, nil, schematest.Traps)
	_, _, err := codec.Decode(t.Context(), schematest.Frame(ids[0], []byte{2, 'x', 20, 1})) // so that the schema is known
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range schematest.HostileAvro(ids[0]) {
		var before, after runtime.MemStats
		fastest := time.Hour
		for range 20 { // the machine may be busy with something else
			runtime.ReadMemStats(&before)
			start := time.Now()
			rec, _, err := codec.Decode(t.Context(), bad.Raw)
			fastest = min(fastest, time.Since(start))
			runtime.ReadMemStats(&after)
			if got := codeOf(t, err); got != bad.Code || rec != nil {
				t.Errorf("%s: got %q (%v), want %q", bad.Name, got, err, bad.Code)
			}
		}
		if size := after.TotalAlloc - before.TotalAlloc; size > 1<<20 || fastest > slower*time.Millisecond {
			t.Errorf("%s: took %v and %d bytes", bad.Name, fastest, size)
		}
	}
}

func TestAvroOrderCutOffAnywhereIsRefused(t *testing.T) {
	codec, ids := avroCodec(t, schemas.DefaultOrderSchema(), orderText(t))
	whole := avroOrder(t, ids[0], 3)
	for n := range whole {
		want := "avro_decode"
		if n == 0 {
			want = "empty"
		} else if n < 5 {
			want = "frame_short"
		}
		rec, _, err := codec.Decode(t.Context(), whole[:n])
		if got := codeOf(t, err); got != want || rec != nil {
			t.Errorf("%d of %d bytes: got %q and %v, want %q", n, len(whole), got, rec, want)
		}
	}
	_, _, err := codec.Decode(t.Context(), append(whole, 0))
	if got := codeOf(t, err); got != "avro_decode" {
		t.Errorf("a further byte: got %q", got)
	}
}

func TestRecordsShareNoMemoryWithTheBytes(t *testing.T) {
	codec, ids := avroCodec(t, nil, orderText(t))
	raw := avroOrder(t, ids[0], 3)
	rec, _, err := codec.Decode(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if got := rec.Get("order_id").Str(); got != "100003" {
		t.Errorf("order_id has become %q", got)
	}
}

// encode writes a datum by the Avro library, framed.
func encode(t testing.TB, id uint32, text string, datum map[string]any) []byte {
	t.Helper()
	raw, err := mustAvro(t, text).AppendEncode(schematest.Frame(id, nil), datum)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWritersSchemaIsResolvedAgainstOurs(t *testing.T) {
	ours := parse(t, `{"type":"record","name":"Order","fields":[
		{"name":"order_id","type":"string","aliases":["id"]},
		{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
		{"name":"channel","type":{"type":"enum","name":"Channel","symbols":["WEB","OTHER"],"default":"OTHER"},"default":"WEB"},
		{"name":"note","type":["null","string"],"default":null}
	]}`)
	writer := `{"type":"record","name":"Elsewhere","fields":[
		{"name":"extra","type":"int"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-nanos"}},
		{"name":"id","type":"string"},
		{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":30,"scale":6}},
		{"name":"channel","type":["null",{"type":"enum","name":"Channel","symbols":["APP","WEB"]}]}
	]}`
	plainWriter := `{"type":"record","name":"Plain","fields":[{"name":"order_id","type":"long"},{"name":"amount","type":"int"},{"name":"at","type":"long"}]}`
	codec, ids := avroCodec(t, ours, writer, plainWriter)

	at := time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)
	rec, _, err := codec.Decode(t.Context(), encode(t, ids[0], writer, map[string]any{"extra": 5, "at": at, "id": "7", "amount": big.NewRat(75810001, 1000000), "channel": "APP"}))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Get("order_id").Str() != "7" || rec.Get("extra").Int() != 5 || rec.Get("amount").Number() != 75.810001 || rec.Get("channel").Str() != "OTHER" || rec.Get("at").Micros() != at.UnixMicro() {
		t.Errorf("got %v", rec)
	}
	rec, _, err = codec.Decode(t.Context(), encode(t, ids[1], plainWriter, map[string]any{"order_id": int64(7), "amount": 75, "at": at.UnixMilli()}))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Get("order_id").Int() != 7 || rec.Get("amount").Kind() != schemas.Float || rec.Get("channel").Str() != "WEB" || rec.Get("at").Micros() != at.UnixMilli()*1000 {
		t.Errorf("got %v", rec)
	}
}

func TestWriterThatLacksWhatWeNeedIsIncompatible(t *testing.T) {
	lacks := `{"type":"record","name":"Order","fields":[{"name":"order_id","type":"string"},{"name":"occurred_at","type":"string"},{"name":"terminal_id","type":"boolean"},{"name":"amount","type":["null","double"]}]}`
	codec, ids := avroCodec(t, schemas.DefaultOrderSchema(), lacks)
	for range 2 {
		_, _, err := codec.Decode(t.Context(), encode(t, ids[0], lacks, map[string]any{"order_id": "1", "occurred_at": "x", "terminal_id": true, "amount": 1.0}))
		var m *schemas.Malformed
		if !errors.As(err, &m) || m.Code != "schema_incompatible" {
			t.Fatalf("got %v", err)
		}
		var at []string
		for _, f := range m.Faults {
			at = append(at, f.Pointer)
		}
		if diff := cmp.Diff([]string{"/customer_id", "/occurred_at", "/terminal_id"}, at); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNullWhereWeNeedAValueIsIncompatible(t *testing.T) {
	writer := strings.NewReplacer(`"name": "customer_id", "type": "string"`, `"name": "customer_id", "type": ["null", "string"]`).Replace(orderText(t))
	codec, ids := avroCodec(t, schemas.DefaultOrderSchema(), writer)
	datum := map[string]any{"order_id": "1", "occurred_at": schematest.Start, "customer_id": "2", "terminal_id": "3", "amount": big.NewRat(1, 2)}
	if _, _, err := codec.Decode(t.Context(), encode(t, ids[0], writer, datum)); err != nil {
		t.Fatal(err)
	}
	datum["customer_id"] = nil
	_, _, err := codec.Decode(t.Context(), encode(t, ids[0], writer, datum))
	if got := codeOf(t, err); got != "schema_incompatible" {
		t.Errorf("got %q (%v)", got, err)
	}
}

func FuzzFrame(f *testing.F) {
	fake := srfake.New()
	f.Cleanup(fake.Close)
	fake.SeedSchema("orders", 1, 1, sr.Schema{Schema: orderText(f), Type: sr.TypeAvro})
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{fake.URL()}})
	if err != nil {
		f.Fatal(err)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{Schema: schemas.DefaultOrderSchema(), Registry: registry, MaxBytes: 4096})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(schematest.Plain))
	f.Add(avroOrder(f, 1, 0))
	f.Add([]byte{0, 0, 0, 0, 2, 0})
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, format, err := codec.Decode(t.Context(), raw)
		codeOf(t, err) // nothing but a *Malformed: the registry is there
		if (err == nil) == (rec == nil) {
			t.Fatalf("got both or neither of %v and %v", rec, err)
		}
		if format.Avro != bytes.HasPrefix(raw, []byte{0}) && len(raw) <= 4096 {
			t.Fatalf("format %v of %x", format, raw)
		}
	})
}

func BenchmarkDecodeAvro(b *testing.B) {
	for name, reader := range map[string]*schemas.Schema{"writer": nil, "same": schemas.DefaultOrderSchema()} {
		b.Run(name, func(b *testing.B) {
			codec, ids := avroCodec(b, reader, orderText(b))
			raw := avroOrder(b, ids[0], 7)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := codec.Decode(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
