package kafka

import (
	"context"
	"io"

	"verdict/consumer"
)

// Partitions returns how many partitions are read: each topic's by their numbers, one topic after the other.
func (h *History) Partitions() int { return len(h.feeds) }

// PollPartition returns the next records of a partition, as many as were fetched together, and io.EOF at its end: for who merges partitions by something else
// than the time at which records were written. The records are the caller's. When ctx ends, nothing is lost: the next call goes on. One goroutine polls a
// partition, and several may poll as many partitions; Poll and Positions are then not to be called, and Follow has no effect.
func (h *History) PollPartition(ctx context.Context, place int) ([]consumer.Record, error) {
	f := h.feeds[place]
	from := f.behind
	more, err := f.take(ctx)
	h.read.Add(f.behind - from)
	if err != nil {
		return nil, err
	}
	if !more {
		return nil, io.EOF
	}
	records := f.records
	f.records = nil
	return records, nil
}
