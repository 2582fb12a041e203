//go:build unix

package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/cmd/verdict/internal/oracle"
)

// readers read committed records of all topics from their start, while the faults run, and tell the oracle.
type readers struct {
	c     *campaign
	admin *kadm.Client

	mu     sync.Mutex
	next   map[string]map[int32]int64 // :: topic → partition → the offset behind the last record; guarded by mu
	heard  time.Time                  // when the last record came; guarded by mu
	inputs int                        // records of the topic of orders; guarded by mu
}

func (c *campaign) read(t *testing.T, ctx context.Context) *readers {
	t.Helper()
	r := &readers{c: c, admin: kadm.NewClient(c.site.client(t)), next: map[string]map[int32]int64{}}
	for _, topics := range [][]string{{"orders", "orders.sync"}, {"decisions", "orders.dlq"}} {
		names := []string{c.site.topic(topics[0]), c.site.topic(topics[1])}
		client := c.site.client(t, kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
		go func() {
			for ctx.Err() == nil {
				client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { r.tell(t, record, time.Now()) })
			}
		}()
	}
	return r
}

// tell tells the oracle of a record.
func (r *readers) tell(t *testing.T, record *kgo.Record, now time.Time) {
	t.Helper()
	place := oracle.Place{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset}
	switch record.Topic {
	case r.c.site.topic("decisions"):
		r.c.oracle.Decision(oracle.Output{Place: place, Source: sourceOf(t, record), Value: record.Value, Seen: now})
	case r.c.site.topic("orders.dlq"):
		r.c.oracle.DeadLetter(oracle.Output{Place: place, Source: sourceOf(t, record), Value: header(record, "verdict.error.code"), Seen: now})
	default:
		in := oracle.Input{Place: place, Key: string(record.Key), Time: record.Timestamp, Fate: oracle.Decided}
		if string(header(record, "campaign.fate")) == "dead" {
			in.Fate = oracle.Dead
		} else {
			var order struct {
				ID string `json:"order_id"`
			}
			_ = json.Unmarshal(record.Value, &order) // of an aborted order there is no record
			in.ID = order.ID
		}
		r.c.oracle.Input(in)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next[record.Topic] == nil {
		r.next[record.Topic] = map[int32]int64{}
	}
	r.next[record.Topic][record.Partition] = max(r.next[record.Topic][record.Partition], record.Offset+1)
	r.heard = now
	if record.Topic == r.c.site.topic("orders") {
		r.inputs++
	}
}

func header(r *kgo.Record, key string) []byte {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}

func sourceOf(t *testing.T, r *kgo.Record) oracle.Place {
	t.Helper()
	p, err := oracle.ParsePlace(string(header(r, "verdict.source")))
	if err != nil {
		t.Errorf("a record of %s: %v", r.Topic, err)
	}
	return p
}

// read says whether all that a topic holds was read: markers of transactions at its end are never told of.
func (r *readers) read(ctx context.Context, topic string, markers bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ends, err := r.admin.ListCommittedOffsets(ctx, r.c.site.topic(topic))
	if err != nil || ends.Error() != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		all = all && (r.next[end.Topic][end.Partition] >= end.Offset || markers && time.Since(r.heard) > time.Second)
	})
	return all
}

// settle waits until something has come of every order, or until nothing has for long.
func (c *campaign) settle(t *testing.T, ctx context.Context) {
	t.Helper()
	left, since := -1, time.Now()
	for ctx.Err() == nil {
		_, open := c.oracle.Open()
		c.readers.mu.Lock()
		missing := int(c.feeder.written.Load()) - c.readers.inputs
		c.readers.mu.Unlock()
		if open+missing == 0 && c.readers.read(ctx, "orders.sync", false) {
			if _, open = c.oracle.Open(); open == 0 {
				return
			}
		}
		if open+missing != left {
			left, since = open+missing, time.Now()
		}
		if time.Since(since) > c.patience {
			t.Logf("%d orders are open, and nothing has come for %s", left, c.patience)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// toEnd waits until all outputs were read.
func (r *readers) toEnd(t *testing.T, ctx context.Context) {
	t.Helper()
	until(t, ctx, func() bool { return r.read(ctx, "decisions", true) && r.read(ctx, "orders.dlq", true) })
}

// recompute replays the log, and rebuilds the state from it, and tells the oracle.
func (c *campaign) recompute(t *testing.T, ctx context.Context) {
	t.Helper()
	dir := t.TempDir()
	kafka := func(topics ...string) string {
		for i := range topics {
			topics[i] = c.site.topic(topics[i])
		}
		return "kafka://" + strings.Join(c.site.kafka, ",") + "/" + strings.Join(topics, ",")
	}
	tell(t, ctx, "replay", "--orders", kafka("orders", "orders.sync"), "--labels", kafka("labels"), "--features", c.site.features, "--model", "../../deploy/example/models/handbook/1",
		"--policy", "../../deploy/example/policy.yaml", "--schema", "../../schemas/order.avsc", "--write", "decisions", "--out", dir)
	f, err := os.Open(filepath.Join(dir, "decisions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := c.oracle.Recomputed(lines.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	direct := c.site
	direct.redisVia, direct.kafkaVia = nil, nil
	config := direct.config(t, "", "")
	rebuilt := c.site.prefix + "rebuilt:"
	tell(t, ctx, "rebuild", "-c", config, "--prefix", rebuilt, "--to", "end")
	state := func(prefix string) string {
		digest, rest, _ := strings.Cut(tell(t, ctx, "state", "-c", config, "--prefix", prefix), "\n")
		counts, _, _ := strings.Cut(rest, "\n") // what follows are feature sets, and names none of what they hold
		return digest + " " + counts
	}
	live, want := state(c.site.prefix), state(rebuilt)
	c.oracle.State("redis", live, want)
	if live != want {
		c.tellApart(t, ctx, rebuilt)
	}
}

// tellApart logs some of the keys that hold something else than those under another prefix do. What only waits to be dropped may be among them.
func (c *campaign) tellApart(t *testing.T, ctx context.Context, other string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: c.site.redis})
	defer client.Close()
	held := func(key string) string {
		switch client.Type(ctx, key).Val() {
		case "string":
			return fmt.Sprintf("%.1000q", client.Get(ctx, key).Val())
		case "set":
			return fmt.Sprintf("%.1000q", slices.Sorted(slices.Values(client.SMembers(ctx, key).Val())))
		case "zset":
			return fmt.Sprintf("%.1000q", client.ZRange(ctx, key, 0, -1).Val())
		case "hash": // parts of merged columns; those that are empty were replaced
			parts := client.HGetAll(ctx, key).Val()
			maps.DeleteFunc(parts, func(_, part string) bool { return part == "" })
			return fmt.Sprintf("%.1000q", parts)
		default:
			return ""
		}
	}
	const most = 10
	told := 0
	for keys := client.Scan(ctx, 0, c.site.prefix+"*", 1000).Iterator(); keys.Next(ctx) && told < most; {
		name := strings.TrimPrefix(keys.Val(), c.site.prefix)
		state := len(name) > 1 && (name[0] == '{' || name[1] == ':' && strings.ContainsRune("oxld", rune(name[0]))) // the rest is upkeep
		if live, want := held(keys.Val()), held(other+name); state && live != want {
			told++
			t.Logf("%s\n  holds %s\n  want  %s", name, live, want)
		}
	}
}

// tell runs verdict, as it is without planted bugs, and returns what it printed.
func tell(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("verdict %s: %v\n%s", args[0], err, told.String())
	}
	return string(out)
}
