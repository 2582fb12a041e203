package treemodel

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// ubjDocument reads UBJSON (draft 12) as XGBoost writes it: numbers big endian, arrays with a type and a count ($ #), with a count alone (#), or up to
// their end; strings are UTF-8. Counts are held against the bytes that are left before anything is kept. What XGBoost neither writes nor reads
// (counted objects, no-ops, high precision numbers) is refused.
type ubjDocument struct {
	reader
}

func (d *ubjDocument) peek() (byte, error) {
	if d.at >= len(d.data) {
		return 0, d.cut()
	}
	return d.data[d.at], nil
}

// take returns the next n bytes.
func (d *ubjDocument) take(n int64) ([]byte, error) {
	if n > int64(len(d.data)-d.at) {
		return nil, d.fault("", "%d bytes should follow, and the file has %d more", n, len(d.data)-d.at)
	}
	from := d.at
	d.at += int(n)
	return d.data[from:d.at], nil
}

func (d *ubjDocument) kind() (valueKind, error) {
	c, err := d.peek()
	if err != nil {
		return nullValue, err
	}
	switch c {
	case '{':
		return objectValue, nil
	case '[':
		return arrayValue, nil
	case 'S', 'C':
		return textValue, nil
	case 'T', 'F':
		return flagValue, nil
	case 'Z':
		return nullValue, nil
	case 'i', 'U', 'I', 'l', 'L', 'd', 'D':
		return numberValue, nil
	default:
		return nullValue, d.fault("", "no value of XGBoost's UBJSON begins with %q", c)
	}
}

// ubjSize is how many bytes a number of a type has, 0 of what is no number.
func ubjSize(kind byte) int64 {
	switch kind {
	case 'i', 'U':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	default:
		return 0
	}
}

// ubjWhole reads a whole number from its bytes; false of a type that is none.
func ubjWhole(kind byte, b []byte) (int64, bool) {
	switch kind {
	case 'i':
		return int64(int8(b[0])), true
	case 'U':
		return int64(b[0]), true
	case 'I':
		return int64(int16(binary.BigEndian.Uint16(b))), true
	case 'l':
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case 'L':
		return int64(binary.BigEndian.Uint64(b)), true
	default:
		return 0, false
	}
}

// ubjFloat reads a number from its bytes, to 32 bits; false of what these cannot hold.
func ubjFloat(kind byte, b []byte) (float32, bool) {
	switch kind {
	case 'd':
		return math.Float32frombits(binary.BigEndian.Uint32(b)), true
	case 'D':
		v := math.Float64frombits(binary.BigEndian.Uint64(b))
		return float32(v), v != v || math.IsInf(v, 0) || !math.IsInf(float64(float32(v)), 0)
	default:
		v, ok := ubjWhole(kind, b)
		return float32(v), ok
	}
}

func (d *ubjDocument) whole() (int64, error) {
	kind, err := d.peek()
	if err != nil {
		return 0, err
	}
	size := ubjSize(kind)
	if size == 0 || kind == 'd' || kind == 'D' {
		return 0, d.fault("", "a whole number is wanted here, not a value of type %q", kind)
	}
	d.at++
	b, err := d.take(size)
	if err != nil {
		return 0, err
	}
	v, _ := ubjWhole(kind, b)
	return v, nil
}

func (d *ubjDocument) float() (float32, error) {
	kind, err := d.peek()
	if err != nil {
		return 0, err
	}
	size := ubjSize(kind)
	if size == 0 {
		return 0, d.fault("", "a number is wanted here, not a value of type %q", kind)
	}
	d.at++
	b, err := d.take(size)
	if err != nil {
		return 0, err
	}
	v, ok := ubjFloat(kind, b)
	if !ok {
		return 0, d.fault("", "a number does not fit in 32 bits")
	}
	return v, nil
}

// count reads how many follow.
func (d *ubjDocument) count() (int64, error) {
	n, err := d.whole()
	if err == nil && n < 0 {
		return 0, d.fault("", "a count is %d", n)
	}
	return n, err
}

// name reads a string without its mark: a key.
func (d *ubjDocument) name() (string, error) {
	n, err := d.count()
	if err != nil {
		return "", err
	}
	b, err := d.take(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", d.fault("", "a string is not UTF-8")
	}
	return string(b), nil
}

func (d *ubjDocument) text() (string, error) {
	if err := d.expect('S', "a string"); err != nil {
		return "", err
	}
	return d.name()
}

func (d *ubjDocument) expect(c byte, what string) error {
	got, err := d.peek()
	if err != nil {
		return err
	}
	if got != c {
		return d.fault("", "%s is wanted here, not a value of type %q", what, got)
	}
	d.at++
	return nil
}

func (d *ubjDocument) object(each func(key string) error) error {
	if err := d.expect('{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for {
		c, err := d.peek()
		if err != nil {
			return err
		}
		if c == '}' {
			d.at++
			return nil
		}
		key, err := d.name()
		if err != nil {
			return err
		}
		if err := d.enter(key); err != nil {
			return err
		}
		if seen[key] {
			return d.fault("", "stands twice")
		}
		seen[key] = true
		if err := each(key); err != nil {
			return err
		}
		d.leave()
	}
}

// open reads what stands before an array's values: their type where all have one, else 0, and their number, or -1 where it is not said.
func (d *ubjDocument) open() (kind byte, n int64, err error) {
	if err := d.expect('[', "an array"); err != nil {
		return 0, 0, err
	}
	c, err := d.peek()
	if err != nil {
		return 0, 0, err
	}
	size := int64(1) // a value has one byte at least
	if c == '$' {
		d.at++
		if kind, err = d.peek(); err != nil {
			return 0, 0, err
		}
		if size = ubjSize(kind); size == 0 {
			return 0, 0, d.fault("", "an array of values of type %q is none of XGBoost's", kind)
		}
		d.at++
		if c, err = d.peek(); err != nil {
			return 0, 0, err
		}
		if c != '#' {
			return 0, 0, d.fault("", "an array of one type has no count")
		}
	}
	if c != '#' {
		return 0, -1, nil
	}
	d.at++
	if n, err = d.count(); err != nil {
		return 0, 0, err
	}
	if left := int64(len(d.data) - d.at); n > left/size {
		return 0, 0, d.fault("", "an array should have %d values, and the file has %d more bytes", n, left)
	}
	return kind, n, nil
}

// more says whether an array of n values, n being negative where it is not known, has a value i.
func (d *ubjDocument) more(i, n int64) (bool, error) {
	if n >= 0 {
		return i < n, nil
	}
	c, err := d.peek()
	if err != nil {
		return false, err
	}
	if c == ']' {
		d.at++
		return false, nil
	}
	return true, nil
}

func (d *ubjDocument) array(each func(i int) error) error {
	kind, n, err := d.open()
	if err != nil {
		return err
	}
	if kind != 0 {
		return d.fault("", "an array of mere numbers stands here")
	}
	for i := int64(0); ; i++ {
		more, err := d.more(i, n)
		if err != nil || !more {
			return err
		}
		if err := d.enter(strconv.FormatInt(i, 10)); err != nil {
			return err
		}
		if err := each(int(i)); err != nil {
			return err
		}
		d.leave()
	}
}

// numbers reads an array of what read takes: each value's type and bytes.
func (d *ubjDocument) numbers(read func(kind byte, b []byte) bool, what string) error {
	typed, n, err := d.open()
	if err != nil {
		return err
	}
	for i := int64(0); ; i++ {
		more, err := d.more(i, n)
		if err != nil || !more {
			return err
		}
		kind := typed
		if kind == 0 {
			if kind, err = d.peek(); err != nil {
				return err
			}
			d.at++
		}
		b, err := d.take(ubjSize(kind))
		if err != nil {
			return err
		}
		if !read(kind, b) {
			return d.fault(strconv.FormatInt(i, 10), "a value of type %q is not %s", kind, what)
		}
	}
}

func (d *ubjDocument) floats(into []float32) ([]float32, error) {
	err := d.numbers(func(kind byte, b []byte) bool {
		v, ok := ubjFloat(kind, b)
		into = append(into, v)
		return ok
	}, "a number of 32 bits")
	return into, err
}

func (d *ubjDocument) ints(into []int32) ([]int32, error) {
	err := d.numbers(func(kind byte, b []byte) bool {
		v, ok := ubjWhole(kind, b)
		into = append(into, int32(v))
		return ok && v == int64(int32(v))
	}, "a whole number of 32 bits")
	return into, err
}

func (d *ubjDocument) flags(into []bool) ([]bool, error) {
	err := d.numbers(func(kind byte, b []byte) bool {
		v, ok := ubjWhole(kind, b)
		yes := kind == 'T' || ok && v == 1
		into = append(into, yes)
		return yes || kind == 'F' || ok && v == 0
	}, "true or false")
	return into, err
}

func (d *ubjDocument) skip() error {
	kind, err := d.kind()
	if err != nil {
		return err
	}
	switch kind {
	case objectValue:
		return d.object(func(string) error { return d.skip() })
	case arrayValue:
		return d.skipArray()
	case textValue:
		if d.data[d.at] == 'C' {
			_, err = d.take(2)
			return err
		}
		_, err = d.text()
		return err
	default:
		_, err = d.take(1 + ubjSize(d.data[d.at]))
		return err
	}
}

func (d *ubjDocument) skipArray() error {
	typed, n, err := d.open()
	if err != nil {
		return err
	}
	if typed != 0 {
		_, err := d.take(n * ubjSize(typed))
		return err
	}
	for i := int64(0); ; i++ {
		more, err := d.more(i, n)
		if err != nil || !more {
			return err
		}
		if err := d.enter(strconv.FormatInt(i, 10)); err != nil {
			return err
		}
		if err := d.skip(); err != nil {
			return err
		}
		d.leave()
	}
}

func (d *ubjDocument) end() error {
	if d.at < len(d.data) {
		return d.fault("", "more follows the model's end")
	}
	return nil
}
