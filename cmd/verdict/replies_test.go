package main_test

import (
	"fmt"
	"testing"

	main "verdict/cmd/verdict"
	"verdict/schemas"
	"verdict/schemas/schematest"
	"verdict/sync/await"
)

func TestAReplyThatIsNoDecisionIsGivenToNobody(t *testing.T) {
	desk := await.New(await.Config{})
	wait, _, err := desk.Join("1102483", 1)
	if err != nil {
		t.Fatal(err)
	}
	d := schematest.Decision()
	for _, value := range []string{"", "{}", "\x00\x00\x00\x00\x07\x02", `{"order_id":"1102483"}`, `{"order_id":"other"}`} {
		if desk.Resolve(wait.Correlation(), main.ReplyOf([]byte(value), "", "")) {
			t.Fatalf("%q was given to the caller", value)
		}
	}
	if !desk.Resolve(wait.Correlation(), main.ReplyOf(schemas.AppendDecision(nil, &d), "", "")) {
		t.Fatal("the decision was not given to its caller")
	}
	if got := string(wait.Reply().Body); got != string(schemas.AppendPublic(nil, &d)) {
		t.Fatal(got)
	}
}

// BenchmarkResolve is what one reply costs a process of the API, from the record's value to the caller's body. The other is what it would cost to read all of it.
func BenchmarkResolve(b *testing.B) {
	for _, inputs := range []int{3, 20} {
		d := schematest.Decision()
		for i := len(d.Inputs.Values); i < inputs; i++ {
			d.Inputs.Values = append(d.Inputs.Values, float64(i)+0.125)
			d.Inputs.Layout.Names = append(d.Inputs.Layout.Names, fmt.Sprintf("customer_amount_mean_%dd", i))
		}
		record := schemas.AppendDecision(nil, &d)
		b.Run(fmt.Sprintf("inputs=%d", inputs), func(b *testing.B) {
			desk := await.New(await.Config{})
			b.ReportAllocs()
			for b.Loop() {
				wait, _, err := desk.Join(d.OrderID, 1)
				if err != nil || !desk.Resolve(wait.Correlation(), main.ReplyOf(record, "", "")) {
					b.Fatal("not resolved")
				}
			}
		})
		b.Run(fmt.Sprintf("decoded/inputs=%d", inputs), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schemas.DecodeDecision(record); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
