package preprocess

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
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
	starts   []int  // :: order × group → the place of the group's first ask in the order's visit; -1: the order has no such entity
	known    []bool // :: ask of the visit at hand → what it adds, being of features, is computed
	input    expr.Input
	key      []byte
	keys     strings.Builder // of all entities; never grown beyond its room, so that keys cut from it stay where they are
	room     room
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

	// Again says that the order may have been here before, though the store does not know of it any more: what came after it may be there, and is not looked at.
	Again bool
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
		x.visit(&orders[i])
	}
	out := make([]Extracted, len(orders))
	seen, wrong := 0, error(nil)
	err := x.store.Exchange(ctx, x.visits, func(i int, found *Found) {
		// Before anything is read from the answers by place.
		if i != seen || i >= len(orders) || len(found.Views) != len(x.visits[i].Asks) {
			wrong = fmt.Errorf("visit %d of %d, with %d views, came after %d others", i, len(orders), len(found.Views), seen)
			return
		}
		seen++
		found.Again = found.Again || orders[i].Again
		x.ofHistory(i, &orders[i].Order, found, row(i))
		out[i] = Extracted{
			Vector:   schemas.FeatureVector{Layout: x.set.layout, Values: row(i)},
			Repeat:   found.First != orders[i].Arrival,
			Conflict: found.First != orders[i].Arrival && found.Content != orders[i].Content,
		}
	})
	if err == nil && wrong == nil && seen != len(orders) {
		wrong = fmt.Errorf("%d of %d visits were answered", seen, len(orders))
	}
	if err := cmp.Or(err, wrong); err != nil {
		return nil, fmt.Errorf("exchanging points with the store: %w", err)
	}
	x.input.Fields, x.input.Features = nil, nil
	return out, nil
}

// Look returns the feature vector that an order would have if it came now for the first time, and leaves no trace in the store that it looks into, which
// takes the place of the Extractor's own. The vector is the caller's to keep.
func (x *Extractor) Look(ctx context.Context, from Looker, order *Arrived) (schemas.FeatureVector, error) {
	row := make([]float64, len(x.set.features))
	x.reset(1)
	x.ofOrder(&order.Order, row)
	x.visit(order)
	var wrong error
	err := from.Look(ctx, x.visits[0], func(found *Found) {
		if len(found.Views) != len(x.visits[0].Asks) {
			wrong = fmt.Errorf("%d asks were answered with %d views", len(x.visits[0].Asks), len(found.Views))
			return
		}
		x.ofHistory(0, &order.Order, found, row)
	})
	if err := cmp.Or(err, wrong); err != nil {
		return schemas.FeatureVector{}, fmt.Errorf("looking into the store: %w", err)
	}
	x.input.Fields, x.input.Features = nil, nil
	return schemas.FeatureVector{Layout: x.set.layout, Values: row}, nil
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
	clear(x.asks) // of the call before: they hold on to its keys
	clear(x.labelled)
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
func (x *Extractor) visit(a *Arrived) {
	at := a.Order.At.UnixMicro()
	asks, labelled := len(x.asks), len(x.labelled)
	for g := range x.set.groups {
		group := &x.set.groups[g]
		key, ok := "", false
		if len(group.columns) > 0 {
			key, ok = x.keyOf(group, a.Order.Fields)
		}
		if !ok {
			x.starts = append(x.starts, -1)
			continue
		}
		x.starts = append(x.starts, len(x.asks)-asks)
		for c := range group.columns {
			column := &group.columns[c]
			x.asks = append(x.asks, Ask{
				Key: key, Column: column.name, Merge: column.merge, From: at - column.back, To: at - column.near, Keep: column.back + x.lateness,
			})
			ask := &x.asks[len(x.asks)-1]
			if column.later {
				ask.Adds = AddSeen
			} else {
				ask.Value, ask.Adds = column.of(&x.input, AddNow)
			}
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

// blockOfKeys is how much room for keys is made at once, in bytes: for some hundred orders.
const blockOfKeys = 16 << 10

// keyOf returns the store's key of the entity that an order has; false when the order lacks one of its fields.
func (x *Extractor) keyOf(g *group, fields schemas.Record) (string, bool) {
	var ok bool
	if x.key, ok = g.appendKey(x.key[:0], fields); !ok {
		return "", false
	}
	if x.keys.Cap()-x.keys.Len() < len(x.key) {
		x.keys = strings.Builder{}
		x.keys.Grow(max(blockOfKeys, len(x.key)))
	}
	start := x.keys.Len()
	x.keys.Write(x.key)
	return x.keys.String()[start:], true
}

// ofHistory computes the features that need the store. The arrival that counts is that of the visit which holds the order's id: so a repeat sees
// what the order saw.
func (x *Extractor) ofHistory(i int, o *schemas.Order, found *Found, row []float64) {
	x.input.Fields, x.input.Features = o.Fields, row
	x.known = append(x.known[:0], make([]bool, len(x.visits[i].Asks))...)
	v := viewer{at: x.visits[i].At, id: string(o.ID), arrival: found.First, again: found.Again}
	for j := range x.set.features {
		f := &x.set.features[j]
		switch {
		case !f.history:
		case f.window == nil:
			row[j] = f.orDefault(f.expr.Number(&x.input))
		default:
			row[j] = f.orDefault(x.ofWindow(i, &v, f.window, found))
		}
	}
	// What is kept of this order and was not known before.
	for g := range x.set.groups {
		start := x.starts[i*len(x.set.groups)+g]
		for c := range x.set.groups[g].columns {
			if column := &x.set.groups[g].columns[c]; start >= 0 && column.later {
				x.kept(i, start+c, column)
			}
		}
	}
}

// kept returns a visit's ask of a column that is known only when features are, with what the order adds to it. It is computed when the first window
// over the column is, whose features stand above it, and once.
func (x *Extractor) kept(i, ask int, c *column) *Ask {
	a := &x.visits[i].Asks[ask]
	if !x.known[ask] {
		a.Value, a.Adds = c.of(&x.input, AddSeen)
		x.known[ask] = true
	}
	return a
}

// ofWindow computes a window for a visit: of nothing, when the order has no such entity.
func (x *Extractor) ofWindow(i int, v *viewer, w *window, found *Found) float64 {
	start := x.starts[i*len(x.set.groups)+w.group]
	s := sight{view: &noView, room: &x.room}
	if start < 0 {
		return w.of(v, &s)
	}
	group := &x.set.groups[w.group]
	s.view = &found.Views[start+w.ask]
	var own Point
	if column := &group.columns[w.ask]; column.later {
		// The features that it is made of stand above the window, so they are known by now.
		if ask := x.kept(i, start+w.ask, column); ask.Adds != AddNothing {
			own = Point{At: v.at, Value: ask.Value, Ref: &Ref{ID: schemas.OrderID(v.id), Arrival: v.arrival}}
			s.own = &own
		}
	}
	if w.marks() {
		s.marks = found.Views[start+len(group.columns)].Marks
	}
	if w.codes >= 0 {
		s.codes = found.Views[start+w.codes].Points
		if column := &group.columns[w.codes]; column.later {
			s.ownCode = x.kept(i, start+w.codes, column).Value
		}
	}
	return w.of(v, &s)
}

var noView = View{} //nolint:gochecknoglobals // empty, and never written to

// of returns what an order adds to the column: its value, and whether it does.
func (c *column) of(in *expr.Input, adds Adds) (float64, Adds) {
	code := 0.0
	if c.where != nil {
		if code = c.code(in); code == 0 {
			return 0, AddNothing
		}
	}
	switch {
	case c.from == fromField:
		return finite(in.Fields.At(c.path).Number()), adds
	case c.from == fromFeature:
		return in.Features[c.place], adds
	case c.from == fromDigest:
		return digestOf(in.Fields.At(c.path)), adds
	case c.coded:
		return code, adds
	case c.merge != nil:
		return 1, adds // what a decayed count weighs
	default:
		return math.NaN(), adds // the order alone
	}
}

// code tells for which label the order counts: 0 for none.
func (c *column) code(in *expr.Input) float64 {
	in.Fraud = true
	code := 0
	if c.where.True(in) {
		code |= ifFraud
	}
	in.Fraud = false
	if !c.coded {
		return float64(code)
	}
	if c.where.True(in) {
		code |= ifGenuine
	}
	return float64(code)
}

// digestOf returns a value's fingerprint as a number that is neither NaN nor infinite, since it has the exponent of one below 2. Two values share one with
// a chance of 2^-63.
func digestOf(v schemas.Value) float64 {
	if v.Missing() {
		return math.NaN()
	}
	return math.Float64frombits(v.Digest() &^ (1 << 62))
}

// orDefault returns v, the feature's default in place of missing.
func (f *feature) orDefault(v float64) float64 {
	if v == v {
		return v
	}
	return f.fallback
}
