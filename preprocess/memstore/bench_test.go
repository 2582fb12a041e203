package memstore_test

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// Sizes of the benchmarks: polls of orders, each of a customer with about 100 orders in its window and of a terminal with about 40.
const (
	poll           = 500
	customers      = 1000
	terminals      = 2500
	warmUp         = 200_000
	microsPerOrder = 864_000 // 100,000 orders a day
	day            = 24 * 3600 * 1_000_000
)

// polls makes one poll after the other, each written over the one before.
type polls struct {
	visits    []preprocess.Visit
	asks      []preprocess.Ask
	customers []string
	terminals []string
	random    *rand.Rand
	n         int
}

func newPolls() *polls {
	p := &polls{visits: make([]preprocess.Visit, poll), asks: make([]preprocess.Ask, 2*poll), random: rand.New(rand.NewPCG(1, 2))}
	for i := range customers {
		p.customers = append(p.customers, "customer:"+strconv.Itoa(i))
	}
	for i := range terminals {
		p.terminals = append(p.terminals, "terminal:"+strconv.Itoa(i))
	}
	return p
}

func (p *polls) next() []preprocess.Visit {
	for i := range p.visits {
		at := int64(1_790_000_000_000_000) + int64(p.n)*microsPerOrder
		asks := p.asks[2*i : 2*i+2]
		asks[0] = preprocess.Ask{Key: p.customers[p.random.IntN(customers)], Column: "amount", Value: p.random.Float64(), From: at - day, To: at, Keep: day}
		asks[1] = preprocess.Ask{Key: p.terminals[p.random.IntN(terminals)], Column: "*", From: at - day, To: at, Keep: day}
		p.visits[i] = preprocess.Visit{
			ID: schemas.OrderID("10" + strconv.Itoa(p.n)), At: at, Content: uint64(p.n), Asks: asks,
			Arrival: preprocess.Arrival{Millis: at / 1000, Offset: int64(p.n)},
		}
		p.n++
	}
	return p.visits
}

// BenchmarkExchange is one visit with two asks.
func BenchmarkExchange(b *testing.B) {
	s, p := memstore.New(memstore.Config{Keep: 1}), newPolls()
	points := 0
	see := func(_ int, found *preprocess.Found) {
		points += len(found.Views[0].Points) + len(found.Views[1].Points)
	}
	for p.n < warmUp {
		if err := s.Exchange(b.Context(), p.next(), see); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	points = 0
	for n := 0; n < b.N; n += poll {
		b.StopTimer()
		visits := p.next()
		b.StartTimer()
		if err := s.Exchange(b.Context(), visits, see); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "visits/s")
	b.ReportMetric(float64(points)/float64(b.N), "points/visit")
}

// BenchmarkMemory tells what an order costs, of two columns, while all are kept.
func BenchmarkMemory(b *testing.B) {
	const orders = 500_000
	for range b.N {
		s, p := memstore.New(memstore.Config{Keep: 1 << 62}), newPolls()
		before := heap()
		for p.n < orders {
			visits := p.next()
			for i := range visits {
				visits[i].Asks[0].Keep, visits[i].Asks[1].Keep = 100*day, 100*day
			}
			if err := s.Exchange(b.Context(), visits, func(int, *preprocess.Found) {}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/orders, "B/order")
		runtime.KeepAlive(s)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
