package expr_test

import (
	"math"
	"strings"
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// dice makes expressions and orders of bytes: those that a property draws, or a fuzzer finds. When the bytes are used up it always throws 0.
type dice struct{ bytes []byte }

func (d *dice) throw(sides int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % sides
}

func of[T any](d *dice, from ...T) T { return from[d.throw(len(from))] }

// Of each of these fields the schema quickSchema knows the kind; without it they have any.
const quickSchema = `{"type": "record", "name": "Order", "fields": [
	{"name": "n", "type": ["null", "double"]}, {"name": "m", "type": "long"}, {"name": "b", "type": "boolean"}, {"name": "s", "type": "string"}, {"name": "t", "type": ["null", "string"]},
	{"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "list", "type": {"type": "array", "items": "double"}},
	{"name": "p", "type": {"type": "record", "name": "P", "fields": [{"name": "n", "type": "double"}, {"name": "s", "type": "string"}, {"name": "b", "type": "boolean"}]}}
]}`

// quickScopes are those that quickText's expressions are compiled in: with and without a schema.
func quickScopes(t interface{ Fatal(...any) }) [2]expr.Scope {
	fields, err := schemas.ParseSchema("order.avsc", []byte(quickSchema))
	if err != nil {
		t.Fatal(err)
	}
	s := expr.Scope{Features: []string{"f", "g"}, Score: true, Fraud: true, Lists: map[string]expr.List{"blocked": listOf{
		"": true, "a": true, "T1": true, "0": true, "42": true, "9007199254740993": true, "true": true, "1.5": true, "2018-07-29T06:59:59Z": true,
	}}}
	typed := s
	typed.Fields = fields
	return [2]expr.Scope{s, typed}
}

// quickText writes an expression that mostly is a number, a truth or a text, and mostly one that needs no CEL.
func quickText(d *dice) string {
	if d.throw(3) == 0 {
		return d.number(3 + d.throw(3))
	}
	return d.truth(3 + d.throw(3))
}

func (d *dice) number(depth int) string {
	if depth == 0 || d.throw(6) == 0 {
		return of(d, "n", "m", "f", "g", "score", "p.n", "at", "b", "s", "list", "0", "1", "2.5", "-1", "42", "1e308", "9007199254740992", "0.1", "1532847599000", "-0.0", "-n")
	}
	switch d.throw(12) {
	case 0, 1, 2:
		return "(" + d.number(depth-1) + of(d, " + ", " - ", " * ", " / ", " % ") + d.number(depth-1) + ")"
	case 3:
		return of(d, "min", "max") + "(" + d.number(depth-1) + ", " + d.number(depth-1) + of(d, "", ", "+d.number(depth-1)) + ")"
	case 4:
		return of(d, "abs", "log", "log1p", "sqrt", "-", "dyn", "double") + "(" + d.number(depth-1) + ")"
	case 5:
		return of(d, "hour", "weekday") + "(" + of(d, d.text(depth-1), d.number(depth-1), d.truth(depth-1), "at", "s") + ")"
	case 6:
		return "(" + d.truth(depth-1) + " ? " + d.number(depth-1) + " : " + d.number(depth-1) + ")"
	case 7:
		return of(d, "size("+d.text(depth-1)+")", d.text(depth-1)+".size()", "size(list)", "size(n)")
	case 8:
		return "distance_km(" + d.number(depth-1) + ", 2.35, " + d.number(0) + ", " + d.number(0) + ")"
	case 9:
		return d.anything(depth - 1)
	default:
		return "(" + d.number(depth-1) + of(d, " + ", " - ", " * ", " / ") + d.number(0) + ")"
	}
}

func (d *dice) truth(depth int) string {
	if depth == 0 || d.throw(8) == 0 {
		return of(d, "b", "p.b", "fraud", "true", "false", "n", "list", "at", "s", "!b", "has(p.n)", "has(p.x)", "has(p.s)")
	}
	switch d.throw(14) {
	case 0, 1:
		return "(" + d.number(depth-1) + of(d, " < ", " <= ", " > ", " >= ", " == ", " != ") + d.number(depth-1) + ")"
	case 2, 3, 4:
		return "(" + d.truth(depth-1) + of(d, " && ", " || ") + d.truth(depth-1) + ")"
	case 5:
		return "!" + d.truth(depth-1)
	case 6:
		return "missing(" + d.anything(depth-1) + ")"
	case 7:
		return "(" + d.text(depth-1) + of(d, " < ", " <= ", " > ", " >= ", " == ", " != ") + d.text(depth-1) + ")"
	case 8:
		return "(" + d.anything(depth-1) + of(d, " == ", " != ", " < ", " >= ") + d.anything(depth-1) + ")"
	case 9:
		return "(" + d.anything(depth-1) + " in " + of(d, "[]", "[1, 2.5, -1, 0]", "['a', '42', 'T1']", "[42, 'a', true]", "[true]", "[42, n]", "list", "['']") + ")"
	case 10:
		return "(" + d.anything(depth-1) + " in list('blocked'))"
	case 11:
		return d.text(depth-1) + of(d, ".startsWith(", ".endsWith(", ".contains(") + d.text(depth-1) + ")"
	case 12:
		return "(" + d.truth(depth-1) + " ? " + d.truth(depth-1) + " : " + d.truth(depth-1) + ")"
	default:
		return of(d, d.anything(depth-1), "s.matches('^a')", "(timestamp(at) > timestamp(s))", "(n == null)")
	}
}

func (d *dice) text(depth int) string {
	if depth == 0 || d.throw(3) > 0 {
		return of(d, "s", "t", "p.s", "n", "m", "at", "''", "'a'", "'42'", "'T1'", "'2018-07-29T06:59:59Z'", "'2018-07-29T23:30:00.5+02:00'")
	}
	return of(d, "string("+of(d, "n", "m", "b", "s", "at", "p.n", "f", "score", "fraud")+")", "("+d.truth(depth-1)+" ? s : 'a')", "("+d.text(depth-1)+" + "+d.text(depth-1)+")")
}

func (d *dice) anything(depth int) string {
	return of(d, d.number, d.truth, d.text)(depth)
}

// quickInput makes an order of which each field may have any kind, also where the schema says another.
func quickInput(d *dice) *expr.Input {
	number := func() float64 {
		return of(d, nan, 0, 1, -1, 0.5, 42, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1e308, 5e-324, 1<<53, 1<<53+2, 1532847599000, 90, -360)
	}
	in := &expr.Input{Features: []float64{number(), number()}, Score: number(), Fraud: d.throw(2) == 1}
	for _, name := range []string{"n", "m", "b", "s", "t", "at", "list"} {
		if d.throw(12) > 0 {
			in.Fields = append(in.Fields, schemas.Field{Name: name, Value: d.value(name)})
		}
	}
	p := schemas.Record{{Name: "n", Value: d.value("n")}, {Name: "s", Value: d.value("s")}, {Name: "b", Value: d.value("b")}}
	in.Fields = append(in.Fields, schemas.Field{Name: "p", Value: of(d, schemas.ObjectValue(p), schemas.ObjectValue(p[1:]), schemas.Value{}, schemas.IntValue(5))})
	return in
}

func (d *dice) value(field string) schemas.Value {
	if d.throw(4) == 0 { // of another kind, perhaps
		field = of(d, "n", "m", "b", "s", "at", "list", "missing")
	}
	switch field {
	case "n":
		return schemas.FloatValue(of(d, 0, 1, -1, 0.5, 42, 1.5, 1e308, -1e308, 5e-324, math.Copysign(0, -1), math.Inf(1), 1<<53, 1532847599000, 1532847599000.5))
	case "m":
		return schemas.IntValue(of[int64](d, 0, 1, -1, 42, 1532847599000, 1<<53, 1<<53+1, math.MaxInt64, math.MinInt64))
	case "b":
		return schemas.BoolValue(d.throw(2) == 1)
	case "s", "t":
		return schemas.StringValue(of(d, "", "a", "42", "T1", "abc", "é€\xff", "2018-07-29T06:59:59Z", "2018-07-30T00:30:00+02:00", "1969-12-31T23:59:59Z", "2018-02-30T00:00:00Z",
			"2018-07-29T06:59:59."+strings.Repeat("1", 60)+"Z", strings.Repeat("a", 1024), strings.Repeat("a", 1025), strings.Repeat("a", 100_000)))
	case "at":
		return schemas.MicrosValue(of(d, 0, 1, -1, 1532847599999999, -86400e6, -1e6, math.MaxInt64, math.MinInt64, time.Date(2199, 12, 31, 23, 0, 0, 0, time.UTC).UnixMicro()))
	case "list":
		one := []schemas.Value{schemas.FloatValue(42)}
		return of(d, schemas.ListValue(nil), schemas.ListValue(one), schemas.ObjectValue(schemas.Record{{Name: "n", Value: one[0]}}), schemas.ListValue(make([]schemas.Value, 1025)))
	default:
		return schemas.Value{}
	}
}
