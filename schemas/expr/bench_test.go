package expr_test

import (
	"testing"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// handbookOrder is an order as deploy/example/handbook.yaml reads it, and what a shop would add to it.
func handbookOrder() schemas.Record {
	return schemas.Record{
		{Name: "order_id", Value: schemas.StringValue("1102483")},
		{Name: "occurred_at", Value: schemas.StringValue("2018-07-25T00:02:16Z")},
		{Name: "customer_id", Value: schemas.StringValue("3711")},
		{Name: "terminal_id", Value: schemas.StringValue("8121")},
		{Name: "amount", Value: schemas.FloatValue(175.81)},
		{Name: "currency", Value: schemas.StringValue("EUR")},
		{Name: "at", Value: schemas.MicrosValue(1532476936_000000)},
		{Name: "at_east", Value: schemas.StringValue("2018-07-25T02:02:16.250+02:00")},
		{Name: "payment", Value: schemas.ObjectValue(schemas.Record{{Name: "brand", Value: schemas.StringValue("VISA")}})},
		{Name: "items", Value: schemas.ListValue([]schemas.Value{schemas.FloatValue(10), schemas.FloatValue(20)})},
	}
}

func BenchmarkNumber(b *testing.B) {
	s := expr.Scope{Features: []string{"mean", "sd", "empty"}, Score: true, Fraud: true, Lists: map[string]expr.List{"blocked": listOf{"8121": true}}}
	in := expr.Input{Fields: handbookOrder(), Features: []float64{61.2, 14.5, nan}, Score: 0.75, Fraud: true}
	for _, text := range []string{
		"hour(occurred_at) <= 6",
		"weekday(occurred_at) >= 5",
		"hour(at) <= 6",
		"hour(at_east) <= 6",
		"amount / mean",
		"(amount - mean) / sd",
		"(amount - mean) / empty",
		"currency == 'EUR' && amount > 100",
		"payment.brand == 'VISA'",
		"missing(empty)",
		"missing(empty) ? -1 : amount / empty",
		"currency in ['EUR', 'CHF', 'GBP']",
		"terminal_id in list('blocked')",
		"terminal_id.startsWith('81')",
		"fraud && amount < 220",
		"score > 0.5 || amount > 5000",
		"items.exists(i, i > 15)", // CEL's
	} {
		p, err := expr.Compile(text, s)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Number(&in)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := expr.Compile("amount > 40 && mean < 30 || missing(empty)", scope); err != nil {
			b.Fatal(err)
		}
	}
}
