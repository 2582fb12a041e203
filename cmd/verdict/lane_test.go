package main_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// produce writes a record as a stranger would.
func (s site) produce(t *testing.T, ctx context.Context, c *kgo.Client, topic string, value []byte, headers ...kgo.RecordHeader) {
	t.Helper()
	r := &kgo.Record{Topic: s.topic(topic), Key: []byte("k"), Value: value, Headers: headers}
	if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// next returns the next record of a topic.
func (s site) next(t *testing.T, ctx context.Context, c *kgo.Client) *kgo.Record {
	t.Helper()
	for {
		fetches := c.PollRecords(ctx, 1)
		if ctx.Err() != nil {
			t.Fatalf("no record came: %v", fetches.Err())
		}
		if records := fetches.Records(); len(records) > 0 {
			return records[0]
		}
	}
}

func fromStart(s site, topic string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumeTopics(s.topic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
}

func TestAPlainKafkaClientAsksWithSpringsHeaders(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", "")).ready(ctx)
	correlation := []byte{1, 0, 255, 7}
	s.produce(t, ctx, s.client(t), "orders.sync", []byte(orderJSON("spring", 1, 10)),
		kgo.RecordHeader{Key: "kafka_correlationId", Value: correlation},
		kgo.RecordHeader{Key: "kafka_replyTopic", Value: []byte(s.topic("replies"))},
		kgo.RecordHeader{Key: "kafka_replyPartition", Value: binary.BigEndian.AppendUint32(nil, 2)})
	reply := s.next(t, ctx, s.client(t, fromStart(s, "replies")...))
	if reply.Partition != 2 || string(reply.Headers[0].Value) != string(correlation) || decode(t, reply.Value).OrderID != "spring" {
		t.Fatalf("partition %d, headers %v, %s", reply.Partition, reply.Headers, reply.Value)
	}
}

func TestAvroOrdersGetAvroDecisions(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	registry, _ := schematest.Registry(t)
	orderSchema, _ := schemas.DefaultText("order")
	body, err := schematest.AvroOrder(schematest.Register(t, registry, s.topic("orders")+"-value", orderSchema), 1)
	if err != nil {
		t.Fatal(err)
	}
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", fmt.Sprintf("registry: {urls: [%q]}", registry.URL()))).ready(ctx)
	s.produce(t, ctx, s.client(t), "orders", body)
	record := s.next(t, ctx, s.client(t, fromStart(s, "decisions")...))
	client, err := sr.NewClient(sr.URLs(registry.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if record.Value[0] != 0 {
		t.Fatalf("the decision is not framed: %q", record.Value)
	}
	decisionSchema, err := client.SchemaByID(ctx, int(binary.BigEndian.Uint32(record.Value[1:])))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := goavro.NewCodec(decisionSchema.Schema)
	if err != nil {
		t.Fatal(err)
	}
	decision, rest, err := reader.NativeFromBinary(record.Value[5:])
	if err != nil || len(rest) > 0 {
		t.Fatal(err, len(rest))
	}
	want, _ := schemas.DefaultOrderSchema().DecodeJSON(schematest.Order(1))
	fields := decision.(map[string]any)
	amount := fields["inputs"].(map[string]any)["amount"].(map[string]any)["double"]
	if fields["order_id"] != want.Get("order_id").Str() || amount != want.Get("amount").Number() {
		t.Fatalf("%v, of order %s", fields, schematest.Order(1))
	}
}

// TestBadOrdersBecomeDeadLettersAndTheNextGoodOneIsDecided sends what cannot be an order, as bytes that crash other decoders too.
func TestBadOrdersBecomeDeadLettersAndTheNextGoodOneIsDecided(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", "")).ready(ctx)
	c := s.client(t)
	bad := map[string]string{
		"":                                "empty",
		"{":                               "json_syntax",
		`{"order_id":"a","order_id":"b"}`: "json_duplicate",
		orderJSON("a", 1, 1) + "x":        "json_syntax",
		"\x02abcdef":                      "frame_magic",
		"\x00\x00":                        "frame_short",
		"\x00\x00\x00\x00\x07\xff\xff\xff\xff\x0f": "schema_unavailable",
		strings.Repeat("[", 100_000):               "too_large",
		`{"order_id":"not an id!","occurred_at":"2026-11-01T10:00:00Z","customer_id":"1","terminal_id":"2","amount":1}`: "id_format",
		`{"order_id":"a","occurred_at":1793527200000000000,"customer_id":"1","terminal_id":"2","amount":1}`:             "timestamp_range",
		`{"order_id":"a","occurred_at":"2199-01-01T00:00:00Z","customer_id":"1","terminal_id":"2","amount":1}`:          "timestamp_range",
	}
	for value := range bad {
		s.produce(t, ctx, c, "orders", []byte(value))
	}
	s.produce(t, ctx, c, "orders", []byte(orderJSON("good", 1, 10)))
	if got := s.decisions(t, ctx, 1); got["good"].OrderID != "good" {
		t.Fatal(got)
	}
	letters := s.client(t, fromStart(s, "orders.dlq")...)
	for range bad {
		r := s.next(t, ctx, letters)
		code := ""
		for _, h := range r.Headers {
			if h.Key == "verdict.error.code" {
				code = string(h.Value)
			}
		}
		if want, sent := bad[string(r.Value)]; !sent || code != want {
			t.Errorf("%.40q is a dead letter with code %s, want %s", r.Value, code, want)
		}
	}
}

// TestABacklogDoesNotHoldUpAWaitingCaller asks while the other lane has a backlog that takes seconds.
func TestABacklogDoesNotHoldUpAWaitingCaller(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	config := s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 5s}`)
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	backlog := 20_000
	if s.real() {
		backlog = 60_000
	}
	decided := s.count(t, ctx)
	c := s.client(t, kgo.ProducerLinger(5*time.Millisecond))
	for i := range backlog {
		c.Produce(ctx, &kgo.Record{Topic: s.topic("orders"), Key: fmt.Append(nil, i%500), Value: []byte(orderJSON(fmt.Sprintf("b%d", i), i%500, 10))}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	var slowest time.Duration
	for i := range 20 {
		began := time.Now()
		if code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON(fmt.Sprintf("s%d", i), i, 5), nil); code != http.StatusOK {
			t.Fatalf("caller %d: %d %s", i, code, text)
		}
		slowest = max(slowest, time.Since(began))
	}
	if done := decided.Load(); done >= int64(backlog) {
		t.Fatalf("the backlog of %d was done before the callers were: this showed nothing", backlog)
	} else {
		t.Logf("%s: 20 callers answered, the slowest in %s, while %d of %d of the backlog were decided", s.name, slowest.Round(time.Millisecond), done, backlog)
	}
}
