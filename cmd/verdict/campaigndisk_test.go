//go:build linux

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAReplayOntoAFullDiskLeavesNothingTorn (F37) replays onto a disk that is full before the files are complete: exit code 1, a message that says so, and none
// of the files, nor what they were written as; what an earlier replay had left there is untouched.
func TestAReplayOntoAFullDiskLeavesNothingTorn(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	out := filepath.Join(disk, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	earlier := filepath.Join(out, "decisions.jsonl")
	if err := os.WriteFile(earlier, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	orders := filepath.Join(t.TempDir(), "orders.jsonl")
	var text []byte
	for _, e := range madeUp(2000).orders {
		text = append(append(text, e.line...), '\n')
	}
	if err := os.WriteFile(orders, text, 0o600); err != nil {
		t.Fatal(err)
	}
	told, err := exec.CommandContext(t.Context(), program, "replay", "--orders", orders, "--features", "../../deploy/example/handbook.yaml",
		"--model", "../../deploy/example/models/handbook/1", "--write", "features,decisions", "--out", out).CombinedOutput()
	if code := (*exec.ExitError)(nil); !errors.As(err, &code) || code.ExitCode() != 1 || !strings.Contains(string(told), "no space left on device") {
		t.Errorf("ended with %v\n%s", err, told)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if got, err := os.ReadFile(earlier); err != nil || string(got) != "{}\n" {
		t.Errorf("an earlier replay's file is %q (%v)", got, err)
	}
}
