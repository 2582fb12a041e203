package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TestReplayCommandReadsTopics logs in as the config says, and reads what it reads from a file.
func TestReplayCommandReadsTopics(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "shop", "right"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	config := filepath.Join(t.TempDir(), "verdict.yaml")
	kafka := "kafka: {security_protocol: SASL_PLAINTEXT, sasl_mechanism: SCRAM-SHA-512, sasl_username: shop, sasl_password: right}\n"
	if err := os.WriteFile(config, []byte(kafka), 0o600); err != nil {
		t.Fatal(err)
	}
	produce(t, cluster.ListenAddrs(), strings.Split(strings.TrimSpace(replayOrders), "\n"))
	dir, _, stderr, err := replayCommand(t, "", "--orders", "kafka://"+strings.Join(cluster.ListenAddrs(), ",")+"/orders", "-c", config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "out", "features.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("order_id,n,mean\no1,1,1\no2,1,2.5\no3,2,2.75\n", string(got)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(stderr, "orders/0:1: json_syntax") || !strings.Contains(stderr, "replay: 4 orders") {
		t.Error(stderr)
	}
}

// produce writes values to the topic orders, to its partitions in turn, a second apart.
func produce(t *testing.T, servers, values []string) {
	t.Helper()
	login := scram.Auth{User: "shop", Pass: "right"}.AsSha512Mechanism()
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.SASL(login), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, v := range values {
		at := time.Now().Add(time.Duration(i) * time.Second) // event times lie before it
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: int32(i % 2), Value: []byte(v), Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}
