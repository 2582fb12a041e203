package replay_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"verdict/consumer/replay"
)

// BenchmarkReplay measures whole replays through the Handbook's feature set, from an uncompressed file to features.csv: orders/s is the figure.
// The made orders are as many a day over as many customers and terminals as the Handbook's, but only 20 days of them.
func BenchmarkReplay(b *testing.B) {
	b.Run("made", func(b *testing.B) {
		benchmarkReplay(b, put(b, "orders.jsonl", madeOrders(190_000)), "")
	})
	b.Run("handbook", func(b *testing.B) {
		dir := handbook(b)
		var text bytes.Buffer
		if _, err := text.ReadFrom(opened(b, filepath.Join(dir, "orders.jsonl.gz"))); err != nil {
			b.Fatal(err)
		}
		benchmarkReplay(b, put(b, "orders.jsonl", text.Bytes()), filepath.Join(dir, "labels.jsonl.gz"))
	})
}

func benchmarkReplay(b *testing.B, orders, labels string) {
	b.Helper()
	out := b.TempDir()
	var read int64
	for b.Loop() {
		cfg := config(b, "testdata/handbook.yaml", orders)
		if labels != "" {
			cfg.Labels = location(b, labels)
		}
		cfg.Out, cfg.Write = out, replay.CSV
		done, err := replay.Run(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		read += done.Orders
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "orders/s")
}

func madeOrders(n int) []byte {
	rnd := rand.New(rand.NewPCG(3, 4))
	at := time.Date(2018, 6, 11, 0, 0, 0, 0, time.UTC)
	var text []byte
	for i := range n {
		at = at.Add(time.Duration(rnd.IntN(18)) * time.Second)
		text = fmt.Appendf(text, `{"order_id":"%d","occurred_at":"%s","customer_id":"%d","terminal_id":"%d","amount":%.2f}`+"\n",
			680_886+i, at.Format(time.RFC3339), rnd.IntN(5000), rnd.IntN(10_000), 5+rnd.ExpFloat64()*50)
	}
	return text
}
