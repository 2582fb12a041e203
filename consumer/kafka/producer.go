package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producer writes. It is the client that is a member of the group, until the brokers refuse its producer id for good (a right that was missing when it asked for
// one, say), or a topic was deleted and made anew: the client library then fails all that is written with it, for ever. Another client takes its place as a writer, and the group notices nothing. What
// is on its way meanwhile fails and is written again; what had arrived all the same is then there twice, and equal.
type producer struct {
	client *kgo.Client // replaced with mu held, by who calls mend
	group  *kgo.Client
	make   func() (*kgo.Client, error)
	log    *slog.Logger       // nil is silent
	count  prometheus.Counter // nil counts nothing
	linger time.Duration      // how long what was written waits for more

	mu     sync.Mutex  // held while records are handed to the client, so that none leaves before the last of them
	leaves atomic.Bool // somebody waits for linger to be over
}

// kept is how long the client keeps records that nobody tells it to send. Mostly it is told at once; it is not of records to a topic that it has to look up first, and of
// those that it tries again by itself. It is much longer than the handing over of a flight takes.
const kept = 10 * time.Millisecond

// keeping is the option of a client whose records leave when push says so: those handed over at once are then one record batch a partition.
func keeping() kgo.Opt { return kgo.ProducerLinger(kept) }

// all has write hand records to the client, and sends them together: for each partition in one record batch, unless they are too much for one.
func (p *producer) all(ctx context.Context, write func(*kgo.Client)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	write(p.client)
	p.push(ctx)
}

// push sends what was handed to the client, now or when linger is over. The caller holds mu.
func (p *producer) push(ctx context.Context) {
	if p.linger == 0 {
		p.release(ctx)
		return
	}
	if p.leaves.CompareAndSwap(false, true) {
		time.AfterFunc(p.linger, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.leaves.Store(false)
			p.release(ctx)
		})
	}
}

// release has the client send what it holds. It does not wait: a flush whose context is over begins all the same.
func (p *producer) release(ctx context.Context) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = p.client.Flush(over)
}

// mend replaces a client that can never write again, as why says that it could not, or as it says itself.
func (p *producer) mend(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _, err := p.client.ProducerID(ctx)
	switch refused := (*kerr.Error)(nil); {
	case errors.As(err, &refused) && !refused.Retriable:
	case errors.Is(why, kerr.UnknownTopicID):
		err = why
	default:
		return nil
	}
	next, making := p.make()
	if making != nil {
		return fmt.Errorf("making another Kafka client, as the producer is refused (%w): %w", err, making)
	}
	if p.log != nil {
		p.log.Warn("the brokers refuse the producer; another client writes from now on", "error", err)
	}
	if p.count != nil {
		p.count.Inc()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != p.group {
		go p.client.Close() // it may wait for the brokers
	}
	p.client = next
	return nil
}

// close ends the client, if it is not the group's.
func (p *producer) close() {
	if p.client != p.group {
		p.client.Close()
	}
}
