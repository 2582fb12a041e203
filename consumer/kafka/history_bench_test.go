package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// BenchmarkHistory reads a million records of 100 bytes from four partitions, written in turn: from the in-process cluster and, where VERDICT_KAFKA
// names one, from a real broker. beside=client is what the client library does with the same topic by itself, without order.
func BenchmarkHistory(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	servers := map[string][]string{"kfake": cluster.ListenAddrs()}
	if addr := os.Getenv("VERDICT_KAFKA"); addr != "" {
		servers["broker"] = strings.Split(addr, ",")
	}
	const records = 1_000_000
	for name, addresses := range servers {
		conn := kafka.Connection{BootstrapServers: addresses}
		topic := fmt.Sprintf("bench%d", time.Now().UnixNano())
		load(b, conn, topic, records)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, err := kafka.OpenHistory(b.Context(), kafka.HistoryConfig{Connection: conn, Topics: []kafka.HistoryTopic{{Name: topic}}})
				if err != nil {
					b.Fatal(err)
				}
				read := 0
				for {
					batch, err := h.Poll(b.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					read += len(batch.Records)
				}
				h.Close()
				if read != records {
					b.Fatalf("%d records", read)
				}
			}
			b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
		b.Run(name+"/beside=client", func(b *testing.B) {
			for b.Loop() {
				ctx, enough := context.WithCancel(b.Context())
				read := 0
				err := kafka.Tail(ctx, conn, topic, func(*consumer.Record) {
					if read++; read == records {
						enough()
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// load writes n records of 100 bytes to four partitions in turn.
func load(b *testing.B, conn kafka.Connection, topic string, n int) {
	b.Helper()
	if _, err := kafka.EnsureTopics(b.Context(), conn, map[string]kafka.TopicSpec{topic: {Partitions: 4}}); err != nil {
		b.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(conn.BootstrapServers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	random := rand.NewChaCha8([32]byte{})
	began := time.Now()
	for i := range n {
		value := fmt.Appendf(nil, `{"order_id":"%010d","customer_id":"%08x","terminal_id":"%08x","amount":%d}`, i, random.Uint64()>>32, random.Uint64()>>32, random.Uint64()>>50)
		r := &kgo.Record{Topic: topic, Partition: int32(i % 4), Key: value[50:58], Value: value, Timestamp: began.Add(time.Duration(i) * 50 * time.Microsecond)}
		client.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}
