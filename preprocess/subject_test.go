package preprocess_test

import (
	"strings"
	"testing"

	"verdict/preprocess"
)

func TestASubjectIsInTheKeysThatAreMadeOfIt(t *testing.T) {
	features, err := preprocess.Parse("f.yaml", []byte(`
name: t
version: 1
event: {id: id, time: at}
entities: {customer: [customer_id], pair: [customer_id, terminal_id], terminal: [terminal_id], card: ["card.number"]}
features: {n: {count: "*", by: pair, window: 1d}, m: {count: "*", by: customer, window: 1d}, o: {count: "*", by: terminal, window: 1d}, p: {count: "*", by: card, window: 1d}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(entity string, values ...string) preprocess.Subject {
		s, err := features.Subject(entity, values...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	long := strings.Repeat("x", 600)
	customer, pair, terminal, hashed := of("customer", "1:4"), of("pair", "1:4", "T1"), of("terminal", "T1"), of("customer", long)
	if pair.Key() != "customer_id,terminal_id:3:1:4T1" || strings.Contains(hashed.Key(), ":") {
		t.Fatal(pair.Key(), hashed.Key())
	}
	for _, c := range []struct {
		subject preprocess.Subject
		key     string
		want    bool
	}{
		{customer, customer.Key(), true},
		{customer, pair.Key(), true},
		{terminal, pair.Key(), true},
		{pair, pair.Key(), true},
		{pair, customer.Key(), false},
		{customer, of("customer", "1:45").Key(), false},
		{customer, of("customer", "11:4").Key(), false},
		{customer, of("pair", "1", "4T1").Key(), false},
		{customer, of("pair", "T1", "1:4").Key(), false},
		{customer, of("card", "1:4").Key(), false},
		{customer, "customer_id,terminal_id:99:1:4T1", false},
		{customer, "customer_id,terminal_id:-1:1:4", false},
		{customer, hashed.Key(), false},
		{hashed, hashed.Key(), true},
	} {
		if got := c.subject.In(c.key); got != c.want {
			t.Errorf("%s in %s: %v", c.subject.Key(), c.key, got)
		}
	}
	for _, c := range [][]string{{"custoner", "1"}, {"pair", "1"}, {"customer", ""}} {
		if _, err := features.Subject(c[0], c[1:]...); err == nil {
			t.Errorf("%v is taken", c)
		}
	}
}
