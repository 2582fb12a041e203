package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// brokers returns the clusters that the tests of this file run on: the in-process one, and a real one where VERDICT_KAFKA names it.
func brokers(t *testing.T) map[string][]string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	out := map[string][]string{"kfake": cluster.ListenAddrs()}
	if addr := os.Getenv("VERDICT_KAFKA"); addr != "" {
		out["broker"] = strings.Split(addr, ",")
	} else {
		t.Log("VERDICT_KAFKA is not set: only the in-process Kafka is tested")
	}
	return out
}

type bench struct {
	conn   kafka.Connection
	topics kafka.Topics
	raw    *kgo.Client // what a stranger sees and does
}

// onEach runs a test on each cluster, with fresh topics of two partitions.
func onEach(t *testing.T, test func(t *testing.T, ctx context.Context, b bench)) {
	t.Helper()
	for name, addresses := range brokers(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			p := fmt.Sprintf("t%d.", time.Now().UnixNano())
			b := bench{
				conn:   kafka.Connection{BootstrapServers: addresses},
				topics: kafka.Topics{Orders: p + "orders", Sync: p + "orders.sync", Labels: p + "labels", Decisions: p + "decisions", Replies: p + "replies", DeadLetters: p + "dlq"},
			}
			specs := map[string]kafka.TopicSpec{}
			for _, topic := range []string{b.topics.Orders, b.topics.Sync, b.topics.Labels, b.topics.Decisions, b.topics.Replies, b.topics.DeadLetters} {
				specs[topic] = kafka.TopicSpec{Partitions: 2}
			}
			created, err := kafka.EnsureTopics(ctx, b.conn, specs)
			if err != nil || len(created) != len(specs) {
				t.Fatalf("created %v, %v", created, err)
			}
			b.raw, err = kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			defer b.raw.Close()
			test(t, ctx, b)
		})
	}
}

func (b bench) send(t *testing.T, ctx context.Context, topic string, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := b.raw.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func (b bench) transport(t *testing.T, change func(*kafka.TransportConfig)) *kafka.Transport {
	t.Helper()
	cfg := kafka.TransportConfig{
		Connection: b.conn, Topics: b.topics, Group: b.topics.Orders + ".group",
		Consume: map[string]consumer.Stream{b.topics.Orders: consumer.Orders, b.topics.Labels: consumer.Labels},
	}
	if change != nil {
		change(&cfg)
	}
	tr, err := kafka.NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// pollAll polls until n records came, and returns their values by partition order.
func pollAll(t *testing.T, ctx context.Context, tr *kafka.Transport, n int, commit bool) []string {
	t.Helper()
	var got []string
	for len(got) < n {
		batch, err := tr.Poll(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		for _, r := range batch.Records {
			got = append(got, string(r.Value))
		}
		if commit {
			if err := tr.Commit(ctx, batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

func TestTransportGoesOnAfterWhatWasCommittedAndRepeatsWhatWasNot(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.send(t, ctx, b.topics.Orders, 0, "a", "b", "c")
		first := b.transport(t, nil)
		if got := pollAll(t, ctx, first, 3, true); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Fatal(got)
		}
		b.send(t, ctx, b.topics.Orders, 0, "d", "e")
		if got := pollAll(t, ctx, first, 2, false); !slices.Equal(got, []string{"d", "e"}) {
			t.Fatal(got)
		}
		if err := first.Close(ctx); err != nil {
			t.Fatal(err)
		}
		second := b.transport(t, nil)
		if got := pollAll(t, ctx, second, 2, true); !slices.Equal(got, []string{"d", "e"}) {
			t.Fatalf("the uncommitted records came as %v", got)
		}
		if err := second.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTransportTellsOrdersFromLabelsAndHonoursThePollLimit(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.send(t, ctx, b.topics.Orders, 1, "o1", "o2", "o3")
		b.send(t, ctx, b.topics.Labels, 0, "l1")
		tr := b.transport(t, func(c *kafka.TransportConfig) { c.MaxPollRecords = 2 })
		streams := map[string]consumer.Stream{}
		for len(streams) < 4 {
			batch, err := tr.Poll(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Records) > 2 {
				t.Fatalf("a poll of %d records", len(batch.Records))
			}
			for _, r := range batch.Records {
				streams[string(r.Value)] = r.Stream
			}
		}
		want := map[string]consumer.Stream{"o1": consumer.Orders, "o2": consumer.Orders, "o3": consumer.Orders, "l1": consumer.Labels}
		if diff := cmp.Diff(want, streams); diff != "" {
			t.Fatal(diff)
		}
		if err := tr.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPublishPutsARepliesPartitionWhereItWasAskedForAndElseByKey(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		tr := b.transport(t, nil)
		key := []byte("customer")
		err := tr.Publish(ctx, []consumer.Message{
			{To: consumer.Replies, Topic: b.topics.Replies, Partition: 0, Key: key, Value: []byte("zero")},
			{To: consumer.Replies, Topic: b.topics.Replies, Partition: 1, Key: key, Value: []byte("one")},
			{To: consumer.Replies, Topic: b.topics.Replies, Partition: 999, Key: key, Value: []byte("far")},
			{To: consumer.Decisions, Partition: -1, Key: key, Value: []byte("decision"), Headers: []consumer.Header{{Key: "h", Value: []byte("v")}}},
			{To: consumer.DeadLetters, Partition: -1, Key: key, Value: []byte("letter")},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := b.read(t, ctx, 5, b.topics.Replies, b.topics.Decisions, b.topics.DeadLetters)
		if got["zero"].Partition != 0 || got["one"].Partition != 1 || got["zero"].Topic != b.topics.Replies {
			t.Fatalf("replies lie at %v and %v", got["zero"], got["one"])
		}
		if got["far"].Partition != got["decision"].Partition { // one key, as many partitions
			t.Fatalf("partition 999 became %d, the key's is %d", got["far"].Partition, got["decision"].Partition)
		}
		if got["decision"].Topic != b.topics.Decisions || got["letter"].Topic != b.topics.DeadLetters || got["decision"].Headers[0].Key != "h" {
			t.Fatalf("%+v", got)
		}
		if err := tr.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// read returns n records of the topics from their start, by value.
func (b bench) read(t *testing.T, ctx context.Context, n int, topics ...string) map[string]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.conn.BootstrapServers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	out := map[string]*kgo.Record{}
	for len(out) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records came", len(out), n)
		}
		fetches.EachRecord(func(r *kgo.Record) { out[string(r.Value)] = r })
	}
	return out
}

func TestEnsureTopicsMakesWhatIsMissingAndAltersNothing(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		extra := b.topics.Orders + ".more"
		created, err := kafka.EnsureTopics(ctx, b.conn, map[string]kafka.TopicSpec{
			b.topics.Orders: {Partitions: 7}, extra: {Partitions: 3, Configs: map[string]string{"retention.ms": "600000"}},
		})
		if err != nil || !slices.Equal(created, []string{extra}) {
			t.Fatalf("created %v, %v", created, err)
		}
		details, err := kadm.NewClient(b.raw).ListTopics(ctx, b.topics.Orders, extra)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(details[b.topics.Orders].Partitions); n != 2 {
			t.Fatalf("an existing topic has %d partitions now", n)
		}
		if n := len(details[extra].Partitions); n != 3 {
			t.Fatalf("the new topic has %d partitions", n)
		}
	})
}

type resolved struct{ correlation, value, code, detail string }

func TestCallerSendsSpringsHeadersAndGetsTheRepliesOfItsPartition(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.send(t, ctx, b.topics.Replies, 1, "from before it was there")
		replies := make(chan resolved, 10)
		caller, err := kafka.NewCaller(ctx, kafka.CallerConfig{
			Connection: b.conn, Topics: b.topics, ReplyPartition: 1,
			Resolve: func(correlation, value []byte, code, detail string) {
				replies <- resolved{string(correlation), string(value), code, detail}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := caller.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		if err := caller.Send(ctx, kafka.Request{
			Key: []byte("k"), Order: []byte("order"), Correlation: []byte("id-1"), Traceparent: "00-trace", Deadline: time.UnixMilli(1793527200123),
		}); err != nil {
			t.Fatal(err)
		}
		got := b.read(t, ctx, 1, b.topics.Sync)["order"]
		headers := map[string]string{}
		for _, h := range got.Headers {
			headers[h.Key] = string(h.Value)
		}
		want := map[string]string{
			"kafka_correlationId": "id-1", "kafka_replyTopic": b.topics.Replies,
			"kafka_replyPartition": string(binary.BigEndian.AppendUint32(nil, 1)), "traceparent": "00-trace",
			"verdict.deadline": "1793527200123",
		}
		if diff := cmp.Diff(want, headers); diff != "" {
			t.Fatal(diff)
		}
		header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
		for _, r := range []*kgo.Record{
			{Partition: 0, Value: []byte("another's")},
			{Partition: 1, Value: []byte("decision"), Headers: []kgo.RecordHeader{header("kafka_correlationId", "id-1")}},
			{Partition: 1, Headers: []kgo.RecordHeader{header("kafka_correlationId", "id-2"), header("verdict.error.code", "order_conflict"), header("verdict.error.detail", "why")}},
		} {
			r.Topic = b.topics.Replies
			if err := b.raw.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []resolved{{"id-1", "decision", "", ""}, {"id-2", "", "order_conflict", "why"}} {
			select {
			case got := <-replies:
				if got != want {
					t.Fatalf("got %v, want %v", got, want)
				}
			case <-ctx.Done():
				t.Fatal("no reply came")
			}
		}
		if err := caller.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCallerRefusesAReplyPartitionThatIsNotThere(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		_, err := kafka.NewCaller(ctx, kafka.CallerConfig{Connection: b.conn, Topics: b.topics, ReplyPartition: 2})
		if !errors.Is(err, kafka.ErrReplyPartition) || !strings.Contains(err.Error(), "reply partition 2: topic "+b.topics.Replies+" has 2") {
			t.Fatal(err)
		}
	})
}

func TestSendReturnsWithItsContextWhileTheBrokerIsSilent(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders.sync", "replies"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	caller, err := kafka.NewCaller(t.Context(), kafka.CallerConfig{
		Connection: kafka.Connection{BootstrapServers: cluster.ListenAddrs()}, Topics: kafka.Topics{Sync: "orders.sync", Replies: "replies"},
		Resolve: func([]byte, []byte, string, string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.Send(t.Context(), kafka.Request{Key: []byte("k"), Order: []byte("warm"), Correlation: []byte("c")}); err != nil {
		t.Fatal(err)
	}
	release, silent := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(func() { close(silent) })
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() {
		sent <- caller.Send(ctx, kafka.Request{Key: []byte("k"), Order: []byte("order"), Correlation: []byte("c")})
	}()
	<-silent // the record is on the wire
	cancel()
	select {
	case err := <-sent:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Send waits on for the broker")
	}
	close(release)
	if err := caller.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCloseReturnsWithItsContextWhileTheBrokerIsSilent(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	b := bench{conn: kafka.Connection{BootstrapServers: cluster.ListenAddrs()}, topics: kafka.Topics{Orders: "orders", Labels: "orders"}}
	if b.raw, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	defer b.raw.Close()
	b.send(t, t.Context(), "orders", 0, "a")
	tr := b.transport(t, func(c *kafka.TransportConfig) { c.CommitInterval = time.Hour })
	pollAll(t, t.Context(), tr, 1, true)
	release := make(chan struct{})
	defer close(release)
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := tr.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Fatalf("closed after %s", took)
	}
}
