package schemas_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"verdict/schemas"
)

type containerRow struct {
	ID     string  `avro:"order_id"`
	Amount float64 `avro:"amount"`
}

const containerSchema = `{"type":"record","name":"Row","fields":[{"name":"order_id","type":"string"},{"name":"amount","type":"double"}]}`

func containerFile(tb testing.TB, codec ocf.Codec, rows ...containerRow) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := ocf.NewWriter(&file, avro.MustParse(containerSchema), ocf.WithCodec(codec), ocf.WithBlockBytes(64))
	if err != nil {
		tb.Fatal(err)
	}
	for i := range rows {
		if err := w.Encode(&rows[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// drain reads a container to its end: the ids of its records, and the code of each that is malformed in its place.
func drain(file []byte, schema *schemas.Schema) (got []string, err error) {
	c, err := schemas.NewContainer(bytes.NewReader(file), schema)
	if err != nil {
		return nil, err
	}
	for {
		rec, err := c.Next()
		bad := (*schemas.Malformed)(nil)
		switch {
		case errors.Is(err, io.EOF):
			return got, nil
		case errors.As(err, &bad):
			got = append(got, bad.Code)
		case err != nil:
			return got, err
		default:
			got = append(got, rec.Get("order_id").Str())
		}
	}
}

func TestContainerReadsEveryCodec(t *testing.T) {
	rows, want := []containerRow{}, []string{}
	for i := range 50 {
		id := strings.Repeat("x", i+1)
		rows, want = append(rows, containerRow{id, float64(i)}), append(want, id)
	}
	for name, codec := range map[string]ocf.Codec{"null": nil, "deflate": ocf.DeflateCodec(6), "snappy": ocf.SnappyCodec(), "zstandard": ocf.MustZstdCodec(nil, nil)} {
		got, err := drain(containerFile(t, codec, rows...), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestContainerGoesOnBehindAFaultyRecord(t *testing.T) {
	got, err := drain(containerFile(t, nil, containerRow{"a", 1}, containerRow{"b", math.NaN()}, containerRow{"c", 3}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "value_range", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestContainerHoldsRecordsAgainstTheReadersSchema(t *testing.T) {
	parse := func(text string) *schemas.Schema {
		s, err := schemas.ParseSchema("order.avsc", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	file := containerFile(t, nil, containerRow{"a", 1})
	got, err := drain(file, parse(`{"type":"record","name":"Ours","fields":[{"name":"order_id","type":"string"}]}`))
	if diff := cmp.Diff([]string{"a"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, err = drain(file, parse(`{"type":"record","name":"Ours","fields":[{"name":"order_id","type":"string"},{"name":"currency","type":"string"}]}`))
	if bad := (*schemas.Malformed)(nil); err == nil || errors.As(err, &bad) || !strings.Contains(err.Error(), "currency") {
		t.Errorf("error %v, want one of the whole file that names currency", err)
	}
}

func TestContainerCutShortIsNeverACleanEnd(t *testing.T) {
	file := containerFile(t, nil, containerRow{"a", 1}, containerRow{"b", 2})
	whole := 0
	for n := range file {
		if _, err := drain(file[:n], nil); err == nil {
			whole++
			if got, _ := drain(file[:n], nil); len(got) != 0 {
				t.Errorf("of %d bytes %d make a whole file with %q", len(file), n, got)
			}
		}
	}
	if whole != 1 { // the header alone is a file without records
		t.Errorf("%d beginnings of the file are whole, want 1", whole)
	}
}

func FuzzContainer(f *testing.F) {
	f.Add(containerFile(f, nil, containerRow{"a", 1}, containerRow{"b", 2}))
	f.Add(containerFile(f, ocf.SnappyCodec(), containerRow{"a", 1}))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := drain(file, nil)
		if len(got) > len(file) && err == nil && !bytes.Contains(file, []byte("deflate")) && !bytes.Contains(file, []byte("snappy")) && !bytes.Contains(file, []byte("zstandard")) {
			t.Errorf("%d records of %d bytes", len(got), len(file))
		}
	})
}
