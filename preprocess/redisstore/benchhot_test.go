package redisstore_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// hotSet has merged columns: 288 cells for amounts, and values of which a sample is kept.
const hotSet = `
name: hot
version: 1
event: {id: order_id, time: occurred_at}
entities: {terminal: [terminal_id]}
features:
  orders_1d:    {count: "*", by: terminal, window: 1d, resolution: 5m}
  mean_1d:      {mean: amount, by: terminal, window: 1d, resolution: 5m}
  deviation_1d: {stddev: amount, by: terminal, window: 1d, resolution: 5m}
  customers_1d: {distinct: customer_id, by: terminal, window: 1d, resolution: 5m}
`

// BenchmarkHotEntity extracts orders one at a time, by turns of a terminal that was never seen before and of one with 1,000,000 orders a day, of which
// the latest 100,000 were extracted before: its cells and its sample are full then, and hold no more after a million.
func BenchmarkHotEntity(b *testing.B) {
	set, err := preprocess.Parse("hot.yaml", []byte(hotSet), nil)
	if err != nil {
		b.Fatal(err)
	}
	client := dial(b, startRedis(b))
	x := preprocess.NewExtractor(set, redisstore.New(client, redisstore.Config{Prefix: "h:", Timeout: patient}), 0)
	n := 0
	const apart = 864_000 // microseconds: 100,000 a day
	orderOf := func(terminal string) preprocess.Arrived {
		n++
		at := int64(t0) + int64(n)*apart
		return preprocess.Arrived{
			Order: schemas.Order{ID: schemas.OrderID("o" + strconv.Itoa(n)), At: time.UnixMicro(at).UTC(), Fields: schemas.Record{
				{Name: "terminal_id", Value: schemas.StringValue(terminal)},
				{Name: "customer_id", Value: schemas.StringValue("C" + strconv.Itoa(n*7919%50_000))},
				{Name: "amount", Value: schemas.FloatValue(float64(n%20_000) / 100)},
			}},
			Arrival: preprocess.Arrival{Millis: at/1000 + 40, Offset: int64(n)},
		}
	}
	for n < 100_000 {
		var batch []preprocess.Arrived
		for range poll {
			batch = append(batch, orderOf("hot"))
		}
		if _, err := x.Extract(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, terminal := range []string{"hot", "cold" + strconv.Itoa(n)} {
			order := []preprocess.Arrived{orderOf(terminal)}
			start := time.Now()
			if _, err := x.Extract(b.Context(), order); err != nil {
				b.Fatal(err)
			}
			took[terminal[:3]] = append(took[terminal[:3]], time.Since(start))
		}
	}
	for name, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-µs")
	}
	hot, cold := took["hot"], took["col"]
	b.ReportMetric(float64(hot[len(hot)*99/100])/float64(cold[len(cold)*99/100]), "x-cold-p99")
	for _, key := range keysOf(b, client, "h:{terminal_id:hot}:m:") {
		b.ReportMetric(float64(client.MemoryUsage(b.Context(), key, 0).Val()), "B"+key[len("h:{terminal_id:hot}:m:"):])
	}
}
