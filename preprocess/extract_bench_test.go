package preprocess_test

import (
	"slices"
	"syscall"
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
)

// BenchmarkExtract makes vectors of the Handbook's feature set over 37 days of its orders in memory, 500 at a time. One b.N is a poll. cpu-ns/order is the time that the
// process was running, garbage collection included: on a machine with other work it tells more than the time that passed.
func BenchmarkExtract(b *testing.B) {
	set, err := preprocess.Load("../deploy/example/handbook.yaml", nil)
	if err != nil {
		b.Fatal(err)
	}
	const batch = 500
	orders := handbookOrders(b, set)
	warm := len(orders) - len(orders)/4/batch*batch // the last quarter is measured, over more than 37 days of state
	store := memstore.New(memstore.Config{})
	if err := store.Learn(b.Context(), handbookLabels(b)); err != nil {
		b.Fatal(err)
	}
	x := preprocess.NewExtractor(set, store, 0)
	for part := range slices.Chunk(orders[:warm], batch) {
		if _, err := x.Extract(b.Context(), part); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	next, began := warm, cpuTime()
	for b.Loop() {
		if next+batch > len(orders) { // what follows would be repeats, which cost less
			b.Fatalf("out of orders: use -benchtime=%dx", (len(orders)-warm)/batch-1)
		}
		if _, err := x.Extract(b.Context(), orders[next:next+batch]); err != nil {
			b.Fatal(err)
		}
		next += batch
	}
	n := float64(b.N) * batch
	b.ReportMetric(float64(cpuTime()-began)/n, "cpu-ns/order")
	b.ReportMetric(n/b.Elapsed().Seconds(), "orders/s")
}

// cpuTime is how long the process has been running, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
