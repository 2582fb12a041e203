package preprocess_test

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// What follows computes features a second time, from nothing but the contract's words: for each order it walks over all orders that have come.

// reader gives a value of an order: a field's, or that of a feature (row) that it was scored with.
type reader func(o *schemas.Order, row []float64) schemas.Value

// truth gives a condition's 1, 0 or NaN, which is missing, of an order and its label.
type truth func(o *schemas.Order, row []float64, fraud bool) float64

// wanted is one feature of a set.
type wanted struct {
	asked // unless of is set

	name     string
	text     string  // in the set, behind the name
	fallback float64 // NaN: none
	of       truth   // a value or an expr
	history  bool    // it is made of earlier orders
	later    bool    // it is over values that are known only when an order is scored
}

// asked is an aggregate.
type asked struct {
	head, over, by                      string
	value                               reader // of over
	window, delay, halfLife, resolution time.Duration
	others                              bool
	where                               truth // nil: all orders
}

// past is an order that counts, with the features that it had when it was scored.
type past struct {
	preprocess.Arrived

	row []float64
}

// history is what has come so far.
type history struct {
	features []wanted
	orders   []past // one for each id, in the order in which they came
	labels   []schemas.Label
}

// held returns the order that holds the id.
func (h *history) held(id schemas.OrderID) (past, bool) {
	at := slices.IndexFunc(h.orders, func(o past) bool { return o.Order.ID == id })
	if at < 0 {
		return past{}, false
	}
	return h.orders[at], true
}

// look is an order that looks at those before it.
type look struct {
	past // with the arrival that holds its id

	again bool
}

// come checks the features that an order got, and keeps it. It returns the place of the first that is wrong, and what it should be; -1 when none is. What
// rounding may make a little different is taken over as it is, so that what is made of it can be compared exactly.
func (h *history) come(a preprocess.Arrived, got []float64, check func(w *wanted) bool) (wrong int, want float64) {
	first, again := h.held(a.Order.ID)
	me := look{past{a, make([]float64, len(got))}, again}
	if again {
		me.Arrival = first.Arrival
	}
	for i := range me.row {
		me.row[i] = math.NaN()
	}
	for i := range h.features {
		w := &h.features[i]
		want, slack := h.compute(w, &me)
		if want != want {
			want = w.fallback
		}
		if check(w) && !near(got[i], want, slack) {
			return i, want
		}
		me.row[i] = got[i]
	}
	if !again {
		h.orders = append(h.orders, me.past)
	}
	return -1, 0
}

// keep takes over an order that has not come before, and its features, unchecked.
func (h *history) keep(a preprocess.Arrived, got []float64) {
	h.orders = append(h.orders, past{a, slices.Clone(got)})
}

// near says whether two features are the same: bit for bit without slack.
func near(got, want, slack float64) bool { return same(got, want) || math.Abs(got-want) <= slack }

// same says whether two features are the same bit for bit, or both missing.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// edges returns the ends of a window, both within it.
func (a *asked) edges(t time.Time) (first, last time.Time) {
	last = t.Add(-a.delay)
	first = last.Add(-a.window)
	if a.resolution == 0 {
		return first.Add(time.Microsecond), last
	}
	// The nearest multiple of the resolution since 1970, of two the later.
	low := first.Add(-time.Duration(first.UnixNano() % int64(a.resolution)))
	if first.Sub(low)*2 >= a.resolution {
		low = low.Add(a.resolution)
	}
	return low, last
}

// inWindow returns the orders that me sees, by time and id.
func (h *history) inWindow(a *asked, me *look) []past {
	mine, ok := entityOf(a.by, &me.Order)
	if !ok {
		return nil
	}
	first, last := a.edges(me.Order.At)
	var in []past
	consider := func(p past) {
		if p.Order.At.Before(first) || p.Order.At.After(last) {
			return
		}
		if theirs, ok := entityOf(a.by, &p.Order); !ok || theirs != mine {
			return
		}
		if a.where == nil || a.where(&p.Order, p.row, h.fraud(p.Order.ID, me.Order.At)) == 1 {
			in = append(in, p)
		}
	}
	for _, p := range h.orders {
		switch {
		case p.Order.ID == me.Order.ID: // see below
		case p.Order.At.Equal(me.Order.At) && !before(p.Arrival, me.Arrival):
		case me.again && p.Arrival.Source == me.Arrival.Source && p.Arrival.Offset > me.Arrival.Offset:
		default:
			consider(p)
		}
	}
	if !a.others && a.head != "last" && a.head != "since_last" {
		consider(me.past)
	}
	slices.SortFunc(in, func(a, b past) int {
		return cmp.Or(a.Order.At.Compare(b.Order.At), strings.Compare(string(a.Order.ID), string(b.Order.ID)))
	})
	return in
}

// before orders arrivals: by when they were written; those of one source by their offsets, along which that time does not fall.
func before(a, b preprocess.Arrival) bool {
	return cmp.Or(cmp.Compare(a.Millis, b.Millis), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Offset, b.Offset)) < 0
}

// fraud says whether the order was known to be fraud at t.
func (h *history) fraud(id schemas.OrderID, t time.Time) bool {
	var latest []schemas.Label
	for _, l := range h.labels {
		switch {
		case l.ID != id || l.KnownAt.After(t):
		case len(latest) == 0 || l.KnownAt.Equal(latest[0].KnownAt):
			latest = append(latest, l)
		case l.KnownAt.After(latest[0].KnownAt):
			latest = []schemas.Label{l}
		}
	}
	return slices.ContainsFunc(latest, func(l schemas.Label) bool { return l.Fraud })
}

// compute returns a feature of me without its default, and by how much rounding may change it.
func (h *history) compute(w *wanted, me *look) (v, slack float64) {
	if w.of != nil {
		return w.of(&me.Order, me.row, false), 0
	}
	in := h.inWindow(&w.asked, me)
	switch w.head {
	case "count":
		return float64(len(in)), 0
	case "since_last":
		return secondsSince(me, newest(in)), 0
	case "since_first":
		if len(in) == 0 {
			return math.NaN(), 0
		}
		return secondsSince(me, &in[0]), 0
	case "distinct":
		return float64(different(&w.asked, in)), 0
	case "decayed_count", "decayed_sum":
		return decayed(&w.asked, me, in)
	}
	if w.over == "fraud" {
		return h.ofLabels(w.head, me, in), 0
	}
	if w.head == "last" {
		p := newest(in)
		if p == nil {
			return math.NaN(), 0
		}
		return w.value(&p.Order, p.row).Number(), 0
	}
	return ofValues(&w.asked, numbers(&w.asked, in))
}

func (h *history) ofLabels(head string, me *look, in []past) float64 {
	if head == "last" {
		p := newest(in)
		if p == nil {
			return math.NaN()
		}
		return oneIf(h.fraud(p.Order.ID, me.Order.At))
	}
	frauds := 0.0
	for _, p := range in {
		frauds += oneIf(h.fraud(p.Order.ID, me.Order.At))
	}
	if head == "rate" {
		return frauds / float64(len(in)) // 0/0 is missing
	}
	return frauds
}

func ofValues(a *asked, values []float64) (v, slack float64) {
	n, sum, magnitude, top := float64(len(values)), 0.0, 0.0, 0.0
	for _, x := range values {
		sum += x
		magnitude += math.Abs(x)
		top = max(top, math.Abs(x))
	}
	if a.resolution > 0 { // its sums are added up in another order
		slack = 1e-12 * magnitude
	}
	switch a.head {
	case "sum":
		return sum, slack
	case "mean":
		return sum / n, slack
	case "stddev":
		v = deviation(values)
		return v, 1e-9*v + 1e-13*top
	case "min":
		return missingIfNone(values, slices.Min[[]float64]), 0
	default:
		return missingIfNone(values, slices.Max[[]float64]), 0
	}
}

func missingIfNone(values []float64, of func([]float64) float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return of(values)
}

// deviation is the population's standard deviation, with 1000 bits.
func deviation(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	wide := func(x float64) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(x) }
	n, mean, squares := wide(float64(len(values))), wide(0), wide(0)
	for _, x := range values {
		mean.Add(mean, wide(x))
	}
	mean.Quo(mean, n)
	for _, x := range values {
		d := wide(x)
		d.Sub(d, mean)
		squares.Add(squares, d.Mul(d, d))
	}
	v, _ := squares.Sqrt(squares.Quo(squares, n)).Float64()
	return v
}

func decayed(a *asked, me *look, in []past) (v, slack float64) {
	magnitude := 0.0
	for _, p := range in {
		x := 1.0
		if a.head == "decayed_sum" {
			x = a.value(&p.Order, p.row).Number()
		}
		if x == x {
			x *= math.Pow(2, -me.Order.At.Sub(p.Order.At).Seconds()/a.halfLife.Seconds())
			v += x
			magnitude += math.Abs(x)
		}
	}
	return v, 1e-12 * magnitude
}

// numbers are the values that are not missing.
func numbers(a *asked, in []past) (values []float64) {
	for _, p := range in {
		if x := a.value(&p.Order, p.row).Number(); x == x {
			values = append(values, x)
		}
	}
	return values
}

// newest is the latest order, of those of one time the last to arrive; nil when there is none.
func newest(in []past) *past {
	if len(in) == 0 {
		return nil
	}
	p := slices.MaxFunc(in, func(a, b past) int {
		c := a.Order.At.Compare(b.Order.At)
		if c == 0 && before(a.Arrival, b.Arrival) {
			return -1
		}
		return cmp.Or(c, 1)
	})
	return &p
}

func secondsSince(me *look, p *past) float64 {
	if p == nil {
		return math.NaN()
	}
	return float64(me.Order.At.Sub(p.Order.At).Microseconds()) / 1e6
}

// different is how many different values there are: a number is what it is written as, 42 and 42.0 and "42" being one.
func different(a *asked, in []past) int {
	seen := make(map[string]bool)
	for _, p := range in {
		switch v := a.value(&p.Order, p.row); v.Kind() {
		case schemas.Missing:
		case schemas.Int:
			seen[strconv.FormatInt(v.Int(), 10)] = true
		case schemas.Float:
			seen[strconv.FormatFloat(v.Number()+0, 'f', -1, 64)] = true
		case schemas.String:
			seen[v.Str()] = true
		default:
			seen["of kind "+v.Kind().String()+strconv.FormatFloat(v.Number(), 'g', -1, 64)+strconv.FormatInt(v.Micros(), 10)] = true
		}
	}
	return len(seen)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// entityOf returns the key of an order's entity, the parts of which are named by joined paths.
func entityOf(by string, o *schemas.Order) (key string, ok bool) {
	for _, path := range entities[by] {
		part, ok := o.Fields.At(schemas.ParsePath(path)).Key()
		if !ok {
			return "", false
		}
		key += part + "\x00"
	}
	return key, true
}

// entities are those of the sets that are drawn.
var entities = map[string][]string{
	"customer": {"customer_id"}, "terminal": {"terminal_id"}, "pair": {"customer_id", "terminal_id"}, "card": {"payment.card.fingerprint"},
}
