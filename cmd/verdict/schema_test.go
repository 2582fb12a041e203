package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"verdict/schemas"
)

// schemaCommand runs verdict schema.
func schemaCommand(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newSchemaCommand()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// Goavro's canonical form is right where there are no logical types, which the form does not have anyway.
func TestSchemaCommandAgreesWithGoavro(t *testing.T) {
	logical := regexp.MustCompile(`\{"type": "(\w+)", "logicalType": [^}]*\}`)
	for _, name := range []string{"order", "label", "decision"} {
		text, _ := schemas.DefaultText(name)
		other, err := goavro.NewCodec(logical.ReplaceAllString(text, `"$1"`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := schemaCommand(t, "", "canonical", name)
		if want := other.CanonicalSchema() + "\n"; err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
		got, err = schemaCommand(t, "", "fingerprint", name)
		if want := fmt.Sprintf("crc-64-avro %016x\nmd5 ", other.Rabin); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
		if got, err := schemaCommand(t, "", "print", name); err != nil || strings.TrimSpace(got) != strings.TrimSpace(text) {
			t.Errorf("%s is printed otherwise: %v", name, err)
		}
	}
}

func TestSchemaCommandConvertsThereAndBack(t *testing.T) {
	for _, tc := range []struct {
		text  string
		flags []string
	}{
		{`{"order_id":"1","fraud":true,"known_at":1528675224000000,"source":{"string":"chargeback"}}`, nil},
		{`{"order_id":"1","fraud":true,"known_at":1528675224000000,"source":"chargeback"}`, []string{"--natural"}},
	} {
		datum, err := schemaCommand(t, tc.text, append([]string{"to-avro", "label", "--id", "7"}, tc.flags...)...)
		if err != nil || !strings.HasPrefix(datum, "\x00\x00\x00\x00\x07\x021\x01") {
			t.Fatalf("got %x, %v", datum, err)
		}
		back, err := schemaCommand(t, datum, append([]string{"to-json", "label", "--framed"}, tc.flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := schemaCommand(t, back, append([]string{"to-avro", "label", "--id", "7"}, tc.flags...)...)
		if err != nil || again != datum {
			t.Errorf("%s comes back as %s: %v", tc.text, back, err)
		}
	}
}

func TestSchemaCommandRefusesTrapsAsInvalid(t *testing.T) {
	lists := filepath.Join(t.TempDir(), "lists.avsc")
	if err := os.WriteFile(lists, []byte(`{"type":"record","name":"L","fields":[{"name":"l","type":{"type":"array","items":"string"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	recursive := filepath.Join(t.TempDir(), "recursive.avsc")
	if err := os.WriteFile(recursive, []byte(`{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		stdin string
		args  []string
	}{
		"count of 2^31-1":   {"\xfe\xff\xff\xff\x0f", []string{"to-json", lists}},
		"recursive":         {"", []string{"canonical", recursive}},
		"no such file":      {"", []string{"canonical", "nowhere.avsc"}},
		"no frame":          {"\x02x", []string{"to-json", "label", "--framed"}},
		"further bytes":     {"\x00\x00", []string{"to-json", lists}},
		"not JSON":          {"{", []string{"to-avro", "label"}},
		"a missing field":   {"{}", []string{"to-avro", "label"}},
		"an id of 33 bits":  {"{}", []string{"to-avro", "label", "--id", "4294967296"}},
		"more than allowed": {strings.Repeat(" ", maxDatum+1), []string{"to-avro", "label"}},
	} {
		if out, err := schemaCommand(t, tc.stdin, tc.args...); !errors.Is(err, errInvalid) {
			t.Errorf("%s: got %q, %v", name, out, err)
		}
	}
}
