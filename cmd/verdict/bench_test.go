package main_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// BenchmarkPost is a caller's round trip at one process of serve: HTTP, two hops over Kafka, two pipelines to Redis, 15 features, 100 trees. It is closed
// loop (each caller sends its next order when it has its decision), so it tells the latency of a quiet system and not what an open load would see.
func BenchmarkPost(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := newSite(b)
			p := start(b, "serve", "-c", s.config(b, "", `api: {listen: "127.0.0.1:0", wait: 5s}`))
			p.ready(b.Context())
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
			latency := hdrhistogram.New(1, 10_000_000, 3)
			var mu sync.Mutex
			var n atomic.Int64
			var wg sync.WaitGroup
			post := func(i int64) {
				began := time.Now()
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, p.url+"/v1/decisions", strings.NewReader(orderJSON(fmt.Sprint("b", i), int(i), 20)))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil || res.StatusCode != http.StatusOK {
					b.Error(res, err)
					return
				}
				_ = res.Body.Close()
				mu.Lock()
				_ = latency.RecordValue(time.Since(began).Microseconds())
				mu.Unlock()
			}
			for i := range int64(200) { // warm caches, connections and the broker's code
				post(-i)
			}
			latency.Reset()
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						post(i)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(latency.ValueAtQuantile(50))/1000, "p50-ms")
			b.ReportMetric(float64(latency.ValueAtQuantile(99))/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
			if os.Getenv("VERDICT_KAFKA") == "" {
				b.Log("on the in-process Kafka and Redis")
			}
		})
	}
}
