package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producer writes. It is the client that is a member of the group, until the brokers refuse its producer id for good (a right that was missing when it asked for
// one, say), or a topic was deleted and made anew: the client library then fails all that is written with it, for ever. Another client takes its place as a writer, and the group notices nothing. What
// is on its way meanwhile fails and is written again; what had arrived all the same is then there twice, and equal.
type producer struct {
	client *kgo.Client
	group  *kgo.Client
	make   func() (*kgo.Client, error)
	log    *slog.Logger       // nil is silent
	count  prometheus.Counter // nil counts nothing
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
