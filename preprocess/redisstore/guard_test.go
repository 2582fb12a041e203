package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/preprocess/storetest"
)

// guarded is a Store behind a Guard, and how often that told of a loss.
type guarded struct {
	*redisstore.Store
	guard *redisstore.Guard
	told  int
}

func newGuarded(t testing.TB, cfg redisstore.DialConfig, writer string) *guarded {
	t.Helper()
	g := &guarded{}
	g.guard = redisstore.NewGuard(redisstore.GuardConfig{Writer: writer, Keep: time.Hour, Lost: func() { g.told++ }})
	cfg.Guard = g.guard
	g.Store = redisstore.New(dial(t, cfg), redisstore.Config{Timeout: patient})
	return g
}

func (g *guarded) exchange(t testing.TB, n int) error {
	t.Helper()
	_, err := storetest.Exchange(t.Context(), g, []preprocess.Visit{visit(n, int64(n))})
	return err
}

// TestEmptiedStoreIsNoticedByTheCallThatReadsIt: and by that of each process, once.
func TestEmptiedStoreIsNoticedByTheCallThatReadsIt(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			one, other := newGuarded(t, cfg, "one"), newGuarded(t, cfg, "other")
			for n := range 5 {
				if err := errors.Join(one.exchange(t, n), other.exchange(t, n)); err != nil {
					t.Fatal(err)
				}
			}
			flush(t, cfg)
			for _, g := range []*guarded{one, other} {
				if err := g.exchange(t, 1); !errors.Is(err, redisstore.ErrLost) {
					t.Fatalf("what is left of an emptied store is taken, with the error %v", err)
				}
				for n := range 3 {
					if err := g.exchange(t, n); err != nil && !cfg.Cluster { // there, each part notices by itself
						t.Fatalf("a loss that is known is told again: %v", err)
					}
				}
			}
			if one.told == 0 || other.told == 0 {
				t.Errorf("%d and %d were told", one.told, other.told)
			}
		})
	}
}

// TestACallThatNoticesALossLeavesNeitherClaimNorPoint: it has a copy of an order that was lost, and the order is to hold its id again.
func TestACallThatNoticesALossLeavesNeitherClaimNorPoint(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			g := newGuarded(t, cfg, "one")
			if err := g.exchange(t, 1); err != nil {
				t.Fatal(err)
			}
			flush(t, cfg)
			first, again := visit(1, 1), visit(1, 1)
			again.Arrival.Offset += 9
			if _, err := storetest.Exchange(t.Context(), g, []preprocess.Visit{again}); !errors.Is(err, redisstore.ErrLost) {
				t.Fatalf("what is left of an emptied store is taken, with the error %v", err)
			}
			bound := g.guard.Bind(t.Context(), redisstore.Session{})
			for _, v := range []preprocess.Visit{visit(3, 3), first, again} {
				found, err := storetest.Exchange(t.Context(), g, []preprocess.Visit{v})
				if err != nil {
					t.Fatal(err)
				}
				for _, view := range found[0].Views {
					if slices.ContainsFunc(view.Points, func(p preprocess.Point) bool { return p.Arrival == again.Arrival }) {
						t.Errorf("there is a point of the copy: %v", view.Points)
					}
				}
			}
			for _, v := range []preprocess.Visit{first, again} {
				if found, err := storetest.Exchange(t.Context(), g, []preprocess.Visit{v}); err != nil || found[0].First != first.Arrival {
					t.Errorf("%v holds the id, %v; want %v", found, err, first.Arrival)
				}
			}

			// A call that is bound to what was there before another loss is not sent, and takes nothing back.
			flush(t, cfg)
			if err := g.exchange(t, 2); !errors.Is(err, redisstore.ErrLost) {
				t.Fatalf("what is left of an emptied store is taken, with the error %v", err)
			}
			for _, ctx := range []context.Context{t.Context(), bound} {
				found, err := storetest.Exchange(ctx, g, []preprocess.Visit{first})
				if ctx == bound != errors.Is(err, redisstore.ErrLost) {
					t.Fatal(err)
				}
				if ctx != bound && found[0].First != first.Arrival {
					t.Errorf("%v holds the id", found)
				}
			}
			if found, err := storetest.Exchange(t.Context(), g, []preprocess.Visit{again}); err != nil || found[0].First != first.Arrival {
				t.Errorf("the claim was taken back by a call that was not sent: %v, %v", found, err)
			}
		})
	}
}

func flush(t testing.TB, cfg redisstore.DialConfig) {
	t.Helper()
	for _, addr := range cfg.Addrs {
		if err := dial(t, redisstore.DialConfig{Addrs: []string{addr}, Timeout: patient}).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestartWithAnOlderStateIsNoticed: the server wrote its state down, took more, and came back with what it had written down.
func TestRestartWithAnOlderStateIsNoticed(t *testing.T) {
	server := redistest.Start(t)
	g := newGuarded(t, redisstore.DialConfig{Addrs: []string{server.Addr()}, Timeout: patient}, "one")
	if err := g.exchange(t, 1); err != nil {
		t.Fatal(err)
	}
	server.Do("SAVE")
	if err := g.exchange(t, 2); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Restart()
	err := g.exchange(t, 3)
	for tries := 0; err != nil && !errors.Is(err, redisstore.ErrLost) && tries < 10; tries++ {
		err = g.exchange(t, 3) // connections of before are dead
	}
	if !errors.Is(err, redisstore.ErrLost) || g.told != 1 {
		t.Errorf("a server that lost its last second gives %v, and %d were told", err, g.told)
	}
}

// TestLateReplyIsNoLoss: a pipeline whose reply was lost may have been done or not.
func TestLateReplyIsNoLoss(t *testing.T) {
	m := miniredis.RunT(t)
	g := newGuarded(t, redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: patient}, "one")
	for n := range 3 {
		m.SetError("LOADING Redis is loading the dataset in memory")
		if err := g.exchange(t, n); err == nil || errors.Is(err, redisstore.ErrLost) {
			t.Fatalf("a refusal is told as %v", err)
		}
		m.SetError("")
		for range 3 {
			if err := g.exchange(t, n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Incr("verdict:fence:{18}:one", 1); err != nil { // as a pipeline leaves it that was done without a reply
			t.Fatal(err)
		}
	}
	if g.told != 0 {
		t.Errorf("%d losses are told", g.told)
	}
}

// marked exchanges a visit, and has a mark written with it.
func (g *guarded) marked(ctx context.Context, next int64) (*redisstore.Marking, error) {
	ctx, marking := g.guard.Marking(ctx, []redisstore.Mark{{Topic: "orders", Partition: 3, Next: next, Millis: 7}})
	_, err := storetest.Exchange(ctx, g, []preprocess.Visit{visit(int(next), next)})
	return marking, err
}

// TestMarksAreWrittenBehindTheCommands, with the pipeline that carries them, and tell what stood there before.
func TestMarksAreWrittenBehindTheCommands(t *testing.T) {
	m := miniredis.RunT(t)
	g := newGuarded(t, redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: patient}, "one")
	mark := func(next int64) *redisstore.Marking {
		marking, err := g.marked(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		return marking
	}
	if first := mark(10); !first.Sent() || len(first.Older()) != 0 {
		t.Errorf("the first mark was sent: %v, and found %v", first.Sent(), first.Older())
	}
	second := mark(20)
	want := []redisstore.Mark{{Topic: "orders", Partition: 3, Next: 10, Millis: 7, While: redisstore.While{Counter: "one", Above: 0}}}
	if diff := cmp.Diff(want, second.Older()); diff != "" || !second.Sent() {
		t.Errorf("the second found (-want +got):\n%s", diff)
	}
	if ttl := m.TTL("verdict:at:{orders/3}"); ttl != time.Hour {
		t.Errorf("a mark lives for %s", ttl)
	}
	if ttl := m.TTL("verdict:fence:{18}:one"); ttl <= time.Hour {
		t.Errorf("the counter that it counts by lives for %s", ttl)
	}
	m.FlushAll()
	if third, err := g.marked(t.Context(), 30); !errors.Is(err, redisstore.ErrLost) || !third.Sent() || len(third.Older()) != 0 {
		t.Errorf("after a loss: %v, sent %v, found %v", err, third.Sent(), third.Older())
	}
}

// TestAMarkThatCameWithALossNeverCounts, however much its writer does afterwards; what it took the place of does, where it is put back.
func TestAMarkThatCameWithALossNeverCounts(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			cfg := server.start(t)
			g := newGuarded(t, cfg, "one")
			notice := redisstore.NewBulletin(redisstore.BulletinConfig{Client: dial(t, cfg), Writer: "reader", Timeout: patient})
			counts := func(want ...int64) {
				t.Helper()
				marks, err := notice.Marks(t.Context(), []redisstore.Mark{{Topic: "orders", Partition: 3}, {Topic: "orders", Partition: 4}})
				var got []int64
				for _, m := range marks {
					got = append(got, m.Next)
				}
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%v count, %v; want %v", got, err, want)
				}
			}
			session := g.guard.Session()
			mark := func(next int64, want error) (out *redisstore.Marking) {
				t.Helper()
				out, err := g.marked(g.guard.Bind(t.Context(), session), next)
				if !errors.Is(err, want) {
					t.Fatal(err)
				}
				return out
			}
			mark(10, nil)
			mark(20, nil)
			before := copied(t, cfg)
			mark(30, nil)
			mark(40, nil)
			counts(40)
			before()
			counts(20)
			late := mark(50, redisstore.ErrLost)
			counts()
			for n := range 5 {
				if err := g.exchange(t, 100+n); err != nil && !cfg.Cluster {
					t.Fatal(err)
				}
				counts()
			}
			if err := notice.SetMarks(t.Context(), late.Older()); err != nil {
				t.Fatal(err)
			}
			counts(20)
			if !cfg.Cluster { // there each part notices by itself
				mark(60, nil)
				counts(60)
			}
			// The older one, put back where that was lost as well, says nothing either.
			flush(t, cfg)
			if err := notice.SetMarks(t.Context(), late.Older()); err != nil {
				t.Fatal(err)
			}
			counts()
		})
	}
}

// copied returns what has servers hold again the texts that they hold now: counters and marks among them.
func copied(t *testing.T, cfg redisstore.DialConfig) (restore func()) {
	t.Helper()
	client := dial(t, redisstore.DialConfig{Addrs: cfg.Addrs, Cluster: cfg.Cluster, Timeout: patient})
	texts := func() map[string]string {
		out := map[string]string{}
		for _, key := range keysOf(t, client, "") {
			if text, err := client.Get(t.Context(), key).Result(); err == nil {
				out[key] = text
			}
		}
		return out
	}
	held := texts()
	return func() {
		t.Helper()
		for key := range texts() {
			client.Del(t.Context(), key)
		}
		for key, text := range held {
			if err := client.Set(t.Context(), key, text, time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPipelinesAtOnceDoNotMakeUpForALoss: where they counted together the second would find the counter as high as it should be.
func TestPipelinesAtOnceDoNotMakeUpForALoss(t *testing.T) {
	m := miniredis.RunT(t)
	g := newGuarded(t, redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: patient}, "one")
	lanes := []redisstore.Session{g.guard.Session(), g.guard.Session()}
	for n := range 3 {
		for _, lane := range lanes {
			if _, err := g.marked(g.guard.Bind(t.Context(), lane), int64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, lane := range lanes { // each loses its last, and goes on before the other has noticed
		key := "verdict:fence:{18}:one+" + strconv.Itoa(i+1)
		if _, err := m.Incr(key, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := g.marked(g.guard.Bind(t.Context(), lane), 9); !errors.Is(err, redisstore.ErrLost) {
			t.Errorf("lane %d takes what is left, with the error %v", i, err)
		}
	}
}
