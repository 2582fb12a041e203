package main_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// sources is what a reader of committed decisions has seen while the test ran: how many records there are for each record of an order.
type sources struct {
	mu    sync.Mutex
	seen  map[string]int // :: topic/partition/offset → decisions; guarded by mu
	total int            // guarded by mu
}

// followSources reads the decisions, committed ones alone, until the test ends.
func (s site) followSources(t *testing.T, ctx context.Context) *sources {
	t.Helper()
	c := s.client(t, append(fromStart(s, "decisions"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	out := &sources{seen: map[string]int{}}
	go func() {
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(out.add)
		}
	}()
	return out
}

func (s *sources) add(r *kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	for _, h := range r.Headers {
		if h.Key == "verdict.source" {
			s.seen[string(h.Value)]++
		}
	}
}

func (s *sources) decided() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// twice returns how many records of orders have more than one decision.
func (s *sources) twice() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, count := range s.seen {
		if count > 1 {
			n++
		}
	}
	return n
}

// TestExactlyOnceEachOrderHasOneDecisionWhileScorersAreKilled sends orders to both lanes while scorers are killed (kill -9) and stopped for longer than their
// session (SIGSTOP), and counts what a reader of committed records sees all the while. Without VERDICT_CAMPAIGN, two kills of a static member have to do.
func TestExactlyOnceEachOrderHasOneDecisionWhileScorersAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const session = 6 * time.Second
	s := newSite(t)
	ctx := within(t, 4*time.Minute)
	orders, kills, stops, victims := 1000, 2, 0, 1
	if os.Getenv("VERDICT_CAMPAIGN") != "" {
		orders, kills, stops, victims = 10_000, 7, 1, 2
	}
	var configs [2]string
	var scorers [2]*process
	for i := range scorers {
		instance := ""
		if i == 0 {
			instance = "scorer-0" // the other is a dynamic member, with a transactional id of chance
		}
		configs[i] = s.config(t, instance, fmt.Sprintf("delivery: exactly_once\nkafka.session_timeout: %s\nkafka.max_poll_records: 50", session))
		scorers[i] = start(t, "serve", "--role", "scorer", "-c", configs[i])
	}
	seen := s.followSources(t, ctx)
	sent := 0
	c := s.client(t, kgo.ProducerLinger(5*time.Millisecond))
	send := func(n int) {
		for range n {
			topic := "orders"
			if sent%3 == 0 {
				topic = "orders.sync"
			}
			r := &kgo.Record{Topic: s.topic(topic), Key: fmt.Append(nil, sent%100), Value: []byte(orderJSON(fmt.Sprint("o", sent), sent%100, 10))}
			c.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
			sent++
		}
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	send(100)
	until(t, ctx, func() bool { return seen.decided() >= 100 })
	for n := range kills + stops {
		send((orders - 100) / (kills + stops))
		i := n % victims
		work := seen.decided() + 20 + rand.N(300)
		until(t, ctx, func() bool { return seen.decided() >= work || seen.decided() >= sent })
		if n == kills { // a pause for longer than the session and the transaction may be: whoever comes back from it must find itself fenced
			pauseProcess(t, scorers[i], session+3*time.Second)
			continue
		}
		scorers[i].kill()
		scorers[i] = start(t, "serve", "--role", "scorer", "-c", configs[i])
	}
	until(t, ctx, func() bool { return seen.decided() >= sent })
	for _, p := range scorers {
		if err := p.interrupt(); err != nil {
			t.Errorf("a scorer ended with %v", err)
		}
	}
	time.Sleep(time.Second) // what would come twice has time to
	if twice := seen.twice(); twice > 0 || seen.decided() != sent || seen.total != sent {
		t.Errorf("of %d orders %d have a decision and %d more than one; %d records", sent, seen.decided(), twice, seen.total)
	}
	t.Logf("%s: orders=%d lost=%d dup=%d kills=%d stops=%d", s.name, sent, sent-seen.decided(), seen.twice(), kills, stops)
}

// pauseProcess stops a process for a while, as a pause of its machine would.
func pauseProcess(t *testing.T, p *process, d time.Duration) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

func TestOfTwoProcessesWithOneTransactionalIDTheOlderEnds(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", "delivery: exactly_once\nkafka.transactional_id: twin")
	older := start(t, "serve", "--role", "scorer", "-c", config)
	seen := s.followSources(t, ctx)
	c := s.client(t)
	n := 0
	more := func() {
		s.produce(t, ctx, c, "orders", []byte(orderJSON(fmt.Sprint("o", n), 1, 10)))
		n++
	}
	more()
	until(t, ctx, func() bool { return seen.decided() == n })
	start(t, "serve", "--role", "scorer", "-c", config)
	ended := make(chan error, 1)
	go func() { ended <- older.await() }()
	for over := false; !over; {
		more()
		select {
		case err := <-ended:
			over = true
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("both go on")
		}
	}
	if want := "is in use by a process that started after this one"; !strings.Contains(older.log.String(), want) {
		t.Errorf("it does not say that its id %s", want)
	}
	until(t, ctx, func() bool { return seen.decided() == n })
	if seen.twice() > 0 {
		t.Error("an order has two decisions")
	}
}

func TestExactlyOnceIsRefusedWhereTheBrokersAreTooOld(t *testing.T) {
	for _, test := range []struct {
		name    string
		version *kversion.Versions
		says    string
	}{
		{"2.4", kversion.V2_4_0(), "delivery: exactly_once: the brokers are too old"},
		{"3.5", kversion.V3_5_0(), "delivery is exactly once, with a limit"},
		{"4.0", kversion.V4_0_0(), `msg="delivery is exactly once"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(test.version))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			s := site{prefix: "old-", name: "in-process", kafka: cluster.ListenAddrs(), redis: miniredis.RunT(t).Addr()}
			config := s.config(t, "", "delivery: exactly_once")
			if test.name != "2.4" {
				if p := start(t, "serve", "--role", "scorer", "-c", config); !strings.Contains(p.log.String(), test.says) {
					t.Errorf("it does not say %q", test.says)
				}
				return
			}
			ctx := within(t, 30*time.Second)
			out, err := exec.CommandContext(ctx, program, "serve", "--role", "scorer", "-c", config).CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), test.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestALogGapIsToldAndAccepted deletes orders that a scorer which is away has not read.
func TestALogGapIsToldAndAccepted(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", "kafka.partitions: 1")
	first := start(t, "serve", "--role", "scorer", "-c", config)
	seen := s.followSources(t, ctx)
	c := s.client(t)
	send := func(id string) { s.produce(t, ctx, c, "orders", []byte(orderJSON(id, 1, 10))) }
	send("a")
	until(t, ctx, func() bool { return seen.decided() == 1 })
	if err := first.interrupt(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "c", "d"} {
		send(id)
	}
	var cut kadm.Offsets
	cut.Add(kadm.Offset{Topic: s.topic("orders"), At: 3})
	if _, err := kadm.NewClient(c).DeleteRecords(ctx, cut); err != nil {
		t.Fatal(err)
	}
	second := start(t, "serve", "--role", "scorer", "-c", config)
	want := fmt.Sprintf("log gap in %s/0: records 1 to 2 were deleted before they were read, 2 in all: the group is at offset 1, and the log starts at 3", s.topic("orders"))
	until(t, ctx, func() bool {
		code, text := second.get(ctx, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(string(text), want)
	})
	if gone := second.metric(ctx, "verdict_log_gap_records"); gone != 2 {
		t.Errorf("the metric shows %v", gone)
	}
	if code, _ := second.get(ctx, "/livez"); code != http.StatusOK {
		t.Errorf("/livez says %d: a restart mends nothing", code)
	}
	if err := second.interrupt(); err != nil {
		t.Fatal(err)
	}
	third := start(t, "serve", "--role", "scorer", "--accept-gap", "-c", config)
	until(t, ctx, func() bool { return seen.decided() == 2 })
	third.ready(ctx)
	if want := "skipped_from=1 skipped_to=2 records=2"; !strings.Contains(third.log.String(), want) {
		t.Errorf("it does not say %s", want)
	}
}
