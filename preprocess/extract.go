package preprocess

import (
	"context"
	"fmt"
	"math"
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// Extractor makes feature vectors of orders, with one call on the store for any number of them. One goroutine uses an Extractor.
type Extractor struct {
	set      *FeatureSet
	store    Store
	lateness int64 // microseconds

	// Buffers of one Extract, used again by the next.
	visits   []Visit
	asks     []Ask
	labelled []string
	starts   []int // :: order × group → the place of the group's first ask in the order's visit; -1: the order has no such entity
	input    expr.Input
}

// NewExtractor returns an Extractor of that feature set over that store. Lateness is by how much an order may be older than the newest one of an
// entity and still find all that lies in its windows.
func NewExtractor(f *FeatureSet, store Store, lateness time.Duration) *Extractor {
	return &Extractor{set: f, store: store, lateness: max(0, lateness.Microseconds())}
}

// Arrived is an order and when it came.
type Arrived struct {
	Order   schemas.Order
	Arrival Arrival
	Content uint64 // digest of its content
}

// Extracted is what was made of one order.
type Extracted struct {
	Vector   schemas.FeatureVector
	Repeat   bool // another arrival holds the order's id, and only that one counts in features
	Conflict bool // and it had other content
}

// Extract returns the feature vectors of orders, in their order. Each order sees the ones before it, so one call with many gives what as many calls
// with one give, bit for bit. The vectors are the caller's to keep. After an error the same call may be made again.
func (x *Extractor) Extract(ctx context.Context, orders []Arrived) ([]Extracted, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	width := len(x.set.features)
	values := make([]float64, len(orders)*width)
	row := func(i int) []float64 { return values[i*width : (i+1)*width : (i+1)*width] }

	x.reset(len(orders))
	for i := range orders {
		x.ofOrder(&orders[i].Order, row(i))
		x.visit(&orders[i], row(i))
	}
	found, err := x.store.Exchange(ctx, x.visits)
	if err != nil {
		return nil, fmt.Errorf("exchanging points with the store: %w", err)
	}
	if err := x.whole(found); err != nil {
		return nil, fmt.Errorf("exchanging points with the store: %w", err)
	}

	out := make([]Extracted, len(orders))
	for i := range orders {
		x.ofHistory(i, &orders[i].Order, &found[i], row(i))
		out[i] = Extracted{
			Vector:   schemas.FeatureVector{Layout: x.set.layout, Values: row(i)},
			Repeat:   found[i].First != orders[i].Arrival,
			Conflict: found[i].First != orders[i].Arrival && found[i].Content != orders[i].Content,
		}
	}
	x.input.Fields, x.input.Features = nil, nil
	return out, nil
}

// reset makes the buffers empty, and large enough that what is cut from them stays where it is.
func (x *Extractor) reset(orders int) {
	asks, labelled := 0, 0
	for i := range x.set.groups {
		asks += len(x.set.groups[i].columns)
		if x.set.groups[i].marks != nil {
			asks++
			labelled++
		}
	}
	clear(x.asks[:cap(x.asks)])
	clear(x.labelled[:cap(x.labelled)])
	x.visits, x.starts = x.visits[:0], x.starts[:0]
	x.asks = grown(x.asks, orders*asks)
	x.labelled = grown(x.labelled, orders*labelled)
}

// grown returns s empty, with room for n.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n)
	}
	return s[:0]
}

// ofOrder computes the features that need nothing but the order; the others become missing.
func (x *Extractor) ofOrder(o *schemas.Order, row []float64) {
	x.input.Fields, x.input.Features = o.Fields, row
	for i := range x.set.features {
		f := &x.set.features[i]
		switch {
		case f.history:
			row[i] = math.NaN()
		case f.value != nil:
			row[i] = f.orDefault(f.value.of(o.Fields))
		default:
			row[i] = f.orDefault(f.expr.Number(&x.input))
		}
	}
}

// visit adds the order's call on the store.
func (x *Extractor) visit(a *Arrived, row []float64) {
	at := a.Order.At.UnixMicro()
	asks, labelled := len(x.asks), len(x.labelled)
	for g := range x.set.groups {
		group := &x.set.groups[g]
		key, ok := "", false
		if len(group.columns) > 0 {
			key, ok = group.key(a.Order.Fields)
		}
		if !ok {
			x.starts = append(x.starts, -1)
			continue
		}
		x.starts = append(x.starts, len(x.asks)-asks)
		for c := range group.columns {
			column := &group.columns[c]
			x.asks = append(x.asks, Ask{
				Key: key, Column: column.name, Value: column.of(a.Order.Fields, row),
				From: at - column.back, To: at - column.near, Keep: column.back + x.lateness,
			})
		}
		if m := group.marks; m != nil {
			x.asks = append(x.asks, Ask{Key: key, Marks: true, From: at - m.back, To: at - m.near, Keep: m.back + x.lateness})
			x.labelled = append(x.labelled, key)
		}
	}
	x.visits = append(x.visits, Visit{
		ID: a.Order.ID, At: at, Arrival: a.Arrival, Content: a.Content,
		Labelled: x.labelled[labelled:len(x.labelled):len(x.labelled)], Asks: x.asks[asks:len(x.asks):len(x.asks)],
	})
}

// whole says whether the store answered every visit and every ask, before anything is read from the answers by place.
func (x *Extractor) whole(found []Found) error {
	if len(found) != len(x.visits) {
		return fmt.Errorf("%d visits, %d answers", len(x.visits), len(found))
	}
	for i := range found {
		asks := x.visits[i].Asks
		if len(found[i].Points) != len(asks) {
			return fmt.Errorf("%d asks, %d answers", len(asks), len(found[i].Points))
		}
		for j := range asks {
			if asks[j].Marks && len(found[i].Marks) != len(asks) {
				return fmt.Errorf("%d asks with marks, %d answers", len(asks), len(found[i].Marks))
			}
		}
	}
	return nil
}

// ofHistory computes the features that need the store. The arrival that counts is that of the visit which holds the order's id: so a repeat sees
// what the order saw.
func (x *Extractor) ofHistory(i int, o *schemas.Order, found *Found, row []float64) {
	x.input.Fields, x.input.Features = o.Fields, row
	v := viewer{at: o.At.UnixMicro(), id: o.ID, arrival: found.First}
	for j := range x.set.features {
		f := &x.set.features[j]
		switch {
		case !f.history:
		case f.window == nil:
			row[j] = f.orDefault(f.expr.Number(&x.input))
		default:
			points, marks := x.seen(i, f.window, found)
			row[j] = f.orDefault(f.window.of(&v, points, marks))
		}
	}
}

// seen returns the points and marks that a window is computed from: none when the order has no such entity.
func (x *Extractor) seen(i int, w *window, found *Found) ([]Point, []Mark) {
	start := x.starts[i*len(x.set.groups)+w.group]
	if start < 0 {
		return nil, nil
	}
	points := found.Points[start+w.ask]
	if w.what != frauds && w.what != fraudRate {
		return points, nil
	}
	return points, found.Marks[start+len(x.set.groups[w.group].columns)]
}

// of returns what an order adds to the column.
func (c *column) of(fields schemas.Record, row []float64) float64 {
	switch {
	case c.place >= 0:
		return row[c.place]
	case c.path != nil:
		return finite(fields.At(c.path).Number())
	default:
		return math.NaN() // "*": the order alone
	}
}

// orDefault returns v, the feature's default in place of missing.
func (f *feature) orDefault(v float64) float64 {
	if v == v {
		return v
	}
	return f.fallback
}
