//go:build unix

package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// plans are the faults that processes can meet. Those that want a fail point between two calls are made in virtual time.
func plans() []plan {
	return []plan{
		{id: "F01", what: "kill -9 of a scorer at random", short: true, static: true, recover: 10 * time.Second, fault: killScorers},
		{id: "F01once", what: "kill -9 of a scorer at random, with transactions", static: true, exactly: true, fault: killScorers},
		{id: "F04", what: "SIGTERM under load", short: true, static: true, role: "all", fault: endScorers},
		{id: "F05", what: "SIGSTOP past the session's end, then SIGCONT", fault: pauseScorers},
		{id: "F05once", what: "the same with transactions", exactly: true, fault: pauseScorers},
		{id: "F07", what: "three scorers come and go every two seconds", fault: rebalance},
		{id: "F08", what: "rolling restart with static membership", static: true, fault: rollScorers},
		{id: "F09", what: "the broker is killed and comes back", own: true, fault: killBroker},
		{id: "F09x3", what: "brokers of three are killed in turn", own: true, nodes: 3, fault: killBrokers},
		{id: "F18cut", what: "no network to Kafka", own: true, fault: cutKafka(weather{cut: true})},
		{id: "F18mute", what: "what Kafka answers does not arrive", own: true, fault: cutKafka(weather{mute: true})},
		{id: "F18slow", what: "200 ms more to Kafka, each way", own: true, fault: cutKafka(weather{delayed: 200 * time.Millisecond})},
		{id: "F19", what: "Redis refuses", short: true, fault: cutRedis(weather{cut: true})},
		{id: "F20", what: "Redis takes and never answers", fault: stopRedis},
		{id: "F21", what: "what Redis answers does not arrive, and the connections break", fault: loseReplies},
		{id: "F23", what: "Redis comes back empty", fault: emptyRedis(func(c *campaign) { c.redis.Kill(); c.redis.Restart() })},
		{id: "F23flush", what: "Redis is emptied", fault: emptyRedis(func(c *campaign) { c.redis.Do("flushall") })},
		{id: "F24", what: "the primary Redis is lost, and its replica has not heard the last second", fault: failOver(true)},
		{id: "F24x", what: "the same, also while the store is filled again", fault: failOver(false)},
		{id: "F32", what: "half of all records are copies", stream: stream{copies: 0.5}, static: true, fault: killScorers},
		{id: "F33", what: "a third of all orders are late", stream: stream{late: 0.33}, static: true, fault: killScorers},
		{id: "F35", what: "a third of all orders are of four customers", stream: stream{hot: 0.33}},
		{id: "F39", what: "every second customer and terminal is new", stream: stream{fresh: 0.5}, static: true, fault: killScorers},
		{id: "F40", what: "replays beside live, on its Redis", callers: 100, fault: replayBeside},
	}
}

// each makes a fault again and again, with about as much time between as the plan gives, until all orders are written.
func (c *campaign) each(once func(n int)) {
	for n := 0; ; n++ {
		pause := c.pace/2 + rand.N(c.pace)
		select {
		case <-c.done:
			return
		case <-time.After(pause):
			once(n)
		}
	}
}

// killScorers kills one after the other and starts each again after a moment.
func killScorers(t *testing.T, _ context.Context, c *campaign) {
	t.Helper()
	c.each(func(n int) {
		i := n % len(c.configs)
		at := time.Now()
		c.scorers.at(i).kill()
		c.oracle.Fault(at, at)
		time.Sleep(rand.N(300 * time.Millisecond))
		c.scorers.take(i, c.scorer(t, i))
	})
}

// endScorers asks one after the other to end, as a platform does: /readyz says no before the process ends, and it ends within 10 s.
func endScorers(t *testing.T, ctx context.Context, c *campaign) {
	t.Helper()
	slowest, said := time.Duration(0), 0
	c.each(func(n int) {
		i := n % len(c.configs)
		p, at := c.scorers.at(i), time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		no := false
		for code := http.StatusOK; code != 0; {
			if code, _ = p.get(ctx, "/readyz"); code == http.StatusServiceUnavailable {
				no = true
			} else if code == http.StatusOK && no {
				t.Errorf("/readyz says yes again")
			}
		}
		if err := p.await(); err != nil {
			t.Errorf("ended with %v", err)
		}
		c.oracle.Fault(at, time.Now())
		slowest = max(slowest, time.Since(at))
		if no {
			said++
		} else {
			t.Errorf("/readyz never said no")
		}
		c.scorers.take(i, c.scorer(t, i))
	})
	t.Logf("%d processes said no and ended, the slowest after %s", said, slowest.Round(time.Millisecond))
	if slowest > 10*time.Second {
		t.Errorf("a process took %s to end", slowest)
	}
}

// pauseScorers stops one for longer than its session lasts: its partitions are another's when it goes on.
func pauseScorers(t *testing.T, ctx context.Context, c *campaign) {
	t.Helper()
	c.each(func(n int) {
		p, at := c.scorers.at(n%len(c.configs)), time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		rest(ctx, campaignSession+3*time.Second)
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.oracle.Fault(at, time.Now())
	})
}

// rebalance has three more scorers come and go every two seconds.
func rebalance(t *testing.T, ctx context.Context, c *campaign) {
	t.Helper()
	for c.writing() {
		var guests []*process
		for range 3 {
			guests = append(guests, startBinary(t, c.binary, "serve", "--role", "scorer", "-c", c.configs[0]))
		}
		rest(ctx, 2*time.Second)
		for _, p := range guests {
			at := time.Now()
			if err := p.interrupt(); err != nil {
				t.Errorf("a scorer that was asked to stop ended with %v", err)
			}
			c.oracle.Fault(at, time.Now())
		}
		rest(ctx, 2*time.Second)
	}
}

// rollScorers restarts one after the other, in order.
func rollScorers(t *testing.T, _ context.Context, c *campaign) {
	t.Helper()
	c.each(func(n int) {
		i, at := n%len(c.configs), time.Now()
		if err := c.scorers.at(i).interrupt(); err != nil {
			t.Errorf("a scorer that was asked to stop ended with %v", err)
		}
		c.scorers.take(i, c.scorer(t, i))
		c.oracle.Fault(at, time.Now())
	})
}

// killBroker kills the one broker and starts it again after some seconds.
func killBroker(_ *testing.T, ctx context.Context, c *campaign) {
	c.each(func(int) {
		at := time.Now()
		c.kafka.do("kill-node", "1")
		rest(ctx, 2*time.Second)
		c.kafka.do("start-node", "1")
		c.oracle.Fault(at, time.Now())
		c.resume(ctx)
	})
}

// resume waits until there is progress again, or all orders are written: a machine that is busy takes most of a minute to start a broker, and one fault is looked
// at after the other.
func (c *campaign) resume(ctx context.Context) {
	answered := func() int {
		inputs, open := c.oracle.Open()
		return inputs - open
	}
	for before := answered(); c.writing() && ctx.Err() == nil && answered() < before+100; {
		rest(ctx, 20*time.Millisecond)
	}
}

// killBrokers kills one broker of three after the other: what was acknowledged lies on two more.
func killBrokers(_ *testing.T, ctx context.Context, c *campaign) {
	c.each(func(n int) {
		at, node := time.Now(), fmt.Sprint(n%3+1)
		c.kafka.do("kill-node", node)
		c.oracle.Fault(at, at)
		rest(ctx, 5*time.Second)
		c.kafka.do("start-node", node)
		c.resume(ctx)
	})
}

// cutKafka has bad weather between the processes and Kafka, for up to half a minute.
func cutKafka(w weather) func(*testing.T, context.Context, *campaign) {
	return func(_ *testing.T, ctx context.Context, c *campaign) {
		c.each(func(int) { c.spell(ctx, c.links.kafka, w, min(30*time.Second, 2*c.pace)) })
	}
}

// spell is bad weather for a while.
func (c *campaign) spell(ctx context.Context, l *link, w weather, lasts time.Duration) {
	at := time.Now()
	l.set(w)
	rest(ctx, lasts)
	l.set(weather{})
	c.oracle.Fault(at, time.Now())
}

// replayBeside replays what was written so far, on the Redis of live under a prefix of its own. As long as a replay lasted there is none then: what callers have in
// both halves is told.
func replayBeside(t *testing.T, ctx context.Context, c *campaign) {
	t.Helper()
	n := 0
	for lasted := c.pace; c.writing(); n++ {
		rest(ctx, lasted)
		if !c.writing() {
			break
		}
		began := time.Now()
		c.callers.beside.Store(true)
		kafka := fmt.Sprintf("kafka://%s/%s", c.site.kafka[0], c.site.topic("orders"))
		tell(t, ctx, "replay", "--orders", kafka, "--features", c.site.features, "--model", "../../deploy/example/models/handbook/1", "--schema", "../../schemas/order.avsc",
			"--write", "decisions", "--out", t.TempDir(), "--store", "redis://"+c.site.redis)
		c.callers.beside.Store(false)
		lasted = time.Since(began)
	}
	c.callers.tell(t, fmt.Sprintf("%d replays", n))
}

// writing says whether orders are still written.
func (c *campaign) writing() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
