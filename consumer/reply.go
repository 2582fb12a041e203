package consumer

import (
	"encoding/binary"
	"strconv"
)

// The request and reply headers of Spring's ReplyingKafkaTemplate, so that such a client can ask without HTTP.
const (
	HeaderCorrelation    = "kafka_correlationId"
	HeaderReplyTopic     = "kafka_replyTopic"
	HeaderReplyPartition = "kafka_replyPartition" // 4 bytes, big-endian
	HeaderTraceparent    = "traceparent"
)

// Headers of our own, on decisions, replies and dead letters.
const (
	HeaderErrorCode   = "verdict.error.code"   // a stable word, as schemas.Malformed.Code
	HeaderErrorDetail = "verdict.error.detail" // one line for people
	HeaderOrderSource = "verdict.source"       // topic/partition/offset of the order's record
	HeaderRepeat      = "verdict.repeat"       // "true" on a decision that was given before, for a later copy of its order
)

// Longest correlation id that is echoed, in bytes, and how many headers of a record are looked at: what a stranger writes is bounded.
const (
	maxCorrelation = 1024
	maxHeaders     = 100
)

// ask is who wants to have a decision sent, as the headers of its order say.
type ask struct {
	correlation []byte
	topic       string
	partition   int32 // -1 lets the key decide
	trace       []byte
}

// askOf reads the reply headers of a record. A topic that is not on the list is refused: counted, and the order is decided all the same.
func (w *Worker) askOf(r *Record) (ask, bool) {
	a := ask{partition: -1}
	for _, h := range r.Headers[:min(len(r.Headers), maxHeaders)] {
		switch h.Key {
		case HeaderCorrelation:
			a.correlation = h.Value
		case HeaderReplyTopic:
			a.topic = string(h.Value)
		case HeaderReplyPartition:
			if len(h.Value) == 4 {
				a.partition = max(-1, int32(binary.BigEndian.Uint32(h.Value)))
			}
		case HeaderTraceparent:
			a.trace = h.Value
		}
	}
	if a.topic == "" {
		return ask{}, false
	}
	if !w.replies[a.topic] {
		w.cfg.Metrics.RepliesRefused.WithLabelValues("reply_topic_denied").Inc()
		return ask{}, false
	}
	if len(a.correlation) > maxCorrelation {
		w.cfg.Metrics.RepliesRefused.WithLabelValues("correlation_too_long").Inc()
		return ask{}, false
	}
	return a, true
}

// reply returns the message that carries a decision to who asked.
func (a ask) reply(r *Record, value []byte) Message {
	return Message{To: Replies, Topic: a.topic, Partition: a.partition, Key: r.Key, Value: value, Headers: a.headers(nil)}
}

// refusal returns the message that tells who asked that the order is a dead letter.
func (a ask) refusal(l *letter) Message {
	return Message{To: Replies, Topic: a.topic, Partition: a.partition, Key: l.record.Key, Headers: a.headers([]Header{
		{HeaderErrorCode, []byte(l.why.Code)}, {HeaderErrorDetail, []byte(l.why.Detail)},
	})}
}

func (a ask) headers(more []Header) []Header {
	h := append([]Header{{HeaderCorrelation, a.correlation}}, more...)
	if a.trace != nil {
		h = append(h, Header{HeaderTraceparent, a.trace})
	}
	return h
}

// decisionHeaders returns the headers of a record on the decisions topic.
func decisionHeaders(r *Record, repeat bool) []Header {
	h := make([]Header, 0, 3)
	h = append(h, Header{HeaderOrderSource, []byte(r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10))})
	if repeat {
		h = append(h, Header{HeaderRepeat, []byte("true")})
	}
	for _, in := range r.Headers[:min(len(r.Headers), maxHeaders)] {
		if in.Key == HeaderTraceparent {
			h = append(h, in)
		}
	}
	return h
}
