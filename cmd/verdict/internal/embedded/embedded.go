// Package embedded holds the stand-ins that let verdict run in one process with nothing installed: a Kafka cluster of one broker (franz-go's kfake, which
// speaks the real protocol on a loopback port). The store and the ledger of that case are memstore and consumer.MemLedger.
package embedded

import (
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kafka is a broker in this process. It is meant for trials and tests: one goroutine does its work.
type Kafka struct {
	cluster *kfake.Cluster
	dir     string
}

// StartKafka starts a broker on a free loopback port. Its log lies in a temporary folder, as a million records in memory take 400 MiB and 3 MiB with
// a folder (TRANSPORT measurements of this project).
func StartKafka() (*Kafka, error) {
	dir, err := os.MkdirTemp("", "verdict-kafka-")
	if err != nil {
		return nil, fmt.Errorf("making the embedded Kafka's folder: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.DataDir(dir),
		// A lone process has nobody to wait for when it joins a group.
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.consumer.heartbeat.interval.ms": "1000"}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded Kafka: %w", err), os.RemoveAll(dir))
	}
	return &Kafka{cluster: cluster, dir: dir}, nil
}

// Addresses returns host:port of the broker.
func (k *Kafka) Addresses() []string { return k.cluster.ListenAddrs() }

// Close ends the broker and removes its folder.
func (k *Kafka) Close() error {
	k.cluster.Close()
	return os.RemoveAll(k.dir)
}
