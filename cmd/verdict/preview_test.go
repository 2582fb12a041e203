package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAPreviewWritesNothingAndTellsWhatIsThenDecided previews at a process without a scorer beside one with, and compares all that there is before and after:
// the digest of the store, each of its keys, and how much each topic holds. The reply partition is pinned, as a lease would be a key of its own.
func TestAPreviewWritesNothingAndTellsWhatIsThenDecided(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	api := start(t, "serve", "--role", "api", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 20s, max_wait: 30s, reply_partition: 0}`))
	config := s.config(t, "", "")
	start(t, "serve", "--role", "scorer", "-c", config).ready(ctx)
	api.ready(ctx)

	wantPreview(t, ctx, api, orderJSON("first", 1, 10)) // there is nothing yet, not even the registered set
	if keys := s.keys(t, ctx); len(keys) != 0 {
		t.Errorf("it left %v", keys)
	}
	for i := range 3 {
		api.decide(t, ctx, fmt.Sprint("before-", i), 7)
	}
	before := s.all(t, ctx, config)
	preview := wantPreview(t, ctx, api, orderJSON("now", 1, 5))
	again := wantPreview(t, ctx, api, orderJSON("before-1", 1, 5)) // as it was decided
	for range 20 {
		wantPreview(t, ctx, api, orderJSON("now", 1, 5))
	}
	if diff := cmp.Diff(before, s.all(t, ctx, config)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}

	code, text := api.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("now", 1, 5), nil)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	decided := s.decisions(t, ctx, 4)
	if diff := firstDifference(decided["now"], preview); diff != "" {
		t.Errorf("what was previewed and then decided: %s", diff)
	}
	if n := again.Inputs["customer_id_nb_tx_1day_window"]; *n != 3 {
		t.Errorf("an order that is there was counted beside itself: %v", *n)
	}
}

// TestAPreviewInOneProcessWithMemory has no store to look into from outside: that a look leaves no trace in it is for storetest.
func TestAPreviewInOneProcessWithMemory(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	p := start(t, "serve", "-c", s.config(t, "", "state: {store: memory}\napi: {listen: \"127.0.0.1:0\", wait: 20s, max_wait: 30s}"))
	p.ready(ctx)
	p.decide(t, ctx, "before", 7)
	preview := wantPreview(t, ctx, p, orderJSON("now", 1, 5))
	if again := wantPreview(t, ctx, p, orderJSON("now", 1, 5)); firstDifference(preview, again) != "" {
		t.Errorf("the second preview: %s", firstDifference(preview, again))
	}
	if code, text := p.call(ctx, http.MethodGet, "/v1/decisions/now", "", nil); code != http.StatusNotFound {
		t.Errorf("there is a decision: %d %s", code, text)
	}
	if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("now", 1, 5), nil); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if diff := firstDifference(s.decisions(t, ctx, 2)["now"], preview); diff != "" {
		t.Errorf("what was previewed and then decided: %s", diff)
	}
}

// wantPreview asks for a preview, whose contributions must add up to the raw score that the handbook model's sigmoid makes its score of.
func wantPreview(t *testing.T, ctx context.Context, p *process, order string) answer {
	t.Helper()
	code, text := p.call(ctx, http.MethodPost, "/v1/preview", order, nil)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	var got struct {
		answer
		Base          float64 `json:"base"`
		Contributions []struct {
			Feature      string  `json:"feature"`
			Contribution float64 `json:"contribution"`
		} `json:"contributions"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	raw := got.Base
	for _, c := range got.Contributions {
		raw += c.Contribution
	}
	if sigmoid := 1 / (1 + math.Exp(-raw)); len(got.Contributions) == 0 || math.Abs(sigmoid-got.Score) > 1e-9 {
		t.Errorf("base and contributions make %v, the score is %v", sigmoid, got.Score)
	}
	return got.answer
}

// all is a text that is another one when anything at the site is: the store's digest, its keys with their values and when they expire, the topics' ends.
func (s site) all(t *testing.T, ctx context.Context, config string) string {
	t.Helper()
	digest, err := exec.CommandContext(ctx, program, "state", "-c", config).Output()
	if err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(s.client(t, kgo.ConsumerGroup(""))).ListEndOffsets(ctx, s.topic("orders"), s.topic("orders.sync"), s.topic("labels"), s.topic("decisions"), s.topic("replies"), s.topic("orders.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	ends.Each(func(o kadm.ListedOffset) { lines = append(lines, fmt.Sprint(o.Topic, "/", o.Partition, " ", o.Offset)) })
	sort.Strings(lines)
	return fmt.Sprintf("%s\n%q\n%v", digest, s.keys(t, ctx), lines)
}

// keys returns the store's keys, each with its value and the time at which it expires.
func (s site) keys(t *testing.T, ctx context.Context) []string {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	defer client.Close()
	names, err := client.Keys(ctx, s.prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	names = slices.DeleteFunc(names, func(name string) bool { // what the scorer tells of itself, whatever is asked of it
		return slices.ContainsFunc([]string{"fence:", "at:", "whole:", "repair", "workers", "evicted"}, func(kind string) bool { return strings.HasPrefix(name, s.prefix+kind) })
	})
	for i, name := range names {
		read := map[string][]any{"string": {"get", name}, "set": {"smembers", name}, "hash": {"hgetall", name}, "zset": {"zrange", name, 0, -1, "withscores"}}
		value, err := client.Do(ctx, read[client.Type(ctx, name).Val()]...).Result()
		if err != nil {
			t.Fatal(err)
		}
		expires := int64(0) // miniredis counts from the time at which it is asked
		if s.real() {
			if expires, err = client.Do(ctx, "pexpiretime", name).Int64(); err != nil {
				t.Fatal(err)
			}
		}
		names[i] = fmt.Sprintf("%s %q %d", name, fmt.Sprint(value), expires)
	}
	return names
}
