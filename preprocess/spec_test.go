package preprocess_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"verdict/preprocess"
	"verdict/schemas"
)

var rewrite = flag.Bool("rewrite", false, "write what the reader says now into testdata")

// orderSchema has a field of every kind.
const orderSchema = `{"type": "record", "name": "Order", "fields": [
	{"name": "order_id", "type": "string"},
	{"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
	{"name": "customer_id", "type": "string"},
	{"name": "terminal_id", "type": ["null", "string"], "default": null},
	{"name": "amount", "type": "double"},
	{"name": "quantity", "type": "long"},
	{"name": "brand", "type": "string"},
	{"name": "contactless", "type": "boolean"},
	{"name": "payment", "type": {"type": "record", "name": "Payment", "fields": [
		{"name": "card", "type": {"type": "record", "name": "Card", "fields": [{"name": "fingerprint", "type": "string"}]}}
	]}}
]}`

func schemaOfOrders(t testing.TB) *schemas.Schema {
	t.Helper()
	s, err := schemas.ParseSchema("order.avsc", []byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReaderSaysAllThatIsWrong holds each NAME.yaml of the archives in testdata against its NAME.want.
func TestReaderSaysAllThatIsWrong(t *testing.T) {
	for _, file := range []string{"faults.txtar", "faults-schema.txtar"} {
		var fields *schemas.Schema
		if strings.Contains(file, "schema") {
			fields = schemaOfOrders(t)
		}
		path := filepath.Join("testdata", file)
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wants := make(map[string]string)
		for _, f := range archive.Files {
			if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
				wants[name] = string(f.Data)
			}
		}
		now := txtar.Archive{Comment: archive.Comment}
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".yaml")
			if !ok {
				continue
			}
			got := "no fault\n"
			if _, err := preprocess.Parse(f.Name, f.Data, fields); err != nil {
				got = err.Error() + "\n"
			}
			if diff := cmp.Diff(wants[name], got); diff != "" && !*rewrite {
				t.Errorf("%s: %s (-want +got):\n%s", file, f.Name, diff)
			}
			now.Files = append(now.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		}
		if *rewrite {
			if err := os.WriteFile(path, txtar.Format(&now), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

const cardSet = `
name: card
version: 1
event: {id: order_id, time: occurred_at}
entities:
  customer: [customer_id]
  terminal: [terminal_id]
  pair: [customer_id, terminal_id]
features:
  amount: {value: amount}
  at_night: {expr: "hour(occurred_at) <= 6"}
  brand: {value: brand, encode: {map: {VISA: 1, AMEX: 2}, other: 0}}
  orders_1d: {count: "*", by: customer, window: 1d}
  mean_7d: {mean: amount, by: customer, window: 7d}
  rate_30d: {rate: fraud, by: terminal, window: 30d, delay: 7d, default: 0}
  to_mean: {expr: "amount / mean_7d"}
  small_frauds: {count: "*", by: terminal, window: 14d, delay: 7d, where: "fraud && amount < 220"}
  decayed: {decayed_sum: amount, by: customer, half_life: 6h, resolution: 5m}
  terminals: {distinct: terminal_id, by: customer, window: 3d, exclude_current: true}
`

// sameCardSet says the same in other words.
const sameCardSet = `# a comment
version: "1"
features:
  amount:
    value: "amount"   # another
  at_night: {expr: hour( occurred_at )<=6}
  brand: {encode: {other: 0.0, map: {AMEX: 2, "VISA": 1.0}}, value: brand}
  orders_1d: {window: 24h, by: customer, count: '*', delay: 0s}
  mean_7d: {mean: amount, by: customer, window: 1w, exclude_current: false}
  rate_30d: {rate: fraud, default: 0, by: terminal, delay: 7d, window: 29d24h}
  to_mean: {expr: "(amount / mean_7d)"}
  small_frauds: {count: "*", by: terminal, window: 2w, delay: 1w, where: "fraud&&(amount<220)"}
  decayed: {decayed_sum: amount, by: customer, half_life: 360m, window: 5d, resolution: 300s, exclude_current: false}
  terminals: {exclude_current: true, distinct: terminal_id, window: 3d, by: customer}
entities: {pair: [customer_id, terminal_id], terminal: [terminal_id], customer: [customer_id]}
event:
  time: occurred_at
  id: order_id
name: card
`

func TestHashIsOfTheMeaning(t *testing.T) {
	one, same := mustParse(t, cardSet), mustParse(t, sameCardSet)
	if one.Version() != same.Version() {
		t.Errorf("%v and %v say the same", one.Version(), same.Version())
	}
	if v := one.Version(); v.String() != "card@1" || len(v.Hash) != 16 {
		t.Errorf("version %v", v)
	}
	changes := [][2]string{
		{"version: 1", "version: 2"},
		{"id: order_id", "id: customer_id"},
		{"[customer_id, terminal_id]", "[terminal_id, customer_id]"},
		{"<= 6", "<= 7"},
		{"VISA: 1", "VISA: 3"},
		{"other: 0", "other: 9"},
		{"mean_7d: {mean: amount", "mean_7d: {sum: amount"},
		{"window: 1d", "window: 2d"},
		{"delay: 7d", "delay: 6d"},
		{"default: 0", "default: 1"},
		{", default: 0", ""},
		{"by: terminal", "by: pair"},
		{"window: 1d}", "window: 1d, exclude_current: true}"},
		{"at_night:", "by_night:"},
		{"amount < 220", "amount < 221"},
		{"fraud && amount < 220", "amount < 220"},
		{"count: \"*\", by: terminal", "since_first: \"*\", by: terminal"},
		{"half_life: 6h", "half_life: 7h"},
		{"half_life: 6h", "half_life: 6h, window: 1d"},
		{"resolution: 5m", "resolution: 6m"},
		{", resolution: 5m", ""},
		{"decayed_sum: amount", "decayed_count: \"*\""},
		{"distinct: terminal_id", "distinct: customer_id"},
		{", exclude_current: true", ""},
		{"  amount: {value: amount}\n  at_night: {expr: \"hour(occurred_at) <= 6\"}\n", "  at_night: {expr: \"hour(occurred_at) <= 6\"}\n  amount: {value: amount}\n"},
	}
	seen := map[string]string{one.Version().Hash: "nothing"}
	for _, c := range changes {
		changed := strings.Replace(cardSet, c[0], c[1], 1)
		hash := mustParse(t, changed).Version().Hash
		if other, twice := seen[hash]; twice || changed == cardSet {
			t.Errorf("%q → %q has the hash of %s", c[0], c[1], other)
		}
		seen[hash] = c[0] + " → " + c[1]
	}
}

func TestFeatureSetSaysWhatItReads(t *testing.T) {
	set := mustParse(t, cardSet)
	wantNames := []string{"amount", "at_night", "brand", "orders_1d", "mean_7d", "rate_30d", "to_mean", "small_frauds", "decayed", "terminals"}
	if diff := cmp.Diff(wantNames, set.Layout().Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if b := set.Binding(); b.ID.String() != "order_id" || b.Time.String() != "occurred_at" {
		t.Errorf("binding %v", b)
	}
	if set.Keep() != 37*24*time.Hour {
		t.Errorf("keep %v, want 37 days", set.Keep())
	}
	var fields []string
	for _, use := range set.Fields() {
		fields = append(fields, use.Path.String())
		if line := strings.Split(cardSet, "\n")[use.Line-1]; !strings.Contains(line, use.Path.String()) {
			t.Errorf("line %d has no %s: %s", use.Line, use.Path, line)
		}
	}
	for _, want := range []string{"order_id", "occurred_at", "customer_id", "terminal_id", "amount", "brand"} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is not among the fields %v", want, fields)
		}
	}
	if slices.Contains(fields, "mean_7d") || slices.Contains(fields, "fraud") {
		t.Errorf("%v: not all of them are fields", fields)
	}
}

func TestReaderTakesASetThatFitsTheSchema(t *testing.T) {
	if _, err := preprocess.Parse("card.yaml", []byte(cardSet), schemaOfOrders(t)); err != nil {
		t.Error(err)
	}
	if _, err := preprocess.Load(filepath.Join("testdata", "nowhere.yaml"), nil); err == nil || !strings.Contains(err.Error(), "reading the feature set") {
		t.Errorf("Load of no file: %v", err)
	}
}

func mustParse(t testing.TB, text string) *preprocess.FeatureSet {
	t.Helper()
	set, err := preprocess.Parse("test.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(cardSet))
	f.Add([]byte(sameCardSet))
	for _, file := range []string{"faults.txtar", "faults-schema.txtar"} {
		archive, err := txtar.ParseFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		for _, a := range archive.Files {
			f.Add(a.Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := preprocess.Parse("f.yaml", text, nil)
		if err == nil && (len(set.Layout().Names) == 0 || set.Keep() < 0 || len(set.Version().Hash) != 16) {
			t.Errorf("%q is taken, as %v", text, set.Version())
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("%q: %v says no place", text, err)
		}
	})
}
