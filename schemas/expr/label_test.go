package expr_test

import (
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/schemas/expr"
)

func TestConditionsNameTheLabel(t *testing.T) {
	fields := schemas.Record{
		{Name: "amount", Value: schemas.FloatValue(100)},
		{Name: "fraud", Value: schemas.FloatValue(7)}, // hidden where the label can be named
		{Name: "items", Value: schemas.ListValue([]schemas.Value{schemas.IntValue(1), schemas.IntValue(2)})},
	}
	where := expr.Scope{Features: []string{"mean", "fraud"}, Score: true, Fraud: true}
	tests := []struct {
		text         string
		with, absent float64 // of an order with that label, and of one without
	}{
		{"fraud", 1, 0},
		{"!fraud", 0, 1},
		{"fraud && amount < 220", 1, 0},
		{"fraud && amount > 220", 0, 0},
		{"fraud || amount > 220", 1, 0},
		{"fraud && nothing > 1", nan, 0},
		{"fraud || nothing > 1", 1, nan},
		{"fraud ? amount / mean : -1", 4, -1},
		{"fraud == true", 1, 0},
		{"fraud == (amount > 50)", 1, 0},
		{"missing(fraud)", 0, 0},
		{"string(fraud) == 'true'", 1, 0},
		{"items.exists(i, fraud && i == 2)", 1, 0},
		{"score > 0.5 && fraud", 1, 0},
	}
	for _, test := range tests {
		p, err := expr.Compile(test.text, where)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		for fraud, want := range map[bool]float64{true: test.with, false: test.absent} {
			got := p.Number(&expr.Input{Fields: fields, Features: []float64{25, 9}, Score: 0.75, Fraud: fraud})
			if got != want && (got == got || want == want) {
				t.Errorf("%s of label %t = %v, want %v", test.text, fraud, got, want)
			}
		}
	}
}

func TestTheLabelIsNamedOnlyInItsScope(t *testing.T) {
	in := expr.Input{Fields: schemas.Record{{Name: "fraud", Value: schemas.FloatValue(7)}}, Features: []float64{9}, Fraud: true}
	for _, test := range []struct {
		features []string
		want     float64
	}{{nil, 7}, {[]string{"fraud"}, 9}} {
		p, err := expr.Compile("fraud + 0", expr.Scope{Features: test.features})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Number(&in); got != test.want || p.UsesFraud() {
			t.Errorf("with features %v, fraud + 0 = %v, want %v; reads the label: %t", test.features, got, test.want, p.UsesFraud())
		}
	}

	fields, err := schemas.ParseSchema("order.avsc", []byte(orderSchema))
	if err != nil {
		t.Fatal(err)
	}
	wrong := []struct {
		text  string
		fraud bool
		want  string
	}{
		{"fraud && amount > 1", false, "column 1: unknown field or feature fraud"},
		{"fruad && amount > 1", true, "column 1: unknown field or feature fruad; did you mean fraud?"},
		{"fraud + 1 > 0", true, "column 7: + does not take (boolean, number)"},
		{"fraud.known_at > 0", true, "fraud is the order's label, a boolean: it has no field known_at"},
		{"has(fraud.known_at)", true, "fraud is the order's label, a boolean: it has no field known_at"},
	}
	for _, test := range wrong {
		_, err := expr.Compile(test.text, expr.Scope{Fields: fields, Fraud: test.fraud})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Compile(%q) = %v, want %q", test.text, err, test.want)
		}
		if !test.fraud && strings.Contains(err.Error(), "did you mean fraud") {
			t.Errorf("Compile(%q) = %v: names the label, which there is none of", test.text, err)
		}
	}
}

func TestTheScoreAsTextIsText(t *testing.T) {
	p, err := expr.Compile("string(score) == '0.75'", expr.Scope{Score: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Number(&expr.Input{Score: 0.75}); got != 1 {
		t.Errorf("= %v, want 1", got)
	}
}
