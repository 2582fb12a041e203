package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
)

const (
	minChunk = 16 << 10 // bytes: below this there are more requests than is good, so many partitions take more memory than was said
	maxChunk = 4 << 20  // bytes: above this a fetch is not quicker

	recordBytes = 200                    // what a record takes beside its key, value and headers
	patience    = 5 * time.Minute        // how long a partition may be away before a History gives up; a broker is restarted in less
	holePause   = 100 * time.Millisecond // between the proofs that nothing lies before the end
	holeProofs  = 5
)

// feed reads a partition of a History.
type feed struct {
	h         *History
	topic     HistoryTopic
	id        [16]byte // of the topic
	partition int32
	index     int // its place among the feeds
	start     int64

	// Owned by run.
	next   int64 // what is fetched next
	end    int64
	leader int32 // -1: to be found
	ask    int64 // bytes of the next fetch
	empty  int   // fetches in a row that had nothing where something should be

	chunks chan chunk // closed when the end is reached

	// Owned by Poll.
	records []consumer.Record // the chunk that is being merged
	at      int               // its next record
	millis  int64             // that record's time
	behind  int64             // the offset behind the chunk
	fail    error             // why it cannot go on
}

// chunk is records that were fetched together.
type chunk struct {
	records []consumer.Record
	next    int64 // offset behind what was fetched, records or not
	err     error
}

func newFeed(h *History, topic HistoryTopic, partition int32, start, end int64) *feed {
	return &feed{
		h: h, topic: topic, partition: partition, index: len(h.feeds), start: start, next: start, end: end, behind: start,
		leader: -1, chunks: make(chan chunk),
	}
}

// before says whether the next record of f comes before that of g.
func (f *feed) before(g *feed) bool {
	if f.millis != g.millis {
		return f.millis < g.millis
	}
	return f.index < g.index
}

// take waits for the next chunk that has records, and says whether there was one.
func (f *feed) take(ctx context.Context) (more bool, err error) {
	for f.fail == nil {
		select {
		case c, open := <-f.chunks:
			if !open {
				return false, nil
			}
			if f.fail = c.err; f.fail != nil {
				break
			}
			f.give(c)
			if len(c.records) > 0 {
				return true, nil
			}
		case <-ctx.Done():
			return false, ctx.Err()
		case <-f.h.stopped:
			return false, errors.New("the history is closed")
		}
	}
	return false, f.fail
}

func (f *feed) give(c chunk) {
	f.records, f.at, f.behind = c.records, 0, c.next
	if len(c.records) > 0 {
		f.millis = c.records[0].Time.UnixMilli()
	}
}

// position returns the offset behind what was polled.
func (f *feed) position() int64 {
	if f.at < len(f.records) {
		return f.records[f.at].Offset
	}
	return f.behind
}

// run fetches until the end is reached or ctx ends. The channel has no room: the next fetch begins when the merge has taken this one.
func (f *feed) run(ctx context.Context) {
	worked := time.Now()
	for tries := 0; f.next < f.end; {
		c, err := f.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			tries = 0
		case retriable(err) && time.Since(worked) < patience:
			if f.h.cfg.Log != nil {
				f.h.cfg.Log.Warn("reading", "topic", f.topic.Name, "partition", f.partition, "error", err)
			}
			f.leader = -1
			tries++
			if !pause(ctx, backoff(tries)) {
				return
			}
			continue
		default:
			c.err = fmt.Errorf("reading %s/%d at offset %d: %w: %w", f.topic.Name, f.partition, f.next, consumer.ErrStop, err)
		}
		select {
		case f.chunks <- c:
		case <-ctx.Done():
			return
		}
		worked = time.Now()
		if c.err != nil {
			return
		}
	}
	close(f.chunks)
}

// retriable says whether an error may go away: an outage, or a leader that is elsewhere now.
func retriable(err error) bool {
	if errors.Is(err, errBroken) {
		return false
	}
	if code := (*kerr.Error)(nil); errors.As(err, &code) {
		return code.Retriable
	}
	return true
}

// errBroken is wrapped by errors of a log that does not have what is to be read, now or later.
var errBroken = errors.New("log gap")

// fetch gets the next chunk from the leader.
func (f *feed) fetch(ctx context.Context) (chunk, error) {
	if f.leader < 0 {
		if err := f.find(ctx); err != nil {
			return chunk{}, err
		}
	}
	answer, err := f.h.client.Broker(int(f.leader)).Request(ctx, f.request())
	if err != nil {
		return chunk{}, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return chunk{}, err
	}
	if len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 { // throttled: the client waits by itself before it asks again
		return chunk{next: f.next}, nil
	}
	part := &resp.Topics[0].Partitions[0]
	switch err := kerr.ErrorForCode(part.ErrorCode); {
	case errors.Is(err, kerr.OffsetOutOfRange):
		return chunk{}, f.gap(ctx, err)
	case err != nil:
		return chunk{}, err
	}
	return f.parse(ctx, part)
}

// request asks for what comes next, at once: up to the end there is nothing to be waited for.
func (f *feed) request() *kmsg.FetchRequest {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = f.partition, f.next, int32(f.ask)
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = f.topic.Name, f.id, []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.MinBytes, req.IsolationLevel, req.Topics = part.PartitionMaxBytes, 1, 1, []kmsg.FetchRequestTopic{topic}
	return req
}

// parse makes a chunk of a response: records of transactions that were aborted and what lies behind the end are left out.
func (f *feed) parse(ctx context.Context, part *kmsg.FetchResponseTopicPartition) (chunk, error) {
	opts := kgo.ProcessFetchPartitionOpts{Offset: f.next, IsolationLevel: kgo.ReadCommitted(), Topic: f.topic.Name, Partition: f.partition}
	fetched, next := kgo.ProcessFetchPartition(opts, part, f.h.decompressor, nil)
	if fetched.Err != nil {
		if len(fetched.Records) == 0 {
			return chunk{}, fmt.Errorf("%w: a batch is damaged: %w", errBroken, fetched.Err)
		}
		next = fetched.Records[len(fetched.Records)-1].Offset + 1 // as far as it is whole
	}
	if next == f.next {
		return f.hole(ctx, part)
	}
	f.next, f.empty = next, 0
	records := f.converted(fetched.Records)
	f.size(records)
	for len(records) > 0 && records[len(records)-1].Offset >= f.end {
		records = records[:len(records)-1]
	}
	return chunk{records: records, next: min(next, f.end)}, nil
}

// size sets what the next fetch asks for by what this one's bytes have become: compressed ones take several times as many, and so do small records.
func (f *feed) size(records []consumer.Record) {
	held := int64(1)
	for i := range records {
		r := &records[i]
		held += recordBytes + int64(len(r.Key)+len(r.Value))
		for _, h := range r.Headers {
			held += recordBytes/4 + int64(len(h.Key)+len(h.Value))
		}
	}
	f.ask = min(max(f.ask*f.h.share/held, minChunk/8), f.h.share)
}

// hole is what a fetch without progress means. Records before the end may all have been compacted away, and the broker does not say so other than by an
// empty answer; but an answer may also be empty for a moment, when records come from a slow tier. So it is believed when it stays empty.
func (f *feed) hole(ctx context.Context, part *kmsg.FetchResponseTopicPartition) (chunk, error) {
	switch {
	case len(part.RecordBatches) > 0:
		f.ask = min(2*f.ask, maxChunk)
		return chunk{}, errors.New("the broker sent half a batch")
	case part.LastStableOffset < f.end:
		return chunk{}, fmt.Errorf("the log ends at %d for now", part.LastStableOffset)
	}
	if f.empty++; f.empty < holeProofs {
		pause(ctx, holePause)
		return chunk{next: f.next}, nil
	}
	f.next = f.end
	return chunk{next: f.end}, nil
}

// gap says which records are gone.
func (f *feed) gap(ctx context.Context, err error) error {
	if first, now := f.h.logStart(ctx, f.topic.Name, f.partition); now == nil && first > f.next {
		return fmt.Errorf("%w: records %d to %d were deleted before they were read: %w", errBroken, f.next, first-1, err)
	}
	return fmt.Errorf("%w: the log was cut short: %w", errBroken, err)
}

func (f *feed) converted(in []*kgo.Record) []consumer.Record {
	out := make([]consumer.Record, len(in))
	for i, r := range in {
		out[i] = record(r, f.topic.Stream)
	}
	return out
}

// pause waits and says whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
