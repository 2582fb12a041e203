//go:build unix

package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"verdict/preprocess/redisstore/redistest"
)

// cutRedis has bad weather between the processes and Redis.
func cutRedis(w weather) func(*testing.T, context.Context, *campaign) {
	return func(_ *testing.T, ctx context.Context, c *campaign) {
		c.each(func(int) { c.spell(ctx, c.links.redis, w, c.pace) })
	}
}

// loseReplies has Redis do what it is told, and the answer lost: first it does not arrive, then the connection breaks.
func loseReplies(_ *testing.T, ctx context.Context, c *campaign) {
	for c.writing() {
		rest(ctx, 100*time.Millisecond+rand.N(400*time.Millisecond))
		at := time.Now()
		c.links.redis.set(weather{mute: true})
		rest(ctx, 20*time.Millisecond)
		c.links.redis.set(weather{cut: true})
		c.links.redis.set(weather{})
		c.oracle.Fault(at, time.Now())
	}
}

// stopRedis stops the server's process, which then takes connections and answers nothing.
func stopRedis(t *testing.T, ctx context.Context, c *campaign) {
	t.Helper()
	c.each(func(int) {
		at := time.Now()
		c.redis.Signal(syscall.SIGSTOP)
		rest(ctx, c.pace)
		c.redis.Signal(syscall.SIGCONT)
		c.oracle.Fault(at, time.Now())
	})
}

// emptyRedis has the store lose all that it holds, twice: a third of the way, and two thirds.
func emptyRedis(empty func(c *campaign)) func(*testing.T, context.Context, *campaign) {
	return func(_ *testing.T, ctx context.Context, c *campaign) {
		for third := range 2 {
			for c.writing() && ctx.Err() == nil && int(c.feeder.written.Load()) < (third+1)*c.feeder.stream.n/3 {
				rest(ctx, 10*time.Millisecond)
			}
			at := time.Now()
			empty(c)
			c.oracle.Fault(at, time.Now())
		}
	}
}

// failOver has the primary die and its replica take its place, again and again. The replica has not heard what the primary did in its last second: the network
// between the two held it back. What died comes back as the replica of the other. The next one dies when the store has everything again, or without regard to that.
func failOver(patient bool) func(*testing.T, context.Context, *campaign) {
	return func(t *testing.T, _ context.Context, c *campaign) {
		t.Helper()
		c.failOver(t, patient) //nolint:contextcheck // servers and links live as long as the test
	}
}

func (c *campaign) failOver(t *testing.T, patient bool) {
	t.Helper()
	ctx := t.Context()
	primary, replica := c.redis, redistest.Start(t, redisArgs()...)
	times := 0
	for c.writing() {
		between := newLink(t, redistest.FreeAddr(t), primary.Addr())
		follow(t, replica, between)
		if patient {
			c.whole(t, ctx)
		}
		rest(ctx, c.pace/2+rand.N(c.pace))
		if !c.writing() {
			break
		}
		between.set(weather{silent: true})
		rest(ctx, time.Second)
		at := time.Now()
		primary.Kill()
		between.set(weather{cut: true}) // what was held back is lost with it
		replica.Do("replicaof", "no", "one")
		c.links.redis.lead(replica.Addr())
		c.oracle.Fault(at, time.Now())
		times++
		primary, replica = replica, primary
		replica.Restart()
	}
	c.redis, c.site.redis = primary, primary.Addr()
	rest(ctx, 2*time.Second) // until the last one is noticed
	c.whole(t, ctx)
	repairs := 0.0
	for _, p := range c.scorers.all() {
		repairs += p.metric(ctx, "verdict_store_repairs_total")
	}
	t.Logf("%d failovers, the store was made good %v times", times, repairs)
	if times > 0 && repairs == 0 {
		t.Errorf("that the last second was lost was not noticed in %d failovers", times)
	}
}

// whole waits until all scorers say that the store has everything, or until for long nothing was applied that it lacks.
func (c *campaign) whole(t *testing.T, ctx context.Context) {
	t.Helper()
	total := func(metric string) (sum float64) {
		for _, p := range c.scorers.all() {
			sum += p.metric(ctx, metric)
		}
		return sum
	}
	behind, since := -1.0, time.Now()
	for ctx.Err() == nil && int(total("verdict_store_whole")) < len(c.configs) {
		if now := total("verdict_store_behind_records"); now != behind {
			behind, since = now, time.Now()
		}
		if time.Since(since) > c.patience {
			t.Logf("the store lacks %v records, and got none of them in %s", behind, c.patience)
			return
		}
		rest(ctx, 50*time.Millisecond)
	}
}

// follow has a server become the replica of the one behind a link, and waits until it has everything.
func follow(t *testing.T, replica *redistest.Server, primary *link) {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.front)
	replica.Do("replicaof", host, port)
	until(t, within(t, time.Minute), func() bool {
		return strings.Contains(fmt.Sprint(replica.Do("info", "replication")), "master_link_status:up")
	})
}

// redisArgs are what the campaign's Redis is started with. A replica is sent everything at once, and not after the five seconds in which others might ask too; and keeps
// no file of it, from which it would start again.
func redisArgs() []string {
	return []string{"--maxmemory-policy", "noeviction", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--rdb-del-sync-files", "yes"}
}
