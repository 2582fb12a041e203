package schemas

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxValues is the most values that the lists and maps of one datum may hold in all, nested ones counted: a few bytes can claim billions of them.
const maxValues = 16384

// avroReader walks one datum. Every count and length is held against what is left and what is allowed before room is made for it.
type avroReader struct {
	raw    []byte
	text   string // raw, of which all strings are parts
	pos    int
	values int // values of lists and maps so far
}

// decodeAvro decodes a whole datum of a record. The error is a *Malformed.
func decodeAvro(t *avroType, raw []byte) (Record, error) {
	r := avroReader{raw: raw, text: string(raw)}
	v, fault := r.value(t)
	if fault == nil && r.pos != len(raw) {
		fault = &avroFault{code: "avro_decode", detail: fmt.Sprintf("there are %d further bytes after the end of the record", len(raw)-r.pos)}
	}
	if fault != nil {
		return nil, &Malformed{Code: fault.code, Detail: fmt.Sprintf("byte %d of the Avro record: %s", r.pos, fault.detail), Faults: []Fault{{Pointer: fault.pointer, Detail: fault.detail}}}
	}
	return v.Object(), nil
}

type avroFault struct{ code, detail, pointer string }

// under places a fault below a name.
func (f *avroFault) under(name string) *avroFault {
	f.pointer = Path{cutPointer(name)}.Pointer() + f.pointer
	return f
}

func broken(detail string) *avroFault { return &avroFault{code: "avro_decode", detail: detail} }
func beyond(detail string) *avroFault { return &avroFault{code: "avro_limit", detail: detail} }

func (r *avroReader) value(t *avroType) (Value, *avroFault) {
	switch t.kind {
	case avroNull:
		return Value{}, nil
	case avroBoolean:
		return r.boolean()
	case avroInt, avroLong:
		return r.whole(t)
	case avroFloat:
		b, fault := r.take(4)
		if fault != nil {
			return Value{}, fault
		}
		return finite(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	case avroDouble:
		b, fault := r.take(8)
		if fault != nil {
			return Value{}, fault
		}
		return finite(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case avroBytes, avroString, avroFixed:
		return r.bytes(t)
	case avroEnum:
		return r.enum(t)
	case avroArray:
		return r.array(t)
	case avroMap:
		return r.object(t)
	case avroRecord:
		return r.record(t)
	default:
		return r.union(t)
	}
}

func (r *avroReader) record(t *avroType) (Value, *avroFault) {
	rec := make(Record, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		v, fault := r.value(f.typ)
		if fault != nil {
			return Value{}, fault.under(f.name)
		}
		rec[i] = Field{Name: f.name, Value: v}
	}
	return ObjectValue(rec), nil
}

func (r *avroReader) union(t *avroType) (Value, *avroFault) {
	i, fault := r.long()
	if fault != nil {
		return Value{}, fault
	}
	if i < 0 || i >= int64(len(t.branches)) {
		return Value{}, broken("the union has no such branch")
	}
	return r.value(t.branches[i])
}

func (r *avroReader) boolean() (Value, *avroFault) {
	b, fault := r.take(1)
	if fault != nil {
		return Value{}, fault
	}
	if b[0] > 1 {
		return Value{}, broken("a boolean is neither 0 nor 1")
	}
	return BoolValue(b[0] == 1), nil
}

func (r *avroReader) whole(t *avroType) (Value, *avroFault) {
	i, fault := r.long()
	if fault != nil {
		return Value{}, fault
	}
	if t.kind == avroInt && i != int64(int32(i)) {
		return Value{}, broken("an int has more than 32 bits")
	}
	v := t.fromLong(i)
	if v.Missing() {
		return Value{}, &avroFault{code: "value_range", detail: "the time is out of range"}
	}
	return v, nil
}

func finite(f float64) (Value, *avroFault) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}, &avroFault{code: "value_range", detail: "the number is not finite"}
	}
	return FloatValue(f), nil
}

func (r *avroReader) enum(t *avroType) (Value, *avroFault) {
	i, fault := r.long()
	if fault != nil {
		return Value{}, fault
	}
	if i < 0 || i >= int64(len(t.symbols)) {
		return Value{}, broken("the enum has no such symbol")
	}
	return StringValue(t.symbols[i]), nil
}

func (r *avroReader) bytes(t *avroType) (Value, *avroFault) {
	n := int64(t.size)
	if t.kind != avroFixed {
		var fault *avroFault
		if n, fault = r.length(); fault != nil {
			return Value{}, fault
		}
	}
	start := r.pos
	b, fault := r.take(n)
	if fault != nil {
		return Value{}, fault
	}
	switch {
	case t.logical == decimal:
		return t.decimal(b)
	case t.kind == avroString && !utf8.Valid(b):
		return Value{}, broken("a string is not UTF-8")
	default:
		return StringValue(r.text[start:r.pos]), nil
	}
}

func (t *avroType) decimal(b []byte) (Value, *avroFault) {
	if len(b) > maxPrecision || !decimalDigits(b, t.precision) {
		return Value{}, broken("a decimal has more than " + strconv.Itoa(t.precision) + " digits")
	}
	v, ok := decimalValue(b, t.scale)
	if !ok {
		return Value{}, &avroFault{code: "value_range", detail: "the decimal is beyond what a double holds"}
	}
	return v, nil
}

func (r *avroReader) array(t *avroType) (Value, *avroFault) {
	list := []Value{}
	for {
		n, fault := r.block(t.elem, t.elem.least)
		if fault != nil {
			return Value{}, fault
		}
		if n == 0 {
			return ListValue(list), nil
		}
		list = slices.Grow(list, n)
		for range n {
			v, fault := r.value(t.elem)
			if fault != nil {
				return Value{}, fault.under(strconv.Itoa(len(list)))
			}
			list = append(list, v)
		}
	}
}

func (r *avroReader) object(t *avroType) (Value, *avroFault) {
	rec := Record{}
	seen := map[string]struct{}{}
	for {
		n, fault := r.block(t.elem, t.elem.least+1)
		if fault != nil {
			return Value{}, fault
		}
		if n == 0 {
			return ObjectValue(rec), nil
		}
		rec = slices.Grow(rec, n)
		for range n {
			key, fault := r.bytes(&mapKey)
			if fault != nil {
				return Value{}, fault
			}
			name := key.Str()
			if _, twice := seen[name]; twice {
				return Value{}, broken("a map has a key twice").under(name)
			}
			seen[name] = struct{}{}
			v, fault := r.value(t.elem)
			if fault != nil {
				return Value{}, fault.under(name)
			}
			rec = append(rec, Field{Name: name, Value: v})
		}
	}
}

var mapKey = avroType{kind: avroString}

// block reads how many elements the next block of an array or map has, each of at least so many bytes; 0 ends it.
func (r *avroReader) block(elem *avroType, least int) (int, *avroFault) {
	n, fault := r.long()
	if fault != nil {
		return 0, fault
	}
	if n < 0 {
		if n == math.MinInt64 {
			return 0, beyond("a block claims more elements than can be")
		}
		n = -n
		if _, fault := r.length(); fault != nil { // the block's size, for readers that skip it
			return 0, fault
		}
	}
	if n > int64((maxValues-r.values)/elem.weight) {
		return 0, beyond(fmt.Sprintf("lists and maps hold more than %d values", maxValues))
	}
	if n*int64(least) > int64(len(r.raw)-r.pos) {
		return 0, broken("it ends within a list or map")
	}
	r.values += int(n) * elem.weight
	return int(n), nil
}

// length reads the length of a string, of bytes or of a block.
func (r *avroReader) length() (int64, *avroFault) {
	n, fault := r.long()
	if fault != nil {
		return 0, fault
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, beyond("a length is negative or beyond any record")
	}
	if n > int64(len(r.raw)-r.pos) {
		return 0, broken("it ends within a string, bytes or block")
	}
	return n, nil
}

func (r *avroReader) take(n int64) ([]byte, *avroFault) {
	if n > int64(len(r.raw)-r.pos) {
		return nil, broken("it ends too early")
	}
	b := r.raw[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// long reads a zigzag varint of at most 64 bits.
func (r *avroReader) long() (int64, *avroFault) {
	u, n := binary.Uvarint(r.raw[r.pos:])
	if n == 0 {
		return 0, broken("it ends too early")
	}
	if n < 0 {
		return 0, broken("a number has more than 64 bits")
	}
	r.pos += n
	return int64(u>>1) ^ -int64(u&1), nil
}
