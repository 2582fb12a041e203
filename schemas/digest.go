package schemas

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Digest returns a fingerprint of what a record says, to tell a repeat of an order from another order under its id. It does not depend on the order
// of fields, on null against absent, or on how a number is written (49.5 and 49.50; 42 and "42", which name the same entity). Decimals count with all their
// digits. It is the same in every process and version: it is kept with decisions.
func Digest(rec Record) uint64 {
	var few [256]byte
	h, _ := digestRecord(rec, allDigits, few[:0])
	return h
}

// Digest returns a fingerprint of the value, to tell whether two are the same: as for a record's, 42, 42.0 and "42" are. Decimals
// count as the doubles that features see. It is the same in every process and version: it is kept with features that count different values.
func (v Value) Digest() uint64 {
	var few [64]byte
	h, _ := digestValue(v, asDoubles, few[:0])
	return h
}

// decimals says what of a decimal counts.
type decimals uint8

const (
	asDoubles decimals = iota
	allDigits
)

// digestRecord adds up the hashes of the fields, so that their order does not matter. Buf is room to work in, and is given back.
func digestRecord(rec Record, how decimals, buf []byte) (uint64, []byte) {
	var sum uint64
	for i := range rec {
		v := rec[i].Value
		if v.Missing() {
			continue
		}
		var h uint64
		h, buf = digestValue(v, how, buf)
		buf = binary.LittleEndian.AppendUint64(buf[:0], h)
		buf = append(buf, rec[i].Name...)
		sum += xxhash.Sum64(buf)
	}
	return sum, buf
}

func digestValue(v Value, how decimals, buf []byte) (uint64, []byte) {
	buf = buf[:0]
	switch v.Kind() {
	case Bool, Time:
		buf = append(buf, byte(v.Kind()))
		buf = binary.LittleEndian.AppendUint64(buf, v.num)
	case Int:
		buf = append(buf, byte(String))
		buf = strconv.AppendInt(buf, v.Int(), 10)
	case Float:
		buf = append(buf, byte(String))
		if how == allDigits && v.str != "" {
			buf = append(buf, v.str...)
		} else {
			buf = appendFloatKey(buf, v.Number())
		}
	case String:
		buf = append(buf, byte(String))
		buf = append(buf, v.Str()...)
	case List:
		h := uint64(List)
		for _, elem := range v.List() { // in their order
			var e uint64
			e, buf = digestValue(elem, how, buf)
			buf = binary.LittleEndian.AppendUint64(buf[:0], h)
			buf = binary.LittleEndian.AppendUint64(buf, e)
			h = xxhash.Sum64(buf)
		}
		return h, buf
	case Object:
		var sum uint64
		sum, buf = digestRecord(v.Object(), how, buf)
		buf = append(buf[:0], byte(Object))
		buf = binary.LittleEndian.AppendUint64(buf, sum)
	case Missing:
	}
	return xxhash.Sum64(buf), buf
}

// appendFloatKey writes a whole double as an Int of the same number is written.
func appendFloatKey(buf []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return strconv.AppendInt(buf, int64(f), 10)
	}
	return strconv.AppendFloat(buf, f, 'g', -1, 64)
}
