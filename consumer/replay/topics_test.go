package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/consumer/replay"
	"verdict/schemas"
	"verdict/schemas/schematest"
)

// shop is an in-process cluster with the topics orders (three partitions) and labels.
type shop struct {
	conn kafka.Connection
	raw  *kgo.Client
}

func newShop(t *testing.T) shop {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"), kfake.SeedTopics(1, "labels"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	raw, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	return shop{conn: kafka.Connection{BootstrapServers: cluster.ListenAddrs()}, raw: raw}
}

// write writes a record, so many seconds after the beginning.
func (s shop) write(t *testing.T, topic string, partition int32, second int, value []byte) {
	t.Helper()
	at := time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)
	if err := s.raw.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: value, Timestamp: at}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (s shop) location(stream consumer.Stream, topic string) replay.Location {
	return replay.FromTopics("kafka://shop/"+topic, []string{topic}, func(ctx context.Context) (replay.Topics, error) {
		return kafka.OpenHistory(ctx, kafka.HistoryConfig{Connection: s.conn, Topics: []kafka.HistoryTopic{{Name: topic, Stream: stream}}})
	})
}

// TestReplayOfTopicsEqualsThatOfAFile writes a customer's orders across partitions, so that only the merge can bring them into order.
func TestReplayOfTopicsEqualsThatOfAFile(t *testing.T) {
	s := newShop(t)
	var text strings.Builder
	for i := range 500 {
		line := order(i, string(rune('a'+i%7)), float64(i)/10, float64(i%50))
		text.WriteString(line)
		s.write(t, "orders", int32(i*i%3), i, []byte(line))
	}
	var labels strings.Builder
	for i := 0; i < 500; i += 9 {
		line := label(i, true, float64(i)/10+5)
		labels.WriteString(line)
		s.write(t, "labels", 0, i, []byte(line))
	}
	want, wantOut := small(t, put(t, "orders.jsonl", []byte(text.String())))
	want.Labels = location(t, put(t, "labels.jsonl", []byte(labels.String())))
	run(t, want)
	got, gotOut := small(t, "-")
	at := s.location(consumer.Labels, "labels")
	got.Orders, got.Labels = s.location(consumer.Orders, "orders"), &at
	done := run(t, got)
	if diff := cmp.Diff(read(t, wantOut, "features.csv"), read(t, gotOut, "features.csv")); diff != "" {
		t.Error(diff)
	}
	if done.Orders != 500 || done.Labels != 56 || done.Late != 0 {
		t.Errorf("%+v", done)
	}
}

func TestReplayOfTopicsSaysWhereARecordLies(t *testing.T) {
	s := newShop(t)
	s.write(t, "orders", 2, 1, []byte("no order"))
	s.write(t, "orders", 2, 2, nil) // of a compacted topic: no order, and no fault
	s.write(t, "orders", 2, 3, []byte(order(1, "a", 0, 1)))
	s.write(t, "labels", 0, 1, []byte("no label"))
	s.write(t, "labels", 0, 2, []byte(label(1, false, 9)))
	cfg, out := deciding(t, "-")
	at := s.location(consumer.Labels, "labels")
	cfg.Orders, cfg.Labels = s.location(consumer.Orders, "orders"), &at
	var told strings.Builder
	cfg.Stderr = &told
	done := run(t, cfg)
	if done.Orders != 2 || done.DeadLetters != 2 || done.Decisions != 1 {
		t.Errorf("%+v", done)
	}
	if letters := read(t, out, "dead-letters.jsonl"); !strings.Contains(letters, `{"file":"labels/0","line":0,"code":"json_syntax"`) || !strings.Contains(letters, `{"file":"orders/2","line":0,"code":"json_syntax"`) {
		t.Error(letters)
	}
	if !strings.Contains(told.String(), "orders/2:0: json_syntax") {
		t.Error(told.String())
	}
	if decision, want := read(t, out, "decisions.jsonl"), `"source":{"topic":"orders","partition":2,"offset":2}`; !strings.Contains(decision, want) {
		t.Errorf("%s, want %s", decision, want)
	}
}

func TestReplayOfTopicsReadsAvroOfTheRegistry(t *testing.T) {
	s := newShop(t)
	fake, registry := schematest.Registry(t)
	text, _ := schemas.DefaultText("order")
	id := schematest.Register(t, fake, "orders-value", text)
	for n := range 20 {
		value, err := schematest.AvroOrder(id, n)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, "orders", int32(n%3), n, value)
	}
	cfg, out := small(t, "-")
	cfg.Orders, cfg.Registry = s.location(consumer.Orders, "orders"), registry
	run(t, cfg)
	var ids []string
	for line := range strings.Lines(read(t, out, "features.csv")) {
		ids = append(ids, strings.SplitN(line, ",", 2)[0])
	}
	want := []string{"order_id"}
	for n := range 20 {
		want = append(want, fmt.Sprint(100000+n))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
}

func TestReplayOfTopicsRefusesTheEventTimesThatLiveRefuses(t *testing.T) {
	s := newShop(t)
	s.write(t, "orders", 0, 0, []byte(order(1, "a", 1, 1)))
	s.write(t, "orders", 0, 1, []byte(order(2, "a", 100, 1)))
	cfg, out := small(t, "-")
	cfg.Orders, cfg.Events = s.location(consumer.Orders, "orders"), consumer.EventTimes{MaxAhead: 24 * time.Hour}
	run(t, cfg)
	if letters := read(t, out, "dead-letters.jsonl"); strings.Count(letters, "\n") != 1 || !strings.Contains(letters, `"line":1,"code":"timestamp_range"`) {
		t.Error(letters)
	}
}

// broken gives two orders, then an error.
type broken struct{ polls int }

func (b *broken) Poll(context.Context) (*consumer.Batch, error) {
	if b.polls++; b.polls > 2 {
		return nil, errors.New("log gap")
	}
	return &consumer.Batch{Records: []consumer.Record{{Topic: "orders", Offset: int64(b.polls), Value: []byte(order(b.polls, "a", 0, 1))}}}, nil
}

func (b *broken) Progress() (read, total int64) { return int64(b.polls), 10 }
func (b *broken) Close()                        {}

func TestReplayOfTopicsThatBreakWritesNoFile(t *testing.T) {
	cfg, out := small(t, "-")
	cfg.Orders = replay.FromTopics("kafka://shop/orders", []string{"orders"}, func(context.Context) (replay.Topics, error) { return new(broken), nil })
	if _, err := replay.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "reading kafka://shop/orders: log gap") {
		t.Error(err)
	}
	cfg.Orders = replay.FromTopics("kafka://shop/orders", []string{"orders"}, func(context.Context) (replay.Topics, error) { return nil, io.ErrUnexpectedEOF })
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Clean(out)); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
