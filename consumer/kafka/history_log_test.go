package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// transaction writes records in a transaction, and ends it: nil leaves it open until the test is over.
func (b bench) transaction(t *testing.T, ctx context.Context, end *kgo.TransactionEndTry, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.conn.BootstrapServers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(fmt.Sprintf("%s.%d", b.topics.Orders, time.Now().UnixNano())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := client.ProduceSync(ctx, written(b.topics.Orders, 0, v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if end == nil {
		return
	}
	if err := client.EndTransaction(ctx, *end); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryReadsWhatWasCommittedAndNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		commit, abort := kgo.TryCommit, kgo.TryAbort
		b.transaction(t, ctx, &abort, "1a", "1b")
		b.transaction(t, ctx, &commit, "2c", "2d")
		b.put(t, ctx, b.topics.Orders, 0, "3e")
		b.transaction(t, ctx, &abort, "4f")
		if diff := cmp.Diff([]string{"2c", "2d", "3e"}, all(t, ctx, b.history(t, ctx, nil))); diff != "" {
			t.Errorf("with an aborted transaction at the end: %s", diff)
		}
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Ends = kafka.Offsets{b.topics.Orders: {0: 2}} })
		if got := all(t, ctx, h); len(got) > 0 {
			t.Errorf("of an aborted transaction came %q", got)
		}
		b.transaction(t, ctx, nil, "5g")
		b.put(t, ctx, b.topics.Orders, 0, "6h") // not committed for readers as long as 5g is not decided
		if diff := cmp.Diff([]string{"2c", "2d", "3e"}, all(t, ctx, b.history(t, ctx, nil))); diff != "" {
			t.Errorf("before an open transaction: %s", diff)
		}
	})
}

func TestHistoryBeginsWhereRetentionHasCutTheLog(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a", "2b", "3c", "4d")
		b.put(t, ctx, b.topics.Orders, 1, "2e")
		b.cut(t, ctx, 0, 2)
		b.cut(t, ctx, 1, 1)
		if diff := cmp.Diff([]string{"3c", "4d"}, all(t, ctx, b.history(t, ctx, nil))); diff != "" {
			t.Error(diff)
		}
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Ends = kafka.Offsets{b.topics.Orders: {0: 1}} })
		if got := all(t, ctx, h); len(got) > 0 {
			t.Errorf("before the beginning of the log came %q", got)
		}
		_, err := kafka.OpenHistory(ctx, kafka.HistoryConfig{
			Connection: b.conn, Topics: []kafka.HistoryTopic{{Name: b.topics.Orders}}, Starts: kafka.Offsets{b.topics.Orders: {0: 1}},
		})
		if want := "/0: records 1 to 1 were deleted"; !errors.Is(err, consumer.ErrStop) || !strings.Contains(err.Error(), want) {
			t.Errorf("from a record that is gone: %v, want %s", err, want)
		}
	})
}

// cut deletes the records of a partition before an offset.
func (b bench) cut(t *testing.T, ctx context.Context, partition int32, before int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: b.topics.Orders, Partition: partition, At: before})
	deleted, err := kadm.NewClient(b.raw).DeleteRecords(ctx, offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fillUp writes batches of 100 records of 100 bytes each, all of one time. Every fetch of a history that may hold little gets a few of them.
func (b bench) fillUp(t *testing.T, ctx context.Context, partition int32, second, batches int) {
	t.Helper()
	pad := strings.Repeat("x", 90)
	for range batches {
		values := make([]string, 100)
		for i := range values {
			values[i] = fmt.Sprint(second) + pad
		}
		b.put(t, ctx, b.topics.Orders, partition, values...)
	}
}

func TestRecordsThatDisappearWhileTheyAreReadAreAnErrorThatNamesThem(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.fillUp(t, ctx, 0, 1, 40)
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.MaxBuffered, c.MaxPollRecords = 1, 1 })
		if _, err := h.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		b.cut(t, ctx, 0, 3900)
		got, err := values(ctx, h)
		if err == nil || !errors.Is(err, consumer.ErrStop) {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		if want := fmt.Sprintf("reading %s/0 at offset %d: cannot go on: log gap: records %d to 3899 were deleted", b.topics.Orders, len(got)+1, len(got)+1); !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, again := h.Poll(ctx); !errors.Is(again, consumer.ErrStop) {
			t.Errorf("the next poll says %v", again)
		}
	})
}

func TestHistoryFollowsBehindItsEnds(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.put(t, ctx, b.topics.Orders, 0, "1a", "3b")
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Follow, c.Since = true, beginning.Add(2*time.Second) })
		b.put(t, ctx, b.topics.Orders, 1, "2c")
		var got []string
		poll := func(n int) {
			for len(got) < n {
				batch, err := h.Poll(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range batch.Records {
					got = append(got, string(r.Value))
				}
			}
		}
		poll(2)
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if batch, err := h.Poll(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nothing to read: %v, %v", batch, err)
		}
		behind := func(want int64) {
			if n, err := h.Behind(ctx); n != want || err != nil {
				t.Errorf("%d offsets behind, %v; want %d", n, err, want)
			}
		}
		behind(0)
		b.put(t, ctx, b.topics.Orders, 0, "4d")
		behind(1)
		poll(3)
		behind(0)
		if diff := cmp.Diff([]string{"3b", "2c", "4d"}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(kafka.Offsets{b.topics.Orders: {0: 3, 1: 1}}, h.Positions()); diff != "" {
			t.Error(diff)
		}
	})
}

// alone returns an in-process cluster of one topic, orders.
func alone(t *testing.T, brokers int) (*kfake.Cluster, bench) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := bench{conn: kafka.Connection{BootstrapServers: cluster.ListenAddrs()}, topics: kafka.Topics{Orders: "orders"}}
	if b.raw, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.raw.Close)
	return cluster, b
}

func TestHistoryHoldsLittleOfAPartitionThatIsAhead(t *testing.T) {
	cluster, b := alone(t, 1)
	ctx := t.Context()
	b.fillUp(t, ctx, 0, 1, 100)
	b.fillUp(t, ctx, 1, 2, 100) // all of it was written after all of partition 0
	var fetches [2]atomic.Int64
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		fetches[req.(*kmsg.FetchRequest).Topics[0].Partitions[0].Partition].Add(1)
		return nil, nil, false
	})
	h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.MaxBuffered, c.MaxPollRecords = 100<<10, 500 })
	for read := 0; read < 20_000; {
		batch, err := h.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		read += len(batch.Records)
		if ahead := fetches[1].Load(); read <= 10_000 && ahead > 2 {
			t.Fatalf("%d fetches of the partition whose turn has not come", ahead)
		}
	}
	if a, b := fetches[0].Load(), fetches[1].Load(); a < 30 || b < 30 { // 1 MB each, in chunks of 34 kB with what a record takes beside its value
		t.Errorf("%d and %d fetches: more at a time than was allowed", a, b)
	}
}

func TestHistoryOfACompactedTopicEnds(t *testing.T) {
	cluster, b := alone(t, 1)
	ctx := t.Context()
	if err := cluster.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		r := written("compacted", 0, fmt.Sprintf("%da", i))
		r.Key = []byte{byte(i % 2)}
		if err := b.raw.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Compact()
	topics := func(c *kafka.HistoryConfig) { c.Topics = []kafka.HistoryTopic{{Name: "compacted"}} }
	if diff := cmp.Diff([]string{"6a", "7a", "8a"}, all(t, ctx, b.history(t, ctx, topics))); diff != "" {
		t.Error(diff)
	}
	h := b.history(t, ctx, func(c *kafka.HistoryConfig) {
		topics(c)
		c.Ends = kafka.Offsets{"compacted": {0: 4}} // nothing before it is left
	})
	if got := all(t, ctx, h); len(got) > 0 {
		t.Error(got)
	}
}

// answers makes the cluster answer fetches of partition 0 from offset 2 on with the given bytes and no error, so many times.
func answers(cluster *kfake.Cluster, times int, raw []byte) *atomic.Int64 {
	asked := new(atomic.Int64)
	cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.FetchRequest)
		asking := req.Topics[0].Partitions[0]
		if asking.Partition != 0 || asking.FetchOffset < 2 || asked.Add(1) > int64(times) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		topic, part := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		part.HighWatermark, part.LastStableOffset, part.RecordBatches = 4, 4, raw
		topic.Topic, topic.TopicID, topic.Partitions = req.Topics[0].Topic, req.Topics[0].TopicID, append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	return asked
}

func TestHistoryEndsWhenNothingIsLeftBeforeTheEndAndWaitsWhenItIsOnlySlow(t *testing.T) {
	for times, want := range map[int][]string{1000: nil, 2: {"3c", "4d"}} {
		cluster, b := alone(t, 1)
		ctx := t.Context()
		b.put(t, ctx, "orders", 0, "1a", "2b")
		b.put(t, ctx, "orders", 0, "3c", "4d")
		asked := answers(cluster, times, nil)
		h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Starts = kafka.Offsets{"orders": {0: 2}} })
		if diff := cmp.Diff(want, all(t, ctx, h)); diff != "" {
			t.Errorf("empty %d times: %s", times, diff)
		}
		if asked.Load() < 3 {
			t.Errorf("believed after %d empty answers", asked.Load())
		}
	}
}

func TestADamagedBatchIsAnErrorThatSaysWhere(t *testing.T) {
	cluster, b := alone(t, 1)
	ctx := t.Context()
	b.put(t, ctx, "orders", 0, "1a", "2b")
	b.put(t, ctx, "orders", 0, "3c", "4d")
	batch := bytes.Repeat([]byte{0}, 61)
	batch[11], batch[16] = 49, 2 // length and magic are right, the checksum is not
	answers(cluster, 1000, batch)
	_, err := values(ctx, b.history(t, ctx, func(c *kafka.HistoryConfig) { c.Starts = kafka.Offsets{"orders": {0: 2}} }))
	if err == nil || !strings.Contains(err.Error(), "reading orders/0 at offset 2: cannot go on: log gap: a batch is damaged") {
		t.Error(err)
	}
}

func TestHistoryGoesOnWhenAPartitionMovesToAnotherBroker(t *testing.T) {
	cluster, b := alone(t, 3)
	ctx := t.Context()
	b.fillUp(t, ctx, 0, 1, 30)
	h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.MaxBuffered = 1 })
	read := 0
	for i := 0; read < 3000; i++ {
		if err := cluster.MoveTopicPartition("orders", 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		batch, err := h.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			if r.Offset != int64(read) {
				t.Fatalf("offset %d in the place of %d", r.Offset, read)
			}
			read++
		}
	}
}

// TestHistoryGivesUpAPartitionThatStaysAway does so after five minutes, which pass in no time.
func TestHistoryGivesUpAPartitionThatStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(kfake.VirtualNetwork)
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		conn := kafka.Connection{BootstrapServers: cluster.ListenAddrs(), Dial: network.DialContext}
		raw, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(network.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if err := raw.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("a")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			resp := kreq.ResponseKind().(*kmsg.FetchResponse)
			resp.ErrorCode = kerr.NotLeaderForPartition.Code
			return resp, nil, true
		})
		h, err := kafka.OpenHistory(t.Context(), kafka.HistoryConfig{Connection: conn, Topics: []kafka.HistoryTopic{{Name: "orders"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		began := time.Now()
		_, err = h.Poll(t.Context())
		if took := time.Since(began); !errors.Is(err, consumer.ErrStop) || !errors.Is(err, kerr.NotLeaderForPartition) || took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestATopicThatIsMadeAnewIsNotReadOn(t *testing.T) {
	_, b := alone(t, 1)
	ctx := t.Context()
	b.fillUp(t, ctx, 0, 1, 40)
	h := b.history(t, ctx, func(c *kafka.HistoryConfig) { c.MaxBuffered, c.MaxPollRecords = 1, 1 })
	if _, err := h.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(b.raw)
	if _, err := admin.DeleteTopic(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	b.raw.PurgeTopicsFromClient("orders")
	b.fillUp(t, ctx, 0, 1, 40)
	if got, err := values(ctx, h); err == nil || !strings.Contains(err.Error(), "the topic was deleted and made anew") {
		t.Errorf("%d records and %v", len(got), err)
	}
}

func TestAPollThatIsInterruptedLosesNothing(t *testing.T) {
	cluster, b := alone(t, 1)
	b.put(t, t.Context(), "orders", 0, "1a", "2b")
	b.put(t, t.Context(), "orders", 1, "1c", "2d")
	silent, release := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if req.(*kmsg.FetchRequest).Topics[0].Partitions[0].Partition == 0 {
			cluster.KeepControl()
			return nil, nil, false
		}
		close(silent)
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	h := b.history(t, t.Context(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-silent
		cancel()
	}()
	if _, err := h.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	if diff := cmp.Diff([]string{"1a", "1c", "2b", "2d"}, all(t, t.Context(), h)); diff != "" {
		t.Error(diff)
	}
}

func TestAHistoryThatIsClosedSaysSo(t *testing.T) {
	_, b := alone(t, 1)
	b.put(t, t.Context(), "orders", 0, "1a")
	h := b.history(t, t.Context(), nil)
	h.Close()
	if got, err := values(t.Context(), h); err == nil {
		t.Errorf("came to its end with %q", got)
	}
}

func TestParseURLTakesBrokersAndTopics(t *testing.T) {
	servers, topics, err := kafka.ParseURL("kafka://one:9092,two:9093/orders,orders.sync")
	if diff := cmp.Diff([][]string{{"one:9092", "two:9093"}, {"orders", "orders.sync"}}, [][]string{servers, topics}); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, s := range []string{"", "orders.jsonl", "kafka://", "kafka://one", "kafka://one/", "kafka:///orders", "kafka://one/a/b", "kafka://one,/a", "kafka://one/a?b", "kafka://u:p@one/a"} {
		if _, _, err := kafka.ParseURL(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
