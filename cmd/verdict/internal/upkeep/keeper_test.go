package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/cmd/verdict/internal/upkeep"
	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess/redisstore"
)

// topics are what the processes of a test share: what the groups have committed, and what was done to fill the store.
type topics struct {
	mu        sync.Mutex
	committed kafka.Offsets
	applied   []span         // guarded by mu
	kept      []time.Time    // guarded by mu: since when decisions were kept again; zero for those that came meanwhile
	evict     func(pass int) // guarded by mu; called by Apply with how often it was called
	applying  chan struct{}  // when set, Apply tells that it has begun, and ends when its context does
}

type span struct{ Starts, Ends kafka.Offsets }

// process is a Keeper as a process that scores has it.
type process struct {
	*upkeep.Keeper

	client redis.UniversalClient
	hooks  *consumer.Upkeep
	stop   context.CancelFunc
	over   chan struct{} // closed when Run has returned
}

func newProcess(t *testing.T, m *miniredis.Miniredis, of *topics, writer string) *process {
	t.Helper()
	p := &process{}
	guard := redisstore.NewGuard(redisstore.GuardConfig{Writer: writer, Lost: func() { p.Lost() }})
	p.client = redisstore.Dial(redisstore.DialConfig{Addrs: []string{m.Addr()}, Timeout: 5 * time.Second, Guard: guard})
	t.Cleanup(func() { _ = p.client.Close() })
	p.Keeper = upkeep.New(upkeep.Config{
		Writer: writer, Guard: guard, Decisions: time.Hour,
		Bulletin: redisstore.NewBulletin(redisstore.BulletinConfig{Client: p.client, Writer: writer, Timeout: 5 * time.Second}),
		Committed: func(context.Context) (kafka.Offsets, error) {
			of.mu.Lock()
			defer of.mu.Unlock()
			return clone(of.committed), nil
		},
		Apply: func(ctx context.Context, starts, ends kafka.Offsets, applied func(context.Context, []consumer.Record) error) error {
			of.mu.Lock()
			of.applied = append(of.applied, span{clone(starts), ends})
			wait := of.applying
			of.applying = nil
			if of.evict != nil {
				of.evict(len(of.applied))
			}
			of.mu.Unlock()
			if wait != nil {
				close(wait)
				<-ctx.Done()
				return ctx.Err()
			}
			for topic, partitions := range ends {
				for n, end := range partitions {
					if err := applied(ctx, []consumer.Record{{Topic: topic, Partition: n, Offset: end - 1}}); err != nil {
						return err
					}
				}
			}
			return nil
		},
		Keep: func(_ context.Context, since time.Time, starts kafka.Offsets) (kafka.Offsets, int64, error) {
			of.mu.Lock()
			defer of.mu.Unlock()
			if starts != nil {
				since = time.Time{}
			}
			of.kept = append(of.kept, since)
			return kafka.Offsets{"decisions": {0: 1}}, 1, nil
		},
	})
	p.hooks = p.Upkeep()
	ctx, stop := context.WithCancel(t.Context())
	p.stop = stop
	p.over = make(chan struct{})
	go func() { defer close(p.over); _ = p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-p.over })
	return p
}

func clone(o kafka.Offsets) kafka.Offsets {
	out := make(kafka.Offsets, len(o))
	for topic, partitions := range o {
		out[topic] = maps.Clone(partitions)
	}
	return out
}

// step does what a worker does with a batch that ends before an offset, and commits it.
func (p *process) step(t *testing.T, of *topics, next int64) (stale bool, err error) {
	t.Helper()
	return p.stepOf(t, of, next, false)
}

func (p *process) stepOf(t *testing.T, of *topics, next int64, first bool) (stale bool, err error) {
	t.Helper()
	records := []consumer.Record{{Topic: "orders", Partition: 0, Offset: next - 1}}
	var taken []consumer.Record
	if first {
		taken = records
	}
	ctx, stale, err := p.hooks.Enter(t.Context(), t.Context(), taken, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if !stale {
		with, marked := p.hooks.Mark(ctx, records)
		pipe := p.client.Pipeline()
		pipe.Set(with, "state", next, 0)
		if _, err = pipe.Exec(with); err == nil {
			err = marked()
		}
	}
	p.hooks.Leave(records, err == nil)
	if err == nil {
		of.mu.Lock()
		of.committed["orders"] = map[int32]int64{0: next}
		of.mu.Unlock()
	}
	return stale, err
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-late:
			t.Fatal("waited too long")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (o *topics) spans() []span {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]span(nil), o.applied...)
}

// TestRepairBeginsWhereTheStoreWentBackTo, also where the call that noticed it has written over the mark that told where.
func TestRepairBeginsWhereTheStoreWentBackTo(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{}}
	one, other := newProcess(t, m, of, "one"), newProcess(t, m, of, "other")
	for n := range 4 {
		if stale, err := one.step(t, of, int64(10*n+10)); stale || err != nil {
			t.Fatalf("step %d is stale: %v, %v", n, stale, err)
		}
	}
	if got := of.spans(); len(got) > 0 {
		t.Fatalf("a store that has everything was filled: %v", got)
	}
	// The server as it was after the second step, with the counter of that time.
	marked := time.Now().Add(-10 * time.Minute)
	for key, value := range map[string]string{"verdict:fence:{18}:one+2": "2", "verdict:at:{orders/0}": "20 " + millis(marked), "state": "20"} {
		if err := m.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.step(t, of, 50); !errors.Is(err, redisstore.ErrLost) {
		t.Fatalf("the step that reads what is left: %v", err)
	}
	until(t, func() bool { return len(of.spans()) > 0 && one.Whole() && other.Whole() })
	want := []span{{kafka.Offsets{"orders": {0: 20}}, kafka.Offsets{"orders": {0: 40}}}}
	if diff := cmp.Diff(want, of.spans()); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	if len(of.kept) != 2 || !of.kept[1].IsZero() || of.kept[0].After(marked) || of.kept[0].Before(marked.Add(-5*time.Minute)) {
		t.Errorf("decisions were kept again since %v, and %v is when the mark was written", of.kept, marked)
	}
	if stale, err := one.step(t, of, 50); stale || err != nil {
		t.Errorf("the step done again: stale %v, %v", stale, err)
	}
	if got, _ := m.Get("verdict:at:{orders/0}"); got[:3] != "50 " {
		t.Errorf("the mark is %q", got)
	}
}

// TestAMarkOfAProcessThatEndsAsItNoticesALossIsNotBelieved: it has written over the mark that told how far the store is, and puts nothing back.
func TestAMarkOfAProcessThatEndsAsItNoticesALossIsNotBelieved(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{}}
	one := newProcess(t, m, of, "one")
	for n := range 4 {
		if stale, err := one.step(t, of, int64(10*n+10)); stale || err != nil {
			t.Fatalf("step %d is stale: %v, %v", n, stale, err)
		}
	}
	one.stop()
	<-one.over
	// The server as it was after the second step.
	for key, value := range map[string]string{"verdict:fence:{18}:one+2": "2", "verdict:at:{orders/0}": "20 " + millis(time.Now()) + " 1 one+2", "state": "20"} {
		if err := m.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.step(t, of, 50); !errors.Is(err, redisstore.ErrLost) {
		t.Fatalf("the step that reads what is left: %v", err)
	}
	if mark, _ := m.Get("verdict:at:{orders/0}"); !strings.HasPrefix(mark, "50 ") {
		t.Fatalf("the mark is %q", mark)
	}
	other := newProcess(t, m, of, "other")
	until(t, func() bool { return other.Whole() })
	want := []span{{kafka.Offsets{}, kafka.Offsets{"orders": {0: 40}}}}
	if diff := cmp.Diff(want, of.spans()); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
}

// TestWhatADeadProcessDidAndTheStoreLostIsMissed by who takes its partition over, whose own counter stands: in the same moment the one has died and the other went back.
func TestWhatADeadProcessDidAndTheStoreLostIsMissed(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{}}
	one, other := newProcess(t, m, of, "one"), newProcess(t, m, of, "other")
	step := func(p *process, next int64, first bool) {
		t.Helper()
		if stale, err := p.stepOf(t, of, next, first); stale || err != nil {
			t.Fatalf("the step to %d is stale: %v, %v", next, stale, err)
		}
	}
	for n := range 4 {
		step(one, int64(10*n+10), n == 0)
	}
	until(t, other.Whole)
	one.stop()
	<-one.over
	for key, value := range map[string]string{"verdict:fence:{18}:one+2": "2", "verdict:at:{orders/0}": "20 " + millis(time.Now()) + " 1 one+2", "state": "20"} {
		if err := m.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	step(other, 50, true)
	want := []span{{kafka.Offsets{"orders": {0: 20}}, kafka.Offsets{"orders": {0: 40}}}}
	if diff := cmp.Diff(want, of.spans()); diff != "" {
		t.Errorf("applied before it (-want +got):\n%s", diff)
	}
	step(other, 60, true) // it has come back to it, and nothing was lost
	if n := len(of.spans()); n != 1 {
		t.Errorf("the store was filled %d times", n)
	}
}

// TestAProcessThatBeginsOrWasNotHeardOfKeepsTheLastDecisions before it lets a step begin: nothing else tells that the store lost those of orders that are not committed.
func TestAProcessThatBeginsOrWasNotHeardOfKeepsTheLastDecisions(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{}}
	one := newProcess(t, m, of, "one")
	if stale, err := one.step(t, of, 10); stale || err != nil {
		t.Fatal(stale, err)
	}
	kept := func() int {
		of.mu.Lock()
		defer of.mu.Unlock()
		return len(of.kept)
	}
	if n := kept(); n != 0 {
		t.Fatalf("decisions were kept again %d times before there were any", n)
	}
	other := newProcess(t, m, of, "other")
	until(t, other.Whole)
	if n := kept(); n != 1 || time.Since(of.kept[0]) > time.Minute {
		t.Fatalf("a process that begins has kept decisions since %v", of.kept)
	}
	m.SetError("LOADING Redis is loading the dataset in memory")
	begins := func(p *process, within time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, stale, err := p.hooks.Enter(ctx, ctx, nil, func() {})
		if err == nil {
			p.hooks.Leave([]consumer.Record{{}}, false)
		}
		return err == nil && !stale
	}
	until(t, func() bool { return !begins(one, 10*time.Millisecond) && !begins(other, 10*time.Millisecond) })
	m.SetError("")
	if !begins(one, 30*time.Second) || !begins(other, 30*time.Second) {
		t.Error("no step begins")
	}
	if n := kept(); n != 3 {
		t.Errorf("decisions were kept again %d times, not by each of the two once more", n)
	}
}

func millis(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

// TestAnotherProcessGoesOnWithARepair whose leader has died.
func TestAnotherProcessGoesOnWithARepair(t *testing.T) {
	begun := make(chan struct{})
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{"orders": {0: 5000}}, applying: begun}
	one := newProcess(t, m, of, "one")
	<-begun
	one.stop()
	other := newProcess(t, m, of, "other")
	until(t, func() bool { // miniredis has no clock
		m.FastForward(100 * time.Millisecond)
		return other.Whole()
	})
	want := span{kafka.Offsets{}, kafka.Offsets{"orders": {0: 5000}}}
	if diff := cmp.Diff([]span{want, want}, of.spans()); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
}

// TestNobodyDecidesByARepairThatWasLost: the store loses something while it is filled, and what it says of that repair is of before. First decisions that were kept
// again may be gone, so nothing is decided until they were once more.
func TestNobodyDecidesByARepairThatWasLost(t *testing.T) {
	begun := make(chan struct{})
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{"orders": {0: 5000}}, applying: begun}
	newProcess(t, m, of, "one")
	<-begun
	other := newProcess(t, m, of, "other")
	if stale, err := other.step(t, of, 5010); !stale || err != nil {
		t.Fatalf("a step meanwhile: stale %v, %v", stale, err)
	}
	times := func() int {
		of.mu.Lock()
		defer of.mu.Unlock()
		return len(of.kept)
	}
	before := times()
	m.Del("verdict:fence:{18}:other") // the server went back: by this counter, and not to before the repair
	pipe := other.client.Pipeline()
	pipe.Exists(t.Context(), "state")
	if _, err := pipe.Exec(t.Context()); err != nil && !errors.Is(err, redisstore.ErrLost) { // unless the process has noticed by itself
		t.Fatal(err)
	}
	if _, err := other.step(t, of, 5020); err != nil || times() == before {
		t.Errorf("a step after the loss: %v; decisions were kept again %d times, before it %d", err, times(), before)
	}
}

// TestOrdersAreDecidedWhileAStoreIsFilled that lacks much, and said to be stale.
func TestOrdersAreDecidedWhileAStoreIsFilled(t *testing.T) {
	begun := make(chan struct{})
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{"orders": {0: 5000}}, applying: begun}
	p := newProcess(t, m, of, "one")
	<-begun
	if stale, err := p.step(t, of, 5010); !stale || err != nil {
		t.Errorf("a step meanwhile: stale %v, %v", stale, err)
	}
	if m.Exists("state") || p.Whole() {
		t.Error("it has written to the store, or the store counts as whole")
	}
}

// TestWhatIsDoneBehindARepairIsApplied: the others end a repair without a process that they have not heard of for long, while a step of it is under way by what there
// was. What that step does is applied before anything else, or its partition's next mark would hide it for ever.
func TestWhatIsDoneBehindARepairIsApplied(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{"orders": {0: 5000}}}
	for key, value := range map[string]string{"verdict:at:{orders/0}": "5000 " + millis(time.Now()), "verdict:repair": `{"leader":"gone","stage":"features","call":"features"}`} {
		if err := m.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	p := newProcess(t, m, of, "one")
	records := []consumer.Record{{Topic: "orders", Partition: 0, Offset: 5009}}
	if _, stale, err := p.hooks.Enter(t.Context(), t.Context(), nil, func() {}); !stale || err != nil {
		t.Fatalf("a step while the store is filled: stale %v, %v", stale, err)
	}
	if err := m.Set("verdict:whole:{18}", "gather"); err != nil {
		t.Fatal(err)
	}
	m.Del("verdict:repair")
	looks := m.CommandCount()
	until(t, func() bool { return m.CommandCount() > looks+50 })
	if p.Whole() {
		t.Error("the store counts as whole while a step is under way that leaves nothing in it")
	}
	of.mu.Lock()
	of.committed = kafka.Offsets{"orders": {0: 5010}}
	of.mu.Unlock()
	p.hooks.Leave(records, true)
	if stale, err := p.step(t, of, 5020); stale || err != nil {
		t.Errorf("the next step: stale %v, %v", stale, err)
	}
	want := []span{{kafka.Offsets{"orders": {0: 5000}}, kafka.Offsets{"orders": {0: 5010}}}}
	if diff := cmp.Diff(want, of.spans()); diff != "" {
		t.Errorf("applied before it (-want +got):\n%s", diff)
	}
}

// evicting answers INFO of a miniredis with how many keys it has dropped.
func evicting(m *miniredis.Miniredis) *atomic.Int64 {
	keys := new(atomic.Int64)
	m.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if strings.ToLower(cmd) != "info" {
			return false
		}
		c.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:abc\r\nevicted_keys:%d\r\n", keys.Load()))
		return true
	})
	return keys
}

// TestAfterEvictionsEverythingIsAppliedAgain, whatever the marks say, and once for all processes, those that start later too.
func TestAfterEvictionsEverythingIsAppliedAgain(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{}}
	keys := evicting(m)
	one, other := newProcess(t, m, of, "one"), newProcess(t, m, of, "other")
	if stale, err := one.step(t, of, 10); stale || err != nil {
		t.Fatalf("a step is stale: %v, %v", stale, err)
	}
	everything := span{kafka.Offsets{}, kafka.Offsets{"orders": {0: 10}}}
	var want []span
	for _, writer := range []string{"third", "fourth"} {
		keys.Add(5)
		want = append(want, everything)
		until(t, func() bool { return len(of.spans()) == len(want) && one.Whole() && other.Whole() })
		later := newProcess(t, m, of, writer)
		until(t, later.Whole)
		if diff := cmp.Diff(want, of.spans(), cmp.Transformer("filled", filled)); diff != "" {
			t.Fatalf("applied (-want +got):\n%s", diff)
		}
	}
	one.stop()
	other.stop()
	keys.Add(1) // while hardly anybody looks
	until(t, func() bool { return len(of.spans()) == len(want)+1 })
}

// filled are offsets without those that are 0.
func filled(o kafka.Offsets) kafka.Offsets {
	out := kafka.Offsets{}
	for topic, partitions := range o {
		for n, at := range partitions {
			if at > 0 {
				out[topic] = map[int32]int64{n: at}
			}
		}
	}
	return out
}

// TestAStoreThatIsEvictedWhileItIsFilledIsNotWhole, until a time has passed without.
func TestAStoreThatIsEvictedWhileItIsFilledIsNotWhole(t *testing.T) {
	m, of := miniredis.RunT(t), &topics{committed: kafka.Offsets{"orders": {0: 5000}}}
	keys := evicting(m)
	of.evict = func(pass int) {
		if pass <= 2 {
			keys.Add(1)
		}
	}
	p := newProcess(t, m, of, "one")
	until(t, p.Whole)
	if n := len(of.spans()); n != 3 {
		t.Errorf("it was filled %d times, want 2 that came to nothing and one that did", n)
	}
}
