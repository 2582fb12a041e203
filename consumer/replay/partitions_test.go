package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/consumer/replay"
)

// byEvent returns topics merged by event time.
func (s shop) byEvent(topics ...string) replay.Location {
	return replay.FromPartitions("kafka://shop/"+strings.Join(topics, ","), topics, func(ctx context.Context) (replay.Partitions, error) {
		cfg := kafka.HistoryConfig{Connection: s.conn, MaxBuffered: 1 << 20}
		for _, topic := range topics {
			cfg.Topics = append(cfg.Topics, kafka.HistoryTopic{Name: topic})
		}
		return kafka.OpenHistory(ctx, cfg)
	})
}

// load writes orders partition after partition, as a history is loaded: all of them now, whenever they happened.
func (s shop) load(t *testing.T, topic string, parts [][][]byte) {
	t.Helper()
	if _, err := kadm.NewClient(s.raw).CreateTopic(t.Context(), int32(len(parts)), 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for partition, lines := range parts {
		var records []*kgo.Record
		for _, line := range lines {
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(partition), Value: bytes.TrimSpace(line), Timestamp: time.Now()})
		}
		if err := s.raw.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPartitionsMergedByEventTimeEqualAFile(t *testing.T) {
	s := newShop(t)
	all := timed(4000)
	cfg, out := deciding(t, put(t, "orders.jsonl", bytes.Join(all, nil)))
	cfg.Write = replay.CSV
	file := run(t, cfg)
	want := read(t, out, "features.csv")
	for _, n := range []int{1, 8} {
		topic := fmt.Sprint("loaded", n)
		parts := make([][][]byte, n)
		for i, line := range all {
			p := i * i % n
			parts[p] = append(parts[p], line)
		}
		s.load(t, topic, parts)
		cfg, out := deciding(t, "-")
		cfg.Write, cfg.Orders, cfg.Events = replay.CSV, s.byEvent(topic), consumer.EventTimes{MaxAge: time.Hour} // of records that are old: these were written now
		done := run(t, cfg)
		if diff := cmp.Diff(want, read(t, out, "features.csv")); diff != "" || done.Late != 0 || done.DeadLetters != 0 || done.Digests[0].Digest != file.Digests[0].Digest {
			t.Errorf("%d partitions: %v, %s", n, done, diff)
		}
	}
	// By the time at which they were written, the partitions lie one behind the other.
	cfg, _ = deciding(t, "-")
	cfg.Orders = s.location(consumer.Orders, "loaded8")
	if done := run(t, cfg); done.Late == 0 || done.Digests[0].Digest == file.Digests[0].Digest {
		t.Errorf("merged by record times: %v", done)
	}
}

func TestPartitionsMergedByEventTimeSayWhereARecordLies(t *testing.T) {
	s := newShop(t)
	s.load(t, "one", [][][]byte{nil, {[]byte("no order"), []byte(order(1, "a", 5, 1))}})
	s.load(t, "two", [][][]byte{{[]byte(order(2, "a", 1, 1)), []byte(order(3, "a", 5, 1))}})
	cfg, out := deciding(t, "-")
	cfg.Write, cfg.Orders = replay.CSV, s.byEvent("one", "two")
	done := run(t, cfg)
	if done.Orders != 4 || done.DeadLetters != 1 || done.Late != 0 {
		t.Errorf("%v", done)
	}
	if letters := read(t, out, "dead-letters.jsonl"); !strings.Contains(letters, `{"file":"one/1","line":0,"code":"json_syntax"`) {
		t.Error(letters)
	}
	var sources []string
	for line := range strings.Lines(read(t, out, "decisions.jsonl")) {
		_, source, _ := strings.Cut(line, `"source":`)
		source, _, _ = strings.Cut(source, "}")
		sources = append(sources, source)
	}
	want := []string{`{"topic":"two","partition":0,"offset":0`, `{"topic":"one","partition":1,"offset":1`, `{"topic":"two","partition":0,"offset":1`} // of one time the earlier topic's is first
	if diff := cmp.Diff(want, sources); diff != "" {
		t.Error(diff)
	}
}

// memory are partitions in memory, each given in chunks.
type memory struct {
	chunks [][][]consumer.Record
	fails  int // the partition that breaks after its last chunk; -1: none
	closed bool
}

func (m *memory) Partitions() int { return len(m.chunks) }

func (m *memory) PollPartition(_ context.Context, place int) ([]consumer.Record, error) {
	if len(m.chunks[place]) == 0 {
		if place == m.fails {
			return nil, errors.New("log gap")
		}
		return nil, io.EOF
	}
	next := m.chunks[place][0]
	m.chunks[place] = m.chunks[place][1:]
	return next, nil
}

func (m *memory) Progress() (read, total int64) { return 0, 0 }
func (m *memory) Close()                        { m.closed = true }

func (m *memory) location() replay.Location {
	return replay.FromPartitions("kafka://shop/orders", []string{"orders"}, func(context.Context) (replay.Partitions, error) { return m, nil })
}

// TestPartitionsAreMergedAsTheEventTimesSay holds the merge of random partitions against the plainest one: again and again, the least of their next orders.
func TestPartitionsAreMergedAsTheEventTimesSay(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type next struct {
			id   string
			hour int
		}
		n, parts := 0, make([][]next, rapid.IntRange(1, 12).Draw(r, "partitions"))
		m := &memory{chunks: make([][][]consumer.Record, len(parts)), fails: -1}
		for p := range parts {
			for range rapid.IntRange(0, 4).Draw(r, "chunks") {
				var chunk []consumer.Record
				for range rapid.IntRange(1, 5).Draw(r, "records") {
					one := next{fmt.Sprint("o", n), rapid.IntRange(0, 9).Draw(r, "hour")}
					text := order(n, "a", float64(one.hour), 1)
					if n++; rapid.IntRange(0, 9).Draw(r, "bad") == 0 {
						one.hour, text = -1, "no order" // goes as soon as it is the next of its partition
					}
					parts[p] = append(parts[p], one)
					chunk = append(chunk, consumer.Record{Topic: "orders", Partition: int32(p), Offset: int64(len(parts[p])), Value: []byte(text), Time: time.Now()})
				}
				m.chunks[p] = append(m.chunks[p], chunk)
			}
		}
		var want []string
		for {
			least := -1
			for p, left := range parts {
				if len(left) > 0 && (least < 0 || left[0].hour < parts[least][0].hour) {
					least = p
				}
			}
			if least < 0 {
				break
			}
			if parts[least][0].hour >= 0 {
				want = append(want, parts[least][0].id)
			}
			parts[least] = parts[least][1:]
		}
		if len(want) == 0 {
			return // a replay of nothing is refused
		}
		cfg, out := small(t, "-")
		cfg.Orders = m.location()
		if _, err := replay.Run(t.Context(), cfg); err != nil {
			r.Fatal(err)
		}
		var got []string
		for _, line := range lines([]byte(read(t, out, "features.csv")))[1:] {
			id, _, _ := strings.Cut(string(line), ",")
			got = append(got, id)
		}
		if diff := cmp.Diff(want, got); diff != "" || !m.closed {
			r.Fatalf("closed %v: %s", m.closed, diff)
		}
	})
}

func TestPartitionsThatBreakWriteNoFile(t *testing.T) {
	m := &memory{chunks: [][][]consumer.Record{{{{Topic: "orders", Value: []byte(order(1, "a", 1, 1))}}}, {{{Topic: "orders", Partition: 1, Value: []byte(order(2, "a", 9, 1))}}}}, fails: 0}
	cfg, _ := small(t, "-")
	cfg.Orders = m.location()
	if _, err := replay.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "reading kafka://shop/orders: log gap") || !m.closed {
		t.Errorf("%v, closed %v", err, m.closed)
	}
	cfg.Orders = replay.FromPartitions("kafka://shop/orders", []string{"orders"}, func(context.Context) (replay.Partitions, error) { return nil, io.ErrUnexpectedEOF })
	if _, err := replay.Run(t.Context(), cfg); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestHundredsOfPartitionsAreMergedByEventTime(t *testing.T) {
	s := newShop(t)
	const partitions, each = 500, 20
	parts := make([][][]byte, partitions)
	for i := range partitions * each {
		parts[i%partitions] = append(parts[i%partitions], []byte(order(i, string(rune('a'+i%11)), float64(i)/100, 1)))
	}
	s.load(t, "many", parts)
	cfg, _ := small(t, "-")
	cfg.Orders = s.byEvent("many")
	if done := run(t, cfg); done.Orders != partitions*each || done.Late != 0 {
		t.Errorf("%v", done)
	}
}
