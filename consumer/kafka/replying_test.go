package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// lost returns how many replies were lost.
func lost(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "verdict_replies_lost_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("the metric is not there")
	return 0
}

func TestAReplyThatCannotBeWrittenHoldsUpNoDecision(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		registry := prometheus.NewRegistry()
		tr := b.transport(t, func(cfg *kafka.TransportConfig) { cfg.RepliesLost = consumer.NewMetrics(registry).RepliesLost })
		missing := b.topics.Replies + ".missing"
		publish := func(i int) {
			err := tr.Publish(ctx, []consumer.Message{
				{To: consumer.Replies, Topic: missing, Partition: 3, Key: []byte("k"), Value: []byte("for nobody")},
				{To: consumer.Replies, Topic: b.topics.Replies, Partition: 0, Key: []byte("k"), Value: fmt.Append(nil, "reply-", i)},
				{To: consumer.Decisions, Partition: -1, Key: []byte("k"), Value: fmt.Append(nil, "decision-", i)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		publish(0) // connects
		began := time.Now()
		const steps = 100
		for i := range steps {
			publish(i + 1)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d steps took %s", steps, took)
		}
		if got := b.read(t, ctx, 2*(steps+1), b.topics.Replies, b.topics.Decisions); got["reply-100"] == nil || got["decision-100"] == nil {
			t.Errorf("got %v", got)
		}
		for lost(t, registry) < steps+1 {
			select {
			case <-ctx.Done():
				t.Fatalf("%v of %d replies were given up", lost(t, registry), steps+1)
			case <-time.After(10 * time.Millisecond):
			}
		}
		if err := tr.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestRepliesThatCannotBeWrittenAreBounded(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		registry := prometheus.NewRegistry()
		tr := b.transport(t, func(cfg *kafka.TransportConfig) { cfg.RepliesLost = consumer.NewMetrics(registry).RepliesLost })
		messages := make([]consumer.Message, 6001)
		for i := range messages[1:] {
			messages[i+1] = consumer.Message{To: consumer.Replies, Topic: b.topics.Replies + ".missing", Partition: -1, Value: []byte("for nobody")}
		}
		messages[0] = consumer.Message{To: consumer.Decisions, Partition: -1, Value: []byte("decision")}
		if err := tr.Publish(ctx, messages); err != nil {
			t.Fatal(err)
		}
		if got := lost(t, registry); got < 1000 {
			t.Errorf("%v of 6,000 were refused at once, want 1,000", got)
		}
		began := time.Now()
		if err := tr.Close(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("closed after %s", took)
		}
	})
}

func TestCloseSendsTheRepliesThatAreUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		tr := b.transport(t, nil)
		const replies = 1000
		messages, value := make([]consumer.Message, replies), make([]byte, 100)
		for i := range messages {
			copy(value, fmt.Sprintf("reply-%04d", i))
			messages[i] = consumer.Message{To: consumer.Replies, Topic: b.topics.Replies, Partition: int32(i % 2), Value: value[:10]}
			if err := tr.Publish(ctx, messages[i:i+1]); err != nil { // its bytes are used again
				t.Fatal(err)
			}
		}
		if err := tr.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if got := b.read(t, ctx, replies, b.topics.Replies); got["reply-0999"] == nil {
			t.Errorf("got %d replies", len(got))
		}
	})
}
