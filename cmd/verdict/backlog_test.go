package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// spread is an order of one of many customers and terminals, as real ones are: none of them has more than a handful of orders.
func spread(id string, i int) string {
	return fmt.Sprintf(`{"order_id":%q,"occurred_at":"2026-11-01T10:%02d:%02dZ","customer_id":"%d","terminal_id":"%d","amount":%d}`, id, i/60%60, i%60, i%20_000, i%10_000, 1+i%300)
}

// backlog writes n orders to the lane of those that nobody waits for.
func (s site) backlog(t *testing.T, ctx context.Context, name string, n int) {
	t.Helper()
	c := s.client(t, kgo.ProducerLinger(5*time.Millisecond))
	for i := range n {
		c.Produce(ctx, &kgo.Record{Topic: s.topic("orders"), Key: fmt.Append(nil, i%20_000), Value: []byte(spread(fmt.Sprint(name, i), i))}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// ask sends orders at a steady rate, each at its time whether or not those before it are answered, and returns how long each took from that time on, sorted.
func (p *process) ask(ctx context.Context, name string, rate, n int) []time.Duration {
	p.t.Helper()
	took := make([]time.Duration, n)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		all.Go(func() {
			if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", spread(fmt.Sprint(name, i), i), nil); code != http.StatusOK {
				p.t.Errorf("caller %d: %d %s", i, code, text)
			}
			took[i] = time.Since(at)
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

// TestABacklogCostsWaitingCallersLittle compares how long callers wait without and with a backlog (VERDICT_BACKLOG orders). The bound of the test is wide, and the
// callers come three times if they must, since a second of other work on the machine is a p99; what it measures is in its log.
func TestABacklogCostsWaitingCallersLittle(t *testing.T) {
	s := newSite(t)
	if !s.real() {
		t.Skip("VERDICT_KAFKA and VERDICT_REDIS are not set: what the in-process stand-ins take of the processors says nothing")
	}
	backlog, rate := 200_000, 100 // what `make broker`'s Redis has room for
	if n, err := strconv.Atoi(os.Getenv("VERDICT_BACKLOG")); err == nil {
		backlog = n
	}
	ctx := within(t, 10*time.Minute)
	p := start(t, "serve", "-c", s.config(t, "", os.Getenv("VERDICT_BACKLOG_CONFIG")+"\n"+`api: {listen: "127.0.0.1:0", wait: 5s}`))
	p.ready(ctx)
	p.ask(ctx, "warm-", rate, 5*rate)
	decided := s.count(t, ctx)
	p99 := func(took []time.Duration) time.Duration { return took[len(took)*99/100] }
	quiet := p.ask(ctx, "quiet-", rate, 10*rate)
	before := decided.Load() + int64(backlog)
	s.backlog(t, ctx, "backlog-", backlog)
	began := time.Now()
	for try := 1; ; try++ {
		lag, from := decided.Load(), time.Now()
		loaded := p.ask(ctx, fmt.Sprint("loaded-", try, "-"), rate, 10*rate)
		pace := float64(decided.Load()-lag-int64(10*rate)) / time.Since(from).Seconds()
		if decided.Load() >= before {
			t.Fatalf("the backlog of %d was done before the callers were: this showed nothing", backlog)
		}
		ratio := float64(p99(loaded)) / float64(p99(quiet))
		t.Logf("%d/s: p50 %v p99 %v; with a backlog of %d: p50 %v p99 %v (%.2f times), of which %.0f/s were decided meanwhile",
			rate, quiet[len(quiet)/2], p99(quiet), backlog, loaded[len(loaded)/2], p99(loaded), ratio, pace)
		if ratio <= 5 && pace >= 10 {
			break
		}
		if try == 3 {
			t.Fatalf("p99 with a backlog is %.2f times that without, and %.0f/s of it were decided", ratio, pace)
		}
	}
	until(t, ctx, func() bool { return decided.Load() >= before }) // and without callers it is soon done
	t.Logf("all of it took %v", time.Since(began))
}
