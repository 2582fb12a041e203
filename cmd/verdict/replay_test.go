package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const replaySpec = `name: small
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id]}
features:
  n: {count: "*", by: customer, window: 1d}
  mean: {mean: amount, by: customer, window: 1d}
`

const replayOrders = `{"order_id":"o1","occurred_at":"2026-01-01T00:00:00Z","customer_id":"a","amount":1}
{"order_id":"o2","occurred_at":"2026-01-02T00:00:00Z","customer_id":"a","amount":2.5}
not JSON
{"order_id":"o3","occurred_at":"2026-01-02T12:00:00Z","customer_id":"a","amount":3}
`

// replayCommand runs verdict replay in a folder that has small.yaml, policy.yaml and orders.jsonl; DIR in an argument stands for it.
func replayCommand(t *testing.T, stdin string, args ...string) (dir, stdout, stderr string, err error) {
	t.Helper()
	return replayUnder(t.Context(), t, stdin, args...)
}

func replayUnder(ctx context.Context, t *testing.T, stdin string, args ...string) (dir, stdout, stderr string, err error) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"small.yaml": replaySpec, "orders.jsonl": replayOrders,
		"typo.yaml":   "name: small\nversion: 1\nrules:\n  - {id: all, when: amonut >= 1, then: review}\n",
		"scored.yaml": "name: small\nversion: 1\nrules:\n  - {id: all, when: score >= 1, then: review}\n",
		"wrong.yaml":  "kafka: {security_protocol: TLS}\n",
		"other.yaml":  "name: small\nversion: 2\nrules:\n  - {id: all, when: n >= 1, then: reject}\n",
		"policy.yaml": "name: small\nversion: 1\nrules:\n  - {id: all, when: n >= 1, then: approve}\non_degraded: review\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"--features", "DIR/small.yaml", "--out", "DIR/out"}, args...) // a flag given again wins
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	c := newReplayCommand()
	c.SetArgs(args)
	var out, told bytes.Buffer
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&told)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(ctx)
	return dir, out.String(), told.String(), err
}

func TestReplayCommandWritesTheFilesThatItIsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"", []string{"dead-letters.jsonl", "features.csv"}},
		{"--policy DIR/policy.yaml", []string{"dead-letters.jsonl", "decisions.jsonl", "features.csv"}},
		{"--policy DIR/policy.yaml --write decisions", []string{"dead-letters.jsonl", "decisions.jsonl"}},
		{"--policy DIR/policy.yaml --policy DIR/other.yaml", []string{"dead-letters.jsonl", "decisions-2.jsonl", "decisions.jsonl", "features.csv"}},
		{"--policy DIR/policy.yaml --write features:parquet", []string{"dead-letters.jsonl", "features.parquet"}},
	} {
		dir, stdout, stderr, err := replayCommand(t, "", append(strings.Fields(tc.args), "--orders", "DIR/orders.jsonl")...)
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.Name())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.args, diff)
		}
		if stdout != "" || !strings.Contains(stderr, "orders.jsonl:3: json_syntax") || !strings.Contains(stderr, "replay: 4 orders") {
			t.Errorf("%s: stdout %q, stderr %q", tc.args, stdout, stderr)
		}
	}
}

func TestReplayCommandIsAFilter(t *testing.T) {
	_, stdout, _, err := replayCommand(t, replayOrders, "--orders", "-", "--out", "-", "--since", "2026-01-02", "--until", "2026-01-02T12:00:00Z")
	if want := "order_id,n,mean\no2,1,2.5\n"; err != nil || stdout != want {
		t.Errorf("stdout %q, %v; want %q", stdout, err, want)
	}
}

func TestReplayCommandRefusesWrongUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--orders http://broker/orders":                                   "http:// is not a source of a replay",
		"--orders kafka://broker":                                         "kafka://broker is not kafka://host:port",
		"--orders - --labels kafka:///labels":                             "kafka:///labels is not kafka://host:port",
		"--orders kafka://broker/orders -c DIR/nothing.yaml":              "no such file",
		"--orders kafka://broker/orders -c DIR/wrong.yaml":                "kafka.security_protocol",
		"--orders DIR/nothing.jsonl":                                      "no such file",
		"--orders DIR/small.yaml":                                         "not a source",
		"--orders - --labels -":                                           "cannot both",
		"--orders DIR/orders.jsonl --write report":                        "report needs --model or --policy",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --mature 30d": "--mature is about a report",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --require recal_at_budget>0.5": "recall_at_budget",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --card terminal":               "no order has the field \"terminal\"",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --segment country":             "no order has the field \"country\"",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --amount customer_id":          "the field \"customer_id\" is a string in every order",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --live -":                      "JSON lines",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --write report --top 0":                       "precision at 0",
		"--orders DIR/orders.jsonl --write features:xml":                                                  "features:xml",
		"--orders DIR/orders.jsonl --write features:csv,features:parquet":                                 "--write: features:parquet: a replay writes features once",
		"--orders DIR/orders.jsonl --write features,features":                                             "--write: features: a replay writes features once",
		"--orders DIR/orders.jsonl --write decisions,features,decisions":                                  "--write: decisions: a replay writes",
		"--orders DIR/orders.jsonl --policy DIR/typo.yaml":                                                `typo.yaml:4: no order has the field "amonut"; did you mean amount?`,
		"--orders DIR/orders.jsonl --policy DIR/scored.yaml":                                              "scored.yaml:4: the rule reads the score, but there is no model",
		"--orders DIR/orders.jsonl --write decisions":                                                     "needs --model or --policy",
		"--orders DIR/orders.jsonl --write features:parquet --out -":                                      "as CSV to stdout",
		"--orders DIR/orders.jsonl --model a --model b --policy a --policy b --policy c":                  "2 models and 3 policies",
		"--orders DIR/orders.jsonl --policy DIR/policy.yaml --policy DIR/policy.yaml":                     "small@1 stands twice",
		"--orders DIR/orders.jsonl --since yesterday":                                                     "--since",
		"--orders DIR/orders.jsonl --since 2026-01-02 --until 2026-01-02":                                 "before --until",
		"--orders DIR/orders.jsonl --features DIR/orders.jsonl":                                           "orders.jsonl:",
		"--orders DIR/orders.jsonl --policy DIR/small.yaml --write decisions":                             "small.yaml:",
		"--orders DIR/orders.jsonl --schema DIR/small.yaml":                                               "small.yaml",
		"--orders DIR/orders.jsonl --model DIR":                                                           "bundle.yaml",
		"--orders - --features DIR/small.yaml --schema any --since 2026-13-01":                            "--since",
	} {
		if _, _, _, err := replayCommand(t, "", strings.Fields(args)...); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want an invalid one that says %q", args, err, want)
		}
	}
	// A field that no order has is found in the data, when the replay has begun.
	_, _, _, err := replayCommand(t, strings.ReplaceAll(replayOrders, `"amount"`, `"amounts"`), "--orders", "-")
	if !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), `small.yaml:7: no order has the field "amount"; did you mean amounts?`) {
		t.Errorf("error %v, want an invalid one that names the field", err)
	}
}

func TestReplayCommandSaysWhatAnInterruptionLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for out, want := range map[string]string{"DIR/out": "interrupted: no file was written", "-": "interrupted: what stands on stdout is not all"} {
		if _, _, _, err := replayUnder(ctx, t, "", "--orders", "DIR/orders.jsonl", "--out", out); err == nil || err.Error() != want || errors.Is(err, errInvalid) {
			t.Errorf("--out %s: error %v, want %s", out, err, want)
		}
	}
}

func TestReplayCommandTakesDurationsInDays(t *testing.T) {
	var d durationFlag
	for text, want := range map[string]string{"30d": "30d", "36h": "36h0m0s", "2w": "14d", "0s": "0d"} {
		if err := d.Set(text); err != nil || d.String() != want {
			t.Errorf("%s is read as %s, %v; want %s", text, d.String(), err, want)
		}
	}
	for _, text := range []string{"-1h", "soon", ""} {
		if err := d.Set(text); err == nil {
			t.Errorf("%q is taken for %s", text, d.String())
		}
	}
}
