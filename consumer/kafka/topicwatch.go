package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicWatch looks now and then whether topics are still what they were: made anew under the same name, or with more partitions. The clients heed both by
// themselves; somebody should know.
type TopicWatch struct {
	Connection
	Topics []string
	Every  time.Duration         // between looks; 0 is 30 s
	Reg    prometheus.Registerer // gets verdict_topic_changes_total; nil registers nowhere

	// Changed is told of a change: partitions when there are more, recreated when it is another topic by the same name.
	Changed func(topic, change string, before, after int)
}

// The changes of a topic.
const (
	ChangePartitions = "partitions"
	ChangeRecreated  = "recreated"
)

// Run looks until ctx ends. A look that fails is made again the next time.
func (w *TopicWatch) Run(ctx context.Context) error {
	c := w.Connection
	c.Registry = nil // a request every half minute: not worth a series
	opts, err := c.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	changes := promauto.With(w.Reg).NewCounterVec(prometheus.CounterOpts{
		Name: "verdict_topic_changes_total", Help: "Topics that were given more partitions, or were deleted and made anew, while the process ran.",
	}, []string{"topic", "change"})
	tell := func(topic, change string, before, after int) {
		changes.WithLabelValues(topic, change).Inc()
		if w.Changed != nil {
			w.Changed(topic, change, before, after)
		}
	}
	every := w.Every
	if every <= 0 {
		every = 30 * time.Second
	}
	known := make(map[string]kadm.TopicDetail)
	for {
		if seen, err := kadm.NewClient(client).ListTopics(ctx, w.Topics...); err == nil {
			compare(known, seen, tell)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// compare tells what is another than it was known to be, and knows it from then on. A topic that is not there just now is passed over.
func compare(known map[string]kadm.TopicDetail, seen kadm.TopicDetails, tell func(topic, change string, before, after int)) {
	for name, now := range seen {
		if now.Err != nil || len(now.Partitions) == 0 {
			continue
		}
		was, before := known[name]
		known[name] = now
		switch {
		case !before:
		case was.ID != now.ID:
			tell(name, ChangeRecreated, len(was.Partitions), len(now.Partitions))
		case len(was.Partitions) != len(now.Partitions):
			tell(name, ChangePartitions, len(was.Partitions), len(now.Partitions))
		}
	}
}
