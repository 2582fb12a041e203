//go:build synctests

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestVirtualIsRedWithEachPlantedBug builds the virtual layer with one planted bug after the other and runs seeds until one is red by what the bug does: a judge that
// was never seen to condemn proves nothing.
func TestVirtualIsRedWithEachPlantedBug(t *testing.T) {
	if os.Getenv("VERDICT_PLANTED") == "" {
		t.Skip("builds the virtual layer six times: VERDICT_PLANTED=1 runs it")
	}
	for _, test := range []struct{ tag, shows, fault string }{
		{"bug_ack_early", `lost=[1-9]`, ""},         // what was polled is committed: a crash before it is decided loses it
		{"bug_incr", `drift=[1-9]`, ""},             // what is done again counts again
		{"bug_read_uncommitted", `ghost=[1-9]`, ""}, // orders of aborted transactions are decided
		{"bug_first_decision", `dup=[1-9]`, ""},     // a copy has a decision of its own
		{"bug_skip_bad_batch", `lost=[1-9]`, ""},    // a step that fails is skipped
		{"bug_sees_later", `drift=[1-9]`, "F02"},    // what is done again sees late orders that came after it: a crash must come between Redis and the ledger
	} {
		t.Run(test.tag, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "virtual.test")
			if out, err := exec.Command("go", "test", "-c", "-tags", "synctests,"+test.tag, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("building the virtual layer: %v\n%s", err, out)
			}
			shows, line := regexp.MustCompile(test.shows), regexp.MustCompile(`orders=\d+ lost=.* faults=\d+`)
			for seed := 1; seed <= 8; seed++ {
				run := exec.Command(binary, "-test.run=^TestVirtual$", "-test.v", "-test.timeout=10m")
				run.Env = append(os.Environ(), fmt.Sprint("VERDICT_SEED=", seed), "VERDICT_FAULT="+test.fault)
				out, err := run.CombinedOutput()
				report := line.Find(out)
				t.Logf("seed=%d %s", seed, report)
				if err != nil && shows.Match(report) {
					return
				}
				if err != nil {
					t.Logf("seed=%d is red, but not by %s: %s", seed, test.shows, out[max(0, len(out)-2000):])
				}
			}
			t.Errorf("no seed shows %s", test.tag)
		})
	}
}
