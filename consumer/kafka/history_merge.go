package kafka

import (
	"container/heap"
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// heads are the feeds whose next record is known, as a heap by that record's time; of one time that of the earlier topic and partition comes first.
type heads []*feed

func (h *heads) Len() int           { return len(*h) }
func (h *heads) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *heads) Less(i, j int) bool { return (*h)[i].before((*h)[j]) }

// Push adds a feed.
func (h *heads) Push(x any) { *h = append(*h, x.(*feed)) }

// Pop takes the last feed.
func (h *heads) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	*h = (*h)[:last]
	return f
}

// fill waits until the next record of each feed is known, or that it has none. What is known when ctx ends stays so.
func (h *History) fill(ctx context.Context) error {
	for len(h.hungry) > 0 {
		last := len(h.hungry) - 1
		f := h.hungry[last]
		more, err := f.take(ctx)
		if err != nil {
			return err
		}
		h.hungry = h.hungry[:last]
		if more {
			heap.Push(&h.heads, f)
		}
	}
	return nil
}

// merge moves records of the feed whose next is the earliest to the batch: as many as lie before the next of every other feed.
func (h *History) merge() {
	f := h.heads[0]
	rival := (*feed)(nil)
	for i := 1; i < min(len(h.heads), 3); i++ { // the second of a heap is one of these
		if rival == nil || h.heads[i].before(rival) {
			rival = h.heads[i]
		}
	}
	for len(h.batch.Records) < h.cfg.MaxPollRecords {
		h.batch.Records = append(h.batch.Records, f.records[f.at])
		if f.at++; f.at == len(f.records) {
			heap.Pop(&h.heads)
			h.hungry = append(h.hungry, f)
			return
		}
		f.millis = f.records[f.at].Time.UnixMilli()
		if rival != nil && rival.before(f) {
			break
		}
	}
	heap.Fix(&h.heads, 0)
}

// follow polls what comes behind the ends. Of partitions that have nothing for now it is not known when their next record was written, so only what is
// there at the same time is put in order.
func (h *History) follow(ctx context.Context) error {
	if !h.behind {
		h.client.AddConsumePartitions(h.rest())
		h.behind = true
	}
	for len(h.batch.Records) == 0 {
		fetches := h.client.PollRecords(ctx, h.cfg.MaxPollRecords)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := h.faults(fetches); err != nil {
			return err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if f := h.feed(p.Topic, p.Partition); f != nil && len(p.Records) > 0 {
				h.add(f, chunk{records: f.converted(p.Records), next: p.Records[len(p.Records)-1].Offset + 1})
			}
		})
		for len(h.heads) > 0 {
			h.merge()
		}
		h.hungry = h.hungry[:0]
	}
	h.count()
	return nil
}

// add gives a feed what was polled of its partition, which may be in several parts.
func (h *History) add(f *feed, c chunk) {
	if f.at < len(f.records) {
		f.records, f.behind = append(f.records, c.records...), c.next
		return
	}
	f.give(c)
	heap.Push(&h.heads, f)
}

// rest returns where following begins.
func (h *History) rest() map[string]map[int32]kgo.Offset {
	out := make(map[string]map[int32]kgo.Offset)
	for topic, partitions := range h.ends {
		out[topic] = make(map[int32]kgo.Offset, len(partitions))
		for partition, offset := range partitions {
			out[topic][partition] = kgo.NewOffset().At(offset)
		}
	}
	return out
}

// faults returns what of a poll's errors cannot be mended; the rest the client asks for again.
func (h *History) faults(fetches kgo.Fetches) error {
	var fatal error
	fetches.EachError(func(topic string, partition int32, err error) {
		lost := (*kgo.ErrDataLoss)(nil)
		switch {
		case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &lost):
			fatal = fmt.Errorf("log gap in %s/%d, records were deleted before they were read: %w: %w", topic, partition, consumer.ErrStop, err)
		case errors.Is(err, kgo.ErrClientClosed), !retriable(err):
			fatal = fmt.Errorf("reading %s/%d: %w: %w", topic, partition, consumer.ErrStop, err)
		case h.cfg.Log != nil:
			h.cfg.Log.Warn("polling", "topic", topic, "partition", partition, "error", err)
		}
	})
	return fatal
}

// feed returns the feed of a partition, nil if it is not read.
func (h *History) feed(topic string, partition int32) *feed {
	for _, f := range h.feeds {
		if f.partition == partition && f.topic.Name == topic {
			return f
		}
	}
	return nil
}
