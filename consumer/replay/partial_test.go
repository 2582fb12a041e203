package replay_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/consumer/backtest"
	"verdict/consumer/replay"
)

func TestAnInterruptedReplayLeavesWhatItHasDone(t *testing.T) {
	orders, labels := history(5000)
	whole, all := reporting(t, orders, labels)
	whole.Write, whole.Decide = replay.CSV, true
	run(t, whole)

	ctx, cancel := context.WithCancel(t.Context())
	cfg, out := reporting(t, orders, labels)
	cfg.Write, cfg.Decide, cfg.Batch = replay.CSV, true, 10
	cfg.Store = &cancelling{Store: cfg.Store, after: 100, cancel: cancel}
	done, err := replay.Run(ctx, cfg)
	broken := (*replay.InterruptedError)(nil)
	if !errors.As(err, &broken) || !errors.Is(err, context.Canceled) || broken.Orders != 1000 {
		t.Fatalf("error %v, want one that says that 1,000 orders were read", err)
	}
	for _, name := range []string{"features.csv", "decisions.jsonl", "decisions-2.jsonl"} {
		part := read(t, out, name)
		if !strings.HasPrefix(read(t, all, name), part) || !strings.HasSuffix(part, "\n") || strings.Count(part, "\n") < 900 {
			t.Errorf("%s is not the beginning of what a whole replay writes", name)
		}
	}
	report, err := backtest.Read(strings.NewReader(read(t, out, "report.json")))
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Provenance; !p.Partial || !p.Through.Equal(broken.Through) || int64(report.Period.Orders) != done.Decisions || p.Digest != done.Digests[0].Digest {
		t.Errorf("%+v, %+v", p, report.Period)
	}
	if said := read(t, out, replay.PartialFile); !strings.Contains(said, `"partial": true`) || !strings.Contains(said, done.Digests[1].Digest) {
		t.Error(said)
	}

	// A replay that comes to its end is not partial, whatever was there before.
	cfg.Store, cfg.Batch = newStore(), 0
	run(t, cfg)
	if _, err := os.Stat(filepath.Join(out, replay.PartialFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", replay.PartialFile, err)
	}
	if read(t, out, "features.csv") != read(t, all, "features.csv") {
		t.Error("a replay over a partial one does not write all")
	}
}
