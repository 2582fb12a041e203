package replay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/replay"
	"verdict/schemas"
	"verdict/scorer"
)

// deciding returns the small replay with a policy of rules alone; it writes decisions only.
func deciding(t *testing.T, orders string) (cfg replay.Config, out string) {
	t.Helper()
	cfg, out = small(t, orders)
	policy, err := scorer.LoadPolicy(put(t, "policy.yaml", []byte("name: small\nversion: 1\nrules:\n  - {id: many, when: n > 2, then: review}\n  - {id: others, when: n <= 2, then: approve}\non_degraded: reject\n")), nil, cfg.Features.Layout())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Candidates = []replay.Candidate{candidate(t, cfg, nil, policy)}
	cfg.Write, cfg.Decide = replay.NoFeatures, true
	return cfg, out
}

func candidate(t *testing.T, cfg replay.Config, model *scorer.Bundle, policy *scorer.Policy) replay.Candidate {
	t.Helper()
	c, err := replay.NewCandidate(cfg.Features.Layout(), model, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReplayWritesDecisionsStampedWithTheOrdersTime(t *testing.T) {
	// o1 only warms up, o2 comes twice, and once more with another content.
	cfg, out := deciding(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 1, 1)+order(2, "a", 1, 1)+order(3, "a", 2, 1)+order(2, "a", 1, 7))))
	cfg.Since = time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	done := run(t, cfg)
	var got []string
	for _, line := range lines([]byte(read(t, out, "decisions.jsonl"))) {
		d, err := schemas.DecodeDecision(line)
		if err != nil {
			t.Fatal(err)
		}
		if !d.DecidedAt.Equal(d.OccurredAt) || d.Source.Topic != "orders.jsonl" || d.Inputs.Values == nil || d.Features != cfg.Features.Version() {
			t.Errorf("decision %+v", d)
		}
		got = append(got, string(d.OrderID)+" "+string(d.Action)+" "+d.Policy.Rule)
	}
	if diff := cmp.Diff([]string{"o2 approve others", "o3 review many"}, got); diff != "" {
		t.Error(diff)
	}
	if letters := read(t, out, "dead-letters.jsonl"); strings.Count(letters, "\n") != 1 || !strings.Contains(letters, `"line":5,"code":"order_conflict"`) {
		t.Errorf("dead letters: %s", letters)
	}
	if done.Repeats != 2 || done.Conflicts != 1 || done.DeadLetters != 1 {
		t.Errorf("%v", done)
	}
}

func TestReplayWritesTheSameDecisionsWhateverTheBatchSize(t *testing.T) {
	orders, labels := history(2000)
	var want string
	for _, batch := range []int{1, 7, 1000} {
		cfg, out := deciding(t, put(t, "orders.jsonl", orders))
		cfg.Labels, cfg.Batch = location(t, put(t, "labels.jsonl", labels)), batch
		run(t, cfg)
		got := read(t, out, "decisions.jsonl")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("batches of %d give other decisions", batch)
		}
	}
	if n := strings.Count(want, "\n"); n != 2000 {
		t.Errorf("%d decisions, want 2000", n)
	}
}

func TestReplayRefusesDecisionsWithoutACandidate(t *testing.T) {
	cfg, out := small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1))))
	cfg.Decide = true
	if _, err := replay.Run(t.Context(), cfg); err == nil {
		t.Error("no error")
	}
	empty(t, out)
}

func TestSummaryCountsWhatWasWritten(t *testing.T) {
	cfg, _ := deciding(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1)+order(2, "a", 1, 1)+order(2, "a", 1, 1))))
	if done := run(t, cfg); done.Decisions != 2 || !strings.HasPrefix(done.String(), "3 orders, 2 decisions, 0 labels") {
		t.Errorf("decisions alone: %s", done)
	}
	cfg, _ = deciding(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1))))
	cfg.Write = replay.CSV
	if done := run(t, cfg); !strings.HasPrefix(done.String(), "1 orders, 1 rows, 1 decisions, 0 labels") {
		t.Errorf("both: %s", done)
	}
	cfg, _ = small(t, put(t, "orders.jsonl", []byte(order(1, "a", 0, 1))))
	if done := run(t, cfg); !strings.HasPrefix(done.String(), "1 orders, 1 rows, 0 labels") {
		t.Errorf("features alone: %s", done)
	}
}
