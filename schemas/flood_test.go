package schemas_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verdict/schemas"
)

func TestFloodsOfFaultsAreCheap(t *testing.T) {
	var unknown, wrong strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&unknown, `"f%d":1,`, i)
		fmt.Fprintf(&wrong, `"%d":"x",`, i)
	}
	avroMap := parse(t, `{"type":"record","name":"M","fields":[{"name":"m","type":{"type":"map","values":"long"}}]}`)
	jsonMap := parse(t, `{"type":"object","properties":{"m":{"type":"object","additionalProperties":{"type":"integer"}}},"additionalProperties":false}`)
	for name, flood := range map[string]struct {
		schema *schemas.Schema
		raw    string
	}{
		"unknown fields":                 {schemas.DefaultOrderSchema(), `{` + unknown.String() + `"z":1}`},
		"unknown fields, by JSON Schema": {jsonMap, `{` + unknown.String() + `"z":1}`},
		"wrong values":                   {avroMap, `{"m":{` + wrong.String() + `"z":1}}`},
		"wrong values, by JSON Schema":   {jsonMap, `{"m":{` + wrong.String() + `"z":1}}`},
	} {
		fastest := time.Hour
		for range 5 {
			start := time.Now()
			_, err := flood.schema.DecodeJSON([]byte(flood.raw))
			fastest = min(fastest, time.Since(start))
			var m *schemas.Malformed
			if !errors.As(err, &m) || len(m.Faults) != 32 {
				t.Fatalf("%s: got %v, want 32 faults", name, err)
			}
		}
		if fastest > slower*100*time.Millisecond {
			t.Errorf("%s: took %v", name, fastest)
		}
	}
}

// The history that acceptance is made of fits the schemas that ship.
func TestHandbookOrdersAndLabelsFit(t *testing.T) {
	shared := os.Getenv("VERDICT_SHARED")
	if shared == "" {
		t.Skip("VERDICT_SHARED does not say where the Handbook's orders are")
	}
	order := schemas.DefaultOrderSchema()
	each(t, filepath.Join(shared, "data/handbook/orders.jsonl.gz"), func(line []byte) error {
		rec, err := order.DecodeJSON(line)
		if err != nil {
			return err
		}
		_, err = schemas.NewOrder(rec, binding, line)
		return err
	})
	each(t, filepath.Join(shared, "data/handbook/labels.jsonl.gz"), func(line []byte) error {
		rec, err := schemas.DecodeJSON(line)
		if err != nil {
			return err
		}
		_, err = schemas.NewLabel(rec)
		return err
	})
}

// each calls f with every line of a file.
func each(t *testing.T, file string, f func(line []byte) error) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	plain, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	lines, n := bufio.NewScanner(plain), 0
	for lines.Scan() {
		n++
		if err := f(lines.Bytes()); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatalf("after %d lines: %v", n, err)
	}
}
