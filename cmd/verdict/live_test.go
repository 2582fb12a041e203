package main_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/cmd/verdict/internal/shop"
)

// history is orders in time order and their labels by known_at, as JSON lines.
type history struct {
	orders []event
	labels []event
}

type event struct {
	ID       string    `json:"order_id"`
	At       time.Time `json:"occurred_at"`
	Known    time.Time `json:"known_at"`
	Customer string    `json:"customer_id"`
	line     []byte
}

// handbook returns the first days of the Handbook's orders, when VERDICT_SHARED says where they are.
func handbook(t *testing.T, days int) (history, bool) {
	t.Helper()
	dir := os.Getenv("VERDICT_SHARED")
	if dir == "" {
		t.Log("VERDICT_SHARED is not set: made-up orders take the place of the Handbook's")
		return history{}, false
	}
	var h history
	until := time.Date(2018, 6, 11+days, 0, 0, 0, 0, time.UTC)
	h.orders = readEvents(t, filepath.Join(dir, "data", "handbook", "orders.jsonl.gz"), func(e event) bool { return e.At.Before(until) })
	h.labels = readEvents(t, filepath.Join(dir, "data", "handbook", "labels.jsonl.gz"), func(e event) bool { return e.Known.Before(until) })
	return h, true
}

func readEvents(t *testing.T, file string, keep func(event) bool) []event {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []event
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if keep(e) {
			e.line = append([]byte(nil), lines.Bytes()...)
			out = append(out, e)
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return out
}

// madeUp returns n orders of the demo's shop, a few weeks long.
func madeUp(n int) history { return madeUpOf(n, 100) }

// madeUpOf returns n orders of so many customers, at as many terminals.
func madeUpOf(n, customers int) history {
	var h history
	s := shop.New(shop.Config{Seed: 7, Customers: customers, Terminals: customers, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	var last time.Time
	for range n {
		o := s.Next()
		last = o.At
		h.orders = append(h.orders, event{ID: o.ID, At: o.At, Customer: o.Customer, line: fmt.Appendf(nil,
			`{"order_id":%q,"occurred_at":%q,"customer_id":%q,"terminal_id":%q,"amount":%v}`, o.ID, o.At.Format(time.RFC3339), o.Customer, o.Terminal, o.Amount)})
		if o.Fraud() {
			known := o.At.Add(7 * 24 * time.Hour)
			h.labels = append(h.labels, event{ID: o.ID, Known: known, line: fmt.Appendf(nil, `{"order_id":%q,"fraud":true,"known_at":%q}`, o.ID, known.Format(time.RFC3339))})
		}
	}
	for len(h.labels) > 0 && h.labels[len(h.labels)-1].Known.After(last) {
		h.labels = h.labels[:len(h.labels)-1]
	}
	return h
}

// replayed returns each order's vector as verdict replay has it.
func (h history) replayed(t *testing.T) map[string]answer {
	t.Helper()
	return h.replayedBy(t, "../../deploy/example/handbook.yaml", "../../deploy/example/models/handbook/1")
}

// replayedBy does it with a feature set and a model.
func (h history) replayedBy(t *testing.T, features, model string) map[string]answer {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, events []event) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		for _, e := range events {
			_, _ = w.Write(append(e.line, '\n'))
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		return f.Name()
	}
	cmd := exec.Command(program, "replay", "--orders", write("orders.jsonl", h.orders), "--labels", write("labels.jsonl", h.labels),
		"--features", features, "--model", model, "--policy", "../../deploy/example/policy.yaml", "--out", dir, "--write", "decisions")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("replaying: %v\n%s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "decisions.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := make(map[string]answer, len(h.orders))
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		a := decode(t, lines.Bytes())
		out[a.OrderID] = a
	}
	return out
}

// decisions reads the decisions topic until n orders have one. Every copy of an order's decision must be equal to its first.
func (s site) decisions(t *testing.T, ctx context.Context, n int) map[string]answer {
	t.Helper()
	c := s.client(t, kgo.ConsumeTopics(s.topic("decisions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	out, text := make(map[string]answer, n), make(map[string]string, n)
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d orders were decided", len(out), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			a := decode(t, r.Value)
			if first, again := text[a.OrderID]; again && first != string(r.Value) {
				t.Errorf("order %s has two decisions:\n%s\n%s", a.OrderID, first, r.Value)
			}
			out[a.OrderID], text[a.OrderID] = a, string(r.Value)
		})
	}
	return out
}

// TestLiveDecisionsEqualTheReplays sends a history through Kafka and compares every order's vector with the replay's, bit for bit; then again with the
// scorer killed five times on the way.
//
// Orders are keyed by customer, so that a customer's orders stay in order; a terminal's lie across partitions, which are read at different speeds. That
// is no matter here as long as partitions are less than 7 days apart, since terminals are looked at with a delay of 7 days: so the feed goes on to the
// next day only when all of a day is decided. The labels that become known in a day are sent, and learned, before its orders: an order asks for
// what was known at its own time, and labels of later that day do not count for it.
func TestLiveDecisionsEqualTheReplays(t *testing.T) {
	h, ok := handbook(t, 14)
	switch {
	case !ok:
		h = madeUp(8000)
	case !newSite(t).real():
		h.orders = h.orders[:20000] // miniredis is slow, and ten days are not needed to show that two stand-ins work
	}
	want := h.replayed(t)
	if len(want) != len(h.orders) {
		t.Fatalf("%d orders, %d replayed", len(h.orders), len(want))
	}
	for _, kills := range []int{0, 5} {
		t.Run(fmt.Sprintf("kills=%d", kills), func(t *testing.T) {
			s := newSite(t)
			ctx := within(t, 10*time.Minute)
			began := time.Now()
			s.feed(t, ctx, h, kills)
			took := time.Since(began)
			got := s.decisions(t, ctx, len(h.orders))
			different := 0
			for id, w := range want {
				if diff := firstDifference(w, got[id]); diff != "" {
					if different++; different <= 5 {
						t.Errorf("order %s: %s", id, diff)
					}
				}
			}
			t.Logf("%s: orders=%d labels=%d kills=%d different=%d in %.1f s (%.0f/s)", s.name, len(h.orders), len(h.labels), kills, different, took.Seconds(), float64(len(h.orders))/took.Seconds())
			if different > 0 {
				t.Errorf("%d of %d orders differ from the replay", different, len(h.orders))
			}
		})
	}
}

// firstDifference names the first input or the score that differs in any bit.
func firstDifference(want, got answer) string {
	if len(want.Inputs) != len(got.Inputs) {
		return fmt.Sprintf("%d inputs, want %d", len(got.Inputs), len(want.Inputs))
	}
	for name, w := range want.Inputs {
		g := got.Inputs[name]
		if (w == nil) != (g == nil) || w != nil && math.Float64bits(*w) != math.Float64bits(*g) {
			return fmt.Sprintf("%s differs", name)
		}
	}
	if math.Float64bits(want.Score) != math.Float64bits(got.Score) || want.Action != got.Action {
		return fmt.Sprintf("score %v action %s, want %v %s", got.Score, got.Action, want.Score, want.Action)
	}
	return ""
}

// feed sends the history day by day to a scorer that is killed so many times, at random moments of the middle days, and started again at once.
func (s site) feed(t *testing.T, ctx context.Context, h history, kills int) {
	t.Helper()
	config := s.config(t, "scorer-1", "")
	scorer := start(t, "serve", "--role", "scorer", "-c", config)
	scorer.ready(ctx)
	decided := s.count(t, ctx)
	c := s.client(t, kgo.ProducerLinger(5*time.Millisecond))
	send := func(topic, key string, value []byte) {
		c.Produce(ctx, &kgo.Record{Topic: s.topic(topic), Key: []byte(key), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	day := func(e event) time.Time { return e.At.Truncate(24 * time.Hour) }
	days := int(day(h.orders[len(h.orders)-1]).Sub(day(h.orders[0]))/(24*time.Hour)) + 1
	o, l := 0, 0
	for d := range days {
		end := day(h.orders[0]).Add(time.Duration(d+1) * 24 * time.Hour)
		learned, labels := scorer.metric(ctx, "verdict_labels_total"), 0
		for ; l < len(h.labels) && h.labels[l].Known.Before(end); l++ {
			send("labels", h.labels[l].ID, h.labels[l].line)
			labels++
		}
		until(t, ctx, func() bool { return scorer.metric(ctx, "verdict_labels_total") >= learned+float64(labels) })
		first := o
		for ; o < len(h.orders) && h.orders[o].At.Before(end); o++ {
			send("orders", h.orders[o].Customer, h.orders[o].line)
		}
		if kills > 0 && d > days/4 {
			part := int64(rand.N(o-first) + first)
			until(t, ctx, func() bool { return decided.Load() >= part })
			scorer.kill()
			kills--
			scorer = start(t, "serve", "--role", "scorer", "-c", config)
		}
		until(t, ctx, func() bool { return decided.Load() >= int64(o) })
	}
	if kills > 0 {
		t.Errorf("%d kills were not done", kills)
	}
	if err := scorer.interrupt(); err != nil {
		t.Errorf("the scorer ended with %v", err)
	}
}

// count counts the distinct orders on the decisions topic as they come.
func (s site) count(t *testing.T, ctx context.Context) *atomic.Int64 {
	t.Helper()
	c := s.client(t, kgo.ConsumeTopics(s.topic("decisions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var n atomic.Int64
	go func() {
		seen := map[string]bool{}
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				var a struct {
					OrderID string `json:"order_id"`
				}
				_ = json.Unmarshal(r.Value, &a)
				seen[a.OrderID] = true
			})
			n.Store(int64(len(seen)))
		}
	}()
	return &n
}

// until waits for a condition.
func until(t *testing.T, ctx context.Context, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("waited too long")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
