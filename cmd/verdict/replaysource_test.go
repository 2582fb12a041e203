package main

import (
	"errors"
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
	source, config := topicOfOrders(t)
	dir, _, stderr, err := replayCommand(t, "", "--orders", source, "-c", config)
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

func TestReplayCommandReadsARangeOfATopic(t *testing.T) {
	source, config := topicOfOrders(t)
	for query, want := range map[string]string{
		"from=0:1,1:0":                   "o2 o3",
		"to=0:1,1:1":                     "o1 o2",
		"to=orders/1:2":                  "o2 o3",
		"from=1:1&to=2100-01-01":         "o1 o3",
		"from=2001-01-01T00:00:00+01:00": "o1 o2 o3",
	} {
		dir, _, _, err := replayCommand(t, "", "--orders", source+"?"+query, "-c", config)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := rowsOf(t, dir); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"from=2026-02-01&to=2026-01-01": "from must lie before to",
		"from=0:1&to=0:1":               "orders/0: from offset 1 does not lie before to offset 1",
		"from=0:3":                      "orders/0 is to be read from offset 3, and its committed records end at 2",
		"to=1:9":                        "orders/1 is to be read to offset 9, and its committed records end at 2",
		"to=7:1":                        "an offset is given for orders/7, which is not there",
		"from=labels/0:1":               "an offset is given for labels, which is not read",
		"from=2100-01-01":               "there is no record in this range",
		"until=2100-01-01":              "is not from=",
		"from=soon":                     "nor are they offsets",
		"merge=time":                    "merge=time is not merge=event",
		"merge=event&merge=event":       "is not from=",
		"merge=event&from=2100-01-01":   "there is no record in this range",
	} {
		if _, _, _, err := replayCommand(t, "", "--orders", source+"?"+query, "-c", config); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want an invalid one that says %q", query, err, want)
		}
	}
}

// TestReplayCommandMergesPartitionsByEventTime reads orders that were written in another order than they happened.
func TestReplayCommandMergesPartitionsByEventTime(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(replayOrders), "\n")
	source, config := topicOf(t, []string{lines[1], lines[0], lines[3]})
	for query, want := range map[string]string{"": "o2 o1 o3", "?merge=record": "o2 o1 o3", "?merge=event": "o1 o2 o3", "?merge=event&from=0:1,1:0": "o1 o3"} {
		dir, _, _, err := replayCommand(t, "", "--orders", source+query, "-c", config)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := rowsOf(t, dir); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

// rowsOf returns the ids of the orders in features.csv.
func rowsOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "out", "features.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(text)) {
		if id, _, _ := strings.Cut(line, ","); id != "order_id" {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, " ")
}

func TestReplayCommandRefusesTopicsThatCannotBeRead(t *testing.T) {
	source, config := topicOfOrders(t)
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(file, []byte(replayOrders), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"topic orders is named twice": {"--orders", source + ",orders"},
		"no such topic":               {"--orders", source + "x"},
		"--labels: merge= is of":      {"--orders", file, "--labels", source + "?merge=event"},
		"--verify: merge= is of":      {"--orders", file, "--verify", source + "?merge=event"},
	} {
		if _, _, _, err := replayCommand(t, "", append(args, "-c", config)...); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want an invalid one that says %q", args, err, want)
		}
	}
}

func TestReplayCommandReadsSeveralFiles(t *testing.T) {
	orders := strings.SplitAfter(replayOrders, "\n")
	folder := t.TempDir()
	for name, text := range map[string]string{"b.jsonl": orders[0] + orders[3], "a.jsonl": orders[1] + orders[2], "c.csv": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(folder, "a.jsonl"), filepath.Join(folder, "b.jsonl")
	for _, args := range [][]string{{"--orders", filepath.Join(folder, "*.jsonl")}, {"--orders", a, "--orders", b}, {"--orders", b + "," + a}} {
		dir, _, stderr, err := replayCommand(t, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "out", "features.csv"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("order_id,n,mean\no1,1,1\no2,1,2.5\no3,2,2.75\n", string(got)); diff != "" {
			t.Errorf("%v: %s", args, diff)
		}
		if !strings.Contains(stderr, "a.jsonl:2: json_syntax") {
			t.Errorf("%v: stderr %s", args, stderr)
		}
	}
	for want, args := range map[string][]string{
		"there is no such file": {"--orders", filepath.Join(folder, "*.avro")}, "no such file": {"--orders", a + "," + filepath.Join(folder, "d.jsonl")}, "is named twice": {"--orders", a, "--orders", a},
		"is no file": {"--orders", a, "--orders", "-"}, "read alone": {"--orders", a, "--orders", "kafka://broker:9092/orders"}, "not a source": {"--orders", filepath.Join(folder, "*")},
	} {
		if _, _, _, err := replayCommand(t, "", args...); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want an invalid one that says %q", args, err, want)
		}
	}
}

// topicOfOrders writes replayOrders to a topic, and returns it as a source and the config that it takes to read it.
func topicOfOrders(t *testing.T) (source, config string) {
	t.Helper()
	return topicOf(t, strings.Split(strings.TrimSpace(replayOrders), "\n"))
}

// topicOf does it with these values.
func topicOf(t *testing.T, values []string) (source, config string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "shop", "right"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	config = filepath.Join(t.TempDir(), "verdict.yaml")
	kafka := "kafka: {security_protocol: SASL_PLAINTEXT, sasl_mechanism: SCRAM-SHA-512, sasl_username: shop, sasl_password: right}\n"
	if err := os.WriteFile(config, []byte(kafka), 0o600); err != nil {
		t.Fatal(err)
	}
	produce(t, cluster.ListenAddrs(), values)
	return "kafka://" + strings.Join(cluster.ListenAddrs(), ",") + "/orders", config
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
