package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer/kafka"
)

// TestReplayOfALoadedTopicEqualsThatOfItsFile loads a history partition after partition, into one and into eight, and replays it by event time: the digest is the
// file's. By the times of the records, which are those of the load, it is another.
func TestReplayOfALoadedTopicEqualsThatOfItsFile(t *testing.T) {
	h := madeUp(3000)
	s := newSite(t)
	ctx := within(t, 5*time.Minute)
	dir := t.TempDir()
	var text []byte
	for _, e := range h.orders {
		text = append(append(text, e.line...), '\n')
	}
	orders := filepath.Join(dir, "orders.jsonl")
	if err := os.WriteFile(orders, text, 0o600); err != nil {
		t.Fatal(err)
	}
	digest := func(source string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, program, "replay", "--orders", source, "--features", "../../deploy/example/handbook.yaml",
			"--model", "../../deploy/example/models/handbook/1", "--policy", "../../deploy/example/policy.yaml", "--write", "decisions", "--out", dir).CombinedOutput()
		found := regexp.MustCompile(`digest ([0-9a-f]{32})`).FindSubmatch(out)
		if err != nil || found == nil || !bytes.Contains(out, []byte("3000 orders")) {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
		return string(found[1])
	}
	want := digest(orders)
	for _, n := range []int{1, 8} {
		topic := s.topic(fmt.Sprint("loaded", n))
		if _, err := kafka.EnsureTopics(ctx, kafka.Connection{BootstrapServers: s.kafka}, map[string]kafka.TopicSpec{topic: {Partitions: int32(n)}}); err != nil {
			t.Fatal(err)
		}
		client := s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for p := range n {
			var records []*kgo.Record
			for i := p; i < len(h.orders); i += n {
				records = append(records, &kgo.Record{Topic: topic, Partition: int32(p), Value: h.orders[i].line})
			}
			if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		source := "kafka://" + strings.Join(s.kafka, ",") + "/" + topic
		if got := digest(source + "?merge=event"); got != want {
			t.Errorf("%d partitions by event time: %s, the file's is %s", n, got, want)
		}
		if got := digest(source); (got == want) != (n == 1) {
			t.Errorf("%d partitions by record time: %s, the file's is %s", n, got, want)
		}
	}
}

// TestReplayKilledLeavesNothingForGood kills a replay that waits for more orders, and runs another one in its folder.
func TestReplayKilledLeavesNothingForGood(t *testing.T) {
	ctx := within(t, time.Minute)
	dir := t.TempDir()
	args := []string{"replay", "--orders", "-", "--features", "../../deploy/example/handbook.yaml", "--out", dir}
	killed := exec.CommandContext(ctx, program, args...)
	in, err := killed.StdinPipe()
	if err == nil {
		err = killed.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	parts := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, ".*.part"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	until(t, ctx, func() bool { return len(parts()) == 2 })
	again := exec.CommandContext(ctx, program, args...)
	again.Stdin = bytes.NewReader(madeUp(1).orders[0].line)
	if out, err := again.CombinedOutput(); err != nil || len(parts()) != 2 {
		t.Fatalf("beside the running one: %v, %v\n%s", err, parts(), out)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	if len(parts()) != 2 {
		t.Fatalf("killed, it leaves %v", parts())
	}
	again = exec.CommandContext(ctx, program, args...)
	again.Stdin = bytes.NewReader(madeUp(1).orders[0].line)
	if out, err := again.CombinedOutput(); err != nil || len(parts()) != 0 {
		t.Fatalf("after it: %v, %v\n%s", err, parts(), out)
	}
}
