package kafka

import (
	"context"
	"math/rand/v2"
	"time"
)

// tender renews a Caller's lease, and moves the Caller to another partition when too many share its own. Nothing stops meanwhile: the new partition is read before
// orders ask for it, and the old one for as long as a caller may still wait for a reply there. Without Redis it does nothing, and the Caller goes on as it is.
type tender struct {
	end  context.CancelFunc // nil: there is nothing to tend
	over chan struct{}

	// Owned by the goroutine.
	left    int32     // the partition that was left and is still read; -1 is none
	leftAt  time.Time // when
	failing bool      // the last renewal failed
}

// first takes a partition of n for a process that has none.
func (t *tender) first(ctx context.Context, leases *Leases, n int32) place {
	if leases != nil {
		if at, err := leases.take(ctx, n); err == nil {
			return at
		}
	}
	return place{partition: rand.N(n)} //nolint:gosec // spreads load, keeps no secret
}

func (t *tender) start(c *Caller) {
	if c.cfg.Leases == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.end, t.over, t.left = cancel, make(chan struct{}), -1
	go func() {
		defer close(t.over)
		for {
			every := c.cfg.Leases.cfg.Every
			select {
			case <-ctx.Done():
				return
			case <-time.After(every - rand.N(every/4+1)): //nolint:gosec // processes that share a partition do not all look for another at once
				t.renew(ctx, c)
			}
		}
	}()
}

func (t *tender) stop(ctx context.Context, c *Caller) {
	if t.end == nil {
		return
	}
	t.end()
	<-t.over
	_ = c.cfg.Leases.leave(ctx, c.partition.Load()) // or it ends by itself
}

// renew holds the lease for another term, or another lease.
func (t *tender) renew(ctx context.Context, c *Caller) {
	t.retire(c)
	held, err := c.cfg.Leases.hold(ctx, c.partition.Load())
	if err == nil {
		c.shared(held.sharers)
		err = t.improve(ctx, c, held)
	} else {
		c.shared(0)
	}
	if log := c.cfg.Log; log != nil && ctx.Err() == nil && err != nil && !t.failing {
		log.Warn("reply partition: going on as it is", "error", err)
	}
	t.failing = err != nil
}

// retire ends the reading of a partition that was left when nobody can wait for a reply there any more.
func (t *tender) retire(c *Caller) {
	if t.left < 0 || time.Since(t.leftAt) < c.cfg.LongestWait {
		return
	}
	c.client.RemoveConsumePartitions(map[string][]int32{c.cfg.Topics.Replies: {t.left}})
	t.left = -1
}

// improve moves to a partition that fewer share, if there is one. While a partition that was left is still read it waits, so that no more than two are.
func (t *tender) improve(ctx context.Context, c *Caller, held place) error {
	if held.rank == 0 || t.left >= 0 {
		return nil
	}
	ends, err := c.ends(ctx) // looked up anew: the topic may have more partitions by now
	if err != nil {
		return err
	}
	next, err := c.cfg.Leases.better(ctx, held, int32(len(ends)))
	if err != nil || next == held.partition {
		return err
	}
	at, err := c.cfg.Leases.hold(ctx, next)
	if err != nil {
		return err
	}
	c.read(next, ends)
	select {
	case <-ctx.Done():
		return c.cfg.Leases.leave(context.WithoutCancel(ctx), next)
	case <-time.After(fetchWait): // the fetch that is under way has not asked for it
	}
	c.reached(at)
	t.left, t.leftAt = held.partition, time.Now()
	return c.cfg.Leases.leave(ctx, held.partition)
}
