package preprocess_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"verdict/preprocess"
	"verdict/schemas"
)

// randomSet is a set that uses all of the language.
type randomSet struct {
	*rapid.T

	features []wanted
	exact    bool // no resolution
}

func drawSet(t *rapid.T, exact bool) *randomSet {
	s := &randomSet{T: t, exact: exact}
	nan := math.NaN()
	amount := field("amount")
	s.add(wanted{name: "plain", text: "{value: amount}", fallback: nan, of: asNumber(amount)})
	s.add(wanted{name: "filled", text: "{value: amount, default: 7}", fallback: 7, of: asNumber(amount)})
	s.add(wanted{name: "coded", text: `{value: terminal_id, encode: {map: {"2": 5, "21": -6}, other: 9}}`, fallback: nan, of: encoded})
	for i := range rapid.IntRange(1, 9).Draw(t, "features") {
		w := wanted{name: fmt.Sprintf("f%d", i), fallback: rapid.SampledFrom([]float64{nan, nan, 0, -1}).Draw(t, "default")}
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			s.drawExpr(&w)
		} else {
			s.drawAggregate(&w)
		}
		if w.fallback == w.fallback {
			w.text = strings.TrimSuffix(w.text, "}") + fmt.Sprintf(", default: %v}", w.fallback)
		}
		s.add(w)
	}
	return s
}

func (s *randomSet) add(w wanted) { s.features = append(s.features, w) }

func (s *randomSet) String() string {
	var text strings.Builder
	text.WriteString("name: random\nversion: 1\nevent: {id: order_id, time: occurred_at}\nentities:\n")
	for _, name := range slices.Sorted(maps.Keys(entities)) {
		fmt.Fprintf(&text, "  %s: [%s]\n", name, strings.Join(entities[name], ", "))
	}
	text.WriteString("features:\n")
	for _, w := range s.features {
		fmt.Fprintf(&text, "  %s: %s\n", w.name, w.text)
	}
	return text.String()
}

func (s *randomSet) parse() *preprocess.FeatureSet {
	set, err := preprocess.Parse("random.yaml", []byte(s.String()), nil)
	if err != nil {
		s.Fatalf("%v in\n%s", err, s)
	}
	return set
}

// field reads a field of an order.
func field(path string) reader {
	p := schemas.ParsePath(path)
	return func(o *schemas.Order, _ []float64) schemas.Value { return o.Fields.At(p) }
}

func feature(place int) reader {
	return func(_ *schemas.Order, row []float64) schemas.Value { return schemas.FloatValue(row[place]) }
}

func asNumber(r reader) truth {
	return func(o *schemas.Order, row []float64, _ bool) float64 { return r(o, row).Number() }
}

func encoded(o *schemas.Order, _ []float64, _ bool) float64 {
	switch key, ok := o.Fields.Get("terminal_id").Key(); {
	case !ok:
		return math.NaN()
	case key == "2":
		return 5
	case key == "21":
		return -6
	default:
		return 9
	}
}

// operand is something that can be named: a field, or a feature above.
type operand struct {
	name           string
	value          reader
	history, later bool
}

func (s *randomSet) drawOperand(fields ...string) operand {
	var all []operand
	for _, f := range fields {
		all = append(all, operand{name: f, value: field(f)})
	}
	for i, w := range s.features {
		all = append(all, operand{name: w.name, value: feature(i), history: w.history, later: w.later})
	}
	return rapid.SampledFrom(all).Draw(s.T, "operand")
}

func (s *randomSet) drawExpr(w *wanted) {
	if rapid.Bool().Draw(s.T, "condition") {
		var text string
		text, w.of, w.history = s.drawCondition(false)
		w.text = fmt.Sprintf("{expr: %q}", text)
		return
	}
	x, y := s.drawOperand("amount", "payment.fee"), s.drawOperand("amount", "payment.fee")
	op := rapid.SampledFrom([]string{"+", "-", "*", "/", "max", "?"}).Draw(s.T, "op")
	text := fmt.Sprintf("%s %s %s", x.name, op, y.name)
	switch op {
	case "max":
		text = fmt.Sprintf("max(%s, %s)", x.name, y.name)
	case "?":
		text = fmt.Sprintf("missing(%s) ? -1 : %s", x.name, x.name)
	}
	w.text, w.history = fmt.Sprintf("{expr: %q}", text), x.history || y.history && op != "?"
	w.of = func(o *schemas.Order, row []float64, _ bool) float64 {
		a, b := x.value(o, row).Number(), y.value(o, row).Number()
		var v float64
		switch op {
		case "+":
			v = a + b
		case "-":
			v = a - b
		case "*":
			v = a * b
		case "/":
			v = a / b
		case "max":
			v = math.Max(a, b)
		case "?":
			if v = a; x.value(o, row).Missing() {
				v = -1
			}
		}
		if math.IsInf(v, 0) {
			return math.NaN()
		}
		return v
	}
}

// drawCondition gives one or two comparisons; labels says whether they may be of the label.
func (s *randomSet) drawCondition(labels bool) (text string, of truth, history bool) {
	first, of1, history1 := s.drawComparison(labels)
	op := rapid.SampledFrom([]string{"", "&&", "||"}).Draw(s.T, "op")
	if op == "" {
		return first, of1, history1
	}
	second, of2, history2 := s.drawComparison(labels)
	return first + " " + op + " " + second, func(o *schemas.Order, row []float64, fraud bool) float64 {
		a, b := of1(o, row, fraud), of2(o, row, fraud)
		decides := oneIf(op == "||") // whichever side says so, and whatever the other lacks
		if a == decides || b == decides {
			return decides
		}
		return a + b - a*b // the other one; missing if one is
	}, history1 || history2
}

func (s *randomSet) drawComparison(labels bool) (text string, of truth, history bool) {
	if labels && rapid.Bool().Draw(s.T, "of the label") {
		not := rapid.Bool().Draw(s.T, "not")
		of = func(_ *schemas.Order, _ []float64, fraud bool) float64 { return oneIf(fraud != not) }
		if not {
			return "!fraud", of, false
		}
		return "fraud", of, false
	}
	x := s.drawOperand("amount", "payment.fee")
	switch rapid.IntRange(0, 3).Draw(s.T, "comparison") {
	case 0:
		return "contactless", asNumber(field("contactless")), false
	case 1:
		return "missing(" + x.name + ")", func(o *schemas.Order, row []float64, _ bool) float64 {
			return oneIf(x.value(o, row).Missing())
		}, x.history
	case 2:
		return "payment.card.fingerprint == 'a'", func(o *schemas.Order, row []float64, _ bool) float64 {
			v := field("payment.card.fingerprint")(o, row)
			if v.Missing() {
				return math.NaN()
			}
			return oneIf(v.Str() == "a")
		}, false
	default:
		above := rapid.SampledFrom([]float64{-2, 0, 1, 49.5}).Draw(s.T, "above")
		return fmt.Sprintf("%s > %v", x.name, above), func(o *schemas.Order, row []float64, _ bool) float64 {
			v := x.value(o, row).Number()
			if v != v {
				return v
			}
			return oneIf(v > above)
		}, x.history
	}
}

var heads = []string{
	"count", "sum", "mean", "min", "max", "stddev", "distinct", "last", "since_last", "since_first", "decayed_sum", "decayed_count",
	"rate fraud", "sum fraud", "last fraud",
}

func (s *randomSet) drawAggregate(w *wanted) {
	a := &w.asked
	w.history = true
	var labels bool
	a.head, a.over, labels = strings.Cut(rapid.SampledFrom(heads).Draw(s.T, "head"), " ")
	switch {
	case labels:
	case slices.Contains([]string{"count", "since_last", "since_first", "decayed_count"}, a.head):
		a.over = "*"
	default:
		fields := []string{"amount", "contactless", "payment.fee"}
		if a.head == "distinct" {
			fields = []string{"amount", "tag", "tag", "terminal_id", "payment.card.fingerprint"}
		}
		x := s.drawOperand(fields...)
		a.over, a.value, w.later = x.name, x.value, x.history
	}
	a.by = rapid.SampledFrom([]string{"customer", "customer", "terminal", "pair", "card"}).Draw(s.T, "by")
	a.window = time.Duration(rapid.IntRange(1, 12).Draw(s.T, "window"))*time.Hour + time.Duration(rapid.SampledFrom([]int{0, 0, -1, 1}).Draw(s.T, "more"))*time.Second
	a.delay = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(s.T, "delay")) * time.Hour
	a.others = rapid.Bool().Draw(s.T, "others")
	w.text = fmt.Sprintf("{%s: %q, by: %s", a.head, a.over, a.by)
	if strings.HasPrefix(a.head, "decayed") {
		a.halfLife = time.Duration(rapid.SampledFrom([]int{600, 3600, 7200}).Draw(s.T, "half-life")) * time.Second
		w.text += fmt.Sprintf(", half_life: %ds", a.halfLife/time.Second)
	}
	if a.halfLife > 0 && rapid.Bool().Draw(s.T, "whole") {
		a.window = 20 * a.halfLife
	} else {
		w.text += fmt.Sprintf(", window: %ds", a.window/time.Second)
	}
	w.text += s.drawRest(w, labels) + "}"
}

// drawRest gives what may stand beside any aggregate.
func (s *randomSet) drawRest(w *wanted, labels bool) (text string) {
	a := &w.asked
	if a.delay > 0 {
		text += fmt.Sprintf(", delay: %dh", a.delay/time.Hour)
	}
	switch always := a.head == "last" || a.head == "since_last"; {
	case a.others:
		text += ", exclude_current: true"
	case !always && rapid.Bool().Draw(s.T, "say"):
		text += ", exclude_current: false"
	}
	merged := !s.exact && rapid.IntRange(0, 2).Draw(s.T, "merged") == 0 && (a.head != "last" || !labels) && (a.head != "distinct" || a.delay == 0)
	if merged {
		a.resolution = time.Duration(rapid.SampledFrom([]int{1, 600, 1700, 3599}).Draw(s.T, "resolution")) * time.Second
		text += fmt.Sprintf(", resolution: %ds", a.resolution/time.Second)
	}
	if rapid.IntRange(0, 2).Draw(s.T, "filtered") > 0 {
		return text
	}
	if merged && labels {
		return text
	}
	condition, of, history := s.drawCondition(!merged)
	a.where, w.later = of, w.later || history
	return text + fmt.Sprintf(", where: %q", condition)
}

var dawn = time.Date(2018, 7, 25, 0, 0, 0, 0, time.UTC)

// drawDeliveries gives deliveries of a few entities' orders at few times, from one source or two: with ties, late ones, missing fields, some that arrive
// again elsewhere and some that are delivered again.
func drawDeliveries(t *rapid.T, atMost int) []preprocess.Arrived {
	var all []preprocess.Arrived
	var newest [2]preprocess.Arrival
	sources := rapid.IntRange(1, 2).Draw(t, "sources")
	for i := range rapid.IntRange(1, atMost).Draw(t, "orders") {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		if i > 0 && kind == 9 {
			all = append(all, rapid.SampledFrom(all).Draw(t, "delivered again"))
			continue
		}
		source := int32(rapid.IntRange(0, sources-1).Draw(t, "source"))
		last := newest[source]
		now := preprocess.Arrival{Millis: last.Millis + rapid.Int64Range(0, 2).Draw(t, "millis"), Source: source, Offset: last.Offset + 1}
		newest[source] = now
		if i > 0 && kind == 8 {
			repeat := rapid.SampledFrom(all).Draw(t, "arrives again")
			repeat.Arrival = now
			repeat.Content += uint64(rapid.IntRange(0, 1).Draw(t, "changed"))
			all = append(all, repeat)
			continue
		}
		all = append(all, preprocess.Arrived{Order: drawOrder(t, i), Arrival: now, Content: uint64(i) * 100})
	}
	return all
}

func drawOrder(t *rapid.T, i int) schemas.Order {
	at := dawn.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "hour")) * time.Hour)
	at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, -1, 250_000, 1_800_000_000}).Draw(t, "micros")) * time.Microsecond)
	one := func(name string, values ...schemas.Value) schemas.Field {
		return schemas.Field{Name: name, Value: rapid.SampledFrom(values).Draw(t, name)}
	}
	text, integer, float, missing := schemas.StringValue, schemas.IntValue, schemas.FloatValue, schemas.Value{}
	card := schemas.Record{one("fingerprint", text("a"), text("a"), text("b"), missing)}
	payment := schemas.Record{one("fee", float(0.1), integer(3), float(-0.7), missing), {Name: "card", Value: schemas.ObjectValue(card)}}
	// Ids do not ascend with arrival, so that ties of time are not told apart by them.
	return schemas.Order{ID: schemas.OrderID(fmt.Sprintf("%d-%d", rapid.IntRange(0, 9).Draw(t, "id"), i)), At: at, Fields: schemas.Record{
		one("amount", float(0.1), float(49.5), float(1e15), integer(-3), float(0.2), float(0), float(math.Copysign(0, -1)), text("7"), missing),
		one("contactless", schemas.BoolValue(true), schemas.BoolValue(false), missing),
		one("customer_id", integer(1), text("1"), text("1"), text("12"), missing),
		one("terminal_id", integer(2), text("21"), text("3"), missing),
		one("tag", integer(42), float(42), text("42"), text("a"), schemas.BoolValue(true), text("true"), text(""), schemas.TimeValue(dawn), missing),
		{Name: "payment", Value: rapid.SampledFrom([]schemas.Value{schemas.ObjectValue(payment), schemas.ObjectValue(payment), missing}).Draw(t, "payment")},
	}}
}

func drawLabels(t *rapid.T, orders []preprocess.Arrived) []schemas.Label {
	var labels []schemas.Label
	for range rapid.IntRange(0, 20).Draw(t, "labels") {
		o := rapid.SampledFrom(orders).Draw(t, "of").Order
		known := o.At.Add(time.Duration(rapid.IntRange(-1, 6).Draw(t, "known")) * time.Hour)
		labels = append(labels, schemas.Label{ID: o.ID, Fraud: rapid.IntRange(0, 2).Draw(t, "fraud") > 0, KnownAt: known})
	}
	return labels
}
