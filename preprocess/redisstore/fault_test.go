package redisstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	mini "github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

const t0 = 1_790_000_000_000_000

// history is calls with everything in them that takes a second pipeline: repeats, labels before and after their orders, a wider redelivery, points that come
// of what was seen, a merged column.
func history() []func(ctx context.Context, s preprocess.Store) error {
	exchange := func(visits ...preprocess.Visit) func(context.Context, preprocess.Store) error {
		return func(ctx context.Context, s preprocess.Store) error {
			visits := slices.Clone(visits)
			for i := range visits {
				visits[i].Asks = slices.Clone(visits[i].Asks)
			}
			return s.Exchange(ctx, visits, func(i int, _ *preprocess.Found) {
				for j := range visits[i].Asks {
					if ask := &visits[i].Asks[j]; ask.Adds == preprocess.AddSeen {
						ask.Value = float64(visits[i].Content) // as a feature that does not change when the order is delivered again
					}
				}
			})
		}
	}
	learn := func(labels ...schemas.Label) func(context.Context, preprocess.Store) error {
		return func(ctx context.Context, s preprocess.Store) error { return s.Learn(ctx, labels) }
	}
	repeat := visit(1, 30)
	repeat.Arrival.Offset = 99
	repeat.At++
	wider := visit(2, 20)
	wider.Labelled = append(wider.Labelled, "w")
	return []func(context.Context, preprocess.Store) error{
		learn(label(1, 50, true)),
		exchange(visit(1, 10), visit(2, 20), repeat),
		exchange(repeat, visit(3, 5)),
		learn(label(2, 60, false), label(2, 55, true), label(4, 70, true)),
		exchange(wider),
		exchange(visit(4, 40), visit(5, 41)),
		learn(label(5, 71, true)),
	}
}

func visit(n int, at int64) preprocess.Visit {
	seen, merged := points("c", "seen", 0), points("c", "hot", float64(n))
	seen.Adds, merged.Merge = preprocess.AddSeen, mergings["cells"]
	return preprocess.Visit{
		ID: schemas.OrderID("o" + strconv.Itoa(n)), At: t0 + at, Content: uint64(n), Arrival: preprocess.Arrival{Millis: t0/1000 + int64(n), Offset: int64(n)},
		Labelled: []string{"c"},
		Asks: []preprocess.Ask{
			points("c", "x", float64(n)), points("d", "*", 0), {Key: "c", Marks: true, To: t0 + 1000, Keep: 1e12}, seen, merged,
		},
	}
}

func points(key, column string, value float64) preprocess.Ask {
	return preprocess.Ask{Key: key, Column: column, Value: value, To: t0 + 1000, Keep: 1e12}
}

func label(n int, known int64, fraud bool) schemas.Label {
	return schemas.Label{ID: schemas.OrderID("o" + strconv.Itoa(n)), KnownAt: time.UnixMicro(t0 + known).UTC(), Fraud: fraud}
}

// state is all that is left of a history.
func state(t *testing.T, s preprocess.Store) preprocess.Found {
	t.Helper()
	probe := visit(100, 2000)
	probe.Asks = append(probe.Asks, preprocess.Ask{Key: "w", Marks: true, To: t0 + 1000, Keep: 1e12})
	found, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{probe})
	if err != nil {
		t.Fatal(err)
	}
	found[0].Again = false // whether the probe was here before is no part of it
	return found[0]
}

// fault lets one pipeline fail: refused, cut short, or done and then reported as failed.
type fault struct {
	at   int // which pipeline, counted from 0
	mode string
	seen int
}

var errFault = errors.New("the line went dead")

func (f *fault) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (f *fault) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f *fault) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		f.seen++
		if f.seen-1 != f.at {
			return next(ctx, cmds)
		}
		switch f.mode {
		case "cut short":
			if half := cmds[:len(cmds)/2]; len(half) > 0 {
				_ = next(ctx, half)
			}
		case "done":
			_ = next(ctx, cmds)
		}
		return errFault
	}
}

func TestStoreEndsTheSameAfterAFaultAtEachPipeline(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			open := fresh(dial(t, cfg))
			clean := open()
			for _, call := range history() {
				if err := call(t.Context(), clean); err != nil {
					t.Fatal(err)
				}
			}
			want := state(t, clean)
			for _, mode := range []string{"refused", "cut short", "done"} {
				for n := 0; ; n++ {
					f := &fault{at: n, mode: mode}
					got := runWithFault(t, cfg, f)
					if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("pipeline %d %s (-want +got):\n%s", n, mode, diff)
					}
					if f.seen <= n {
						if n < 10 {
							t.Fatalf("the history took %d pipelines only", n)
						}
						break
					}
				}
			}
		})
	}
}

// runWithFault repeats each call until it succeeds, as the worker does.
func runWithFault(t *testing.T, cfg redisstore.DialConfig, f *fault) preprocess.Found {
	t.Helper()
	client := dial(t, cfg)
	client.AddHook(f)
	prefix := "f-" + f.mode + strconv.Itoa(f.at) + ":"
	s := redisstore.New(client, redisstore.Config{Prefix: prefix, Timeout: patient})
	for _, call := range history() {
		err := call(t.Context(), s)
		if err != nil && !errors.Is(err, errFault) {
			t.Fatalf("a fault is reported as %v", err)
		}
		if err != nil {
			err = call(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return state(t, redisstore.New(dial(t, cfg), redisstore.Config{Prefix: prefix, Timeout: patient}))
}

// TestRepeatOfADeadProcessIsHidden: the process wrote a repeat's points, and died before it took them back.
func TestRepeatOfADeadProcessIsHidden(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			healthy, dying := dial(t, cfg), dial(t, cfg)
			dying.AddHook(&fault{at: 1, mode: "refused"})
			open := func(c redis.UniversalClient) preprocess.Store {
				return redisstore.New(c, redisstore.Config{Timeout: patient})
			}
			repeat := visit(1, 30)
			repeat.Arrival.Offset = 99
			if _, err := storetest.Exchange(t.Context(), open(healthy), []preprocess.Visit{visit(1, 10)}); err != nil {
				t.Fatal(err)
			}
			want := state(t, open(healthy))
			if _, err := storetest.Exchange(t.Context(), open(dying), []preprocess.Visit{repeat}); !errors.Is(err, errFault) {
				t.Fatalf("the second pipeline's fault is reported as %v", err)
			}
			if n := healthy.ZCard(t.Context(), redisstore.DefaultPrefix+"{c}:c:x").Val(); n != 3 {
				t.Fatalf("%d points are in Redis, not the order's, the repeat's and the probe's", n)
			}
			if diff := cmp.Diff(want, state(t, open(healthy)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what is seen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedConnectionFailsAtOnce(t *testing.T) {
	s := redisstore.New(dial(t, redisstore.DialConfig{Addrs: []string{redistest.FreeAddr(t)}}), redisstore.Config{})
	start := time.Now()
	_, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(1, 1)})
	if err == nil || !strings.HasPrefix(err.Error(), "exchanging 1 visits with Redis: ") {
		t.Errorf("a refused connection is reported as %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestSilentServerFailsNearTheTimeout: by default go-redis waits for 5 s.
func TestSilentServerFailsNearTheTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	s := redisstore.New(dial(t, redisstore.DialConfig{Addrs: []string{l.Addr().String()}}), redisstore.Config{Timeout: 100 * time.Millisecond})
	for what, call := range map[string]func() error{
		"Exchange": func() error {
			_, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(1, 1)})
			return err
		},
		"Learn": func() error { return s.Learn(t.Context(), []schemas.Label{label(1, 1, true)}) },
	} {
		start := time.Now()
		err := call()
		if took := time.Since(start); took < 90*time.Millisecond || took > 2*time.Second {
			t.Errorf("%s took %v", what, took)
		}
		if netErr := net.Error(nil); !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("%s reports %v, which is not a timeout", what, err)
		}
	}
}

// deafConn loses one answer of the server, when armed: the server has done its work by then. A second try would go through.
type deafConn struct {
	net.Conn
	armed *atomic.Bool
}

func (c deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.armed.CompareAndSwap(true, false) {
		_ = c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestLostReplyIsReportedAndNotSentAgain(t *testing.T) {
	cfg := startRedis(t)
	var armed atomic.Bool
	admin := dial(t, cfg)
	cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return deafConn{conn, &armed}, err
	}
	client := dial(t, cfg)
	s := redisstore.New(client, redisstore.Config{Timeout: patient})
	if _, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(1, 10)}); err != nil {
		t.Fatal(err)
	}
	before := calls(t, admin)
	armed.Store(true)
	if _, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(2, 11)}); err == nil {
		t.Fatal("a lost reply is no error")
	}
	if armed.Load() {
		t.Fatal("no reply was lost")
	}
	if got := calls(t, admin) - before; got != 1 {
		t.Errorf("the pipeline was done %d times", got)
	}
	found, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{visit(2, 11)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(found[0].Views[0].Points); n != 2 {
		t.Errorf("%d points after doing it again, want 2", n)
	}
}

// calls is how many claims a server has seen.
func calls(t *testing.T, client redis.UniversalClient) int {
	t.Helper()
	info, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_set:calls=")
	number, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no number of SET calls in %q", info)
	}
	return n
}

func TestRefusedCommandsFailTheCall(t *testing.T) {
	client := dial(t, startRedis(t))
	ctx := t.Context()
	s := redisstore.New(client, redisstore.Config{Prefix: "p:", Timeout: patient})
	exchange := func() error {
		_, err := storetest.Exchange(ctx, s, []preprocess.Visit{visit(1, 1), visit(2, 2)})
		return err
	}
	learn := func() error { return s.Learn(ctx, []schemas.Label{label(1, 1, true)}) }
	tests := []struct {
		name     string
		setUp    []any
		tearDown []any
		call     func() error
		want     string
	}{
		{"a column of another type", []any{"set", "p:{c}:c:x", "1"}, []any{"del", "p:{c}:c:x"}, exchange, "WRONGTYPE"},
		{"a merged column of another type", []any{"set", "p:{c}:m:hot", "1"}, []any{"del", "p:{c}:m:hot"}, exchange, "WRONGTYPE"},
		{"marks of another type", []any{"set", "p:{c}:l", "1"}, []any{"del", "p:{c}:l"}, exchange, "WRONGTYPE"},
		{"a claim of another type", []any{"lpush", "p:o:{o1}", "1"}, []any{"del", "p:o:{o1}"}, exchange, "WRONGTYPE"},
		{"labels of another type", []any{"set", "p:l:{o1}", "1"}, []any{"del", "p:l:{o1}"}, exchange, "WRONGTYPE"},
		{"labels of another type", []any{"set", "p:l:{o1}", "1"}, []any{"del", "p:l:{o1}"}, learn, "WRONGTYPE"},
		{"no memory", []any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}, exchange, "OOM"},
		{"no memory", []any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}, learn, "OOM"},
		{"a replica", []any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}, exchange, "READONLY"},
		{"points that are not ours", []any{"zadd", "p:{c}:c:x", t0, "secret"}, []any{"del", "p:{c}:c:x"}, exchange, `reading column "x": it holds bytes that are not ours`},
		{"marks that are not ours", []any{"zadd", "p:{c}:l", t0, "secret"}, []any{"del", "p:{c}:l"}, exchange, `reading column "of labels": it holds bytes that are not ours`},
		{"a claim that is not ours", []any{"set", "p:o:{o1}", "secret"}, []any{"del", "p:o:{o1}"}, exchange, "it holds bytes that are not ours"},
		{"versions that are not ours", []any{"sadd", "p:l:{o1}", "secret"}, []any{"del", "p:l:{o1}"}, learn, "it holds bytes that are not ours"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := client.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			if err := client.Do(ctx, test.setUp...).Err(); err != nil {
				t.Fatal(err)
			}
			err := test.call()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it is reported as %v, want %s", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "o1") || strings.Contains(err.Error(), "secret")) {
				t.Errorf("the error tells an id or what was found: %v", err)
			}
			if err := client.Do(ctx, test.tearDown...).Err(); err != nil {
				t.Fatal(err)
			}
			if err := test.call(); err != nil {
				t.Errorf("without the fault: %v", err)
			}
		})
	}
}

// TestACopyDoesNotHoldItsIDBecauseTheFirstWasRefused by a server that has room now and then.
func TestACopyDoesNotHoldItsIDBecauseTheFirstWasRefused(t *testing.T) {
	m := miniredis.RunT(t)
	refusals := 1
	m.Server().SetPreHook(func(c *mini.Peer, command string, _ ...string) bool {
		if command != "SET" || refusals == 0 {
			return false
		}
		refusals--
		c.WriteError("OOM command not allowed when used memory > 'maxmemory'.")
		return true
	})
	s := redisstore.New(dial(t, redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: patient}), redisstore.Config{Timeout: patient})
	first, again := visit(1, 1), visit(1, 1)
	again.Arrival.Offset += 9
	visits := []preprocess.Visit{first, again, visit(2, 2)}
	if _, err := storetest.Exchange(t.Context(), s, visits); err == nil {
		t.Fatal("a refusal is not told")
	}
	found, err := storetest.Exchange(t.Context(), s, visits)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if found[i].First != first.Arrival {
			t.Errorf("visit %d: %v holds the id", i, found[i].First)
		}
	}
}

// holder lets something else happen before one pipeline.
type holder struct {
	fault

	at        int
	meanwhile func()
}

func (h *holder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.seen++; h.seen-1 == h.at {
			h.meanwhile()
		}
		return next(ctx, cmds)
	}
}
