package kafka

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
)

// maxReplies is how many replies may be under way: ten polls' worth, and a tenth of what the client holds before it makes decisions wait for room.
const maxReplies = 5000

// replier sends replies without waiting for them. Where they go is for strangers to say: to a topic that is on the list and not there, to a partition that has
// no leader just now. A decision stands and can be read whether or not its caller is told, so no step waits for a reply or fails with it.
type replier struct {
	writes *producer
	warn   func(topic string, err error)
	lost   prometheus.Counter
	count  atomic.Int64 // replies under way
	warned atomic.Int64 // when a loss was last told, in Unix seconds
}

func newReplier(cfg *TransportConfig, writes *producer) *replier {
	r := &replier{writes: writes, warn: func(string, error) {}, lost: cfg.RepliesLost}
	if r.lost == nil {
		r.lost = prometheus.NewCounter(prometheus.CounterOpts{})
	}
	if log := cfg.Log; log != nil {
		r.warn = func(topic string, err error) { log.Warn("replying", "topic", topic, "error", err) }
	}
	return r
}

// send writes a reply soon.
func (r *replier) send(ctx context.Context, record *kgo.Record) {
	if r.count.Add(1) > maxReplies {
		r.count.Add(-1)
		r.lost.Inc()
		return
	}
	r.writes.client.TryProduce(context.WithoutCancel(ctx), record, func(record *kgo.Record, err error) {
		r.count.Add(-1)
		if err != nil {
			r.lose(record.Topic, err)
		}
	})
}

// lose counts a reply that could not be written. The log has one line a minute: what a stranger can cause a thousand times a second must not fill it.
func (r *replier) lose(topic string, err error) {
	r.lost.Inc()
	now, last := time.Now().Unix(), r.warned.Load()
	if now-last >= 60 && r.warned.CompareAndSwap(last, now) {
		r.warn(topic, err)
	}
}

// flush waits for the replies that are under way, but not for those that cannot be written.
func (r *replier) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = r.writes.client.Flush(ctx)
}

// split makes records of messages, replies apart from the others. Values are copied: the worker uses its buffers again.
func split(messages []consumer.Message, topics *Topics) (records, replies []*kgo.Record) {
	size := 0
	for i := range messages {
		size += len(messages[i].Value)
	}
	values := make([]byte, 0, size)
	records = make([]*kgo.Record, 0, len(messages))
	for i := range messages {
		record := outgoing(&messages[i], topics)
		if record.Value != nil {
			at := len(values)
			values = append(values, record.Value...)
			record.Value = values[at:len(values):len(values)]
		}
		if messages[i].To == consumer.Replies {
			replies = append(replies, record)
		} else {
			records = append(records, record)
		}
	}
	return records, replies
}
