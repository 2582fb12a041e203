package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"verdict/consumer/kafka"
)

func TestChangesOfATopicAreTold(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		type change struct {
			topic, what   string
			before, after int
		}
		changes := make(chan change, 10)
		watch := &kafka.TopicWatch{
			Connection: b.conn, Topics: []string{b.topics.Orders, b.topics.Decisions, b.topics.Orders + ".missing"}, Every: 20 * time.Millisecond,
			Changed: func(topic, what string, before, after int) { changes <- change{topic, what, before, after} },
		}
		watching, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- watch.Run(watching) }()
		pause(ctx, 200*time.Millisecond) // it must have looked once
		admin := kadm.NewClient(b.raw)
		if _, err := admin.CreatePartitions(ctx, 2, b.topics.Orders); err != nil {
			t.Fatal(err)
		}
		if got, want := <-changes, (change{b.topics.Orders, kafka.ChangePartitions, 2, 4}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if _, err := admin.DeleteTopics(ctx, b.topics.Decisions); err != nil {
			t.Fatal(err)
		}
		for made := false; !made && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
			_, err := admin.CreateTopic(ctx, 1, 1, nil, b.topics.Decisions)
			made = err == nil
		}
		if got, want := <-changes, (change{b.topics.Decisions, kafka.ChangeRecreated, 2, 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
