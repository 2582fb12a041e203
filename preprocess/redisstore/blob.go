package redisstore

import (
	"encoding/binary"
	"math"
	"math/bits"

	"verdict/preprocess"
	"verdict/schemas"
)

// A source's part of a merged column is one string: this version's byte; how many points, and each; then the tail: the level, how many cells, and each, how
// many sightings, and each. Numbers are varints, and what rises is kept as differences. The source and its last offset stand in the name of the field.
const mergedVersion = 1

// The shortest that a point, a cell and a sighting can be, in bytes: no more are made room for than can be there.
const (
	shortestPoint    = 5
	shortestCell     = 14
	shortestSighting = 3
)

// append writes the part. A tail that has not changed is written as it was found.
func (s *source) append(dst []byte) []byte {
	dst = append(dst, mergedVersion)
	points := s.Points()
	dst = binary.AppendUvarint(dst, uint64(len(points)))
	at, offset := int64(0), int64(0)
	for i := range points {
		p := &points[i]
		dst = binary.AppendVarint(dst, p.At-at)
		dst = append(binary.AppendUvarint(dst, uint64(len(p.ID))), p.ID...)
		dst = appendValue(dst, p.Value)
		dst = binary.AppendVarint(dst, p.Arrival.Millis-p.At/1000)
		dst = binary.AppendVarint(dst, p.Arrival.Offset-offset)
		at, offset = p.At, p.Arrival.Offset
	}
	if s.tail != "" {
		return append(dst, s.tail...)
	}
	return s.appendTail(dst)
}

func (s *source) appendTail(dst []byte) []byte {
	dst = append(dst, s.Level)
	dst = binary.AppendUvarint(dst, uint64(len(s.Cells)))
	start, offset := int64(0), int64(0)
	for i := range s.Cells {
		c := &s.Cells[i]
		dst = binary.AppendVarint(dst, (c.Start-start)/s.Merging.Resolution)
		dst = binary.AppendVarint(dst, c.First-c.Start)
		dst = binary.AppendVarint(dst, c.Last-c.First)
		dst = binary.AppendVarint(dst, c.Orders)
		dst = binary.AppendVarint(dst, c.Orders-c.Values)
		for _, v := range [...]float64{c.Sum.High, c.Sum.Low, c.Squares.High, c.Squares.Low, c.Min, c.Max, c.LastValue} {
			dst = appendValue(dst, v)
		}
		dst = binary.AppendVarint(dst, c.LastArrival.Millis-c.Last/1000)
		dst = binary.AppendVarint(dst, c.LastArrival.Offset-offset)
		start, offset = c.Start, c.LastArrival.Offset
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Sightings)))
	value, at := uint64(0), int64(0)
	for i := range s.Sightings {
		x := &s.Sightings[i]
		dst = binary.AppendUvarint(dst, x.Value-value)
		dst = append(binary.AppendVarint(dst, x.At-at), x.Level)
		value, at = x.Value, x.At
	}
	return dst
}

// appendValue writes a double: how many bytes follow, which are its bits without the zero bytes at their low end.
func appendValue(dst []byte, v float64) []byte {
	u := math.Float64bits(v)
	n := 8 - bits.TrailingZeros64(u)/8
	dst = append(dst, byte(n))
	return binary.BigEndian.AppendUint64(dst, u)[:len(dst)+n]
}

// readMerged is the reverse of append. Strings of what it returns are parts of blob.
func readMerged(blob string, number int32, offset int64, merge *preprocess.Merging) (m preprocess.Merged, tail string, err error) {
	d := decoder{rest: blob}
	if d.byte() != mergedVersion {
		return m, "", errCorrupt
	}
	m = preprocess.Merged{Merging: *merge, Applied: []preprocess.Applied{{Source: number, Offset: offset}}}
	points := d.points(number)
	tail = d.rest
	m.Level = d.byte()
	m.Cells = d.cells(number, merge.Resolution)
	m.Sightings = d.sightings()
	if d.bad || d.rest != "" || m.Level > 64 {
		return preprocess.Merged{}, "", errCorrupt
	}
	m.Series = preprocess.NewSeries(points)
	return m, tail, nil
}

// decoder reads a blob. Once something was bad, all that it reads is nothing.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) fail() {
	d.rest, d.bad = "", true
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	if s := d.rest; len(s) > 1 { // nearly all are short
		if s[0] < 0x80 {
			d.rest = s[1:]
			return uint64(s[0])
		}
		if s[1] < 0x80 {
			d.rest = s[2:]
			return uint64(s[0]&0x7f) | uint64(s[1])<<7
		}
	}
	x, rest, ok := uvarint(d.rest)
	if !ok {
		d.fail()
		return 0
	}
	d.rest = rest
	return x
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// many reads how many of something follow, each that long at least.
func (d *decoder) many(shortest int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/shortest) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) value() float64 {
	if s := d.rest; len(s) > 8 && s[0] <= 8 { // but for the last few
		n := int(s[0])
		low := 64 - 8*n
		d.rest = s[1+n:]
		return math.Float64frombits(bigEndian(s[1:]) >> low << low)
	}
	n := int(d.byte())
	if n > 8 || n > len(d.rest) {
		d.fail()
		return 0
	}
	u := uint64(0)
	for i := range n {
		u |= uint64(d.rest[i]) << (56 - 8*i)
	}
	d.rest = d.rest[n:]
	return math.Float64frombits(u)
}

// spare is for how many more points there is room in a column that is read: a poll seldom brings more.
const spare = 2

func (d *decoder) points(number int32) []preprocess.Point {
	n := d.many(shortestPoint)
	if n == 0 {
		return nil
	}
	points, refs := make([]preprocess.Point, n, n+spare), make([]preprocess.Ref, n)
	at, offset := int64(0), int64(0)
	for i := range points {
		p := &points[i]
		p.Ref = &refs[i]
		at += d.varint()
		p.At, p.ID, p.Value = at, schemas.OrderID(d.text()), d.value()
		p.Arrival.Millis = d.varint() + at/1000
		offset += d.varint()
		p.Arrival.Offset, p.Arrival.Source = offset, number
		if i > 0 && !points[i-1].Before(p) {
			d.fail()
		}
	}
	return points
}

func (d *decoder) cells(number int32, resolution int64) []preprocess.Cell {
	n := d.many(shortestCell)
	if n == 0 {
		return nil
	}
	if resolution <= 0 {
		d.fail()
		return nil
	}
	cells := make([]preprocess.Cell, n)
	start, offset := int64(0), int64(0)
	for i := range cells {
		c := &cells[i]
		start += d.varint() * resolution
		c.Start = start
		c.First = start + d.varint()
		c.Last = c.First + d.varint()
		c.Orders = d.varint()
		c.Values = c.Orders - d.varint()
		for _, v := range [...]*float64{&c.Sum.High, &c.Sum.Low, &c.Squares.High, &c.Squares.Low, &c.Min, &c.Max, &c.LastValue} {
			*v = d.value()
		}
		c.LastArrival.Millis = d.varint() + c.Last/1000
		offset += d.varint()
		c.LastArrival.Offset, c.LastArrival.Source = offset, number
		if i > 0 && cells[i-1].Start >= start {
			d.fail()
		}
	}
	return cells
}

func (d *decoder) sightings() []preprocess.Sighting {
	n := d.many(shortestSighting)
	if n == 0 {
		return nil
	}
	sightings := make([]preprocess.Sighting, n)
	value, at := uint64(0), int64(0)
	for i := range sightings {
		x := &sightings[i]
		value += d.uvarint()
		at += d.varint()
		x.Value, x.At, x.Level = value, at, d.byte()
		if i > 0 && sightings[i-1].Value >= value {
			d.fail()
		}
	}
	return sightings
}
