//go:build unix && !aix && !solaris

package replay_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/replay"
	"verdict/preprocess"
)

// between is a store that does something before its first exchange.
type between struct {
	preprocess.Store

	do func()
}

func (b *between) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if do := b.do; do != nil {
		b.do = nil
		do()
	}
	return b.Store.Exchange(ctx, visits, see)
}

// TestReplayRemovesWhatKilledOnesLeft runs a replay within another one's, in one folder: what no process holds goes, what the outer one is writing stays.
func TestReplayRemovesWhatKilledOnesLeft(t *testing.T) {
	orders, labels := history(300)
	outer, out := reporting(t, orders, labels)
	outer.Report, outer.Write, outer.Decide = nil, replay.CSV, true
	left := []string{".features.csv.123.part", ".decisions-12.jsonl.1.part", ".report.html.99.part", ".partial.json.5.part"}
	kept := []string{".features.csv.part", ".features.csv.x.part", ".other.csv.123.part", "features.csv.123.part"}
	for _, name := range slices.Concat(left, kept) {
		if err := os.WriteFile(filepath.Join(out, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(out, ".report.json.7.part"), 0o700); err != nil {
		t.Fatal(err)
	}
	outer.Store = &between{Store: outer.Store, do: func() {
		for _, name := range left { // again, for the inner one
			if err := os.WriteFile(filepath.Join(out, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		inner := outer
		inner.Store = newStore()
		run(t, inner)
	}}
	run(t, outer)
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := append([]string{".report.json.7.part", "dead-letters.jsonl", "decisions-2.jsonl", "decisions.jsonl", "features.csv"}, kept...)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
