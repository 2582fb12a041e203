package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
)

// redisFor returns the address of a Redis in process, and its server.
func redisFor(t *testing.T) (string, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	return "redis://" + server.Addr(), server
}

// TestReplayInRedisGivesWhatOneInMemoryGives and leaves what else there is as it was.
func TestReplayInRedisGivesWhatOneInMemoryGives(t *testing.T) {
	files := writeOrders(t)
	dir, _, _, err := replayCommand(t, "", append(files, "--policy", "DIR/policy.yaml")...)
	if err != nil {
		t.Fatal(err)
	}
	url, server := redisFor(t)
	// The live state: a replay under a prefix that looks like one, kept.
	if _, _, stderr, err := replayCommand(t, "", append(files, "--store", url, "--prefix", "live:", "--keep")...); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	live := server.Dump()
	if !strings.Contains(live, "live:") {
		t.Fatal("--keep keeps nothing")
	}
	inRedis, _, stderr, err := replayCommand(t, "", append(files, "--policy", "DIR/policy.yaml", "--store", url)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, name := range []string{"features.csv", "decisions.jsonl"} {
		want, err := os.ReadFile(filepath.Join(dir, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(inRedis, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if diff := cmp.Diff(live, server.Dump()); diff != "" {
		t.Errorf("the replay has changed what it has no part in, or left keys behind: %s", diff)
	}
	// Also one that is broken off leaves nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := replayUnder(ctx, t, "", append(files, "--store", url)...); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(live, server.Dump()); diff != "" {
		t.Errorf("a replay that was broken off has left keys behind: %s", diff)
	}
}

func TestReplayRefusesAStoreThatIsNotItsOwn(t *testing.T) {
	url, server := redisFor(t)
	if err := server.Set("mine:x", "1"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args, want string
		usage      bool
	}{
		{"--store " + url + " --prefix verdict:", "may be the live state's", true},
		{"--store " + url + " --prefix verdict:replay:", "may be the live state's", true},
		{"--store " + url + " --prefix v", "may be the live state's", true},
		{"--store " + url + " --prefix shop: -c DIR/shop.yaml", "may be the live state's", true},
		{"--store " + url + " --prefix mine:", `there are keys under "mine:"`, false},
		{"--store " + server.Addr(), "--store is not redis://", true},
		{"--prefix x:", "go with --store", true},
		{"--keep", "go with --store", true},
	} {
		config := filepath.Join(t.TempDir(), "shop.yaml")
		if err := os.WriteFile(config, []byte("redis: {prefix: \"shop:\", addresses: [\"localhost:1\"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args := strings.Fields(strings.ReplaceAll(tc.args, "DIR/shop.yaml", config))
		_, _, _, err := replayCommand(t, "", append(args, "--orders", "DIR/orders.jsonl")...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, errInvalid) != tc.usage {
			t.Errorf("%s: error %v, want one that says %q", tc.args, err, tc.want)
		}
	}
	if got := server.Keys(); len(got) != 1 {
		t.Errorf("keys %v", got)
	}
}
