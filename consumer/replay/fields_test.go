package replay_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/schemas"
	"verdict/scorer"
)

// featured returns the small replay with these features in place of its own.
func featured(t *testing.T, features, orders string) (cfg replay.Config, out string) {
	t.Helper()
	cfg, out = small(t, put(t, "orders.jsonl", []byte(orders)))
	head, _, _ := strings.Cut(spec, "  amount:")
	var err error
	if cfg.Features, err = preprocess.Parse(cfg.File, []byte(head+features), nil); err != nil {
		t.Fatal(err)
	}
	return cfg, out
}

func TestReplayRefusesARuleOnAFieldThatNoOrderHas(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 1, 2))))
	file := put(t, "policy.yaml", []byte("name: p\nversion: 1\nrules:\n  - {id: a, when: customer_id == 'x' && amuont_total > 1, then: review}\n"+
		"  - {id: b, when: frauds > 3 && fruads > 0.1, then: review}\n  - {id: c, when: meen > 1, then: review}\n  - {id: d, when: customer_idd == 'x', then: review}\n"))
	policy, err := scorer.LoadPolicy(file, nil, cfg.Features.Layout())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Candidates = []replay.Candidate{candidate(t, cfg, nil, policy)}
	_, err = replay.Run(t.Context(), cfg)
	if !errors.Is(err, replay.ErrPolicy) || errors.Is(err, replay.ErrFeatures) {
		t.Fatalf("error %v, want ErrPolicy alone", err)
	}
	for _, want := range []string{
		file + `:4: no order has the field "amuont_total"`, `:5: no order has the field "fruads"; did you mean frauds?`, `:6: no order has the field "meen"; did you mean mean?`,
		`:7: no order has the field "customer_idd"; did you mean customer_id?`, "first 2 orders", "--schema",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\ndoes not say %s", err, want)
		}
	}
	empty(t, out)
}

func TestReplaySuggestsTheFeaturesThatAnExprSees(t *testing.T) {
	// The feature named as the field that is asked for, and those further down, cannot have been meant.
	cfg, _ := featured(t, "  amount_mean: {mean: amount, by: customer, window: 1d}\n  more: {expr: amount_meen + 1}\n  amuont: {value: amuont}\n  amount_meeen: {expr: amount * 2}\n", order(1, "a", 0, 1))
	_, err := replay.Run(t.Context(), cfg)
	for _, want := range []string{`:8: no order has the field "amount_meen"; did you mean amount_mean?`, `:9: no order has the field "amuont"; did you mean amount?`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\ndoes not say %s", err, want)
		}
	}
}

func TestReplayRefusesAValueThatIsNeverANumber(t *testing.T) {
	orders := `{"order_id":"o1","occurred_at":"2026-01-01T00:00:00Z","customer_id":"a","brand":"VISA","payment":{"total":1},"mixed":"x","rare":null,"vip":true}` + "\n" +
		`{"order_id":"o2","occurred_at":"2026-01-01T00:00:00Z","customer_id":"a","brand":null,"payment":{"total":1},"mixed":2,"rare":null,"vip":false}` + "\n"
	for features, want := range map[string]string{
		"{value: brand}":                          `small.yaml:7: the field "brand" is a string in every order, where a number or a boolean is wanted: give it an encode`,
		"{value: brand, default: 0}":              "give it an encode",
		"{mean: brand, by: customer, window: 1d}": "is a string",
		"{value: payment}":                        `the field "payment" is a value of kind object in every order`,
		"{value: brand, encode: {hash: 8}}":       "",
		"{value: payment.total}":                  "",
		"{value: mixed}":                          "",
		"{value: rare}":                           "",
		"{value: vip}":                            "",
		"{expr: \"brand == 'VISA'\"}":             "",
		"{sum: mixed, by: customer, window: 1d}":  "",
		"{count: '*', by: customer, window: 1d}":  "",
	} {
		cfg, _ := featured(t, "  x: "+features+"\n", orders)
		_, err := replay.Run(t.Context(), cfg)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", features, err)
			}
			continue
		}
		if !errors.Is(err, replay.ErrFeatures) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v\nwant %s", features, err, want)
		}
	}
}

func TestReplayHoldsNoFieldAgainstTheOrdersWhenThereIsASchema(t *testing.T) {
	cfg, _ := featured(t, "  x: {value: coupon}\n", order(1, "a", 0, 1))
	var err error
	if cfg.Schema, err = schemas.ParseSchema("order.json", []byte(`{"type":"object","properties":{"order_id":{"type":"string"},"occurred_at":{"type":"string"},
		"customer_id":{"type":"string"},"amount":{"type":"number"},"coupon":{"type":"number"}}}`)); err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
}

func TestReplayWritesNothingToStdoutBeforeTheChecksHavePassed(t *testing.T) {
	cfg, _ := featured(t, "  x: {value: amuont}\n", order(1, "a", 0, 1))
	var stdout bytes.Buffer
	cfg.Stdout = &stdout
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrFeatures) || stdout.Len() > 0 {
		t.Errorf("error %v, and %q on stdout", err, stdout.String())
	}
}
