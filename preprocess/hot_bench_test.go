package preprocess_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

const hotSet = `
name: hot
version: 1
event: {id: order_id, time: occurred_at}
entities: {terminal: [terminal_id]}
features:
  amount: {value: amount}
  n_1h:   {count: "*", by: terminal, window: 1h, resolution: 5m}
  n_1d:   {count: "*", by: terminal, window: 1d, resolution: 5m}
  sum_1d: {sum: amount, by: terminal, window: 1d, resolution: 5m}
  mean_1d: {mean: amount, by: terminal, window: 1d, resolution: 5m}
  max_1d: {max: amount, by: terminal, window: 1d, resolution: 5m}
  last:   {since_last: "*", by: terminal, window: 1d, resolution: 5m}
`

// BenchmarkHotTerminal holds a terminal of 1,000,000 orders in its window against one of 20. Each b.N is an order of either, and times is how much longer
// the slowest hundredth of the hot one's takes.
func BenchmarkHotTerminal(b *testing.B) {
	set := mustParse(b, hotSet)
	x := preprocess.NewExtractor(set, memstore.New(memstore.Config{}), 0)
	const day, inWindow = int64(24 * time.Hour / time.Microsecond), 1_000_000
	orders := make([]preprocess.Arrived, 500)
	n := 0
	order := func(terminal string) preprocess.Arrived {
		n++
		return preprocess.Arrived{
			Order: schemas.Order{
				ID: schemas.OrderID(strconv.Itoa(n)), At: time.UnixMicro(noon + int64(n)*day/inWindow).UTC(),
				Fields: schemas.Record{text("terminal_id", terminal), number("amount", float64(n%977)/100)},
			},
			Arrival: preprocess.Arrival{Offset: int64(n)},
		}
	}
	extractAll := func(orders []preprocess.Arrived) {
		if _, err := x.Extract(b.Context(), orders); err != nil {
			b.Fatal(err)
		}
	}
	for n < 11*inWindow/10 {
		for i := range orders {
			orders[i] = order("hot")
			if i == 0 && n%50_000 < 500 {
				orders[i] = order("cold")
			}
		}
		extractAll(orders)
	}
	took := map[string][]time.Duration{}
	b.ResetTimer()
	for i := range b.N {
		terminal := []string{"hot", "cold"}[i%2]
		one := []preprocess.Arrived{order(terminal)}
		began := time.Now()
		extractAll(one)
		took[terminal] = append(took[terminal], time.Since(began))
	}
	p99 := func(terminal string, part float64) float64 {
		all := took[terminal]
		slices.Sort(all)
		return float64(all[int(part*float64(len(all)))].Nanoseconds())
	}
	if b.N < 200 {
		return
	}
	b.ReportMetric(p99("hot", 0.5), "hot-p50-ns")
	b.ReportMetric(p99("cold", 0.5), "cold-p50-ns")
	b.ReportMetric(p99("hot", 0.99), "hot-p99-ns")
	b.ReportMetric(p99("cold", 0.99), "cold-p99-ns")
	b.ReportMetric(p99("hot", 0.99)/p99("cold", 0.99), "times")
}
