package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// ErrTooLarge is wrapped by the error about a record that its topic does not take for its size.
var ErrTooLarge = errors.New("the topic does not take a record of this size")

// Write writes records and waits until all in-sync replicas have them. It returns an error for each, nil for one that is written; of the others some may be
// written all the same. A record goes to the partition that it names where its topic has that, and by its key otherwise (-1); its time is when it is written.
func (f *Feed) Write(ctx context.Context, records []consumer.Record) []error {
	errs := make([]error, len(records))
	out, index := make([]*kgo.Record, len(records)), make(map[*kgo.Record]int, len(records))
	for i := range records {
		r := &records[i]
		out[i] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
		for j, h := range r.Headers {
			out[i].Headers[j] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
		}
		index[out[i]] = i
	}
	for _, result := range f.client.ProduceSync(ctx, out...) {
		switch at := index[result.Record]; {
		case errors.Is(result.Err, kerr.MessageTooLarge):
			errs[at] = fmt.Errorf("writing to %s: %w", result.Record.Topic, ErrTooLarge)
		case result.Err != nil:
			errs[at] = fmt.Errorf("writing to %s: %w", result.Record.Topic, result.Err)
		}
	}
	return errs
}

// LogStarts returns the first offset that each partition of topics still has.
func LogStarts(ctx context.Context, c Connection, topics ...string) (Offsets, error) {
	client, err := c.once(10 * time.Second)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("finding the beginning of %v: %w", topics, err)
	}
	out := make(Offsets)
	starts.Each(func(o kadm.ListedOffset) { out.set(o.Topic, o.Partition, o.Offset) })
	return out, nil
}
