package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/consumer"
	"verdict/schemas"
)

// ledgerServers are the kinds of Redis that the ledger is tested on.
func ledgerServers(t *testing.T) map[string]string {
	t.Helper()
	servers := map[string]string{"miniredis": miniredis.RunT(t).Addr()}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Log("left out: real Redis, since there is no redis-server on the PATH")
		return servers
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(binary, "--port", strings.TrimPrefix(addr, "127.0.0.1:"), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--unixsocket", "")
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // another process: there is nothing to wait on
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not answer")
		}
	}
	servers["redis"] = addr
	return servers
}

func ledgerClient(t *testing.T, addr string) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true})
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
	for name, addr := range ledgerServers(t) {
		t.Run(name, func(t *testing.T) {
			ctx, client := t.Context(), ledgerClient(t, addr)
			one, other := consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Timeout: 10 * time.Second}), consumer.NewRedisLedger(client, consumer.RedisLedgerConfig{Timeout: 10 * time.Second})
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
			if record, found, err := other.Find(ctx, "a"); !bytes.Equal(record, []byte("a1")) || !found || err != nil {
				t.Errorf("Find gives %q, %v, %v", record, found, err)
			}
			if record, found, err := other.Find(ctx, "z"); record != nil || found || err != nil {
				t.Errorf("Find of an order without a decision gives %q, %v, %v", record, found, err)
			}
		})
	}
}

func TestRedisLedgerRecordsExpire(t *testing.T) {
	for name, addr := range ledgerServers(t) {
		t.Run(name, func(t *testing.T) {
			ctx, client := t.Context(), ledgerClient(t, addr)
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
	for name, addr := range ledgerServers(t) {
		t.Run(name, func(t *testing.T) {
			ctx, client := t.Context(), ledgerClient(t, addr)
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
	for name, addr := range ledgerServers(t) {
		for n, do := range []func(int) int{func(int) int { return 0 }, func(n int) int { return n / 2 }, func(n int) int { return n }} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				ctx, failing := t.Context(), ledgerClient(t, addr)
				failing.AddHook(&replyLoser{do})
				cfg := consumer.RedisLedgerConfig{Prefix: fmt.Sprint(n, ":"), Timeout: 10 * time.Second}
				if _, err := consumer.NewRedisLedger(failing, cfg).First(ctx, []consumer.Kept{kept("a", "a1"), kept("b", "b1")}); !errors.Is(err, errLine) {
					t.Fatalf("the fault is reported as %v", err)
				}
				// The worker decides again; if the clock is in the decision, the record differs.
				got, err := consumer.NewRedisLedger(ledgerClient(t, addr), cfg).First(ctx, []consumer.Kept{kept("a", "a2"), kept("b", "b2")})
				if err != nil {
					t.Fatal(err)
				}
				want := [][]string{{"a2", "b2"}, {"a1", "b2"}, {"a1", "b1"}}[n]
				if diff := cmp.Diff(want, texts(got)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}
