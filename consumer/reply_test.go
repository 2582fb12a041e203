package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer"
)

// replyTo decides one order with these headers and returns the replies, and how many were skipped for their deadline. The order must be decided in any case.
func replyTo(t *testing.T, headers ...consumer.Header) ([]consumer.Message, float64) {
	t.Helper()
	w, registry := newWorld(t), prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(registry)
	w.order("a", "c1", 50, 1).Headers = headers
	w.run()
	if len(w.decisions()) != 1 || w.transport.committed != 1 {
		t.Fatalf("%d decisions, committed %d", len(w.decisions()), w.transport.committed)
	}
	return w.transport.written(consumer.Replies), series(t, registry, "verdict_replies_skipped")["verdict_replies_skipped_total"]
}

func textHeader(key, value string) consumer.Header {
	return consumer.Header{Key: key, Value: []byte(value)}
}

func TestACorrelationIDIsEchoedUntouched(t *testing.T) {
	topic := textHeader("kafka_replyTopic", "replies")
	for name, value := range map[string][]byte{
		"null": nil, "empty": {}, "raw": {0, 255, 1, 254, 2, 253, 3, 252, 4, 251, 5, 250, 6, 249, 7, 248}, "text": []byte("order-17"),
		"longest": slices.Repeat([]byte{0x80}, 1024),
	} {
		replies, _ := replyTo(t, topic, consumer.Header{Key: "kafka_correlationId", Value: value})
		if len(replies) != 1 {
			t.Fatalf("%s: %d replies", name, len(replies))
		}
		if diff := cmp.Diff([]consumer.Header{{Key: "kafka_correlationId", Value: value}}, replies[0].Headers); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if replies, _ := replyTo(t, topic); len(replies) != 1 || len(replies[0].Headers) != 0 {
		t.Errorf("without a correlation id: %+v", replies)
	}
	if replies, _ := replyTo(t, topic, consumer.Header{Key: "kafka_correlationId", Value: make([]byte, 1025)}); len(replies) != 0 {
		t.Errorf("1,025 bytes were echoed")
	}
}

func TestAReplyPartitionThatIsNoneIsLeftToTheKey(t *testing.T) {
	for value, want := range map[string]int32{
		"\x00\x00\x00\x03": 3, "\x00\x00\x03\xe7": 999, // beyond the topic is for the transport to tell
		"\xff\xff\xff\xff": -1, "\x80\x00\x00\x00": -1, "\x00\x00\x03": -1, "": -1, "\x00\x00\x00\x00\x03": -1, "3": -1,
	} {
		replies, _ := replyTo(t, textHeader("kafka_replyTopic", "replies"), textHeader("kafka_replyPartition", value))
		if len(replies) != 1 || replies[0].Partition != want {
			t.Errorf("%x: %+v, want partition %d", value, replies, want)
		}
	}
}

func TestHeadersAreFoundBehindTenThousandOthers(t *testing.T) {
	var headers []consumer.Header
	for i := range 10_000 {
		headers = append(headers, textHeader(fmt.Sprint("x-", i), "y"))
	}
	headers = append(headers, replyHeaders("replies", []byte("id"), 2)...)
	replies, _ := replyTo(t, append(headers, textHeader("traceparent", trace))...)
	if len(replies) != 1 || replies[0].Partition != 2 || header(replies[0], "kafka_correlationId") != "id" || header(replies[0], "traceparent") != trace {
		t.Fatalf("%+v", replies)
	}
}

func TestOnlyAWellFormedTraceIsCarriedThrough(t *testing.T) {
	for value, carried := range map[string]bool{
		trace: true, "": false, "00-t": false, strings.ToUpper(trace): false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
	} {
		w := newWorld(t)
		w.order("a", "c1", 50, 1).Headers = append(replyHeaders("replies", []byte("id"), 0), textHeader("traceparent", value))
		w.run()
		for _, m := range w.transport.messages {
			got := slices.ContainsFunc(m.Headers, func(h consumer.Header) bool { return h.Key == "traceparent" && string(h.Value) == value })
			if got != carried {
				t.Errorf("%q: carried to output %d: %v", value, m.To, got)
			}
		}
	}
}

func TestTheReplyOfAnOrderWhoseDeadlineIsPastIsSkipped(t *testing.T) {
	// The world's clock says so and goes on by a second at each look.
	now := newWorld(t).now
	ms := func(d time.Duration) string { return fmt.Sprint(now.Add(d).UnixMilli()) }
	for _, c := range []struct {
		deadline string
		skipped  bool
	}{
		{ms(-time.Minute), true},
		{"1", true},
		{ms(time.Minute), false},
		{ms(2 * time.Second), false}, // the decision has the clock's first second, the look at the deadline its second
		{ms(time.Second), false},     // a second of grace, for clocks that differ
		{ms(time.Second - time.Millisecond), true},
		{"0", false},
		{"", false},
		{"-5", false},
		{"+5", false},
		{"soon", false},
		{"1e3", false},
		{"99999999999999999999", false},
		{" 1", false},
	} {
		replies, skipped := replyTo(t, append(replyHeaders("replies", []byte("id"), 0), textHeader("verdict.deadline", c.deadline))...)
		if (len(replies) == 0) != c.skipped || (skipped == 1) != c.skipped {
			t.Errorf("deadline %q: %d replies, %v skipped", c.deadline, len(replies), skipped)
		}
	}
}

func TestARefusalIsSkippedPastTheDeadlineToo(t *testing.T) {
	w, registry := newWorld(t), prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(registry)
	w.record(consumer.Orders, "orders", `[]`).Headers = append(replyHeaders("replies", []byte("id"), 0), textHeader("verdict.deadline", "1"))
	w.run()
	if len(w.transport.written(consumer.Replies)) != 0 || len(w.transport.written(consumer.DeadLetters)) != 1 || series(t, registry, "verdict_replies_skipped")["verdict_replies_skipped_total"] != 1 {
		t.Fatalf("%+v", w.transport.messages)
	}
}

func FuzzRequestHeaders(f *testing.F) {
	f.Add([]byte("correlation"), "replies", []byte{0, 0, 0, 3}, "1793527200000", trace, "a=1,b=2")
	f.Add([]byte{}, "", []byte{255, 255, 255, 255}, "-1", "00-zz", "=,=,")
	f.Add([]byte(nil), "x", []byte("999"), "253402300800000", strings.ToUpper(trace), strings.Repeat("a=1,", 1000))
	f.Fuzz(func(t *testing.T, correlation []byte, topic string, place []byte, until, parent, state string) {
		asked, partition, deadline, carried := consumer.RequestOf([]consumer.Header{
			{Key: "kafka_correlationId", Value: correlation},
			{Key: "kafka_replyTopic", Value: []byte(topic)},
			{Key: "kafka_replyPartition", Value: place},
			textHeader("verdict.deadline", until), textHeader("traceparent", parent), textHeader("tracestate", state),
		})
		if asked != topic || partition < -1 || partition >= 0 && len(place) != 4 || deadline < 0 {
			t.Fatalf("topic %q, partition %d, deadline %d", asked, partition, deadline)
		}
		if len(carried) == 0 || string(carried[0].Value) != string(correlation) || len(carried) > 3 {
			t.Fatalf("%q", carried)
		}
		for _, h := range carried[1:] {
			if len(h.Value) > 512 || h.Key == "traceparent" && string(h.Value) != parent || h.Key == "tracestate" && !strings.Contains(parent, "-") {
				t.Fatalf("%s: %q", h.Key, h.Value)
			}
		}
	})
}
