package consumer

import (
	"encoding/binary"
	"strconv"
	"time"

	"verdict/schemas"
)

// The request and reply headers of Spring's ReplyingKafkaTemplate, so that such a client can ask without HTTP.
const (
	HeaderCorrelation    = "kafka_correlationId"
	HeaderReplyTopic     = "kafka_replyTopic"
	HeaderReplyPartition = "kafka_replyPartition" // 4 bytes, big-endian
	HeaderTraceparent    = "traceparent"
	HeaderTracestate     = "tracestate"
)

// HeaderDeadline is a header of our own on orders: until when its caller waits, in epoch milliseconds as decimal text. Any client may set it.
const HeaderDeadline = "verdict.deadline"

// Headers of our own, on decisions, replies and dead letters.
const (
	HeaderErrorCode   = "verdict.error.code"   // a stable word, as schemas.Malformed.Code
	HeaderErrorDetail = "verdict.error.detail" // one line for people
	HeaderOrderSource = "verdict.source"       // topic/partition/offset of the order's record
	HeaderRepeat      = "verdict.repeat"       // "true" on a decision that was given before, for a later copy of its order
)

// maxCorrelation is the longest correlation id that is echoed, in bytes: what a stranger has us write is bounded.
const maxCorrelation = 1024

// deadlineGrace is how long after its deadline an order is still replied to. The deadline is by the caller's clock and is held against ours, and a reply that
// is written in vain costs less than one that a caller waits for: only clocks that are further apart than this make a caller wait for its 202, which looks into
// the ledger first.
const deadlineGrace = time.Second

// ask is who wants to have a decision sent, as the headers of its order say.
type ask struct {
	correlation *Header // as it came; nil when there was none
	topic       string
	partition   int32 // -1 lets the key decide
	deadline    int64 // epoch milliseconds after which nobody waits; 0 is never
	trace       *Header
	state       *Header // of the trace; means nothing without it
}

// readAsk reads a record's headers. Of one that stands twice the last counts, as Spring has it. What is malformed counts as not said: a reply must not fail for it.
func readAsk(headers []Header) ask {
	a := ask{partition: -1}
	for i := range headers {
		switch h := &headers[i]; h.Key {
		case HeaderCorrelation:
			a.correlation = h
		case HeaderReplyTopic:
			a.topic = string(h.Value)
		case HeaderReplyPartition:
			a.partition = -1
			if len(h.Value) == 4 {
				a.partition = max(-1, int32(binary.BigEndian.Uint32(h.Value)))
			}
		case HeaderDeadline:
			a.deadline = readDeadline(h.Value)
		case HeaderTraceparent:
			a.trace = readTrace(h)
		case HeaderTracestate:
			a.state = h
		}
	}
	return a
}

// tracestate returns what of the trace's state is carried on; "" without a trace.
func (a *ask) tracestate() string {
	if a.trace == nil || a.state == nil {
		return ""
	}
	return schemas.CarriedTracestate(string(a.state.Value))
}

// appendTrace adds the headers of the trace. They are as they came, and not those of a span of ours: what is written twice must be equal.
func (a *ask) appendTrace(h []Header) []Header {
	if a.trace != nil {
		h = append(h, *a.trace)
	}
	if state := a.tracestate(); state != "" {
		h = append(h, Header{HeaderTracestate, []byte(state)})
	}
	return h
}

// readDeadline reads epoch milliseconds in decimal text; 0 when it is none.
func readDeadline(text []byte) int64 {
	const digits = len("253402300799999") // of the year 9999
	if len(text) > digits {
		return 0
	}
	ms, err := strconv.ParseUint(string(text), 10, 63)
	if err != nil {
		return 0
	}
	return int64(ms)
}

// readTrace returns h when it is a trace context, else nil: a trace is then begun anew by whoever looks for one.
func readTrace(h *Header) *Header {
	if !schemas.WellFormedTrace(string(h.Value)) {
		return nil
	}
	return h
}

// askOf says who is to be sent the answer to a record, and whether anyone is. A topic that is not on the list is refused, and counted; so is a correlation id that
// is too long. The order is decided all the same.
func (w *Worker) askOf(r *Record) (ask, bool) {
	a := readAsk(r.Headers)
	switch {
	case a.topic == "":
		return ask{}, false
	case !w.replies[a.topic]:
		w.cfg.Metrics.RepliesRefused.WithLabelValues("reply_topic_denied").Inc()
		return ask{}, false
	case a.correlation != nil && len(a.correlation.Value) > maxCorrelation:
		w.cfg.Metrics.RepliesRefused.WithLabelValues("correlation_too_long").Inc()
		return ask{}, false
	case a.deadline > 0 && w.cfg.Now != nil && w.cfg.Now().UnixMilli() > a.deadline+deadlineGrace.Milliseconds():
		w.cfg.Metrics.RepliesSkipped.Inc()
		return ask{}, false
	}
	return a, true
}

// reply returns the message that carries a decision to who asked.
func (a *ask) reply(r *Record, value []byte) Message {
	return Message{To: Replies, Topic: a.topic, Partition: a.partition, Key: r.Key, Value: value, Headers: a.headers(nil)}
}

// refusal returns the message that tells who asked that the order is a dead letter.
func (a *ask) refusal(l *letter) Message {
	return Message{To: Replies, Topic: a.topic, Partition: a.partition, Key: l.record.Key, Headers: a.headers([]Header{
		{HeaderErrorCode, []byte(l.why.Code)}, {HeaderErrorDetail, []byte(l.why.Detail)},
	})}
}

// headers returns what is echoed, and more. The correlation id comes first.
func (a *ask) headers(more []Header) []Header {
	h := make([]Header, 0, len(more)+2)
	if a.correlation != nil {
		h = append(h, *a.correlation)
	}
	return a.appendTrace(append(h, more...))
}

// decisionHeaders returns the headers of a record on the decisions topic.
func decisionHeaders(r *Record, repeat bool) []Header {
	h := make([]Header, 0, 3)
	h = append(h, Header{HeaderOrderSource, []byte(r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10))})
	if repeat {
		h = append(h, Header{HeaderRepeat, []byte("true")})
	}
	asked := readAsk(r.Headers)
	return asked.appendTrace(h)
}
