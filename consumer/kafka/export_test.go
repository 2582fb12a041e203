package kafka

import "context"

// Partition returns the partition that new orders ask for.
func (c *Caller) Partition() int32 { return c.partition.Load() }

// Take is what a process does that starts.
func (l *Leases) Take(ctx context.Context, n int32) (partition int32, sharers int, err error) {
	at, err := l.take(ctx, n)
	return at.partition, at.sharers, err
}

// Renew is what a process does that has a partition, every few seconds: it returns where it is afterwards.
func (l *Leases) Renew(ctx context.Context, partition, n int32) (at int32, sharers int, err error) {
	held, err := l.hold(ctx, partition)
	if err != nil {
		return partition, 0, err
	}
	next, err := l.better(ctx, held, n)
	if err != nil || next == partition {
		return partition, held.sharers, err
	}
	if held, err = l.hold(ctx, next); err == nil {
		err = l.leave(ctx, partition)
	}
	return held.partition, held.sharers, err
}

// Leave gives a lease back.
func (l *Leases) Leave(ctx context.Context, partition int32) error { return l.leave(ctx, partition) }

// Marked returns the offsets that are marked as done, by partition.
func Marked(t *Transport) []int64 {
	var at []int64
	for _, partitions := range t.client.MarkedOffsets() {
		for _, o := range partitions {
			at = append(at, o.Offset)
		}
	}
	return at
}
