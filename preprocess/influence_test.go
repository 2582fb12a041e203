package preprocess_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/preprocess"
)

func TestInfluencesAreTheOrdersThatMayChangeAFeature(t *testing.T) {
	const day = 24 * time.Hour
	set, err := preprocess.Parse("a.yaml", []byte(`name: a
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], terminal: [terminal_id]}
features:
  amount: {value: amount}
  twice: {expr: "2 * amount"}
  count_1d: {count: "*", by: customer, window: 1d}
  count_7d: {count: "*", by: customer, window: 7d, exclude_current: true}
  rate: {rate: fraud, by: terminal, window: 30d, delay: 7d}
  rough: {count: "*", by: terminal, window: 7d, resolution: 1h}
  both: {expr: "count_1d + rate + twice"}
  over: {max: twice, by: customer, window: 2d}
  chain: {max: count_1d, by: terminal, window: 2d}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	customer := preprocess.Influence{Entity: "customer", Far: day}
	rate := preprocess.Influence{Entity: "terminal", Near: 7 * day, Far: 37 * day, Labels: true}
	want := [][]preprocess.Influence{
		nil, nil,
		{customer},
		{{Entity: "customer", Far: 7 * day}},
		{rate},
		{{Entity: "terminal", Far: 7*day + time.Hour}},
		{customer, rate},
		{{Entity: "customer", Far: 2 * day}},
		{{Far: 9 * 37 * day, Labels: true}},
	}
	if diff := cmp.Diff(want, set.Influences()); diff != "" {
		t.Error(diff)
	}
}
