package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer/kafka"
)

// deliveries are what a transport is set to for each delivery.
func deliveries(id string) map[string]func(*kafka.TransportConfig) {
	return map[string]func(*kafka.TransportConfig){
		"at_least_once": func(*kafka.TransportConfig) {},
		"exactly_once":  func(cfg *kafka.TransportConfig) { cfg.TransactionalID = id },
	}
}

// polls polls, publishes nothing and commits until what it has seen is enough, and returns the values.
func polls(t *testing.T, ctx context.Context, tr *kafka.Transport, enough func(seen []string) bool) []string {
	t.Helper()
	var seen []string
	for !enough(seen) {
		batch, err := tr.Poll(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		if err := tr.Publish(ctx, nil); err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		if err := tr.Commit(ctx, batch); err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		for i := range batch.Records {
			seen = append(seen, string(batch.Records[i].Value))
		}
	}
	return seen
}

func has(n int) func([]string) bool { return func(seen []string) bool { return len(seen) >= n } }

func TestALogGapStopsItsPartitionAndNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		for name, set := range deliveries(b.topics.Orders) {
			t.Run(name, func(t *testing.T) {
				group := b.topics.Orders + name
				with := func(alarms *kafka.Alarms, accept bool) *kafka.Transport {
					return b.transport(t, func(cfg *kafka.TransportConfig) {
						cfg.Group, cfg.MaxPollRecords, cfg.Alarms, cfg.AcceptGap = group, 1, alarms, accept
						set(cfg)
					})
				}
				closed := func(tr *kafka.Transport) {
					if err := tr.Close(ctx); err != nil {
						t.Error(err)
					}
				}
				n := b.next(t, ctx, 0)
				b.send(t, ctx, b.topics.Orders, 0, "a", "b", "c", "d", "e")
				first := with(nil, false)
				polls(t, ctx, first, func(seen []string) bool { return slices.Contains(seen, "b") })
				closed(first)
				b.cut(t, ctx, 0, n+4)
				b.send(t, ctx, b.topics.Orders, 1, "x"+name, "y"+name)

				registry := prometheus.NewRegistry()
				alarms := kafka.NewAlarms(registry)
				second := with(alarms, false)
				if got := polls(t, ctx, second, func(seen []string) bool { return alarms.Err() != nil && slices.Contains(seen, "y"+name) }); slices.Contains(got, "e") {
					t.Errorf("it read over the gap: %q", got)
				}
				want := fmt.Sprintf("log gap in %s/0: records %d to %d were deleted before they were read, 2 in all: the group is at offset %d, and the log starts at %d",
					b.topics.Orders, n+2, n+3, n+2, n+4)
				if err := alarms.Err(); err.Error() != want {
					t.Errorf("it says %v", err)
				}
				if gone := gauge(t, registry); gone != 2 {
					t.Errorf("the metric shows %v", gone)
				}
				closed(second)

				alarms = kafka.NewAlarms(nil)
				third := with(alarms, true)
				if got := polls(t, ctx, third, has(1)); got[0] != "e" || alarms.Err() != nil {
					t.Errorf("accepted, it goes on with %q: %v", got, alarms.Err())
				}
				closed(third)
			})
		}
	})
}

// next returns the end of a partition of the orders.
func (b bench) next(t *testing.T, ctx context.Context, partition int32) int64 {
	t.Helper()
	ends, err := kadm.NewClient(b.raw).ListEndOffsets(ctx, b.topics.Orders)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := ends.Lookup(b.topics.Orders, partition)
	return at.Offset
}

// gauge returns the sum of the log gaps.
func gauge(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "verdict_log_gap_records" {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestAGapThatIsAcceptedOnceIsNotFoundAgain(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.send(t, ctx, b.topics.Orders, 0, "a", "b", "c")
		accept := func(cfg *kafka.TransportConfig) { cfg.AcceptGap, cfg.MaxPollRecords = true, 1 }
		first := b.transport(t, accept)
		polls(t, ctx, first, has(1))
		if err := first.Close(ctx); err != nil {
			t.Fatal(err)
		}
		b.cut(t, ctx, 0, 3) // nothing is left
		second := b.transport(t, accept)
		go func() { _ = second.Ping(ctx) }()
		at := int64(-1)
		for at != 3 {
			polled, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, _ = second.Poll(polled)
			cancel()
			offsets, err := kadm.NewClient(b.raw).FetchOffsets(ctx, b.topics.Orders+".group")
			if err != nil {
				t.Fatal(err)
			}
			if o, ok := offsets.Lookup(b.topics.Orders, 0); ok {
				at = o.At
			}
		}
		if err := second.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAPartitionThatMayNotBeReadIsToldUntilItMay(t *testing.T) {
	ctx := limited(t)
	f := newFaulty(t)
	f.send(t, ctx, 0, "a")
	alarms := kafka.NewAlarms(nil)
	tr := f.transport(t, func(cfg *kafka.TransportConfig) { cfg.Alarms = alarms })
	taken := f.Fault(kfake.Fault{Keys: keys(kmsg.Fetch), Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: -1})
	running(t, ctx, tr, nil, func() {
		for alarms.Err() == nil && ctx.Err() == nil {
			pause(ctx, 10*time.Millisecond)
		}
		if err := alarms.Err(); err == nil || !strings.Contains(err.Error(), "reading orders/") || !strings.Contains(err.Error(), ": TOPIC_AUTHORIZATION_FAILED") {
			t.Errorf("it says %v", err)
		}
		taken.Remove()
		f.committed(t, ctx, 0, 1)
	})
}

// TestATopicThatIsMadeAnewStopsLikeAGap deletes the topic of the orders under a transport and makes it again.
func TestATopicThatIsMadeAnewStopsLikeAGap(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		b.send(t, ctx, b.topics.Orders, 0, "a", "b", "c")
		alarms := kafka.NewAlarms(nil)
		tr := b.transport(t, func(cfg *kafka.TransportConfig) { cfg.Alarms = alarms })
		polls(t, ctx, tr, has(3))
		admin := kadm.NewClient(b.raw)
		if _, err := admin.DeleteTopics(ctx, b.topics.Orders); err != nil {
			t.Fatal(err)
		}
		made := func() bool { _, err := admin.CreateTopic(ctx, 2, 1, nil, b.topics.Orders); return err == nil }
		for !made() && ctx.Err() == nil {
			pause(ctx, 50*time.Millisecond)
		}
		fresh, err := kgo.NewClient(kgo.SeedBrokers(b.conn.BootstrapServers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		if err := fresh.ProduceSync(ctx, &kgo.Record{Topic: b.topics.Orders, Value: []byte("new")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for alarms.Err() == nil {
			polled, cancel := context.WithTimeout(ctx, time.Second)
			batch, err := tr.Poll(polled)
			cancel()
			if ctx.Err() != nil {
				t.Fatal("nobody noticed")
			}
			if err == nil && len(batch.Records) > 0 {
				t.Fatalf("it read %q of another topic by the same name", batch.Records[0].Value)
			}
		}
		if err := alarms.Err(); !strings.Contains(err.Error(), "deleted and made anew") && !strings.Contains(err.Error(), "the topic was made anew") {
			t.Errorf("it says %v", err)
		}
		_ = tr.Close(ctx)
		second := b.transport(t, nil)
		if got := polls(t, ctx, second, has(1)); got[0] != "new" {
			t.Errorf("after a restart it reads %q", got)
		}
		if err := second.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
