package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/preprocess/redisstore/redistest"
)

// TestFlushedStoreFillsItself: Redis is emptied while orders come in. What is decided before it is filled again says so and is not approved; everything else is as a
// replay has it; and in the end the store holds what a rebuild makes of the topics.
func TestFlushedStoreFillsItself(t *testing.T) {
	for _, onLoss := range []string{"flag", "wait"} {
		t.Run(onLoss, func(t *testing.T) {
			s := newLossySite(t)
			ctx := within(t, 3*time.Minute)
			features, model := version(t, 2)
			config := s.configOf(t, features, model)
			appendTo(t, config, "redis.on_loss: "+onLoss)
			one, other := start(t, "serve", "--role", "scorer", "-c", config), start(t, "serve", "--role", "scorer", "-c", unnamed(t, config))
			h := madeUp(4000)
			l := s.lossy(t, ctx)
			l.learn(h, one, other)
			l.send(h, 0, 2000)
			until(t, ctx, func() bool { return l.decided() >= 1500 })
			s.do(t, ctx, "FLUSHALL")
			l.send(h, 2000, 4000)
			until(t, ctx, func() bool { return l.decided() >= len(h.orders) })
			until(t, ctx, func() bool {
				return one.metric(ctx, "verdict_store_repairs_total")+other.metric(ctx, "verdict_store_repairs_total") >= 1 &&
					one.metric(ctx, "verdict_store_whole") == 1 && other.metric(ctx, "verdict_store_whole") == 1
			})
			for _, p := range []*process{one, other} {
				if err := p.interrupt(); err != nil {
					t.Fatal(err)
				}
			}
			stale := l.judge(h, h.replayedBy(t, features, model))
			if onLoss == "wait" && stale > 0 {
				t.Errorf("%d orders were decided by what was left", stale)
			}
			s.asRebuilt(t, config)
			t.Logf("%s: on_loss=%s orders=%d stale=%d", s.name, onLoss, len(h.orders), stale)
		})
	}
}

// TestOlderStoreCatchesUp: Redis dies and comes back with what it had some while before, as after a failover to a replica that had not heard all; while orders
// come in, and while nobody is there. So little is missing that orders wait until it is made good, and none is flagged.
func TestOlderStoreCatchesUp(t *testing.T) {
	s := newSite(t)
	server := redistest.Start(t)
	s.redis = server.Addr()
	ctx := within(t, 3*time.Minute)
	features, model := version(t, 2)
	config := s.configOf(t, features, model)
	p := start(t, "serve", "--role", "scorer", "-c", config)
	h := madeUp(3000)
	l := s.lossy(t, ctx)
	l.learn(h, p)
	send := func(to int) {
		l.send(h, l.sent, to)
		until(t, ctx, func() bool { return l.decided() >= to })
	}
	send(1000)
	server.Do("SAVE")
	l.send(h, 1000, 1700)
	until(t, ctx, func() bool { return l.decided() >= 1500 })
	server.Kill()
	server.Restart() // at the first 1,000 orders
	send(2000)
	until(t, ctx, func() bool {
		return p.metric(ctx, "verdict_store_repairs_total") >= 1 && p.metric(ctx, "verdict_store_whole") == 1
	})

	server.Do("SAVE")
	send(2600)
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Restart() // at the first 2,000
	p = start(t, "serve", "--role", "scorer", "-c", config)
	send(3000)
	if n := p.metric(ctx, "verdict_store_repairs_total"); n != 1 {
		t.Errorf("the process that found the store older filled it %v times", n)
	}
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}
	if stale := l.judge(h, h.replayedBy(t, features, model)); stale > 0 {
		t.Errorf("%d orders were decided by what was left", stale)
	}
	s.asRebuilt(t, config)
}

// TestEvictedStoreFillsItself: Redis runs out of room and drops keys, as it should not be allowed to. What is decided from when that is noticed until the store is
// filled again says so.
func TestEvictedStoreFillsItself(t *testing.T) {
	s := newSite(t)
	server := redistest.Start(t)
	s.redis = server.Addr()
	ctx := within(t, 3*time.Minute)
	features, model := version(t, 2)
	config := s.configOf(t, features, model)
	p := start(t, "serve", "--role", "scorer", "-c", config)
	h := madeUp(3000)
	l := s.lossy(t, ctx)
	l.learn(h, p)
	l.send(h, 0, 1500)
	until(t, ctx, func() bool { return l.decided() >= 1500 })
	server.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
	server.Do("CONFIG", "SET", "maxmemory", "1100kb") // it drops all that is above
	server.Do("CONFIG", "SET", "maxmemory", "0")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_store_whole") == 0 })
	l.send(h, 1500, 3000)
	until(t, ctx, func() bool { return l.decided() >= 3000 && p.metric(ctx, "verdict_store_whole") == 1 })
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}
	stale := l.judge(h, h.replayedBy(t, features, model))
	s.asRebuilt(t, config)
	info, _ := server.Do("INFO", "stats").(string)
	_, evicted, _ := strings.Cut(info, "evicted_keys:")
	evicted, _, _ = strings.Cut(evicted, "\r\n")
	if evicted == "" || evicted == "0" {
		t.Errorf("evicted_keys is %q: this showed nothing", evicted)
	}
	t.Logf("%s: evicted_keys=%s stale=%d", s.name, evicted, stale)
}

// TestLargeStoreFillsItself measures how long it takes to fill an empty store from VERDICT_CAMPAIGN orders.
func TestLargeStoreFillsItself(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("VERDICT_CAMPAIGN"))
	if err != nil {
		t.Skip("VERDICT_CAMPAIGN is not set: left out, as it takes a minute for 100000 orders")
	}
	s := newSite(t)
	s.redis = redistest.Start(t).Addr()
	ctx := within(t, 20*time.Minute)
	features, model := version(t, 2)
	config := s.configOf(t, features, model)
	p := start(t, "serve", "--role", "scorer", "-c", config)
	h := madeUpOf(n, max(100, n/50))
	l := s.lossy(t, ctx)
	l.learn(h, p)
	l.send(h, 0, n-1)
	until(t, ctx, func() bool { return l.decided() >= n-1 })
	s.do(t, ctx, "FLUSHALL")
	began := time.Now()
	l.send(h, n-1, n)
	until(t, ctx, func() bool { return l.decided() >= n })
	again := time.Since(began)
	until(t, ctx, func() bool {
		return p.metric(ctx, "verdict_store_repairs_total") >= 1 && p.metric(ctx, "verdict_store_whole") == 1
	})
	filled := time.Since(began)
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}
	stale := l.judge(h, h.replayedBy(t, features, model))
	s.asRebuilt(t, config)
	t.Logf("%s: orders=%d first_decision_after=%s whole_after=%s stale=%d", s.name, n, again.Round(time.Millisecond), filled.Round(time.Millisecond), stale)
}

// TestPlainCrashAsksForNoRepair: what is committed is marked in the store before.
func TestPlainCrashAsksForNoRepair(t *testing.T) {
	s := newLossySite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "scorer-1", "kafka.session_timeout: 6s")
	h := madeUp(1500)
	l := s.lossy(t, ctx)
	for n := range 3 {
		p := start(t, "serve", "--role", "scorer", "-c", config)
		l.send(h, n*500, n*500+500)
		until(t, ctx, func() bool { return l.decided() >= n*500+250 })
		if repairs := p.metric(ctx, "verdict_store_repairs_total"); repairs != 0 {
			t.Fatalf("start %d: %v repairs", n, repairs)
		}
		p.kill()
	}
}

// appendTo adds a line to a file.
func appendTo(t *testing.T, file, line string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "\n"+line+"\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unnamed is a config without the static membership of another process.
func unnamed(t *testing.T, config string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	file := filepath.Join(t.TempDir(), "verdict.yaml")
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(text, []byte(`group_instance_id: "scorer-1"`), []byte(`group_instance_id: ""`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// lossy is orders on their way to processes whose store loses something, and what was decided of them.
type lossy struct {
	site

	t      *testing.T
	ctx    context.Context //nolint:containedctx // of one test
	client *kgo.Client

	sent int // orders

	mu      sync.Mutex
	records map[string]decided
	again   []string // ids of orders with two decisions
}

type decided struct {
	answer
	Degraded []string `json:"degraded"`
	text     string
}

func (s site) lossy(t *testing.T, ctx context.Context) *lossy {
	t.Helper()
	l := &lossy{site: s, t: t, ctx: ctx, client: s.client(t, kgo.ProducerLinger(5*time.Millisecond)), records: map[string]decided{}}
	c := s.client(t, kgo.ConsumeTopics(s.topic("decisions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	go func() {
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { l.add(string(r.Value)) })
		}
	}()
	return l
}

func (l *lossy) add(text string) {
	d := decided{text: text}
	_ = json.Unmarshal([]byte(text), &d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if earlier, again := l.records[d.OrderID]; again && earlier.text != text {
		l.again = append(l.again, d.OrderID)
		return
	}
	l.records[d.OrderID] = d
}

func (l *lossy) decided() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records)
}

// send writes orders, and some of them twice, on one partition a customer.
func (l *lossy) send(h history, from, to int) {
	l.t.Helper()
	for i := from; i < min(to, len(h.orders)); i++ {
		copies := 1
		if i%50 == 7 {
			copies = 2
		}
		for range copies {
			l.client.Produce(l.ctx, &kgo.Record{Topic: l.topic("orders"), Key: []byte("one"), Value: h.orders[i].line}, nil)
		}
	}
	l.sent = to
	if err := l.client.Flush(l.ctx); err != nil {
		l.t.Fatal(err)
	}
}

// judge holds the decisions against a replay's, and returns how many say that they were made by what was left.
func (l *lossy) judge(h history, want map[string]answer) (stale int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.again) > 0 {
		l.t.Errorf("%d orders have two decisions, %s", len(l.again), l.again[0])
	}
	different := 0
	for _, o := range h.orders {
		d := l.records[o.ID]
		if slices.Contains(d.Degraded, "features_stale") {
			stale++
			if d.Action == "approve" {
				l.t.Errorf("an order was approved by what was left")
			}
			continue
		}
		if diff := cmp.Diff(want[o.ID].Inputs, d.Inputs); diff != "" || len(d.Degraded) > 0 {
			if different++; different == 1 {
				l.t.Errorf("%s, degraded %v (-replay +live):\n%s", o.ID, d.Degraded, diff)
			}
		}
	}
	if different > 0 {
		l.t.Errorf("%d orders differ", different)
	}
	return stale
}

// asRebuilt holds what the store has in the end against what a rebuild makes of the topics.
func (s site) asRebuilt(t *testing.T, config string) {
	t.Helper()
	left, rebuilt := says(t, "state", "-c", config), says(t, "rebuild", "-c", config, "--prefix", s.prefix+"aside-")
	if diff := cmp.Diff(digestOf(t, rebuilt), digestOf(t, left)); diff != "" {
		t.Errorf("the store (-as rebuilt +as it made good what it lost):\n%s", diff)
	}
}

// newLossySite is a site with a Redis of its own, which may lose what it likes.
func newLossySite(t *testing.T) site {
	t.Helper()
	s := newSite(t)
	if s.real() {
		s.redis = redistest.Start(t).Addr()
	}
	return s
}

// do has the site's Redis carry out a command.
func (s site) do(t *testing.T, ctx context.Context, args ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	defer client.Close()
	if err := client.Do(ctx, args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// learn writes all labels and waits until they are known: which of them counts for an order is told by time.
func (l *lossy) learn(h history, at ...*process) {
	l.t.Helper()
	for _, label := range h.labels {
		l.client.Produce(l.ctx, &kgo.Record{Topic: l.topic("labels"), Key: []byte(label.ID), Value: label.line}, nil)
	}
	until(l.t, l.ctx, func() bool {
		learned := 0.0
		for _, p := range at {
			learned += p.metric(l.ctx, "verdict_labels_total")
		}
		return learned >= float64(len(h.labels))
	})
}
