package kafka

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Cluster is what a measurement has to say of the cluster that it was made on.
type Cluster struct {
	Version  string            `json:"version"` // as told by the requests that its brokers know: a release or a range of them
	Brokers  int               `json:"brokers"`
	Topics   map[string]Shape  `json:"topics"`   // :: topic → its shape, of those that are there
	Settings map[string]string `json:"settings"` // of one broker, those that bear on how fast it is; empty when it does not tell them
}

// Shape is how a topic is laid out.
type Shape struct {
	Partitions  int `json:"partitions"`
	Replication int `json:"replication"`
}

// telling are the settings of a broker that bear on how fast it is.
func telling() []string {
	return []string{
		"num.network.threads", "num.io.threads", "min.insync.replicas", "compression.type", "log.flush.interval.messages",
		"group.initial.rebalance.delay.ms", "group.coordinator.append.linger.ms",
	}
}

// Describe asks a cluster what it is, and how those of the topics are laid out that it has.
func Describe(ctx context.Context, c Connection, topics ...string) (Cluster, error) {
	client, err := c.once(10 * time.Second)
	if err != nil {
		return Cluster{}, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	meta, err := admin.Metadata(ctx, topics...)
	if err != nil {
		return Cluster{}, fmt.Errorf("asking for the cluster's metadata: %w", err)
	}
	versions, err := admin.ApiVersions(ctx)
	if err != nil {
		return Cluster{}, fmt.Errorf("asking for the brokers' versions: %w", err)
	}
	out := Cluster{Brokers: len(meta.Brokers), Topics: make(map[string]Shape), Settings: make(map[string]string)}
	out.Version = guess(versions)
	for name, topic := range meta.Topics {
		if topic.Err == nil && len(topic.Partitions) > 0 {
			out.Topics[name] = Shape{Partitions: len(topic.Partitions), Replication: topic.Partitions.NumReplicas()}
		}
	}
	if len(meta.Brokers) > 0 {
		settings(ctx, admin, meta.Brokers[0].NodeID, out.Settings)
	}
	return out, nil
}

// guess tells the brokers' versions by the requests that they know.
func guess(versions kadm.BrokersApiVersions) string {
	var out string
	seen := make(map[string]bool)
	for _, v := range versions.Sorted() {
		if v.Err != nil { // it has told nothing, and there is nothing to guess from
			continue
		}
		if guess := v.VersionGuess(); !seen[guess] {
			seen[guess] = true
			out = strings.TrimPrefix(out+", "+guess, ", ")
		}
	}
	return out
}

// settings fills in what a broker tells of itself; one that tells nothing, as it need not, leaves it empty.
func settings(ctx context.Context, admin *kadm.Client, broker int32, into map[string]string) {
	configs, err := admin.DescribeBrokerConfigs(ctx, broker)
	if err != nil || len(configs) == 0 {
		return
	}
	all := make(map[string]string, len(configs[0].Configs))
	for _, c := range configs[0].Configs {
		all[c.Key] = c.MaybeValue()
	}
	for _, key := range telling() {
		if v := all[key]; v != "" {
			into[key] = v
		}
	}
}
