package schemas

import (
	"math"
	"slices"
	"strings"
)

// fromDefault turns a field's default, as the Avro library gives it, into a Value.
func (t *avroType) fromDefault(v any) Value {
	if t.kind == avroUnion {
		for _, b := range t.branches {
			if got := b.fromDefault(v); !got.Missing() {
				return got
			}
		}
		return Value{}
	}
	switch v := v.(type) {
	case bool:
		return only(t.kind == avroBoolean, BoolValue(v))
	case int32:
		return t.fromLong(int64(v))
	case int64:
		return t.fromLong(v)
	case float32:
		return only(t.kind == avroFloat, FloatValue(float64(v)))
	case float64:
		return only(t.kind == avroDouble, FloatValue(v))
	case string:
		return only(t.kind == avroString || t.kind == avroEnum, StringValue(v))
	case []byte:
		if t.logical == decimal {
			d, _ := decimalValue(v, t.scale)
			return d
		}
		return only(t.kind == avroBytes || t.kind == avroFixed, StringValue(string(v)))
	case []any:
		if t.kind != avroArray {
			return Value{}
		}
		list := make([]Value, len(v))
		for i := range v {
			list[i] = t.elem.fromDefault(v[i])
		}
		return ListValue(list)
	case map[string]any:
		return t.fromDefaultMap(v)
	default:
		return Value{}
	}
}

func (t *avroType) fromDefaultMap(v map[string]any) Value {
	rec := Record{}
	switch t.kind {
	case avroRecord:
		for i := range t.fields {
			f := &t.fields[i]
			value := f.other
			if given, ok := v[f.name]; ok {
				value = f.typ.fromDefault(given)
			}
			rec = append(rec, Field{Name: f.name, Value: value})
		}
	case avroMap:
		for name, elem := range v {
			rec = append(rec, Field{Name: name, Value: t.elem.fromDefault(elem)})
		}
		slices.SortFunc(rec, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	default:
		return Value{}
	}
	return ObjectValue(rec)
}

// fromLong turns an int or long, by the unit of its logical type, into a Value. Missing stands for a time beyond what a Time holds.
func (t *avroType) fromLong(i int64) Value {
	switch t.logical {
	case date:
		return scaledTime(i, 86400*1e6)
	case millis:
		return scaledTime(i, 1000)
	case micros:
		return MicrosValue(i)
	case nanos:
		us := i / 1000
		if i%1000 < 0 {
			us--
		}
		return MicrosValue(us)
	default:
		return only(t.kind == avroInt || t.kind == avroLong, IntValue(i))
	}
}

func scaledTime(i, by int64) Value {
	if i > math.MaxInt64/by || i < math.MinInt64/by {
		return Value{}
	}
	return MicrosValue(i * by)
}

func only(fits bool, v Value) Value {
	if fits {
		return v
	}
	return Value{}
}
