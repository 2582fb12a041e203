package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// gap is what is missing between where a group is in a partition and where its log starts, or ends.
type gap struct {
	spot

	next       int64 // that the group reads next
	start, end int64 // of the log
}

// Error tells the gap to the record.
func (g *gap) Error() string {
	if g.next > g.end {
		return fmt.Sprintf("log gap in %s/%d: the log ends at offset %d, and the group is at %d: the topic was made anew, or its end was lost", g.topic, g.partition, g.end, g.next)
	}
	return fmt.Sprintf("log gap in %s/%d: records %d to %d were deleted before they were read, %d in all: the group is at offset %d, and the log starts at %d",
		g.topic, g.partition, g.next, g.start-1, g.gone(), g.next, g.start)
}

// gone is how many records are missing. Of a log that was made anew it is how many the group has read that it does not have.
func (g *gap) gone() int64 {
	if g.next > g.end {
		return g.next - g.end
	}
	return g.start - g.next
}

// lost is for a partition of which the brokers no longer have what is to be read next. It is not read on, and the others are: what is missing in its past is
// missing for them as well, whoever waits. With AcceptGap a gap that was there when the partition came to this process is passed over, and told.
func (t *Transport) lost(ctx context.Context, at spot, why error) {
	partitions := map[string][]int32{at.topic: {at.partition}}
	t.client.PauseFetchPartitions(partitions) // the client would ask for it again and again
	g, err := t.measure(ctx, at, why)
	log := t.cfg.Log
	switch {
	case errors.Is(why, kerr.UnknownTopicID):
		err = fmt.Errorf("topic %s was deleted and made anew: %s/%d is read again, from its start, after a restart: %w", at.topic, at.topic, at.partition, why)
		t.alarm(at, 0, err)
		return
	case err != nil: // the next fetch says it again
		if log != nil {
			log.Warn("log gap: asking where the log starts", "topic", at.topic, "partition", at.partition, "error", err)
		}
		t.cfg.Alarms.fail(at, why)
		t.client.ResumeFetchPartitions(partitions)
		return
	case g.next >= g.start && g.next <= g.end: // a leader that had moved, and is back
		t.seek(at, g.next)
		t.client.ResumeFetchPartitions(partitions)
		return
	}
	if _, read := t.next[at]; !t.cfg.AcceptGap || read {
		t.alarm(at, g.gone(), g)
		return
	}
	if err := t.skip(ctx, g); err != nil {
		t.alarm(at, g.gone(), fmt.Errorf("%w; accepting it: %w", g, err))
		return
	}
	t.client.ResumeFetchPartitions(partitions)
	if log != nil {
		log.Warn("log gap accepted: reading on from the start of the log", "topic", at.topic, "partition", at.partition, "skipped_from", g.next, "skipped_to", g.start-1,
			"records", g.gone(), "log_end", g.end)
	}
}

// alarm stops a partition.
func (t *Transport) alarm(at spot, gone int64, err error) {
	t.cfg.Alarms.stop(at, gone, err)
	if t.cfg.Log != nil {
		t.cfg.Log.Error("the partition stops", "alarm", "log_gap", "topic", at.topic, "partition", at.partition, "gone", gone, "error", err)
	}
}

// measure asks how large a gap is.
func (t *Transport) measure(ctx context.Context, at spot, why error) (*gap, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	g := &gap{spot: at}
	admin := kadm.NewClient(t.client)
	for _, ask := range []struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		into *int64
	}{{admin.ListStartOffsets, &g.start}, {admin.ListEndOffsets, &g.end}} {
		listed, err := ask.list(ctx, at.topic)
		if err != nil {
			return nil, err
		}
		o, _ := listed.Lookup(at.topic, at.partition)
		if o.Err != nil {
			return nil, o.Err
		}
		*ask.into = o.Offset
	}
	if cut := (*kgo.ErrDataLoss)(nil); errors.As(why, &cut) {
		g.next, g.end = cut.ConsumedTo, cut.ResetTo
		return g, nil
	}
	next, read := t.next[at]
	if !read || t.tx != nil { // where a transaction was undone what was read is read again
		next = t.client.CommittedOffsets()[at.topic][at.partition].Offset
	}
	g.next = next
	return g, nil
}

// seek has a partition read from an offset on.
func (t *Transport) seek(at spot, offset int64) {
	t.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{at.topic: {at.partition: {Epoch: -1, Offset: offset}}})
}

// skip commits that what is gone need not be read, and reads on from the start of the log.
func (t *Transport) skip(ctx context.Context, g *gap) error {
	var failed error
	to := map[string]map[int32]kgo.EpochOffset{g.topic: {g.partition: {Epoch: -1, Offset: g.start}}}
	t.client.CommitOffsetsSync(ctx, to, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	t.seek(g.spot, g.start)
	return failed
}

// gaveUp forgets what stood in the way of partitions that are another member's now.
func (t *Transport) gaveUp(client *kgo.Client, partitions map[string][]int32) {
	for topic, all := range partitions {
		for _, p := range all {
			if t.cfg.Alarms.clear(spot{topic, p}) {
				client.ResumeFetchPartitions(map[string][]int32{topic: {p}})
			}
		}
	}
}
