//go:build unix

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"verdict/cmd/verdict/internal/oracle"
)

// TestCampaignIsRedWithEachPlantedBug builds verdict with one planted bug after the other and makes a fault that it cannot stand: an oracle that was never seen
// red proves nothing. A kill must hit the few milliseconds in which the bug shows, so a green run is made again, up to five in all. With VERDICT_CAMPAIGN the
// same run without the bug must be green.
func TestCampaignIsRedWithEachPlantedBug(t *testing.T) {
	all := os.Getenv("VERDICT_CAMPAIGN") != ""
	for _, test := range []struct {
		tag   string
		short bool
		plan  plan
	}{
		{"bug_ack_early", true, plan{static: true, fault: killScorers}},
		{"bug_incr", true, plan{}},
		{"bug_read_uncommitted", false, plan{}},
		{"bug_first_decision", false, plan{}},
		{"bug_skip_bad_batch", false, plan{fault: cutRedis(weather{cut: true})}},
		{"bug_sees_later", false, plan{static: true, stream: stream{late: 0.33, hot: 0.33}, size: 20_000, fault: killScorers}},
	} {
		t.Run(test.tag, func(t *testing.T) {
			if !newSite(t).real() {
				t.Skip("VERDICT_KAFKA and VERDICT_REDIS are not set: a campaign of processes wants real ones")
			}
			if !all && !test.short {
				t.Skip("VERDICT_CAMPAIGN is not set: this bug is left out")
			}
			binary := filepath.Join(t.TempDir(), "verdict")
			if out, err := exec.Command("go", "build", "-tags", test.tag, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("building verdict: %v\n%s", err, out)
			}
			p := test.plan
			p.id, p.rash, p.rate, p.pace = test.tag, true, 2500, 400*time.Millisecond
			if p.size == 0 {
				p.size = 3000
			}
			var report oracle.Report
			var seed uint64
			for range 5 {
				if report, seed = p.run(t, binary); !report.Green() {
					break
				}
				t.Logf("%s seed=%d: %s", p.id, seed, &report)
			}
			t.Logf("%s seed=%d: %s", p.id, seed, &report)
			for _, f := range report.Offenders {
				t.Logf("%s", f)
			}
			if report.Green() {
				t.Fatalf("the oracle is green with %s", test.tag)
			}
			if !all {
				return
			}
			if report, seed = p.run(t, program); !report.Green() {
				t.Errorf("without %s, seed=%d: %s %v", test.tag, seed, &report, report.Offenders)
			}
		})
	}
}
