package expr_test

import (
	"errors"
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/schemas/expr"
)

func TestConditionsTellWhatIsNotSoFromWhatCouldNotBeFoundOut(t *testing.T) {
	long := make([]schemas.Value, 1000)
	for i := range long {
		long[i] = schemas.ObjectValue(schemas.Record{{Name: "card", Value: schemas.IntValue(int64(i))}})
	}
	in := expr.Input{Features: []float64{25}, Fields: schemas.Record{
		{Name: "items", Value: schemas.ListValue(long)},
		{Name: "amount", Value: schemas.FloatValue(20)},
		{Name: "text", Value: schemas.StringValue("20")},
		{Name: "flag", Value: schemas.BoolValue(true)},
		{Name: "long", Value: schemas.StringValue(strings.Repeat("a", 90_000))},
	}}
	const costly = "items.exists(a, items.exists(b, a.card + b.card < 0))"
	for _, c := range []struct {
		text string
		want bool
		err  error
	}{
		{"amount > 5", true, nil},
		{"amount > 50", false, nil},
		{"flag", true, nil},
		{"mean > 5 && flag", true, nil},
		// What is missing is no match: a field, a step of a path, a place of a list, a feature, what has no value.
		{"nothing > 5", false, nil},
		{"!(nothing > 5)", false, nil},
		{"nothing", false, nil},
		{"nothing.at.all == 'x'", false, nil},
		{"items[2000].card == 5", false, nil},
		{"items.exists(a, a.nothing == 1)", false, nil},
		{"amount / 0 > 1", false, nil},
		{"log(amount - 20) < 1", false, nil},
		{"nothing in list('blocked')", false, nil},
		{"1.5 in list('blocked')", false, nil},
		{"hour(text) > 5", false, nil},
		// What cannot be found out.
		{costly, false, expr.ErrTooCostly},
		{"amount > 5 && " + costly, false, expr.ErrTooCostly},
		{"!(" + costly + ")", false, expr.ErrTooCostly},
		{"long + long == ''", false, expr.ErrTooCostly},
		{"text > 5", false, expr.ErrUnfit},
		{"!(text > 5)", false, expr.ErrUnfit},
		{"text", false, expr.ErrUnfit},
		{"amount", false, expr.ErrUnfit},
		{"flag ? amount : flag", false, expr.ErrUnfit},
		{"text && flag", false, expr.ErrUnfit},
		{"abs(text) > 1", false, expr.ErrUnfit},
		{"items > 5", false, expr.ErrUnfit},
		{"flag + 1 > 1", false, expr.ErrUnfit},
		{"items in list('blocked')", false, expr.ErrUnfit},
		// A part that decides, decides.
		{"amount < 5 && text > 5", false, nil},
		{"amount > 5 || text > 5", true, nil},
		{"text > 5 || amount > 5", true, nil},
		{"missing(text + 1)", true, nil},
	} {
		p, err := expr.Compile(c.text, expr.Scope{Features: []string{"mean"}, Lists: map[string]expr.List{"blocked": listOf{}}, Condition: true})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, err := p.Holds(&in)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v (%v), want %v (%v)", c.text, got, err, c.want, c.err)
		}
		if sure, errCEL := p.HoldsByCEL(&in); sure != got || !errors.Is(errCEL, c.err) {
			t.Errorf("%s by CEL: %v (%v), want %v (%v)", c.text, sure, errCEL, got, c.err)
		}
	}
}

func TestAConditionIsNoNumber(t *testing.T) {
	fields, err := schemas.ParseSchema("order.avsc", []byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	s := expr.Scope{Fields: fields, Features: []string{"mean"}, Score: true, Condition: true}
	for _, text := range []string{"amount - 5000", "score", "1", "mean", "vip ? 1 : 0", "size(items)", "-amount"} {
		want := "column 1: gives a number, not a boolean: write what it is compared with, … > 0 or … == 1"
		if _, err := expr.Compile(text, s); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := expr.Compile("customer_id", s); err == nil || err.Error() != "column 1: gives a string, not a boolean" {
		t.Errorf("a text: %v", err)
	}
	for _, text := range []string{"vip", "amount > 5", "true", "missing(amount)"} {
		if _, err := expr.Compile(text, s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
