package expr_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// listOf is a list of a policy.
type listOf map[string]bool

func (l listOf) Has(key string, _ int64) bool { return l[key] }

func order() schemas.Record {
	at := time.Date(2018, 7, 29, 6, 59, 59, 0, time.UTC) // a Sunday
	return schemas.Record{
		{Name: "occurred_at", Value: schemas.StringValue("2018-07-29T06:59:59Z")},
		{Name: "at", Value: schemas.TimeValue(at)},
		{Name: "at_ms", Value: schemas.IntValue(at.UnixMilli())},
		{Name: "at_east", Value: schemas.StringValue("2018-07-30T00:30:00+02:00")},
		{Name: "amount", Value: schemas.FloatValue(49.5)},
		{Name: "quantity", Value: schemas.IntValue(3)},
		{Name: "customer_id", Value: schemas.IntValue(42)},
		{Name: "long_id", Value: schemas.IntValue(9007199254740993)},
		{Name: "terminal_id", Value: schemas.StringValue("T1")},
		{Name: "vip", Value: schemas.BoolValue(true)},
		{Name: "nothing", Value: schemas.Value{}},
		{Name: "huge", Value: schemas.FloatValue(1e308)},
		{Name: "infinite", Value: schemas.FloatValue(math.Inf(1))},
		{Name: "payment", Value: schemas.ObjectValue(schemas.Record{{Name: "card", Value: schemas.ObjectValue(schemas.Record{
			{Name: "fingerprint", Value: schemas.StringValue("ab12")}, {Name: "strange-name", Value: schemas.IntValue(7)},
		})}})},
		{Name: "items", Value: schemas.ListValue([]schemas.Value{
			schemas.ObjectValue(schemas.Record{{Name: "price", Value: schemas.FloatValue(10)}, {Name: "sku", Value: schemas.StringValue("a")}}),
			schemas.ObjectValue(schemas.Record{{Name: "price", Value: schemas.IntValue(20)}}),
		})},
		{Name: "numbers", Value: schemas.ListValue([]schemas.Value{schemas.IntValue(1), schemas.FloatValue(2.5), {}})},
	}
}

var scope = expr.Scope{
	Features: []string{"mean", "empty", "quantity_shadowed", "at_night"}, Score: true,
	Lists: map[string]expr.List{"blocked": listOf{"T1": true, "42": true, "9007199254740993": true}, "none": listOf{}},
}

var nan = math.NaN()

func TestProgramsGiveNumbers(t *testing.T) {
	tests := []struct {
		text string
		want float64
	}{
		// numbers are doubles
		{"1 / 2", 0.5},
		{"amount / 2", 24.75},
		{"quantity / 2", 1.5},
		{"7 % 4", 3},
		{"-quantity", -3},
		{"quantity + 1u", 4},
		{"2 * 3 - 1", 5},
		{"size([1, 2, 3]) / 2", 1.5},
		{"size(terminal_id) + 0.5", 2.5},
		{"terminal_id.size() / 4", 0.5},
		{"int(2.9) / 2", 1},
		{"double('1.5')", 1.5},
		{"quantity == 3", 1},
		{"quantity == 3.0", 1},
		{"quantity in [1, 2, 3]", 1},
		{"quantity in [1, 2]", 0},
		{"amount >= 49.5 && amount < 50", 1},
		// missing
		{"nothing + 1", nan},
		{"absent + 1", nan},
		{"nothing == 1", nan},
		{"nothing != 1", nan},
		{"nothing < 1", nan},
		{"nothing == nothing", nan},
		{"!nothing", nan},
		{"empty * 0", nan},
		{"amount / 0", nan},
		{"0 / 0", nan},
		{"1 / 0 > 5", nan},
		{"log(0)", nan},
		{"log(-1)", nan},
		{"log1p(-1)", nan},
		{"sqrt(-1)", nan},
		{"7 % 0", nan},
		{"huge * 10", nan},
		{"huge + huge", nan},
		{"-huge * 10", nan},
		{"infinite", nan},
		{"infinite > 1", nan},
		{"double('Infinity')", nan},
		{"double('NaN')", nan},
		{"double('x')", nan},
		{"payment.card.number", nan},
		{"payment.nobody.number == 1", nan},
		{"amount.cents", nan},
		{"min(1, nothing)", nan},
		{"abs(nothing)", nan},
		{"hour(nothing)", nan},
		{"hour('yesterday')", nan},
		{"hour(-5)", nan},
		{"distance_km(nothing, 1, 2, 3)", nan},
		{"nothing ? 1 : 2", nan},
		{"amount > 'a'", nan},
		{"terminal_id + 1", nan},
		{"int(amount * 1e300)", nan},
		{"nothing in [1]", nan},
		{"nothing in list('blocked')", nan},
		{"amount in list('blocked')", 0},
		// && || ?: cut short as CEL's do
		{"missing(nothing) || nothing > 5", 1},
		{"nothing > 5 || missing(nothing)", 1},
		{"false && nothing > 1", 0},
		{"nothing > 1 && false", 0},
		{"true && nothing > 1", nan},
		{"false || nothing > 1", nan},
		{"true ? 1 : nothing", 1},
		{"missing(nothing) ? 7 : nothing", 7},
		{"missing(absent)", 1},
		{"missing(amount)", 0},
		{"missing(amount / 0)", 1},
		{"missing(empty)", 1},
		{"missing(mean)", 0},
		{"missing(payment.card.number)", 1},
		{"missing(missing(nothing))", 0},
		{"has(payment.card.fingerprint)", 1},
		{"has(payment.card.number)", 0},
		{"has(payment.nobody.number)", 0},
		// names
		{"mean", 25},
		{"amount / mean", 1.98},
		{"quantity_shadowed", 8},
		{"at_night == 1", 1},
		{"score > 0.5", 1},
		{"payment.card.fingerprint == 'ab12'", 1},
		{"payment.card['strange-name'] + 1", 8},
		{"payment['card'].fingerprint == 'ab12'", 1},
		{"vip", 1},
		{"vip ? 2 : 3", 2},
		{"!vip", 0},
		// ids
		{"customer_id == 42", 1},
		{"customer_id == '42'", 0},
		{"string(customer_id) == '42'", 1},
		{"string(long_id) == '9007199254740993'", 1},
		{"string(terminal_id) == 'T1'", 1},
		{"customer_id in list('blocked')", 1},
		{"terminal_id in list('blocked')", 1},
		{"long_id in list('blocked')", 1},
		{"long_id - 1 in list('blocked')", 0},
		{"long_id * 2 in list('blocked')", nan}, // a double does not say which integer it was
		{"!(terminal_id in list('none'))", 1},
		{"absent in list('none') || true", 1},
		// time
		{"hour(occurred_at)", 6},
		{"hour(at)", 6},
		{"hour(at_ms)", 6},
		{"hour(occurred_at) <= 6", 1},
		{"weekday(occurred_at)", 6},
		{"weekday(at_east)", 6},
		{"hour(at_east)", 22},
		{"timestamp(at) == timestamp(occurred_at)", 1},
		{"(timestamp(at_east) - timestamp(at)).getHours()", 15},
		{"timestamp(at).getFullYear() / 2", 1009},
		{"timestamp(at_east) - timestamp(at) > duration('15h')", 1},
		{"timestamp('2018-07-29T06:59:59Z') == at", 1},
		// functions
		{"abs(-2.5)", 2.5},
		{"min(3, 2)", 2},
		{"max(1, 4, 2, 3)", 4},
		{"min(4, 1, 2)", 1},
		{"log(1)", 0},
		{"log1p(0)", 0},
		{"sqrt(9)", 3},
		{"distance_km(0, 0, 0, 0)", 0},
		{"distance_km(48.8566, 2.3522, 51.5074, -0.1278) > 343", 1},
		{"distance_km(48.8566, 2.3522, 51.5074, -0.1278) < 344", 1},
		{"distance_km(91, 0, 0, 0)", nan},
		{"terminal_id.startsWith('T')", 1},
		{"terminal_id.matches('^T[0-9]+$')", 1},
		{"terminal_id.contains('x')", 0},
		// lists
		{"size(items)", 2},
		{"items.exists(i, i.price > 15)", 1},
		{"items.all(i, i.price > 15)", 0},
		{"items[0].price", 10},
		{"items[quantity - 2].price", 20},
		{"items[7].price", nan},
		{"items.exists_one(i, i.price == 20)", 1},
		{"size(items.filter(i, i.price > mean - 10))", 1},
		{"items.map(i, i.price * 2)[1]", 40},
		{"items.exists(i, has(i.sku))", 1},
		{"items.all(i, has(i.sku))", 0},
		{"items[1].sku == 'a'", nan},
		{"[1, 2, 3][1]", 2},
		{"{1: 5, 2: 7}[quantity - 1]", 7},
		{"{'ab12': 4}[payment.card.fingerprint]", 4},
		{"{'x': 4}[terminal_id]", nan},
		{"numbers[1]", 2.5},
		{"numbers[2] > 0", nan},
		{"items.exists(i, items.exists(j, i.price + j.price == 30))", 1},
		{"terminal_id", nan},
		{"items", nan},
	}
	in := expr.Input{Fields: order(), Features: []float64{25, nan, 8, 1}, Score: 0.75}
	for _, test := range tests {
		p, err := expr.Compile(test.text, scope)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		for range 2 { // a program is run again with the same state
			if got := p.Number(&in); !(math.Abs(got-test.want) < 1e-12 || math.IsNaN(got) && math.IsNaN(test.want)) {
				t.Errorf("%s = %v, want %v", test.text, got, test.want)
			}
		}
		if want := test.want == test.want && test.want != 0; p.True(&in) != want {
			t.Errorf("%s is %v, want %v", test.text, !want, want)
		}
	}
}

func TestCompileSaysWhereAndWhatIsMeant(t *testing.T) {
	deep := strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300)
	tests := []struct{ text, want string }{
		{"amount >", "column 9: Syntax error: mismatched input '<EOF>'"},
		{"", "column 1: Syntax error: mismatched input '<EOF>'"},
		{"1 + huor(occurred_at)", "column 9: unknown function huor; did you mean hour?"},
		{"occurred_at.strtsWith('a')", "unknown function strtsWith; did you mean startsWith?"},
		{"exec('rm')", "column 5: unknown function exec"},
		{"mean.x > 1", "column 1: mean is a feature, a number: it has no field x"},
		{"amount in list('blokced')", "column 15: unknown list blokced; did you mean blocked?"},
		{"list('blocked')", "column 5: list('name') stands only to the right of in"},
		{"amount in list(terminal_id)", "column 15: list takes one literal name"},
		{"'a'", "column 1: gives a string, not a number or a boolean"},
		{"[1]", "column 1: gives a list, not a number or a boolean"},
		{"'a' < 2", "column 5: < does not take (string, number)"},
		{"1 +\n 'a' + 2 +\n foo(1)", "line 3, column 5: unknown function foo"},
		{"mean && true", "expected type 'boolean' but found 'number'"},
		{"abs(1, 2)", "column 4: abs does not take (number, number)"},
		{"min(1)", "column 4: min does not take (number)"},
		{"customer_id == 9007199254740993", "column 16: numbers are doubles"},
		{"terminal_id.matches(terminal_id)", "matches needs its pattern as a literal string"},
		{"terminal_id.matches('(')", "missing closing )"},
		{"items.all(a, items.all(b, items.all(c, a == b)))", "more than 2 loops inside one another"},
		{"has(amount)", "invalid argument to has() macro"},
		{"Foo{a: 1}", "unknown type Foo"},
		{deep, "column"},
		{strings.Repeat("a", expr.MaxText+1), "more than 65536"},
	}
	for _, test := range tests {
		_, err := expr.Compile(test.text, scope)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Compile(%.60q) = %v, want %q", test.text, err, test.want)
		}
		if len(expr.Faults(err)) == 0 {
			t.Errorf("Compile(%.60q): no *Fault in %v", test.text, err)
		}
	}
}
