package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVerifyFindsWhatServeDecidedEqual has a scorer decide a history, and verifies the topics it read and wrote: from Kafka and from files, in memory and in
// Redis, with one and eight threads. All have one digest, which is that of the live decisions. Then another policy is verified, and is named as the difference.
func TestVerifyFindsWhatServeDecidedEqual(t *testing.T) {
	h := madeUp(3000)
	s := newSite(t)
	ctx := within(t, 10*time.Minute)
	s.feed(t, ctx, h, 0)
	dir := t.TempDir()
	var text []byte
	for _, e := range h.orders {
		text = append(append(text, e.line...), '\n')
	}
	if err := os.WriteFile(filepath.Join(dir, "orders.jsonl"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	kafka := func(topic string) string { return "kafka://" + strings.Join(s.kafka, ",") + "/" + s.topic(topic) }
	replay := func(threads, policy string, args ...string) (string, error) {
		args = append([]string{
			"replay", "--labels", kafka("labels"), "--features", "../../deploy/example/handbook.yaml", "--model", "../../deploy/example/models/handbook/1", "--policy", policy,
			"--write", "decisions", "--out", dir, "--verify", kafka("decisions"),
		}, args...)
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+threads)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	var digests []string
	for _, args := range [][]string{
		{"1", "--orders", kafka("orders")},
		{"8", "--orders", kafka("orders")},
		{"8", "--orders", filepath.Join(dir, "orders.jsonl")},
		{"8", "--orders", kafka("orders"), "--store", "redis://" + s.redis},
	} {
		out, err := replay(args[0], "../../deploy/example/policy.yaml", args[1:]...)
		if err != nil || !strings.Contains(out, "verify: 3000 orders compared with 3000 live decisions, 3000 equal bit for bit") {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		for _, found := range regexp.MustCompile(`digest ([0-9a-f]{32})`).FindAllStringSubmatch(out, -1) {
			digests = append(digests, found[1])
		}
	}
	if one := slices.Compact(slices.Clone(digests)); len(digests) != 8 || len(one) != 1 {
		t.Errorf("digests %v", digests)
	}
	policy := filepath.Join(dir, "policy.yaml")
	strict := "name: card\nversion: 2\nthresholds: {review: 0.00001, reject: 0.70}\n"
	if err := os.WriteFile(policy, []byte(strict), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := replay("2", policy, "--orders", kafka("orders")); err != nil || !regexp.MustCompile(`verify: +\d+ other_policy `).MatchString(out) {
		t.Errorf("another policy: %v\n%s", err, out)
	}
}
