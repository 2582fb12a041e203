package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestACustomerThatIsForgottenBeginsAnew forgets one of two customers while a scorer is at work.
func TestACustomerThatIsForgottenBeginsAnew(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", "")
	scorer := start(t, "serve", "--role", "scorer", "-c", config)
	scorer.ready(ctx)
	c := s.client(t)
	order := func(i int, customer string) {
		s.produce(t, ctx, c, "orders", fmt.Appendf(nil, `{"order_id":"o%d","occurred_at":"2026-11-01T10:00:%02dZ","customer_id":%q,"terminal_id":"T-9","amount":20}`, i, i, customer))
	}
	const secret = "customer-4711"
	for i := range 6 {
		order(i, []string{secret, "other"}[i%2])
	}
	s.produce(t, ctx, c, "labels", []byte(`{"order_id":"o0","fraud":true,"known_at":"2026-11-02T10:00:00Z"}`))
	s.decisions(t, ctx, 6)
	until(t, ctx, func() bool { return scorer.metric(ctx, "verdict_labels_total") >= 1 })

	forget := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, stderr := verdict(t, ctx, append([]string{"forget", "-c", config}, args...)...)
		if code != want || strings.Contains(out+stderr, secret) {
			t.Fatalf("%d: %s%s", code, out, stderr)
		}
		return out, stderr
	}
	counts := "entities 1, columns 1 with 3 points, merged parts 0, marks 0; orders 3 with claims 3, labels 1, decisions 3\n"
	if out, _ := forget(0, "--entity", "customer="+secret, "--dry-run"); out != "to be removed: "+counts {
		t.Error(out)
	}
	if _, stderr := forget(2, "--entity", "customer="+secret); !strings.Contains(stderr, "--yes") {
		t.Error(stderr)
	}
	if out, stderr := forget(0, "--entity", "customer="+secret, "--yes"); out != "removed: "+counts || !strings.Contains(stderr, "topics still have") {
		t.Error(out, stderr)
	}
	if out, _ := forget(0, "--entity", "customer="+secret, "--yes"); !strings.HasPrefix(out, "removed: entities 0, ") {
		t.Error(out)
	}
	order(7, secret)
	order(8, "other")
	got := s.decisions(t, ctx, 8)
	const count = "customer_id_nb_tx_1day_window"
	if mine, other := got["o7"].Inputs[count], got["o8"].Inputs[count]; mine == nil || other == nil || *mine != 1 || *other != 4 {
		t.Errorf("of the customer that was forgotten %v, of the other %v: %v", mine, other, got["o7"].Inputs)
	}
	for args, want := range map[string]string{
		"":                                    "nothing is named",
		"--entity customer":                   "NAME=KEY",
		"--entity custoner=" + secret:         "customer",
		"--entity customer=":                  "empty",
		"--order a/b":                         "no",
		"--entity customer=x --store mysql:/": "--store",
	} {
		if _, stderr := forget(2, strings.Fields(args)...); !strings.Contains(stderr, want) {
			t.Errorf("%s: %s", args, stderr)
		}
	}
	_ = scorer.interrupt()
}
