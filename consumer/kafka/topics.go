package kafka

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TopicSpec says how a topic is made when it is missing.
type TopicSpec struct {
	Partitions  int32             // 0 is the broker's default
	Replication int16             // 0 is the broker's default
	Configs     map[string]string // retention.ms and the like
}

// EnsureTopics creates the topics that are missing and returns their names. One that exists is never altered. It waits for the cluster until ctx ends.
func EnsureTopics(ctx context.Context, c Connection, topics map[string]TopicSpec) ([]string, error) {
	client, err := c.once(time.Minute)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	sort.Strings(names)
	have, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	var created []string
	for _, name := range names {
		if have.Has(name) {
			continue
		}
		if err := create(ctx, admin, name, topics[name]); err != nil {
			return created, err
		}
		created = append(created, name)
	}
	return created, nil
}

func create(ctx context.Context, admin *kadm.Client, name string, spec TopicSpec) error {
	configs := make(map[string]*string, len(spec.Configs))
	for k, v := range spec.Configs {
		configs[k] = &v
	}
	partitions, replication := spec.Partitions, spec.Replication
	if partitions == 0 {
		partitions = -1
	}
	if replication == 0 {
		replication = -1
	}
	_, err := admin.CreateTopic(ctx, partitions, replication, configs, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // another process of ours may have been quicker
		return fmt.Errorf("creating topic %s: %w", name, err)
	}
	return nil
}
