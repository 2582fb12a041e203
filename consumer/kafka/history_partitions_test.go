package kafka_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/kafka"
)

func TestHistoryGivesEachPartitionByItself(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "9a", "4b", "2c")
		b.put(t, ctx, b.topics.Orders, 1, "1e", "3f")
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Starts = kafka.Offsets{b.topics.Orders: {1: 1}} })
		if h.Partitions() != 2 {
			t.Fatalf("%d partitions", h.Partitions())
		}
		for place, want := range []string{"9a 4b 2c", "3f"} {
			var got []string
			for {
				records, err := h.PollPartition(ctx, place)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					got = append(got, string(r.Value))
				}
			}
			if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
				t.Errorf("partition %d: %s", place, diff)
			}
			if _, err := h.PollPartition(ctx, place); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end of partition %d: %v", place, err)
			}
		}
		if read, total := h.Progress(); read != 4 || total != 4 {
			t.Errorf("at the end %d of %d were read", read, total)
		}
	})
}

func TestHistoryOfATopicThatIsNotThereSaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		cfg := kafka.HistoryConfig{Connection: b.conn, Topics: []kafka.HistoryTopic{{Name: b.topics.Orders + ".none"}}}
		if _, err := kafka.OpenHistory(ctx, cfg); !errors.Is(err, kafka.ErrTopic) {
			t.Errorf("error %v, want ErrTopic", err)
		}
	})
}
