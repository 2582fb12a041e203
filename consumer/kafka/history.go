package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// HistoryTopic is a topic of a History, and what its records are.
type HistoryTopic struct {
	Name   string
	Stream consumer.Stream
}

// HistoryConfig is what a History is made of. Connection and Topics are required.
type HistoryConfig struct {
	Connection
	Topics []HistoryTopic // of records of one time those of an earlier topic come first

	Since  time.Time // by the records' own time: begins with the first record of this time or later; zero is the beginning of the log
	Until  time.Time // ends before the first record of this time or later; zero is the end of the log. Both are offsets that the broker finds by time
	Starts Offsets   // where to begin, over Since, in partitions that are in it; records that the log does not have any more are an error
	Ends   Offsets   // where to end, over Until; then a partition that is not in it is not read at all. Nil is the end of the log
	Follow bool      // goes on behind the ends with what comes, until ctx ends. Partitions that a topic is given later are not read

	MaxPollRecords int   // 0 is 1,000
	MaxBuffered    int64 // bytes of records that are held, about; but two batches of each partition are, as a batch is fetched whole. 0 is 64 MiB
}

// Offsets are offsets of partitions of topics. An offset that ends a range is that of the first record behind it, as in Kafka's commits.
type Offsets map[string]map[int32]int64

// set sets one, in place.
func (o Offsets) set(topic string, partition int32, offset int64) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][partition] = offset
}

// History reads topics from a beginning to an end that are fixed when it is opened (the last stable offsets, if nothing else is said), in the order in
// which the records were written: by their time, of one time by topic and partition, within a partition always by offset. It belongs to no group and
// commits nothing, so that nobody notices it. Only committed records are read; what compaction removed is passed over; a partition that retention cut
// begins where its log does. That records disappear while they are being read is an error that says which, as it is for a Transport.
//
// Each partition is read by a goroutine, which is one chunk ahead of the merge and no more: so memory is bounded, however far partitions are apart.
// Poll and Positions are for one goroutine; Progress and Ends are for any. PollPartition, instead of Poll, leaves the merging to the caller.
type History struct {
	cfg          HistoryConfig
	client       *kgo.Client
	feeds        []*feed // by topic and partition
	share        int64   // bytes of a chunk
	decompressor kgo.Decompressor
	ends         Offsets

	heads  heads   // feeds by their next record
	hungry []*feed // feeds whose next record is not known yet
	batch  consumer.Batch
	given  bool // the batch was returned
	over   bool // the ends are reached
	behind bool // what follows is being read

	read, total atomic.Int64 // offsets
	stop        context.CancelFunc
	stopped     <-chan struct{}
	running     sync.WaitGroup
}

// OpenHistory finds beginnings and ends, and starts to read. It fails when a topic is not there or the cluster does not answer for some seconds.
func OpenHistory(ctx context.Context, cfg HistoryConfig) (*History, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if len(cfg.Topics) == 0 {
		return nil, errors.New("a history needs a topic")
	}
	cfg.MaxPollRecords, cfg.MaxBuffered = cmp.Or(cfg.MaxPollRecords, 1000), cmp.Or(cfg.MaxBuffered, 64<<20)
	client, err := kgo.NewClient(append(opts,
		kgo.RetryTimeout(10*time.Second),
		// What follows is for Follow alone: up to the ends the feeds fetch.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(int32(min(max(cfg.MaxBuffered/2, 1<<20), 50<<20))),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.FetchMinBytes(1),
	)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	h := &History{cfg: cfg, client: client, decompressor: kgo.DefaultDecompressor(), ends: make(Offsets)}
	if err := h.bound(ctx); err != nil {
		client.Close()
		return nil, err
	}
	// A feed holds a chunk that is being merged and one that is next; what is left of a third is in the batch that was polled last.
	h.share = min(max(cfg.MaxBuffered/int64(3*max(len(h.feeds), 1)), minChunk), maxChunk)
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.stopped = ctx.Done()
	for _, f := range h.feeds {
		f.ask = h.share / 4
		h.running.Go(func() { f.run(ctx) })
	}
	h.hungry = append(h.hungry, h.feeds...)
	return h, nil
}

// Poll returns the next records, as many as MaxPollRecords unless these are the last, and io.EOF when all are read. A batch is valid until the next Poll.
// When ctx ends, nothing is lost: the next Poll goes on.
func (h *History) Poll(ctx context.Context) (*consumer.Batch, error) {
	if h.given {
		h.batch.Records, h.given = h.batch.Records[:0], false
	}
	for !h.over && len(h.batch.Records) < h.cfg.MaxPollRecords {
		if err := h.fill(ctx); err != nil {
			return nil, err
		}
		if h.over = len(h.heads) == 0; !h.over {
			h.merge()
		}
	}
	h.count()
	if len(h.batch.Records) == 0 {
		if !h.cfg.Follow {
			return nil, io.EOF
		}
		if err := h.follow(ctx); err != nil {
			return nil, err
		}
	}
	h.given = true
	return &h.batch, nil
}

// Publish refuses: a history is only read.
func (h *History) Publish(context.Context, []consumer.Message) error {
	return errors.New("a history of topics takes no messages")
}

// Commit does nothing: there is no group.
func (h *History) Commit(context.Context, *consumer.Batch) error { return nil }

// Ends returns where the history ends, or with Follow where what follows begins.
func (h *History) Ends() Offsets { return h.ends }

// Positions returns the offsets behind what was polled: a history with these Starts goes on there.
func (h *History) Positions() Offsets {
	out := make(Offsets, len(h.cfg.Topics))
	for _, f := range h.feeds {
		out.set(f.topic.Name, f.partition, f.position())
	}
	return out
}

// Progress returns how much has been polled, of how much. It counts offsets, which are a few more than records where there were transactions, and many
// more where a topic was compacted.
func (h *History) Progress() (read, total int64) { return h.read.Load(), h.total.Load() }

// count tells Progress.
func (h *History) count() {
	read := int64(0)
	for _, f := range h.feeds {
		read += f.position() - f.start
	}
	h.read.Store(read)
	h.total.Store(max(h.total.Load(), read)) // what follows is read as it comes
}

// Close ends the reading.
func (h *History) Close() {
	h.stop()
	h.running.Wait()
	h.client.Close()
}

// ParseURL reads kafka://host:port[,host:port]/topic[,topic].
func ParseURL(s string) (servers, topics []string, err error) {
	rest, ok := strings.CutPrefix(s, "kafka://")
	hosts, names, slash := strings.Cut(rest, "/")
	if !ok || !slash {
		return nil, nil, fmt.Errorf("%s is not kafka://host:port[,host:port]/topic[,topic]", s)
	}
	servers, topics = strings.Split(hosts, ","), strings.Split(names, ",")
	for _, part := range slices.Concat(servers, topics) {
		if part == "" || strings.ContainsAny(part, "/ ?#@") {
			return nil, nil, fmt.Errorf("%s is not kafka://host:port[,host:port]/topic[,topic]", s)
		}
	}
	return servers, topics, nil
}
