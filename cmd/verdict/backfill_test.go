package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
)

// version writes version 2 of the Handbook's set, whose windows are as they are and which has more features, or version 1, whose windows are short: the
// state that one of them keeps is not enough for the other. The model is the example's, told that it was trained on it.
func version(t *testing.T, n int) (features, model string) {
	t.Helper()
	example := "../../deploy/example"
	text, err := os.ReadFile(example + "/handbook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := strings.NewReplacer("version: 1", "version: "+strconv.Itoa(n), "window: 30d", "window: 4d", "window: 7d", "window: 2d").Replace(string(text))
	if n == 2 {
		spec = strings.Replace(string(text), "version: 1", "version: 2", 1)
		spec = strings.Replace(spec, "  terminal: [terminal_id]", "  terminal: [terminal_id]\n  pair: [customer_id, terminal_id]", 1)
		spec += `
  large:      {count: "*", by: customer, window: 20d, where: "amount > 60"}
  pair_risk:  {rate: fraud, by: pair, window: 15d, delay: 7d}
  lost:       {sum: amount, by: terminal, window: 14d, delay: 8d, where: "fraud && amount > 20"}
  ratio:      {expr: "amount / customer_id_avg_amount_30day_window"}
  ratio_max:  {max: ratio, by: customer, window: 12d, exclude_current: true}
  above:      {count: "*", by: customer, window: 12d, where: "ratio_max > 2"}
  places:     {distinct: terminal_id, by: customer, window: 10d}
  busy:       {mean: amount, by: terminal, window: 10d, delay: 7d, resolution: 1h}
`
	}
	dir := t.TempDir()
	features = filepath.Join(dir, "features.yaml")
	if err := os.WriteFile(features, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "model")
	if err := os.CopyFS(model, os.DirFS(example+"/models/handbook/1")); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(model, "bundle.yaml"))
	if err == nil {
		bundle = bytes.Replace(bundle, []byte("features: handbook@1"), []byte("features: handbook@"+strconv.Itoa(n)), 1)
		err = os.WriteFile(filepath.Join(model, "bundle.yaml"), bundle, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return features, model
}

// configOf writes a verdict.yaml with that feature set and model.
func (s site) configOf(t *testing.T, features, model string) string {
	t.Helper()
	file := s.config(t, "scorer-1", "state: {lateness: 1d}")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "features:"):
			lines[i] = "features: " + features
		case strings.HasPrefix(line, "model:"):
			lines[i] = "model: " + model
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// feeding sends a history day by day.
type feeding struct {
	site
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of one test
	client  *kgo.Client
	h       history
	decided interface{ Load() int64 }
	day     int
	o, l    int // orders and labels sent
	more    int // orders sent that are not of the history
}

func (s site) feeding(t *testing.T, ctx context.Context, h history) *feeding {
	t.Helper()
	return &feeding{site: s, t: t, ctx: ctx, h: h, client: s.client(t, kgo.ProducerLinger(5*time.Millisecond)), decided: s.count(t, ctx)}
}

func (f *feeding) send(topic, key string, value []byte) {
	f.client.Produce(f.ctx, &kgo.Record{Topic: f.topic(topic), Key: []byte(key), Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			f.t.Error(err)
		}
	})
}

// until feeds the days up to that one: the labels that become known in it, then its orders, each when the one before is done.
func (f *feeding) until(scorer *process, day int) {
	f.t.Helper()
	for ; f.day < day && f.o < len(f.h.orders); f.day++ {
		end := f.h.orders[0].At.Truncate(24 * time.Hour).Add(time.Duration(f.day+1) * 24 * time.Hour)
		learned, labels := scorer.metric(f.ctx, "verdict_labels_total"), 0
		for ; f.l < len(f.h.labels) && f.h.labels[f.l].Known.Before(end); f.l++ {
			f.send("labels", f.h.labels[f.l].ID, f.h.labels[f.l].line)
			labels++
		}
		until(f.t, f.ctx, func() bool { return scorer.metric(f.ctx, "verdict_labels_total") >= learned+float64(labels) })
		for ; f.o < len(f.h.orders) && f.h.orders[f.o].At.Before(end); f.o++ {
			f.send("orders", f.h.orders[f.o].Customer, f.h.orders[f.o].line)
		}
		until(f.t, f.ctx, func() bool { return f.decided.Load() >= int64(f.o+f.more) })
	}
}

// command is a verdict that runs beside the test.
type command struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	log    logs
	done   chan error
	once   sync.Once
	err    error
}

func run(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{cmd: exec.Command(program, args...), done: make(chan error, 1)}
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			c.log.add(lines.Text())
		}
		c.done <- c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.wait() // it may have been killed just now
		if t.Failed() {
			t.Logf("verdict %v:\n%s%s", args, c.stdout.String(), &c.log)
		}
	})
	return c
}

func (c *command) wait() error {
	c.once.Do(func() { c.err = <-c.done })
	return c.err
}

// says runs verdict to its end and returns what it wrote to stdout.
func says(t *testing.T, args ...string) string {
	t.Helper()
	c := run(t, args...)
	if err := c.wait(); err != nil {
		t.Fatalf("verdict %v: %v\n%s", args, err, &c.log)
	}
	return c.stdout.String()
}

var ordersRead = regexp.MustCompile(`backfill: (\d+) orders`)

// read is how many orders a backfill says it has read.
func (c *command) read() int {
	all := ordersRead.FindAllStringSubmatch(c.log.String(), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1][1])
	return n
}

// TestBackfilledVersionDecidesAsIfItHadRunFromTheStart: version 1 is at work; while orders flow, version 2 is backfilled, and follows; it is rolled out; and
// each decision of it has the vector of a replay of version 2 over everything.
func TestBackfilledVersionDecidesAsIfItHadRunFromTheStart(t *testing.T) {
	h := madeUp(7000)
	oldSet, oldModel := version(t, 1)
	newSet, newModel := version(t, 2)
	want := h.replayedBy(t, newSet, newModel)
	for _, from := range []string{"kafka", "file"} {
		t.Run(from, func(t *testing.T) {
			s := newSite(t)
			ctx := within(t, 5*time.Minute)
			config := s.configOf(t, oldSet, oldModel)
			old := start(t, "serve", "--role", "scorer", "-c", config)
			old.ready(ctx)
			f := s.feeding(t, ctx, h)
			f.until(old, 18)
			var rolledOut int
			if from == "kafka" {
				broken := run(t, "backfill", "-c", config, "--features", newSet, "--rate", "1500", "--settle", "3s")
				f.until(old, 19)
				_ = broken.cmd.Process.Kill() // on its way, or done: what it wrote stays
				filling := run(t, "backfill", "-c", config, "--features", newSet, "--follow", "--settle", "3s")
				f.until(old, 22)
				until(t, ctx, func() bool { return strings.Contains(filling.log.String(), "following") })
				f.until(old, 24)
				if err := old.interrupt(); err != nil {
					t.Fatal(err)
				}
				until(t, ctx, func() bool { return filling.read() >= f.o })
				rolledOut = f.o
				current := start(t, "serve", "--role", "scorer", "-c", s.configOf(t, newSet, newModel))
				current.ready(ctx)
				f.until(current, 26)
				_ = filling.cmd.Process.Signal(os.Interrupt)
				if err := filling.wait(); err != nil {
					t.Fatalf("the backfill ended with %v\n%s", err, &filling.log)
				}
				f.until(current, 1000)
			} else {
				// A file has other arrivals than the topics had, and no follower: the old version rests meanwhile.
				if err := old.interrupt(); err != nil {
					t.Fatal(err)
				}
				so := history{orders: h.orders[:f.o], labels: h.labels[:f.l]}
				orders, labels := so.files(t)
				spec, err := os.ReadFile(newSet)
				if err != nil {
					t.Fatal(err)
				}
				merged := filepath.Join(t.TempDir(), "merged.yaml")
				if err := os.WriteFile(merged, spec, 0o600); err != nil {
					t.Fatal(err)
				}
				args := []string{"backfill", "--settle", "0s", "-c", config, "--orders", orders, "--labels", labels, "--features"}
				refused := run(t, append(args, merged)...)
				exit := (*exec.ExitError)(nil)
				if err := refused.wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(refused.log.String(), "merged columns") {
					t.Fatalf("a merged column from a file: %v\n%s", err, &refused.log)
				}
				exact := filepath.Join(t.TempDir(), "exact.yaml")
				if err := os.WriteFile(exact, bytes.Replace(spec, []byte(", resolution: 1h"), nil, 1), 0o600); err != nil {
					t.Fatal(err)
				}
				want = h.replayedBy(t, exact, newModel)
				t.Log(says(t, append(args, exact)...))
				rolledOut = f.o
				current := start(t, "serve", "--role", "scorer", "-c", s.configOf(t, exact, newModel))
				current.ready(ctx)
				f.until(current, 1000)
			}
			got := s.decisions(t, ctx, len(h.orders))
			different := 0
			for _, o := range h.orders[rolledOut:] {
				if diff := firstDifference(want[o.ID], got[o.ID]); diff != "" {
					if different++; different <= 5 {
						t.Errorf("order %s: %s", o.ID, diff)
					}
				}
			}
			t.Logf("%s: %d orders, %d after the roll-out, %d labels, %d different", s.name, len(h.orders), len(h.orders)-rolledOut, len(h.labels), different)
		})
	}
}

// files writes the history as JSON lines.
func (h history) files(t *testing.T) (orders, labels string) {
	t.Helper()
	dir := t.TempDir()
	for name, events := range map[string][]event{"orders.jsonl": h.orders, "labels.jsonl": h.labels} {
		var text []byte
		for _, e := range events {
			text = append(append(text, e.line...), '\n')
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "orders.jsonl"), filepath.Join(dir, "labels.jsonl")
}

// TestRebuiltStateIsTheOneThatWasLost, also of orders that came late, twice, with another content, or were none; and of first decisions.
func TestRebuiltStateIsTheOneThatWasLost(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 5*time.Minute)
	features, model := version(t, 2)
	config := s.configOf(t, features, model)
	scorer := start(t, "serve", "--role", "scorer", "-c", config)
	scorer.ready(ctx)
	h := madeUp(3000)
	f := s.feeding(t, ctx, h)
	for i := range 1500 { // at one terminal, so that its points are merged
		f.send("orders", "hot", fmt.Appendf(nil, `{"order_id":"hot-%d","occurred_at":%q,"customer_id":"hot","terminal_id":"hot","amount":%d}`,
			i, h.orders[0].At.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), i%90+1))
	}
	f.more = 1500
	until(t, ctx, func() bool { return f.decided.Load() >= int64(f.more) })
	letters := scorer.metric(ctx, "verdict_dead_letters_total")
	for day := 1; f.o < len(h.orders); day++ {
		f.until(scorer, day)
		some := h.orders[f.o-1]
		copied := string(some.line)
		f.send("orders", some.Customer, some.line)                                                     // twice
		f.send("orders.sync", some.Customer, some.line)                                                // on the other lane too
		f.send("orders", some.Customer, []byte(strings.Replace(copied, `"amount":`, `"amount":1`, 1))) // with another content
		f.send("orders", some.Customer, []byte(`{"order_id":`))
		late := fmt.Sprintf(`{"order_id":"late-%d","occurred_at":%q,"customer_id":%q,"terminal_id":"T","amount":12.5}`,
			day, some.At.Add(-5*time.Hour).Format(time.RFC3339), some.Customer)
		f.send("orders", some.Customer, []byte(late))
		ahead := fmt.Sprintf(`{"order_id":"ahead-%d","occurred_at":%q,"customer_id":%q,"terminal_id":"T","amount":12.5}`,
			day, time.Now().Add(100*24*time.Hour).UTC().Format(time.RFC3339), some.Customer)
		f.send("orders", some.Customer, []byte(ahead))
		f.send("orders.sync", "S", fmt.Appendf(nil, `{"order_id":"sync-%d","occurred_at":%q,"customer_id":"S","terminal_id":"S","amount":30}`, day, some.At.Format(time.RFC3339)))
		until(t, ctx, func() bool { return scorer.metric(ctx, "verdict_dead_letters_total") >= letters+3*float64(day) })
		f.more += 2
		until(t, ctx, func() bool { return f.decided.Load() >= int64(f.o+f.more) })
	}
	if err := scorer.interrupt(); err != nil {
		t.Fatal(err)
	}
	lost := says(t, "state", "-c", config)
	aside := says(t, "rebuild", "-c", config, "--prefix", s.prefix+"aside-") // beside the one that is not lost yet
	if digestOf(t, aside) != digestOf(t, lost) {
		t.Errorf("rebuilt beside it:\n%s\nlost:\n%s", aside, lost)
	}
	refused := run(t, "rebuild", "-c", config)
	if err := refused.wait(); err == nil || !strings.Contains(refused.log.String(), "--resume") {
		t.Errorf("a rebuild over keys: %v\n%s", err, &refused.log)
	}
	s.flush(t, ctx)
	rebuilt := says(t, "rebuild", "-c", config)
	if digestOf(t, rebuilt) != digestOf(t, lost) {
		t.Errorf("rebuilt:\n%s\nlost:\n%s", rebuilt, lost)
	}
	if again := says(t, "rebuild", "-c", config, "--resume"); digestOf(t, again) != digestOf(t, lost) {
		t.Errorf("rebuilt again:\n%s\nlost:\n%s", again, lost)
	}
	t.Logf("%s: %s", s.name, lost)
}

var digestLine = regexp.MustCompile(`(?m)^digest ([0-9a-f]{64})\n(.*)$`)

// digestOf returns the digest and the counts.
func digestOf(t *testing.T, text string) string {
	t.Helper()
	m := digestLine.FindString(text)
	if m == "" {
		t.Fatalf("no digest in %q", text)
	}
	return m
}

// flush deletes the site's keys.
func (s site) flush(t *testing.T, ctx context.Context) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	defer client.Close()
	all := client.Scan(ctx, 0, s.prefix+"*", 1000).Iterator()
	for all.Next(ctx) {
		if err := client.Del(ctx, all.Val()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if all.Err() != nil {
		t.Fatal(all.Err())
	}
}
