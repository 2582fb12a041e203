package kafka

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
	"verdict/schemas"
)

// fitting makes smaller what the brokers refuse as too large: of a decision a dead letter of its order, of a dead letter one without its value. So one order
// whose decision is too large holds up no other.
type fitting struct {
	topics  Topics
	consume map[string]consumer.Stream
	letters *prometheus.CounterVec // :: code → orders that became dead letters for it; nil counts nothing
}

const codeTooLarge = "decision_too_large"

// smaller returns what is written in the place of a record that is too large, nil when there is nothing smaller. The records that it may have been made of
// are in from. What was left out already is told by the letter's last header: one of that name may have come with the record too.
func (f *fitting) smaller(r *kgo.Record, from []*kgo.Record) *kgo.Record {
	switch {
	case r.Topic == f.topics.DeadLetters && r.Value != nil:
		return shortened(r)
	case r.Topic == f.topics.DeadLetters && lastHeader(r) == consumer.HeaderValueBytes:
		return bare(r)
	case r.Topic != f.topics.Decisions:
		return nil
	}
	source := find(from, orderOf(r))
	if source == nil {
		return nil
	}
	order := record(source, f.consume[source.Topic])
	letter := consumer.DeadLetter(&order, &schemas.Malformed{
		Code: codeTooLarge, Detail: fmt.Sprintf("the decision is made and kept, and its %d bytes are more than the brokers take", len(r.Value)),
	})
	return outgoing(&letter, &f.topics)
}

// wrote counts an order whose dead letter was written in the place of its decision.
func (f *fitting) wrote(meant, written *kgo.Record) {
	if f.letters != nil && meant.Topic != written.Topic {
		f.letters.WithLabelValues(codeTooLarge).Inc()
	}
}

// shortened is a dead letter without its value, which says how long that was.
func shortened(r *kgo.Record) *kgo.Record {
	size := kgo.RecordHeader{Key: consumer.HeaderValueBytes, Value: fmt.Append(nil, len(r.Value))}
	return &kgo.Record{Topic: r.Topic, Partition: -1, Key: r.Key, Headers: append(r.Headers, size)}
}

// bare is a shortened dead letter that has nothing of its record any more: a record may be all key or headers, and what a letter says beside them would then be
// what is too much.
func bare(r *kgo.Record) *kgo.Record {
	own := slices.Clone(r.Headers[max(0, len(r.Headers)-consumer.LetterHeaders-1):])
	return &kgo.Record{Topic: r.Topic, Partition: -1, Headers: append(own, kgo.RecordHeader{Key: consumer.HeaderBare, Value: []byte("true")})}
}

func lastHeader(r *kgo.Record) string {
	if len(r.Headers) == 0 {
		return ""
	}
	return r.Headers[len(r.Headers)-1].Key
}

// orderOf says where the record of the order lies that a record was made of.
func orderOf(r *kgo.Record) string {
	for _, h := range slices.Backward(r.Headers) { // the last counts: ours stand behind those that came with the record
		if h.Key == consumer.HeaderOrderSource {
			return string(h.Value)
		}
	}
	return ""
}

// sourceOf says where a record lies, as the header verdict.source of what it becomes does.
func sourceOf(r *kgo.Record) string {
	return r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
}

// find returns the record that lies at source.
func find(among []*kgo.Record, source string) *kgo.Record {
	for _, r := range among {
		if sourceOf(r) == source {
			return r
		}
	}
	return nil
}
