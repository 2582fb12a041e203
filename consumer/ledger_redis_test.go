package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/consumer"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/schemas"
)

// ledgerServer is a kind of Redis that the ledger is tested on.
type ledgerServer struct {
	name  string
	start func(t *testing.T) string // returns its address
}

func ledgerServers() []ledgerServer {
	return []ledgerServer{
		{"miniredis", func(t *testing.T) string { return miniredis.RunT(t).Addr() }},
		{"redis", func(t *testing.T) string { return redistest.Start(t).Addr() }},
	}
}

func ledgerClient(t testing.TB, addrs ...string) redis.UniversalClient {
	t.Helper()
	client := redisstore.Dial(redisstore.DialConfig{Addrs: addrs, Cluster: len(addrs) > 1, Timeout: 10 * time.Second})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func kept(id, record string) consumer.Kept {
	return consumer.Kept{ID: schemas.OrderID(id), Record: []byte(record)}
}

// texts are records as strings.
func texts(records [][]byte) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = string(records[i])
	}
	return out
}

func TestRedisLedgerKeepsTheFirstDecision(t *testing.T) {
	for _, server := range ledgerServers() {
		t.Run(server.name, func(t *testing.T) { keepsTheFirst(t, ledgerClient(t, server.start(t))) })
	}
}

func keepsTheFirst(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	ctx, cfg := t.Context(), consumer.RedisLedgerConfig{Timeout: 10 * time.Second}
	one, other := consumer.NewRedisLedger(client, cfg), consumer.NewRedisLedger(client, cfg)
	steps := []struct {
		ledger *consumer.RedisLedger
		send   []consumer.Kept
		want   []string
	}{
		{one, nil, []string{}},
		{one, []consumer.Kept{kept("a", "a1"), kept("b", "b1"), kept("a", "a2")}, []string{"a1", "b1", "a1"}},
		{one, []consumer.Kept{kept("a", "a1"), kept("b", "b1"), kept("a", "a2")}, []string{"a1", "b1", "a1"}},
		{other, []consumer.Kept{kept("b", "b2"), kept("c", ""), kept("c", "c2")}, []string{"b1", "", ""}},
	}
	for i, step := range steps {
		got, err := step.ledger.First(ctx, step.send)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, texts(got)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if err := other.Restore(ctx, []consumer.Kept{kept("b", "b0")}); err != nil {
		t.Fatal(err)
	}
	if got, err := one.First(ctx, []consumer.Kept{kept("b", "b3")}); err != nil || string(got[0]) != "b0" {
		t.Errorf("in place of what was restored stands %q, %v", got, err)
	}
	if record, found, err := other.Find(ctx, "a"); !bytes.Equal(record, []byte("a1")) || !found || err != nil {
		t.Errorf("Find gives %q, %v, %v", record, found, err)
	}
	if record, found, err := other.Find(ctx, "z"); record != nil || found || err != nil {
		t.Errorf("Find of an order without a decision gives %q, %v, %v", record, found, err)
	}
}

func TestRedisLedgerRecordsExpire(t *testing.T) {
	for _, server := range ledgerServers() {
		t.Run(server.name, func(t *testing.T) {
			ctx, client := t.Context(), ledgerClient(t, server.start(t))
			l := consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Prefix: "p:", Keep: time.Hour, Timeout: 10 * time.Second})
			for range 2 {
				if _, err := l.First(ctx, []consumer.Kept{kept("a", "a1")}); err != nil {
					t.Fatal(err)
				}
			}
			if ttl := client.PTTL(ctx, "p:d:{a}").Val(); ttl > time.Hour || ttl < time.Hour-time.Minute {
				t.Errorf("it expires in %v", ttl)
			}
		})
	}
}

func TestRedisLedgerRefusedCommandFailsTheCall(t *testing.T) {
	for _, server := range ledgerServers() {
		t.Run(server.name, func(t *testing.T) {
			ctx, client := t.Context(), ledgerClient(t, server.start(t))
			l := consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Timeout: 10 * time.Second})
			if err := client.RPush(ctx, "verdict:d:{b}", "x").Err(); err != nil {
				t.Fatal(err)
			}
			// The first command finds nothing, which go-redis reports as an error too; the second is the one to be seen.
			if _, err := l.First(ctx, []consumer.Kept{kept("a", "a1"), kept("b", "b1")}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("First reports %v", err)
			}
			if _, _, err := l.Find(ctx, "b"); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("Find reports %v", err)
			}
		})
	}
}

// TestACopyIsNotKeptBecauseTheFirstWasRefused by a server that has room now and then.
func TestACopyIsNotKeptBecauseTheFirstWasRefused(t *testing.T) {
	m := miniredis.RunT(t)
	refusals := 1
	m.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		if command != "SET" || refusals == 0 {
			return false
		}
		refusals--
		c.WriteError("OOM command not allowed when used memory > 'maxmemory'.")
		return true
	})
	l := consumer.NewRedisLedger(ledgerClient(t, m.Addr()), consumer.RedisLedgerConfig{Timeout: 10 * time.Second})
	records := []consumer.Kept{kept("a", "a1"), kept("a", "a2"), kept("b", "b1")}
	if _, err := l.First(t.Context(), records); err == nil {
		t.Fatal("a refusal is not told")
	}
	got, err := l.First(t.Context(), records)
	if diff := cmp.Diff([]string{"a1", "a1", "b1"}, texts(got)); diff != "" || err != nil {
		t.Errorf("%v, kept (-want +got):\n%s", err, diff)
	}
}

// TestACallThatNoticesALossKeepsNothing: a first decision may be among what is lost, and who asks meanwhile is not to be told another.
func TestACallThatNoticesALossKeepsNothing(t *testing.T) {
	m := miniredis.RunT(t)
	guard := redisstore.NewGuard(redisstore.GuardConfig{Writer: "one"})
	client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: 10 * time.Second, Guard: guard})
	t.Cleanup(func() { _ = client.Close() })
	l := consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Timeout: 10 * time.Second, Lost: redisstore.Lost})
	first := func(records ...consumer.Kept) ([]string, error) {
		bound := guard.Bind(t.Context(), redisstore.Session{})
		got, err := l.First(bound, records)
		return texts(got), err
	}
	if _, err := first(kept("a", "a1"), kept("b", "b1")); err != nil {
		t.Fatal(err)
	}
	m.FlushAll()
	if err := m.Set("verdict:d:{b}", "b1"); err != nil { // that was not lost
		t.Fatal(err)
	}
	if _, err := first(kept("a", "a2"), kept("b", "b2"), kept("c", "c2")); !errors.Is(err, redisstore.ErrLost) {
		t.Fatalf("what is left is taken, with the error %v", err)
	}
	if keys := slices.DeleteFunc(m.Keys(), func(key string) bool { return !strings.HasPrefix(key, "verdict:d:") }); !slices.Equal(keys, []string{"verdict:d:{b}"}) {
		t.Errorf("kept are %v", keys)
	}
	got, err := first(kept("a", "a3"), kept("b", "b3"))
	if diff := cmp.Diff([]string{"a3", "b1"}, got); diff != "" || err != nil {
		t.Errorf("%v, kept (-want +got):\n%s", err, diff)
	}
}

// replyLoser does a pipeline, or none of it, or half, and reports an error.
type replyLoser struct{ do func(n int) int }

var errLine = errors.New("the line went dead")

func (h *replyLoser) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *replyLoser) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *replyLoser) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if n := h.do(len(cmds)); n > 0 {
			_ = next(ctx, cmds[:n])
		}
		return errLine
	}
}

func TestRedisLedgerCallMadeAgainKeepsWhatTheFirstKept(t *testing.T) {
	for _, server := range ledgerServers() {
		t.Run(server.name, func(t *testing.T) { againKeepsTheFirst(t, server.start(t)) })
	}
}

func againKeepsTheFirst(t *testing.T, addrs ...string) {
	t.Helper()
	for n, do := range []func(int) int{func(int) int { return 0 }, func(n int) int { return (n + 1) / 2 }, func(n int) int { return n }} {
		ctx, failing := t.Context(), ledgerClient(t, addrs...)
		failing.AddHook(&replyLoser{do})
		cfg := consumer.RedisLedgerConfig{Prefix: fmt.Sprint(n, ":"), Timeout: 10 * time.Second}
		if _, err := consumer.NewRedisLedger(failing, cfg).First(ctx, []consumer.Kept{kept("a", "a1"), kept("b", "b1")}); !errors.Is(err, errLine) {
			t.Fatalf("the fault is reported as %v", err)
		}
		// The worker decides again; if the clock is in the decision, the record differs.
		got, err := consumer.NewRedisLedger(ledgerClient(t, addrs...), cfg).First(ctx, []consumer.Kept{kept("a", "a2"), kept("b", "b2")})
		if err != nil {
			t.Fatal(err)
		}
		want := [][]string{{"a2", "b2"}, {"a1", "b2"}, {"a1", "b1"}}[n]
		if diff := cmp.Diff(want, texts(got)); diff != "" {
			t.Errorf("fault %d (-want +got):\n%s", n, diff)
		}
	}
}

// TestRedisLedgerOnACluster: records on all nodes, of which one moves to another, dies and comes back empty.
func TestRedisLedgerOnACluster(t *testing.T) {
	c := redistest.StartCluster(t)
	client := ledgerClient(t, c.Addrs()...)
	keepsTheFirst(t, client)
	againKeepsTheFirst(t, c.Addrs()...)

	l := consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Prefix: "{app}:", Timeout: 200 * time.Millisecond})
	var first, later []consumer.Kept
	var want []string
	for n := range 500 {
		id, record := "o"+strconv.Itoa(n), "r"+strconv.Itoa(n)
		first, later, want = append(first, kept(id, record)), append(later, kept(id, "another")), append(want, record)
	}
	keeps := func(what string, records []consumer.Kept) {
		t.Helper()
		var got [][]byte
		for deadline := time.Now().Add(10 * time.Second); ; {
			var err error
			if got, err = l.First(t.Context(), records); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: it still fails: %v", what, err)
			}
		}
		if diff := cmp.Diff(want, texts(got)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	keeps("first", first)
	slot := c.Slot("{o7}")
	to := c.Nodes[(slices.Index(c.Nodes, c.Owner(slot))+1)%3]
	c.Move(slot, to, func(step string) {
		keeps(step, later)
		if record, found, err := l.Find(t.Context(), "o7"); string(record) != "r7" || !found || err != nil {
			t.Errorf("%s: Find gives %q, %v, %v", step, record, found, err)
		}
	})

	to.Kill()
	start := time.Now()
	if got, err := l.First(t.Context(), later); err == nil || got != nil || time.Since(start) > 1500*time.Millisecond {
		t.Errorf("without a node First took %v and gives %d records, %v", time.Since(start), len(got), err)
	}
	to.Restart()
	c.AwaitReady()
	for n := range want {
		if c.Owner(c.Slot("{"+string(first[n].ID)+"}")) == to {
			want[n] = "another"
		}
	}
	keeps("with a node that came back empty", later)
}

// BenchmarkFindNothing is what each order of a caller asks first: whether it has been decided.
func BenchmarkFindNothing(b *testing.B) {
	l := consumer.NewRedisLedger(ledgerClient(b, redistest.Start(b).Addr()), consumer.RedisLedgerConfig{Timeout: time.Second})
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := l.Find(b.Context(), "none"); found || err != nil {
			b.Fatal(found, err)
		}
	}
}
