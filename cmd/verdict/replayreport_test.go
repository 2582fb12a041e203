package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/consumer/backtest"
)

// manyOrders are some hundred orders of ten customers, and labels of some.
func manyOrders() (orders, labels string) {
	var o, l strings.Builder
	for i := range 300 {
		at := "2026-01-" + string([]byte{'0' + byte(i/100), '0' + byte(i/10%10)}) + "T00:00:0" + string([]byte{'0' + byte(i%10)}) + "Z"
		if i < 10 {
			continue
		}
		id := "o" + string([]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)})
		o.WriteString(`{"order_id":"` + id + `","occurred_at":"` + at + `","customer_id":"c` + string([]byte{'0' + byte(i%10)}) + `","amount":` + string([]byte{'1' + byte(i%7)}) + "}\n")
		if i%9 == 0 {
			l.WriteString(`{"order_id":"` + id + `","fraud":true,"known_at":"2026-02-01T00:00:00Z"}` + "\n")
		}
	}
	return o.String(), l.String()
}

// writeOrders writes the made orders and labels, and returns the flags that name them.
func writeOrders(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	orders, labels := manyOrders()
	for name, text := range map[string]string{"orders.jsonl": orders, "labels.jsonl": labels} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--orders", filepath.Join(dir, "orders.jsonl"), "--labels", filepath.Join(dir, "labels.jsonl")}
}

func TestReplayCommandWritesAReport(t *testing.T) {
	args := append(writeOrders(t), "--policy", "DIR/policy.yaml", "--policy", "DIR/other.yaml", "--write", "report", "--segment", "customer_id", "--top", "5,10", "--bootstrap", "20")
	dir, _, stderr, err := replayCommand(t, "", append(args, "--require", "orders == 290 && flips == 1.0")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	file, err := os.Open(filepath.Join(dir, "out", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	r, err := backtest.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.Method.Customer != "customer" || r.Method.Amount != "amount" || len(r.Method.TopK) != 2 || r.Method.Bootstrap != 20 || r.Period.Frauds != 32 || len(r.Candidates) != 2 {
		t.Errorf("%+v, %+v", r.Method, r.Period)
	}
	if p := r.Provenance; !p.Met || len(p.Orders) != 1 || len(p.Labels) != 1 || !strings.HasPrefix(p.Program, "verdict") {
		t.Errorf("%+v", p)
	}
	if html, err := os.ReadFile(filepath.Join(dir, "out", "report.html")); err != nil || !strings.Contains(string(html), "small@2") {
		t.Errorf("report.html: %v", err)
	}
	if !strings.Contains(stderr, "require: flips == 1.0: met") {
		t.Errorf("stderr %s", stderr)
	}
}

func TestReplayCommandFailsWhereTheGateIsNotMet(t *testing.T) {
	args := append(writeOrders(t), "--policy", "DIR/policy.yaml", "--write", "report", "--require", "orders == 290 && frauds > 1000")
	dir, _, stderr, err := replayCommand(t, "", args...)
	if !errors.Is(err, errGate) || errors.Is(err, errInvalid) || !strings.Contains(stderr, "require: frauds > 1000: not met") {
		t.Errorf("error %v, stderr %s", err, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "report.json")); err != nil {
		t.Error("the report that did not pass is not there:", err)
	}
}

func TestReplayCommandVerifies(t *testing.T) {
	files := writeOrders(t)
	dir, _, _, err := replayCommand(t, "", append(files, "--policy", "DIR/policy.yaml", "--write", "decisions")...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out", "decisions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(t.TempDir(), "live.jsonl")
	for changed, unexplained := range map[string]bool{string(text): false, strings.Replace(string(text), `"mean":4`, `"mean":4.000000000000001`, 1): true} {
		if err := os.WriteFile(live, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		dir, _, stderr, err := replayCommand(t, "", append(files, "--policy", "DIR/policy.yaml", "--write", "decisions", "--verify", live)...)
		if errors.Is(err, errVerify) != unexplained || errors.Is(err, errInvalid) || (err == nil) == unexplained {
			t.Errorf("error %v, unexplained %t\n%s", err, unexplained, stderr)
		}
		differences, err := os.ReadFile(filepath.Join(dir, "out", "differences.jsonl"))
		if err != nil || (len(differences) > 0) != unexplained || !strings.Contains(stderr, "verify: 290 orders compared") {
			t.Errorf("differences %s, %v\n%s", differences, err, stderr)
		}
	}
}
