package expr_test

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// patience is how long a thing may take that takes well under a second: room for the race detector on a busy machine, and less than what each of
// these took before it was bounded.
const patience = 20 * time.Second

// TestNoExpressionRunsAway gives loops an order with long lists and strings, and the compiler long texts.
func TestNoExpressionRunsAway(t *testing.T) {
	long := make([]schemas.Value, 100_000)
	for i := range long {
		long[i] = schemas.IntValue(int64(i))
	}
	in := expr.Input{Fields: schemas.Record{
		{Name: "long", Value: schemas.ListValue(long)},
		{Name: "text", Value: schemas.StringValue(strings.Repeat("ab", 1<<19))},
		{Name: "items", Value: schemas.ListValue(long[:100])},
	}}
	tests := []struct {
		text string
		want float64
	}{
		{"long.all(a, long.all(b, a + b >= 0))", math.NaN()},
		{"long.exists(a, long.exists(b, a * b < 0))", math.NaN()},
		{"size(long.map(a, long)) > 0", math.NaN()},
		{"size(long.map(a, long.map(b, a / b))) > 0", math.NaN()},
		{"size(long.map(a, text + text)) > 0", math.NaN()},
		{"long.filter(a, string(text) == 'a').size()", math.NaN()},
		{"long.exists(a, text.matches('(a|b)*c'))", math.NaN()},
		{"long.all(a, long == long)", math.NaN()},
		{"long.all(a, a in long)", math.NaN()},
		{"[long].all(l, l.all(a, a in l))", math.NaN()},
		{"[long].all(l, l.all(a, l == l))", math.NaN()},
		{"long.all(a, long.filter(b, b == a) == [a])", math.NaN()},
		{"[text]" + strings.Repeat(".map(a, a + a)", 40) + "[0] == ''", math.NaN()},
		{"[long]" + strings.Repeat(".map(a, a + a)", 40) + "[0] == long", math.NaN()},
		{"text" + strings.Repeat(" + text", 200) + " == ''", math.NaN()},
		{"long" + strings.Repeat(" + long", 200) + " == []", math.NaN()},
		{"long.exists(a, hour(text) > 5)", math.NaN()},
		{"long.exists(a, a in list('none'))", math.NaN()},
		{"long.all(a, min(a, sqrt(a), a % 2) >= 0)", math.NaN()},
		{"items.all(a, items.all(b, a + b >= 0))", 1}, // an honest loop over a hundred items does end
		{"99 in long", 1},
		{"size(long)", 100_000},
	}
	for _, test := range tests {
		p, err := expr.Compile(test.text, scope)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		start := time.Now()
		got := p.Number(&in)
		took := time.Since(start)
		if took > patience {
			t.Errorf("%.60s took %v", test.text, took)
		}
		t.Logf("%.60s: %v", test.text, took.Round(time.Millisecond))
		if !(got == test.want || math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("%s = %v, want %v", test.text, got, test.want)
		}
	}
}

func TestNoTextTakesLongToCompile(t *testing.T) {
	n := expr.MaxText
	texts := map[string]string{
		"sum":       strings.Repeat("1+", n/2-1) + "1",
		"list":      "size([" + strings.Repeat("1,", n/2-10) + "1])",
		"brackets":  strings.Repeat("(", n/2) + strings.Repeat(")", n/2),
		"lists":     strings.Repeat("[", n/2) + strings.Repeat("]", n/2),
		"ternary":   strings.Repeat("vip?1:", n/6-1) + "1",
		"name":      strings.Repeat("a", n),
		"string":    "'" + strings.Repeat("a", n-10) + "' == ''",
		"unclosed":  "'" + strings.Repeat("a", n-10),
		"calls":     strings.Repeat("abs(", n/5) + "1",
		"regexp":    "terminal_id.matches('" + strings.Repeat("(a{1,1000}){1,1000}", 100) + "')",
		"loops":     strings.Repeat("items.all(a,", n/13),
		"no utf-8":  "amount > \xff\xfe",
		"zero byte": "amount > \x00",
		"blank":     strings.Repeat(" ", n),
	}
	for name, text := range texts {
		start := time.Now()
		p, err := expr.Compile(text, scope)
		took := time.Since(start)
		if took > patience {
			t.Errorf("%s took %v", name, took)
		}
		if err == nil {
			p.Number(&expr.Input{Fields: order(), Features: []float64{1, 2, 3, 4}})
		}
		t.Logf("%s: %v: %.100v", name, took.Round(time.Millisecond), err)
	}
}

const orderSchema = `{"type": "record", "name": "Order", "fields": [
	{"name": "customer_id", "type": "string"}, {"name": "amount", "type": ["null", "double"]}, {"name": "quantity", "type": "long"}, {"name": "vip", "type": "boolean"},
	{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "items", "type": {"type": "array", "items": "double"}},
	{"name": "labels", "type": {"type": "map", "values": "string"}},
	{"name": "payment", "type": {"type": "record", "name": "Payment", "fields": [{"name": "brand", "type": "string"}]}}
]}`

func TestCompileKnowsTheSchemasKinds(t *testing.T) {
	fields, err := schemas.ParseSchema("order.avsc", []byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	s := expr.Scope{Fields: fields, Features: []string{"mean", "vip_rate"}}
	wrong := []struct{ text, want string }{
		{"amuont > 5", "column 1: unknown field or feature amuont; did you mean amount?"},
		{"amount > 5 && meen > 1", "column 15: unknown field or feature meen; did you mean mean?"},
		{"payment.brnad == 'VISA'", "column 1: unknown field or feature payment.brnad; did you mean payment.brand?"},
		{"brand == 'VISA'", "did you mean payment.brand?"},
		{"has(payment.bin)", "unknown field or feature payment.bin"},
		{"amount > 'x'", "column 8: > does not take (number, string)"},
		{"customer_id == 42", "column 13: == does not take (string, number)"},
		{"vip + 1", "column 5: + does not take (boolean, number)"},
		{"customer_id", "gives a string"},
		{"score > 1", "unknown field or feature score"},
		{"customer_id in list('blocked')", "unknown list blocked"},
	}
	for _, test := range wrong {
		if _, err := expr.Compile(test.text, s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Compile(%q) = %v, want %q", test.text, err, test.want)
		}
	}
	// Decoders may be given other data than the schema's: what does not fit is missing, an id in a string field may be an integer.
	in := expr.Input{Features: []float64{2, 0.5}, Fields: schemas.Record{
		{Name: "customer_id", Value: schemas.IntValue(42)},
		{Name: "amount", Value: schemas.StringValue("much")},
		{Name: "quantity", Value: schemas.FloatValue(4)},
		{Name: "vip", Value: schemas.IntValue(1)},
		{Name: "labels", Value: schemas.ObjectValue(schemas.Record{{Name: "a", Value: schemas.StringValue("b")}})},
		{Name: "payment", Value: schemas.ObjectValue(schemas.Record{{Name: "brand", Value: schemas.FloatValue(1)}})},
	}}
	right := []struct {
		text string
		want float64
	}{
		{"customer_id == '42'", 1},
		{"amount > 1", nan},
		{"quantity / mean", 2},
		{"vip", nan},
		{"labels.a == 'b'", 1},
		{"labels['a'] == 'b'", 1},
		{"has(labels.c)", 0},
		{"payment.brand == 'VISA'", nan},
		{"hour(at) > 3", nan},
		{"items.exists(i, i > 2)", nan},
		{"vip_rate * 2", 1},
	}
	for _, test := range right {
		p, err := expr.Compile(test.text, s)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := p.Number(&in); !(got == test.want || got != got && test.want != test.want) {
			t.Errorf("%s = %v, want %v", test.text, got, test.want)
		}
	}
}

func TestProgramsSayWhatTheyRead(t *testing.T) {
	p, err := expr.Compile("amount / mean > 2 && amount < 5 || payment.card['fingerprint'] == 'a' || items.exists(i, i.price > mean) || has(a.b)", scope)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, path := range p.FieldPaths() {
		paths = append(paths, path.String())
	}
	if got := strings.Join(paths, " "); got != "amount payment.card.fingerprint items a.b" {
		t.Errorf("fields %s", got)
	}
	if p.UsesScore() {
		t.Error("it is said to read the score")
	}
	for text, want := range map[string]bool{"amount > 2 && score > 0.5": true, "missing(score)": true, "payment.score > 1": false} {
		if p, err := expr.Compile(text, expr.Scope{Score: true}); err != nil || p.UsesScore() != want {
			t.Errorf("%s: %v; reads the score is not %t", text, err, want)
		}
	}
	if p.UsesFraud() {
		t.Error("it is said to read the label")
	}
	for text, want := range map[string]bool{"fraud && amount > 2": true, "items.exists(i, fraud && i > 1)": true, "payment.fraud > 1": false, "amount > 2": false} {
		if p, err := expr.Compile(text, expr.Scope{Fraud: true}); err != nil || p.UsesFraud() != want || slices.ContainsFunc(p.FieldPaths(), func(path schemas.Path) bool { return path[0] == "fraud" }) {
			t.Errorf("%s: %v; reads the label is not %t", text, err, want)
		}
	}
	if got := strings.Join(p.Uses(), " "); got != "mean" {
		t.Errorf("features %s", got)
	}
	for _, same := range []string{"amount/2 >  mean", "amount / 2 > mean", "(amount / 2) > mean"} {
		if p, err := expr.Compile(same, scope); err != nil || p.Text() != "amount / 2 > mean" {
			t.Errorf("Text of %q: %v, %v", same, p.Text(), err)
		}
	}
}

func TestProgramsRunSideBySide(t *testing.T) {
	p, err := expr.Compile("items.exists(i, i.price > mean) ? amount / mean : 0.0", scope)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		mean := float64(i + 1)
		wg.Go(func() {
			in := expr.Input{Fields: order(), Features: []float64{mean, nan, 0, 0}}
			for range 500 {
				if got := p.Number(&in); got != 49.5/mean {
					t.Errorf("%v, want %v", got, 49.5/mean)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"hour(occurred_at) <= 6", "amount / mean", "items.exists(i, i.price > 15)", "terminal_id in list('blocked')", "has(a.b) ? 1 : -2", "payment.card['x'] + 1u", "{1: 2}[1]", "min(1,2,3)",
		"timestamp(at) - timestamp(at_ms) > duration('1h')", "size([1]) % 2", "'\\x00' == b'a'", "a.?b", "@in(1, 2)", "x.map(i, i.map(j, j))", "`a b`.c", "1 in {}", "missing(1/0)", "---0-0", "-(0) - 0", "-(0.0)", "-0u",
	} {
		f.Add(text)
	}
	in := expr.Input{Fields: order(), Features: []float64{25, nan, 8, 1}, Score: 0.5}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := expr.Compile(text, scope)
		if err != nil {
			for _, fault := range expr.Faults(err) {
				if fault.Line < 1 || fault.Column < 1 || fault.Text == "" {
					t.Errorf("%q: fault %+v", text, *fault)
				}
			}
			return
		}
		got := p.Number(&in)
		if math.IsInf(got, 0) {
			t.Errorf("%q = %v", text, got)
		}
		if p.HasQuick() {
			if quick, ok := p.Quick(&in); ok && math.Float64bits(quick) != math.Float64bits(p.ByCEL(&in)) {
				t.Errorf("%q = %v, by CEL %v", text, quick, p.ByCEL(&in))
			}
		}
		again, err := expr.Compile(p.Text(), scope)
		if err != nil {
			t.Fatalf("%q: its text %q: %v", text, p.Text(), err)
		}
		if second := again.Number(&in); math.Float64bits(second) != math.Float64bits(got) && !(math.IsNaN(got) && math.IsNaN(second)) {
			t.Errorf("%q = %v, its text %q = %v", text, got, p.Text(), second)
		}
	})
}
