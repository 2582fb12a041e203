package preprocess_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"verdict/preprocess"
	"verdict/schemas"
)

const (
	second = int64(time.Second / time.Microsecond)
	minute = 60 * second
	day    = 24 * 60 * minute
)

// pointOf is the n-th order of source 0.
func pointOf(n, at int64, value float64) preprocess.Point {
	return preprocess.Point{At: at, Value: value, Ref: &preprocess.Ref{ID: schemas.OrderID("o" + strconv.FormatInt(n, 10)), Arrival: preprocess.Arrival{Offset: n}}}
}

// ordersIn is how many orders a merged column has.
func ordersIn(m *preprocess.Merged) int64 {
	n := int64(len(m.Points()))
	for _, c := range m.Cells {
		n += c.Orders
	}
	return n
}

func TestMergedTakesEachOffsetOfASourceOnce(t *testing.T) {
	m := preprocess.Merged{Merging: preprocess.Merging{Resolution: minute}}
	const orders = 2000
	var points []preprocess.Point
	for i := range int64(orders) {
		p := pointOf(i, noon+i*second, 1)
		p.Arrival.Source, p.Arrival.Offset = int32(i%3), i/3
		points = append(points, p)
	}
	for i := range points {
		m.Add(points[i], day)
		m.Add(points[i], day) // delivered again at once
		if i%500 == 499 {     // and all of it
			for _, p := range points[:i+1] {
				m.Add(p, day)
			}
		}
	}
	if got := ordersIn(&m); got != orders || len(m.Cells) == 0 {
		t.Errorf("of %d orders it has %d", orders, got)
	}
	want := []preprocess.Applied{{Source: 0, Offset: 666}, {Source: 1, Offset: 666}, {Source: 2, Offset: 665}}
	if !slices.Equal(m.Applied, want) {
		t.Errorf("applied %v, want %v", m.Applied, want)
	}
	m.Add(preprocess.Point{At: noon, Ref: &preprocess.Ref{ID: "new", Arrival: preprocess.Arrival{Source: 1, Offset: 600}}}, day)
	if got := ordersIn(&m); got != orders {
		t.Error("an offset that is not beyond the last of its source was taken")
	}
}

// TestMergedCellsHoldWhatTheirOrdersWere compares each cell with the orders of its time, late ones among them.
func TestMergedCellsHoldWhatTheirOrdersWere(t *testing.T) {
	m := preprocess.Merged{Merging: preprocess.Merging{Resolution: 5 * minute}}
	random := rand.New(rand.NewPCG(3, 4))
	var all []preprocess.Point
	for i := range int64(5000) {
		at := noon + i*3*second
		if i%10 == 0 {
			at -= random.Int64N(60 * minute)
		}
		value := random.NormFloat64()*3 + 1e9
		if i%7 == 0 {
			value = math.NaN()
		}
		all = append(all, pointOf(i, at/1000*1000, value))
		m.Add(all[i], day)
	}
	if ordersIn(&m) != int64(len(all)) {
		t.Fatalf("it has %d of %d orders", ordersIn(&m), len(all))
	}
	for i, c := range m.Cells {
		if c.Start%(5*minute) != 0 || i > 0 && m.Cells[i-1].Start >= c.Start {
			t.Fatalf("cell %d starts at %d", i, c.Start)
		}
		var in []preprocess.Point
		for _, p := range all {
			if p.At >= c.Start && p.At < c.Start+5*minute && !slices.ContainsFunc(m.Points(), func(q preprocess.Point) bool { return q.ID == p.ID }) {
				in = append(in, p)
			}
		}
		checkCell(t, &c, in)
	}
}

func checkCell(t *testing.T, c *preprocess.Cell, in []preprocess.Point) {
	t.Helper()
	var values []float64
	first, last, low, high := in[0], in[0], math.Inf(1), math.Inf(-1)
	for _, p := range in {
		if p.Value == p.Value {
			values = append(values, p.Value)
			low, high = min(low, p.Value), max(high, p.Value)
		}
		if p.At < first.At {
			first = p
		}
		if p.At > last.At || p.At == last.At && last.Arrival.Before(p.Arrival) {
			last = p
		}
	}
	if c.Orders != int64(len(in)) || c.Values != int64(len(values)) || c.First != first.At || c.Last != last.At {
		t.Errorf("cell %+v is of %d orders, %d values from %d to %d", c, len(in), len(values), first.At, last.At)
	}
	if !same(c.LastValue, last.Value) || c.LastArrival != last.Arrival || c.Min != low || c.Max != high {
		t.Errorf("cell %+v: last %v, min %v, max %v", c, last, low, high)
	}
	sum := 0.0
	for _, v := range values {
		sum += v - 1e9
	}
	if got := c.Sum.Value() - 1e9*float64(len(values)); math.Abs(got-sum) > 1e-3 {
		t.Errorf("the sum is %v too much, want %v", got, sum)
	}
}

// TestMergedGoesOnFromItsParts: a store that writes a column and reads it back between two orders has the same.
func TestMergedGoesOnFromItsParts(t *testing.T) {
	for _, merging := range []preprocess.Merging{{Resolution: minute}, {Resolution: minute, HalfLife: 60 * minute}, {Resolution: minute, Distinct: true}} {
		one, two := preprocess.Merged{Merging: merging}, preprocess.Merged{Merging: merging}
		for i := range int64(3000) {
			p := pointOf(i, noon+i*second, float64(i*7919%1500))
			one.Add(p, day)
			two.Add(p, day)
			if i%37 == 0 {
				two = preprocess.Merged{
					Series: preprocess.NewSeries(slices.Clone(two.Points())), Merging: two.Merging, Cells: slices.Clone(two.Cells),
					Sightings: slices.Clone(two.Sightings), Level: two.Level, Applied: slices.Clone(two.Applied),
				}
			}
		}
		same := slices.Equal(one.Points(), two.Points()) && slices.Equal(one.Cells, two.Cells) && slices.Equal(one.Sightings, two.Sightings)
		if !same || one.Level != two.Level || len(one.Cells)+len(one.Sightings) == 0 {
			t.Errorf("%+v: not the same after it was read back", merging)
		}
	}
}

// TestMergedStaysSmall, however many orders there are: a day in cells of 5 minutes.
func TestMergedStaysSmall(t *testing.T) {
	const (
		orders     = 1_000_000
		resolution = 5 * minute
		cells      = int(day / resolution)
		most       = 64 << 10
	)
	for _, merging := range []preprocess.Merging{{Resolution: resolution}, {Resolution: resolution, Distinct: true}} {
		m := preprocess.Merged{Merging: merging}
		largest := 0
		for i := range int64(orders) {
			m.Add(pointOf(i, noon+i*3*day/orders, float64(i*7919)), day)
			if len(m.Points()) > 384 || len(m.Cells) > cells+2 || len(m.Sightings) > 1024 {
				t.Fatalf("after %d orders: %d points, %d cells, %d sightings", i, len(m.Points()), len(m.Cells), len(m.Sightings))
			}
			if i%1000 == 0 {
				largest = max(largest, bytesOf(&m))
			}
		}
		if !merging.Distinct && len(m.Cells) < cells-2 {
			t.Errorf("%d cells of %d: this is no full window", len(m.Cells), cells)
		}
		if t.Logf("%+v: at most %d bytes", merging, largest); largest > most {
			t.Errorf("%+v takes %d bytes, more than %d", merging, largest, most)
		}
	}
}

// bytesOf is the memory that a merged column takes, with that of ids of 16 bytes.
func bytesOf(m *preprocess.Merged) int {
	points := m.Points()
	return int(unsafe.Sizeof(*m)) + cap(points)*int(unsafe.Sizeof(preprocess.Point{})) + 16*len(points) +
		cap(m.Cells)*int(unsafe.Sizeof(preprocess.Cell{})) + cap(m.Sightings)*int(unsafe.Sizeof(preprocess.Sighting{})) +
		cap(m.Applied)*int(unsafe.Sizeof(preprocess.Applied{}))
}

// TestMergedKnowsTheLastOffsetOfAQuietSource, whose one order has long been merged when it is delivered again.
func TestMergedKnowsTheLastOffsetOfAQuietSource(t *testing.T) {
	m := preprocess.Merged{Merging: preprocess.Merging{Resolution: minute}}
	quiet := pointOf(7, noon, 1)
	quiet.Arrival.Source = 1
	m.Add(quiet, day)
	for i := range int64(1000) {
		m.Add(pointOf(i, noon+i*second, 1), day)
	}
	m.Add(quiet, day)
	if got := ordersIn(&m); got != 1001 {
		t.Errorf("of 1001 orders it has %d", got)
	}
}

func TestMergedTakesBothZerosForOneValue(t *testing.T) {
	m := preprocess.Merged{Merging: preprocess.Merging{Resolution: minute, Distinct: true}}
	for i := range int64(1000) {
		m.Add(pointOf(i, noon+i*second, math.Copysign(0, float64(1-2*(i%2)))), day)
	}
	if len(m.Sightings) != 1 {
		t.Errorf("%d sightings of nothing but zeros", len(m.Sightings))
	}
}
