package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// Feed writes records from outside the path: the demo's shop, tests. It batches (1 ms of linger), as it has no caller who waits.
type Feed struct{ client *kgo.Client }

// NewFeed connects lazily.
func NewFeed(c Connection) (*Feed, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append(opts, producing()...), kgo.ProducerLinger(time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	return &Feed{client: client}, nil
}

// Send writes a record soon; failed is called, on another goroutine, if it could not be.
func (f *Feed) Send(ctx context.Context, topic string, key, value []byte, failed func(error)) {
	f.client.Produce(ctx, &kgo.Record{Topic: topic, Partition: -1, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			failed(fmt.Errorf("writing to %s: %w", topic, err))
		}
	})
}

// Close writes what is left and ends the client.
func (f *Feed) Close(ctx context.Context) error {
	err := f.client.Flush(ctx)
	f.client.Close()
	return err
}

// Tail gives each record of a topic, from its start, to fn until ctx ends. It joins no group and commits nothing.
func Tail(ctx context.Context, c Connection, topic string, fn func(*consumer.Record)) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMinBytes(1), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out := record(r, consumer.Orders)
			fn(&out)
		})
	}
}
