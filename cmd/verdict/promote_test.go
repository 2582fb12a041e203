package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func TestPutChangesOneKeyAndNothingElse(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"plain", "# all\nfeatures: f.yaml\nmodel: models/1 # the champion\npolicy: p.yaml\n", "# all\nfeatures: f.yaml\nmodel: models/2 # the champion\npolicy: p.yaml\n"},
		{"quoted", "model: 'models/1 #a'   # c\nlog: {}\n", "model: models/2   # c\nlog: {}\n"},
		{"CRLF", "features: f.yaml\r\nmodel: models/1\r\nlog: {}\r\n", "features: f.yaml\r\nmodel: models/2\r\nlog: {}\r\n"},
		{"last, without an end", "features: f.yaml\nmodel: models/1", "features: f.yaml\nmodel: models/2"},
		{"not there", "log: {}\nfeatures: f.yaml\nkafka: {}\n", "log: {}\nfeatures: f.yaml\nmodel: models/2\nkafka: {}\n"},
		{"not there, at the end", "features: f.yaml", "features: f.yaml\nmodel: models/2\n"},
		{"empty", "model: # none yet\nlog: {}\n", "model: models/2 # none yet\nlog: {}\n"},
		{"of another key", "x: {model: a}\nmodel: b\n", "x: {model: a}\nmodel: models/2\n"},
	} {
		got, path, err := put("somewhere/verdict.yaml", []byte(tc.text), "model", "somewhere/models/2")
		if err != nil || path != "models/2" {
			t.Errorf("%s: %s, %v", tc.name, path, err)
		}
		if diff := cmp.Diff(tc.want, string(got)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	for _, text := range []string{"", "- model\n", "{model: a}\n", "model: >\n  models/1\n", "model: &a x\nb: *a\n", "model:\n  x\n", "model: ~\n", "a: [\n"} {
		if got, _, err := put("verdict.yaml", []byte(text), "model", "models/2"); err == nil {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// shopFiles is a folder with the example's files, a second version of its bundle, and verdict.yaml.
func shopFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../deploy/example")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "models/handbook/2"), os.DirFS("../../deploy/example/models/handbook/1")); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "models/handbook/2/bundle.yaml"), "version: 1", "version: 2")
	text := "# who decides\nfeatures: handbook.yaml\nmodel: models/handbook/1 # the champion\npolicy: policy.yaml\norders: {schema: any}\nkafka: {bootstrap_servers: [\"localhost:9092\"]}\nredis: {addresses: [\"localhost:6379\"]}\n"
	if err := os.WriteFile(filepath.Join(dir, "verdict.yaml"), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	var orders strings.Builder
	for i := range 200 {
		at := time.Date(2026, 1, 1, i, 0, 0, 0, time.UTC)
		fmt.Fprintf(&orders, `{"order_id":"o%d","occurred_at":%q,"customer_id":"c%d","terminal_id":"t%d","amount":%d}`+"\n", i, at.Format(time.RFC3339), i%9, i%5, 5+i%300)
	}
	if err := os.WriteFile(filepath.Join(dir, "orders.jsonl"), []byte(orders.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s does not have %q", file, from)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// report replays the shop's orders with its second bundle and the policy, and returns the report.
func report(t *testing.T, dir string, args ...string) string {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	c := newReplayCommand()
	c.SetArgs(append([]string{
		"--orders", in("orders.jsonl"), "--features", in("handbook.yaml"), "--model", in("models/handbook/2"), "--policy", in("policy.yaml"), "--write", "report", "--out", in("out"),
		"--bootstrap", "0",
	}, args...))
	c.SetErr(new(bytes.Buffer))
	c.SilenceErrors, c.SilenceUsage = true, true
	if err := c.ExecuteContext(t.Context()); err != nil && !errors.Is(err, errGate) {
		t.Fatal(err)
	}
	return in("out/report.json")
}

func promote(dir string, args ...string) (string, error) {
	c := newPromoteCommand()
	c.SetArgs(append([]string{"-c", filepath.Join(dir, "verdict.yaml"), "--by", "ann", "--model", filepath.Join(dir, "models/handbook/2")}, args...))
	var out bytes.Buffer
	c.SetOut(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func TestPromoteWritesWhatPassedAndWhoDidSo(t *testing.T) {
	dir := shopFiles(t)
	file := report(t, dir, "--require", "orders == 200")
	out, err := promote(dir, "--report", file, "--policy", filepath.Join(dir, "policy.yaml"), "--require", "psi_max < 100.0 || orders > 1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "verdict.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := "# who decides\nfeatures: handbook.yaml\nmodel: models/handbook/2 # the champion\npolicy: policy.yaml\norders: {schema: any}\nkafka: {bootstrap_servers: [\"localhost:9092\"]}\nredis: {addresses: [\"localhost:6379\"]}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "verdict.yaml")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	line, err := os.ReadFile(filepath.Join(dir, "promotions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var p promotion
	if err := json.Unmarshal(line, &p); err != nil {
		t.Fatal(err)
	}
	if p.By != "ann" || p.Hash != hex.EncodeToString(sum[:]) || p.Model.From.Version != "1" || p.Model.To.Version != "2" || p.Model.Path != "models/handbook/2" ||
		p.Policy == nil || p.Policy.To.Name != "card" || p.At.IsZero() || p.Require != "(orders == 200) && (psi_max < 100.0 || orders > 1)" || !strings.Contains(out, "promoted by ann") {
		t.Errorf("%s\n%s", line, out)
	}
	// A second one is a second line.
	if _, err := promote(dir, "--report", file); err != nil {
		t.Fatal(err)
	}
	if line, err = os.ReadFile(filepath.Join(dir, "promotions.jsonl")); err != nil || bytes.Count(line, []byte("\n")) != 2 {
		t.Errorf("%s, %v", line, err)
	}
}

func TestPromoteRefusesWhatDidNotPass(t *testing.T) {
	whole := shopFiles(t)
	passed := report(t, whole, "--require", "orders == 200")
	for name, tc := range map[string]struct {
		change func(dir string) []string
		want   string
		wrong  bool // a file or its use is, not the figures
	}{
		"a gate that is not met": {func(dir string) []string { return []string{"--report", report(t, dir, "--require", "orders == 1")} }, "did not pass: orders == 1", false},
		"a report that says it passed": {func(dir string) []string {
			file := report(t, dir, "--require", "orders == 1")
			edit(t, file, `"met": false`, `"met": true`)
			return []string{"--report", file}
		}, "did not pass: orders == 1", false},
		"a config that is not valid": {func(dir string) []string {
			edit(t, filepath.Join(dir, "verdict.yaml"), "localhost:9092", "")
			return []string{"--report", passed}
		}, "would not be valid", true},
		"nobody's name":            {func(string) []string { return []string{"--report", passed, "--by", " "} }, "names nobody", true},
		"no gate at all":           {func(dir string) []string { return []string{"--report", report(t, dir)} }, "asked nothing", false},
		"a gate that is asked now": {func(string) []string { return []string{"--report", passed, "--require", "orders > 200"} }, "not met", false},
		"a gate of no such name":   {func(string) []string { return []string{"--report", passed, "--require", "ordres > 200"} }, "ordres", true},
		"another bundle": {func(dir string) []string {
			return []string{"--report", passed, "--model", filepath.Join(dir, "models/handbook/1")}
		}, "is bundle handbook@1", true},
		"a bundle that was changed since": {func(dir string) []string {
			edit(t, filepath.Join(dir, "models/handbook/2/bundle.yaml"), "version: 2", "version: 2 # as it was")
			return []string{"--report", passed}
		}, "what passed is handbook@2", true},
		"a policy that was changed since": {func(dir string) []string {
			edit(t, filepath.Join(dir, "policy.yaml"), "review: 0.10", "review: 0.11")
			return []string{"--report", passed}
		}, "is policy card@1", true},
		"another feature set": {func(dir string) []string {
			edit(t, filepath.Join(dir, "handbook.yaml"), "delay: 7d", "delay: 8d")
			return []string{"--report", passed}
		}, "the report is of the feature set handbook@1", true},
		"a part of a history": {func(dir string) []string {
			file := report(t, dir, "--require", "orders == 200")
			edit(t, file, `"partial": false`, `"partial": true, "through": "2026-01-02T00:00:00Z"`)
			return []string{"--report", file}
		}, "interrupted", false},
		"no report": {func(dir string) []string { return []string{"--report", filepath.Join(dir, "orders.jsonl")} }, "orders.jsonl", true},
	} {
		dir := shopFiles(t)
		args := tc.change(dir)
		before, err := os.ReadFile(filepath.Join(dir, "verdict.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := promote(dir, args...); err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, errInvalid) != tc.wrong {
			t.Errorf("%s: error %v, want one that says %q", name, err, tc.want)
		}
		after, err := os.ReadFile(filepath.Join(dir, "verdict.yaml"))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the config was changed, %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "promotions.jsonl")); err == nil {
			t.Errorf("%s: stands on record", name)
		}
	}
}
