package kafka_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// heldBroker is a kfake that can be told to refuse, or to keep waiting, what is written to a topic.
type heldBroker struct {
	*kfake.Cluster

	refuses atomic.Bool
	waits   atomic.Pointer[chan struct{}] // writes wait until it is closed
}

// newHeldBroker makes one with the topics of a site, a partition each, and a transport on it.
func newHeldBroker(t *testing.T) (*heldBroker, *kgo.Client, *kafka.Transport) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "decisions", "replies", "orders.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &heldBroker{Cluster: c}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok || !b.refuses.Load() && b.waits.Load() == nil {
			return nil, nil, false
		}
		if gate := b.waits.Load(); gate != nil {
			c.SleepControl(func() { <-*gate })
			return nil, nil, false
		}
		return refuse(produce), nil, true
	})
	raw, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	tr, err := kafka.NewTransport(kafka.TransportConfig{
		Connection: kafka.Connection{BootstrapServers: c.ListenAddrs()}, Group: "group",
		Consume: map[string]consumer.Stream{"orders": consumer.Orders}, Topics: kafka.Topics{Decisions: "decisions", Replies: "replies", DeadLetters: "orders.dlq"},
		MaxPollRecords: 1, CommitInterval: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, raw, tr
}

// refuse answers a write as a broker does whose rights were taken away.
func refuse(req *kmsg.ProduceRequest) kmsg.Response {
	resp, _ := req.ResponseKind().(*kmsg.ProduceResponse)
	for i := range req.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = req.Topics[i].Partitions[j].Partition, kerr.TopicAuthorizationFailed.Code
			topic.Partitions = append(topic.Partitions, partition)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// committed returns the group's offset in orders, -1 for none.
func committed(t *testing.T, ctx context.Context, raw *kgo.Client) int64 {
	t.Helper()
	offsets, err := kadm.NewClient(raw).FetchOffsets(ctx, "group")
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := offsets.Lookup("orders", 0); ok {
		return at.At
	}
	return -1
}

func polled(t *testing.T, ctx context.Context, tr *kafka.Transport) *consumer.Batch {
	t.Helper()
	batch, err := tr.Poll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func decision(value string) []consumer.Message {
	return []consumer.Message{{To: consumer.Decisions, Partition: -1, Value: []byte(value)}}
}

func TestWhatTheBrokersRefuseIsWrittenBeforeAnythingElseIsDone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, raw, tr := newHeldBroker(t)
	for _, id := range []string{"one", "two"} {
		if err := raw.ProduceSync(ctx, kgo.StringRecord(id)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	batch := polled(t, ctx, tr)
	b.refuses.Store(true)
	if err := tr.Publish(ctx, decision("of one")); err != nil {
		t.Fatal(err)
	}
	if err := tr.Commit(ctx, batch); err != nil {
		t.Fatal(err)
	}
	// The refusal comes at some moment; from then on polls are empty, and each Publish says why.
	var err error
	for seen := 0; err == nil; {
		batch = polled(t, ctx, tr)
		if seen += len(batch.Records); seen > 1 {
			t.Fatalf("%d records were polled", seen)
		}
		err = tr.Publish(ctx, nil)
	}
	if !strings.Contains(err.Error(), "writing to decisions: TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("it says %v", err)
	}
	began := time.Now()
	if batch = polled(t, ctx, tr); len(batch.Records) != 0 || time.Since(began) > kafka.IdlePoll/2 {
		t.Errorf("a poll of %d records after %s", len(batch.Records), time.Since(began))
	}
	if at := committed(t, ctx, raw); at > 0 {
		t.Errorf("offset %d is committed, and no decision is written", at)
	}
	b.refuses.Store(false)
	if err := tr.Publish(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if at := committed(t, ctx, raw); at != 1 {
		t.Errorf("offset %d is committed at the end, want 1", at)
	}
	raw.AddConsumeTopics("decisions")
	if got := raw.PollFetches(ctx).Records(); len(got) != 1 || string(got[0].Value) != "of one" {
		t.Errorf("decisions are %v", got)
	}
}

// TestWhatIsWrittenAgainHasTheTimeOfThen since the client counts from a record's time how long it may take: a decision that had waited for longer than that, because
// the brokers were away for 30 s, would never be written.
func TestWhatIsWrittenAgainHasTheTimeOfThen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, raw, tr := newHeldBroker(t)
	if err := raw.ProduceSync(ctx, kgo.StringRecord("one")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	batch := polled(t, ctx, tr)
	b.refuses.Store(true)
	if err := tr.Publish(ctx, decision("of one")); err != nil {
		t.Fatal(err)
	}
	if err := tr.Commit(ctx, batch); err != nil {
		t.Fatal(err)
	}
	for tr.Publish(ctx, nil) == nil { // until the refusal has come
		polled(t, ctx, tr)
	}
	for again := time.Now(); time.Since(again) < 50*time.Millisecond; { // records have whole milliseconds
		_ = tr.Publish(ctx, nil)
	}
	allowed := time.Now().Truncate(time.Millisecond)
	b.refuses.Store(false)
	if err := tr.Publish(ctx, nil); err != nil {
		t.Fatal(err)
	}
	raw.AddConsumeTopics("decisions")
	if got := raw.PollFetches(ctx).Records(); len(got) != 1 || got[0].Timestamp.Before(allowed) {
		t.Errorf("written when allowed at %v: %v", allowed, got)
	}
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestAnOffsetWaitsForTheDecisionsOfAllBatchesBeforeIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, raw, tr := newHeldBroker(t)
	for _, id := range []string{"one", "two", "three"} {
		if err := raw.ProduceSync(ctx, kgo.StringRecord(id)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	gate := make(chan struct{})
	b.waits.Store(&gate)
	for i, messages := range [][]consumer.Message{decision("of one"), nil, decision("of three")} { // the second batch has nothing to write: a label, say
		batch := polled(t, ctx, tr)
		if len(batch.Records) != 1 {
			t.Fatalf("poll %d: %d records", i, len(batch.Records))
		}
		if err := tr.Publish(ctx, messages); err != nil {
			t.Fatal(err)
		}
		if err := tr.Commit(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := kafka.Marked(tr); len(got) != 0 {
		t.Errorf("offsets %v are marked, and nothing is acknowledged", got)
	}
	b.waits.Store(nil)
	close(gate)
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if at := committed(t, ctx, raw); at != 3 {
		t.Errorf("offset %d is committed at the end, want 3", at)
	}
}

func TestAProcessThatStopsDoesNotWaitForBrokersThatAreSilent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, _, tr := newHeldBroker(t)
	b.refuses.Store(true)
	if err := tr.Publish(ctx, decision("of one")); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; { // until the refusal has come
		polled(t, ctx, tr)
		err = tr.Publish(ctx, nil)
	}
	gate := make(chan struct{})
	b.waits.Store(&gate)
	b.refuses.Store(false)
	stopping, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	began := time.Now()
	if err := tr.Publish(stopping, nil); err == nil {
		t.Error("what no broker has taken is said to be written")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it waited for %s", took)
	}
	close(gate)
	b.waits.Store(nil)
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestAPollOfNothingButAFaultTakesAWhile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, raw, tr := newHeldBroker(t)
	refusal := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.UnknownServerError, Count: -1})
	began, polls := time.Now(), 0
	for ; time.Since(began) < 2*time.Second; polls++ {
		polled(t, ctx, tr)
	}
	if polls > 25 {
		t.Errorf("%d polls in two seconds in which the broker refused them", polls)
	}
	refusal.Remove()
	if err := raw.ProduceSync(ctx, kgo.StringRecord("one")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for len(polled(t, ctx, tr).Records) == 0 {
		if ctx.Err() != nil {
			t.Fatal("nothing comes after the fault")
		}
	}
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestAReaderSeesTheDecisionsOfAKeyInTheirOrder also where a broker refuses some of them while later ones are on their way: their first copies are in order.
func TestAReaderSeesTheDecisionsOfAKeyInTheirOrder(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, raw, tr := newHeldBroker(t)
	const batches, each = 60, 100
	var writes atomic.Int64
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if produce, ok := req.(*kmsg.ProduceRequest); ok && writes.Add(1)%3 == 1 { // the client then fails all that it holds of the partition
			return refuse(produce), nil, true
		}
		return nil, nil, false
	})
	for batch := range batches {
		messages := make([]consumer.Message, each)
		for i := range messages {
			messages[i] = consumer.Message{To: consumer.Decisions, Partition: -1, Key: []byte("key"), Value: fmt.Append(nil, batch*each+i)}
		}
		for tr.Publish(ctx, messages) != nil { // a step that failed is done again
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
		}
		if err := tr.Commit(ctx, &consumer.Batch{}); err != nil {
			t.Fatal(err)
		}
	}
	raw.AddConsumeTopics("decisions")
	for next := 0; next < batches*each; {
		if ctx.Err() != nil {
			t.Fatalf("%d decisions came", next)
		}
		_ = tr.Publish(ctx, nil)
		reading, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		raw.PollFetches(reading).EachRecord(func(r *kgo.Record) {
			n, err := strconv.Atoi(string(r.Value))
			if err != nil || n > next {
				t.Fatalf("%q came before %d", r.Value, next)
			}
			next = max(next, n+1)
		})
		stop()
	}
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}
