package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
)

// ErrNoCommits is wrapped by the error about a group that has committed nothing.
var ErrNoCommits = errors.New("has committed nothing")

// ErrTopic is wrapped by the error about a topic that is not there.
var ErrTopic = errors.New("no such topic")

// ErrRange is wrapped by the error about offsets that a topic does not have.
var ErrRange = errors.New("no such offsets")

// Committed returns the offsets that a group has committed in topics; a partition without a commit is not in it. A group that has committed nothing in
// any of them is an error (ErrNoCommits): its name is wrong, or there is nothing to be read. The group does not notice.
func Committed(ctx context.Context, c Connection, group string, topics ...string) (Offsets, error) {
	client, err := c.once(10 * time.Second)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	commits, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	if err == nil {
		err = commits.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, err)
	}
	out := make(Offsets)
	commits.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 && slices.Contains(topics, o.Topic) {
			out.set(o.Topic, o.Partition, o.At)
		}
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("group %s %w in %s", group, ErrNoCommits, strings.Join(topics, ", "))
	}
	return out, nil
}

// bound finds where each partition begins and ends, and makes its feed.
func (h *History) bound(ctx context.Context) error {
	names := make([]string, len(h.cfg.Topics))
	for i, t := range h.cfg.Topics {
		if slices.Contains(names[:i], t.Name) {
			return fmt.Errorf("topic %s is named twice", t.Name)
		}
		names[i] = t.Name
	}
	admin := kadm.NewClient(h.client)
	list := func(what string, ask func(context.Context, ...string) (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
		offsets, err := ask(ctx, names...)
		if err == nil {
			err = offsets.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			err = fmt.Errorf("%w: %w", ErrTopic, err)
		}
		if err != nil {
			return nil, fmt.Errorf("finding the %s of %v: %w", what, names, err)
		}
		return offsets, nil
	}
	after := func(t time.Time) func(context.Context, ...string) (kadm.ListedOffsets, error) {
		return func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return admin.ListOffsetsAfterMilli(ctx, ceilMilli(t), topics...)
		}
	}
	first, err := list("beginning", admin.ListStartOffsets)
	if err != nil {
		return err
	}
	var since, until kadm.ListedOffsets
	if !h.cfg.Since.IsZero() {
		if since, err = list("beginning by time", after(h.cfg.Since)); err != nil {
			return err
		}
	}
	if !h.cfg.Until.IsZero() {
		if until, err = list("end by time", after(h.cfg.Until)); err != nil {
			return err
		}
	}
	last, err := list("end", admin.ListCommittedOffsets) // the last stable offsets
	if err != nil {
		return err
	}
	if err := h.known(last); err != nil {
		return err
	}
	for _, topic := range h.cfg.Topics {
		for partition := range int32(len(last[topic.Name])) {
			b := bounds{topic: topic.Name, partition: partition, first: first[topic.Name][partition].Offset, last: last[topic.Name][partition].Offset}
			if o, ok := since.Lookup(topic.Name, partition); ok {
				b.since = o.Offset
			}
			if o, ok := until.Lookup(topic.Name, partition); ok {
				b.until, b.ends = o.Offset, true
			}
			if err := h.open(topic, b); err != nil {
				return err
			}
		}
	}
	return h.identify(ctx)
}

// Behind returns how many offsets lie between what was polled and where the topics end by now. It is to be called by who polls.
func (h *History) Behind(ctx context.Context) (int64, error) {
	names := make([]string, len(h.cfg.Topics))
	for i, t := range h.cfg.Topics {
		names[i] = t.Name
	}
	ends, err := kadm.NewClient(h.client).ListCommittedOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("finding the end of %v: %w", names, err)
	}
	behind := int64(0)
	for _, f := range h.feeds {
		if end, ok := ends.Lookup(f.topic.Name, f.partition); ok {
			behind += max(0, end.Offset-f.position())
		}
	}
	return behind, nil
}

// ceilMilli returns the first whole millisecond that is not before t: records have no finer time.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// known refuses offsets of partitions that are not there.
func (h *History) known(have kadm.ListedOffsets) error {
	for _, offsets := range []Offsets{h.cfg.Starts, h.cfg.Ends} {
		for topic, partitions := range offsets {
			for partition := range partitions {
				if _, ok := have.Lookup(topic, partition); !ok {
					return fmt.Errorf("%w: an offset is given for %s/%d, which is not there", ErrRange, topic, partition)
				}
			}
		}
	}
	return nil
}

// bounds are what is known of a partition's log.
type bounds struct {
	topic       string
	partition   int32
	first, last int64 // of the log: its first offset, and its last stable one
	since       int64 // by time; 0 is none
	until       int64 // by time, when ends
	ends        bool
}

// open makes the feed of a partition.
func (h *History) open(topic HistoryTopic, b bounds) error {
	start, end := max(b.first, b.since), b.last
	if b.ends {
		end = min(end, b.until)
	}
	if h.cfg.Ends != nil {
		given, ok := h.cfg.Ends[b.topic][b.partition]
		if !ok {
			return nil
		}
		if given > b.last {
			return fmt.Errorf("%w: %s/%d is to be read to offset %d, and its committed records end at %d", ErrRange, b.topic, b.partition, given, b.last)
		}
		end = given
	}
	if given, ok := h.cfg.Starts[b.topic][b.partition]; ok {
		if given < b.first && given < end {
			return fmt.Errorf("log gap in %s/%d: records %d to %d were deleted before they were read: %w", b.topic, b.partition, given, min(b.first, end)-1, consumer.ErrStop)
		}
		if given > b.last {
			return fmt.Errorf("%w: %s/%d is to be read from offset %d, and its committed records end at %d", ErrRange, b.topic, b.partition, given, b.last)
		}
		start = given
	}
	start = min(start, end)
	h.ends.set(b.topic, b.partition, end)
	h.total.Add(end - start)
	h.feeds = append(h.feeds, newFeed(h, topic, b.partition, start, end))
	return nil
}

// identify learns the topics' ids: a topic that is deleted and made anew under its name is another.
func (h *History) identify(ctx context.Context) error {
	for _, topic := range h.cfg.Topics {
		meta, err := h.metadata(ctx, topic.Name)
		if err != nil {
			return err
		}
		for _, f := range h.feeds {
			if f.topic.Name == topic.Name {
				f.id = meta.TopicID
			}
		}
	}
	return nil
}

// metadata asks which broker leads what of a topic.
func (h *History) metadata(ctx context.Context, topic string) (*kmsg.MetadataResponseTopic, error) {
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{asked}
	resp, err := h.client.RequestCachedMetadata(ctx, req, leaderAge)
	if err != nil {
		return nil, fmt.Errorf("asking for the leaders of %s: %w", topic, err)
	}
	if len(resp.Topics) != 1 {
		return nil, fmt.Errorf("asking for the leaders of %s: %d topics came", topic, len(resp.Topics))
	}
	return &resp.Topics[0], kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// leaderAge is how old an answer may be: the feeds of a topic share one.
const leaderAge = 200 * time.Millisecond

// find finds the partition's leader.
func (f *feed) find(ctx context.Context) error {
	topic, err := f.h.metadata(ctx, f.topic.Name)
	if err != nil {
		return err
	}
	if topic.TopicID != f.id {
		return fmt.Errorf("%w: the topic was deleted and made anew", errBroken)
	}
	for i := range topic.Partitions {
		if p := &topic.Partitions[i]; p.Partition == f.partition && p.Leader >= 0 {
			f.leader = p.Leader
			return nil
		}
	}
	return errors.New("it has no leader for now")
}

// logStart returns the first offset that a partition has.
func (h *History) logStart(ctx context.Context, topic string, partition int32) (int64, error) {
	offsets, err := kadm.NewClient(h.client).ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	return offsets[topic][partition].Offset, offsets[topic][partition].Err
}
