package replay_test

import (
	"bytes"
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
	if !errors.As(err, &broken) || !errors.Is(err, context.Canceled) || broken.Orders != 1000 || done.Orders != 1000 {
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

func TestResumedReplayWritesWhatAWholeOneWrites(t *testing.T) {
	orders, labels := history(5000)
	orders = append([]byte("no order\n"), orders...)
	same := func(t *testing.T, in replay.Config, out string) replay.Config {
		t.Helper()
		in.Report, in.Out, in.Write, in.Decide, in.Batch, in.Store = nil, out, replay.CSV, true, 10, newStore()
		return in
	}
	base, out := reporting(t, orders, labels)
	all := t.TempDir()
	want := run(t, same(t, base, all))

	interrupt := func(after int, resume bool) error {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := same(t, base, out)
		cfg.Resume = resume
		cfg.Store = &cancelling{Store: cfg.Store, after: after, cancel: cancel}
		_, err := replay.Run(ctx, cfg)
		return err
	}
	broken := (*replay.InterruptedError)(nil)
	if err := interrupt(50, false); !errors.As(err, &broken) {
		t.Fatal(err)
	}
	was := read(t, out, "decisions-2.jsonl")
	if err := interrupt(20, true); !errors.Is(err, context.Canceled) || errors.As(err, &broken) || read(t, out, "decisions-2.jsonl") != was { // before it was where the first one was
		t.Fatal(err)
	}
	if err := interrupt(200, true); !errors.As(err, &broken) || len(read(t, out, "decisions-2.jsonl")) <= len(was) {
		t.Fatal(err)
	}
	cfg := same(t, base, out)
	cfg.Resume = true
	done := run(t, cfg)
	if len(done.Digests) != 2 || done.Digests[0] != want.Digests[0] || done.Digests[1] != want.Digests[1] || done.Decisions >= want.Decisions {
		t.Errorf("%v, want the digests of %v", done, want)
	}
	for _, name := range []string{"features.csv", "decisions.jsonl", "decisions-2.jsonl", "dead-letters.jsonl"} {
		if read(t, out, name) != read(t, all, name) {
			t.Errorf("%s is not what a whole replay writes", name)
		}
	}
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrResume) {
		t.Errorf("error %v of one that has come to its end", err)
	}
}

func TestResumeRefusesAnotherReplay(t *testing.T) {
	orders, labels := history(3000)
	for name, alter := range map[string]func(cfg *replay.Config){
		"other candidates": func(cfg *replay.Config) { cfg.Candidates = cfg.Candidates[:1] },
		"other times":      func(cfg *replay.Config) { cfg.Since = cfg.Since.Add(1) },
		"no labels":        func(cfg *replay.Config) { cfg.Labels = nil },
		"other files":      func(cfg *replay.Config) { cfg.Write = replay.NoFeatures },
		"a report":         func(cfg *replay.Config) { cfg.Report = new(replay.ReportConfig) },
		"parquet":          func(cfg *replay.Config) { cfg.Write = replay.Parquet },
		"a file cut short": func(cfg *replay.Config) {
			change(t, filepath.Join(cfg.Out, "decisions.jsonl"), func(text string) string { return text[:len(text)-100] })
		},
		"a file with more": func(cfg *replay.Config) {
			change(t, filepath.Join(cfg.Out, "features.csv"), func(text string) string { return text + "junk\n" })
		},
		"a file with another number": func(cfg *replay.Config) {
			change(t, filepath.Join(cfg.Out, "features.csv"), func(text string) string { return strings.Replace(text, ",1,", ",2,", 1) })
		},
		"a file said of in another way": func(cfg *replay.Config) {
			change(t, filepath.Join(cfg.Out, replay.PartialFile), func(text string) string { return strings.Replace(text, `"name"`, `"path"`, 1) })
		},
		"another order": func(cfg *replay.Config) {
			change(t, cfg.Orders.String(), func(text string) string { return strings.Replace(text, `"amount":`, `"amount":1`, 1) })
		},
		"orders in another order": func(cfg *replay.Config) {
			change(t, cfg.Orders.String(), func(text string) string {
				lines := strings.SplitAfter(text, "\n")
				lines[8], lines[9] = lines[9], lines[8]
				return strings.Join(lines, "")
			})
		},
		"another label": func(cfg *replay.Config) {
			change(t, cfg.Labels.String(), func(text string) string { return strings.Replace(text, "true", "false", 1) })
		},
		"fewer orders": func(cfg *replay.Config) {
			change(t, cfg.Orders.String(), func(text string) string { return strings.Join(strings.SplitAfter(text, "\n")[:400], "") })
		},
		"a file that is gone": func(cfg *replay.Config) { _ = os.Remove(filepath.Join(cfg.Out, "features.csv")) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg, out := reporting(t, orders, labels)
		cfg.Report, cfg.Write, cfg.Decide, cfg.Batch = nil, replay.CSV, true, 10
		cfg.Store = &cancelling{Store: cfg.Store, after: 50, cancel: cancel}
		if _, err := replay.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cfg.Resume, cfg.Store = true, newStore()
		alter(&cfg)
		was := read(t, out, "decisions.jsonl")
		if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, replay.ErrResume) {
			t.Errorf("%s: error %v, want ErrResume", name, err)
		}
		if read(t, out, "decisions.jsonl") != was {
			t.Errorf("%s: decisions.jsonl was changed", name)
		}
	}
}

// TestResumeTakesASourceThatHasGrown goes on where more orders, and labels that became known later, have come behind what had been read.
func TestResumeTakesASourceThatHasGrown(t *testing.T) {
	orders, labels := history(3000)
	half := bytes.Join(bytes.SplitAfter(orders, []byte("\n"))[:1000], nil)
	ctx, cancel := context.WithCancel(t.Context())
	cfg, out := reporting(t, half, labels)
	cfg.Report, cfg.Write, cfg.Decide, cfg.Batch = nil, replay.CSV, true, 10
	cfg.Store = &cancelling{Store: cfg.Store, after: 50, cancel: cancel}
	if _, err := replay.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	change(t, cfg.Orders.String(), func(string) string { return string(orders) })
	change(t, cfg.Labels.String(), func(text string) string { return text + label(1, false, 9000) })
	cfg.Resume, cfg.Store = true, newStore()
	run(t, cfg)
	whole, all := reporting(t, orders, labels)
	whole.Report, whole.Write, whole.Decide = nil, replay.CSV, true
	run(t, whole)
	for _, name := range []string{"features.csv", "decisions.jsonl", "decisions-2.jsonl"} {
		if read(t, out, name) != read(t, all, name) {
			t.Errorf("%s is not what a whole replay writes", name)
		}
	}
}

// change rewrites a file.
func change(t *testing.T, path string, how func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(how(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
