package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// put writes records in one go. A value says when it was written: "5c" is c, 5 s after the beginning.
func (b bench) put(t *testing.T, ctx context.Context, topic string, partition int32, values ...string) {
	t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, written(topic, partition, v))
	}
	if err := b.raw.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

var beginning = time.Now().Add(-time.Hour).Truncate(time.Second) // retention deletes what is much older

func written(topic string, partition int32, value string) *kgo.Record {
	seconds, _ := strconv.Atoi(strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz"))
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value), Timestamp: beginning.Add(time.Duration(seconds) * time.Second)}
}

// history opens the history of the orders topic.
func (b bench) history(t *testing.T, ctx context.Context, change func(*kafka.HistoryConfig)) *kafka.History {
	t.Helper()
	cfg := kafka.HistoryConfig{Connection: b.conn, Topics: []kafka.HistoryTopic{{Name: b.topics.Orders}}}
	if change != nil {
		change(&cfg)
	}
	h, err := kafka.OpenHistory(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// all polls until the end and returns the values.
func all(t *testing.T, ctx context.Context, h *kafka.History) []string {
	t.Helper()
	got, err := values(ctx, h)
	if err != nil {
		t.Fatalf("after %q: %v", got, err)
	}
	if read, total := h.Progress(); read != total {
		t.Errorf("at the end %d of %d were read", read, total)
	}
	if diff := cmp.Diff(h.Ends(), h.Positions()); diff != "" {
		t.Errorf("at the end it is not there: %s", diff)
	}
	return got
}

func values(ctx context.Context, h *kafka.History) (got []string, err error) {
	for {
		batch, err := h.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		for _, r := range batch.Records {
			got = append(got, string(r.Value))
		}
	}
}

func TestHistoryIsInTheOrderOfWritingAcrossPartitionsAndTopics(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a", "4b", "2c", "6d") // its clock went back: by offset all the same
		b.put(t, ctx, b.topics.Orders, 1, "1e", "3f", "6g", "9h")
		b.put(t, ctx, b.topics.Labels, 0, "1i", "5j")
		b.put(t, ctx, b.topics.Labels, 1, "6k")
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) {
			c.Topics = []kafka.HistoryTopic{{b.topics.Orders, consumer.Orders}, {b.topics.Labels, consumer.Labels}}
			c.MaxPollRecords = 3
		})
		var got []string
		var sizes []int
		for {
			batch, err := h.Poll(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(batch.Records))
			for _, r := range batch.Records {
				if (r.Topic == b.topics.Labels) != (r.Stream == consumer.Labels) {
					t.Errorf("%s of %s is taken for stream %d", r.Value, r.Topic, r.Stream)
				}
				got = append(got, string(r.Value))
			}
		}
		if diff := cmp.Diff(strings.Fields("1a 1e 1i 3f 4b 2c 5j 6d 6g 6k 9h"), got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]int{3, 3, 3, 2}, sizes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHistoryGivesRecordsAsTheTransportDoes(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		full := written(b.topics.Orders, 1, "7a")
		full.Key, full.Headers = []byte("key"), []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "none"}}
		empty := &kgo.Record{Topic: b.topics.Orders, Partition: 1, Key: []byte("key"), Timestamp: beginning.Add(8 * time.Second)}
		if err := b.raw.ProduceSync(ctx, full, empty).FirstErr(); err != nil {
			t.Fatal(err)
		}
		tr := b.transport(t, nil)
		var live []consumer.Record
		for len(live) < 2 {
			batch, err := tr.Poll(ctx)
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, batch.Records...)
		}
		batch, err := b.history(t, ctx, nil).Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(live, batch.Records); diff != "" {
			t.Error(diff)
		}
		if err := tr.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHistoryEndsWhereTheLogEndedWhenItWasOpened(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 1, "1a", "2b")
		h := b.history(t, ctx, nil)
		b.put(t, ctx, b.topics.Orders, 1, "3c")
		b.put(t, ctx, b.topics.Orders, 0, "1d")
		if diff := cmp.Diff([]string{"1a", "2b"}, all(t, ctx, h)); diff != "" {
			t.Error(diff)
		}
		if _, err := h.Poll(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		next := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Starts = h.Ends() })
		if diff := cmp.Diff([]string{"1d", "3c"}, all(t, ctx, next)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHistoryOfAnEmptyTopicIsOverAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		if got := all(t, ctx, b.history(t, ctx, nil)); len(got) > 0 {
			t.Error(got)
		}
	})
}

func TestHistoryReadsToTheOffsetsThatAGroupHasCommitted(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a", "2b", "3c")
		b.put(t, ctx, b.topics.Orders, 1, "1d")
		b.put(t, ctx, b.topics.Labels, 0, "1e")
		var commits kadm.Offsets
		commits.Add(kadm.Offset{Topic: b.topics.Orders, Partition: 0, At: 2})
		commits.Add(kadm.Offset{Topic: b.topics.Labels, Partition: 0, At: 1})
		group := b.topics.Orders + ".group"
		if err := kadm.NewClient(b.raw).CommitAllOffsets(ctx, group, commits); err != nil {
			t.Fatal(err)
		}
		ends, err := kafka.Committed(ctx, b.conn, group, b.topics.Orders)
		if diff := cmp.Diff(kafka.Offsets{b.topics.Orders: {0: 2}}, ends); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		if none, err := kafka.Committed(ctx, b.conn, group+".none", b.topics.Orders); err == nil || !strings.Contains(err.Error(), "has committed nothing in") {
			t.Errorf("of a group that nobody knows: %v, %v", none, err)
		}
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Ends = ends })
		if diff := cmp.Diff([]string{"1a", "2b"}, all(t, ctx, h)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHistoryReadsARangeOfTime(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a", "3b", "5c", "7d")
		b.put(t, ctx, b.topics.Orders, 1, "2e", "4f")
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) {
			c.Since, c.Until = beginning.Add(3*time.Second), beginning.Add(6*time.Second)
		})
		if diff := cmp.Diff([]string{"3b", "4f", "5c"}, all(t, ctx, h)); diff != "" {
			t.Error(diff)
		}
		h = b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Since = beginning.Add(time.Hour) })
		if got := all(t, ctx, h); len(got) > 0 {
			t.Error(got)
		}
	})
}

func TestHistoryRefusesOffsetsThatAreNotThere(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a")
		for want, change := range map[string]func(*kafka.HistoryConfig){
			"/0 is to be read to offset 2, and its committed records end at 1": func(c *kafka.HistoryConfig) { c.Ends = kafka.Offsets{b.topics.Orders: {0: 2}} },
			"an offset is given for " + b.topics.Orders + "/7":                 func(c *kafka.HistoryConfig) { c.Starts = kafka.Offsets{b.topics.Orders: {7: 0}} },
			"UNKNOWN_TOPIC_OR_PARTITION":                                       func(c *kafka.HistoryConfig) { c.Topics = []kafka.HistoryTopic{{Name: b.topics.Orders + ".none"}} },
			"is named twice":                                                   func(c *kafka.HistoryConfig) { c.Topics = append(c.Topics, c.Topics[0]) },
			"needs a topic":                                                    func(c *kafka.HistoryConfig) { c.Topics = nil },
		} {
			cfg := kafka.HistoryConfig{Connection: b.conn, Topics: []kafka.HistoryTopic{{Name: b.topics.Orders}}}
			change(&cfg)
			if _, err := kafka.OpenHistory(ctx, cfg); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one that says %q", err, want)
			}
		}
	})
}

// TestHistoryMergesAsTheTimesSay writes random times to random partitions and compares with the merge of whole partitions.
func TestHistoryMergesAsTheTimesSay(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		name := b.topics.Orders + ".random"
		if _, err := kafka.EnsureTopics(ctx, b.conn, map[string]kafka.TopicSpec{name: {Partitions: 3}}); err != nil {
			t.Fatal(err)
		}
		var read kafka.Offsets // each history begins behind the one before
		rapid.Check(t, func(r *rapid.T) {
			var logs [3][]string
			var records []*kgo.Record
			for i := range rapid.IntRange(0, 60).Draw(r, "records") {
				p := rapid.Int32Range(0, 2).Draw(r, "partition")
				v := fmt.Sprintf("%d%c%c", rapid.IntRange(0, 9).Draw(r, "second"), 'a'+i/26, 'a'+i%26)
				logs[p] = append(logs[p], v)
				records = append(records, written(name, p, v))
			}
			if err := b.raw.ProduceSync(ctx, records...).FirstErr(); err != nil {
				r.Fatal(err)
			}
			var want []string
			for len(logs[0])+len(logs[1])+len(logs[2]) > 0 {
				least := -1
				for p, l := range logs {
					if len(l) > 0 && (least < 0 || l[0][0] < logs[least][0][0]) {
						least = p
					}
				}
				want = append(want, logs[least][0])
				logs[least] = logs[least][1:]
			}
			h, err := kafka.OpenHistory(ctx, kafka.HistoryConfig{
				Connection: b.conn, Topics: []kafka.HistoryTopic{{Name: name}}, Starts: read, MaxPollRecords: rapid.IntRange(1, 20).Draw(r, "poll"),
			})
			if err != nil {
				r.Fatal(err)
			}
			defer h.Close()
			read = h.Ends()
			got, err := values(ctx, h)
			if err != nil || !slices.Equal(got, want) {
				r.Fatalf("%v, %s", err, cmp.Diff(want, got))
			}
		})
	})
}
