package schemas

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// OrderID names an order: 1 to 128 bytes of [A-Za-z0-9._:-].
type OrderID string

// MaxOrderID is the longest OrderID, in bytes.
const MaxOrderID = 128

// Valid says whether the id has the allowed length and bytes.
func (id OrderID) Valid() bool {
	if len(id) == 0 || len(id) > MaxOrderID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

// Order is one order as it came. It is not changed after NewOrder.
type Order struct {
	ID     OrderID
	At     time.Time // event time, UTC, whole microseconds
	Fields Record
	Raw    []byte // the bytes that Fields were decoded from
}

// Binding says where in a user's own schema the id and the event time of an order lie. The feature set gives it (event: {id, time}).
type Binding struct{ ID, Time Path }

// NewOrder finds id and event time in fields. The error is a *Malformed with code id_format, time_missing or timestamp_range, and both faults if there
// are two.
func NewOrder(fields Record, at Binding, raw []byte) (Order, error) {
	o, err := bind(fields, at, "the order's event time")
	if err != nil {
		return Order{}, err
	}
	o.Fields, o.Raw = fields, raw
	return o, nil
}

func bind(fields Record, at Binding, timeIs string) (Order, error) {
	var bad *Malformed
	fault := func(code, detail string, f Fault) {
		if bad == nil {
			bad = &Malformed{Code: code, Detail: detail}
		}
		bad.Faults = append(bad.Faults, f)
	}
	key, ok := fields.At(at.ID).Key()
	id := OrderID(key)
	if !ok || !id.Valid() || id == "." || id == ".." { // which are no step of a path, where the decision is read; a decision of old may have them
		fault("id_format", "the order's id must be a string or an integer, 1 to 128 of A-Z a-z 0-9 . _ : - and neither . nor ..", Fault{Pointer: at.ID.Pointer(), Detail: "is not an order id"})
	}
	value := fields.At(at.Time)
	t, err := ParseTime(value)
	switch {
	case err != nil && value.Missing():
		fault("time_missing", timeIs+" is missing", Fault{Pointer: at.Time.Pointer(), Detail: "is missing"})
	case err != nil:
		fault("timestamp_range", timeIs+" "+err.Error(), Fault{Pointer: at.Time.Pointer(), Detail: err.Error()})
	}
	if bad != nil {
		return Order{}, bad
	}
	return Order{ID: id, At: t}, nil
}

// Event times lie after 1970 and before 2200: outside are zero values, nanoseconds taken for milliseconds, and the like.
const (
	minMicros = 0
	maxMicros = 7258118400 * 1e6 // 2200-01-01
)

// ParseTime reads an event time: an RFC 3339 string, a Time, or a whole number of milliseconds since 1970. It is cut to the microsecond, UTC.
func ParseTime(v Value) (time.Time, error) {
	var us int64
	switch v.Kind() {
	case String:
		t, err := time.Parse(time.RFC3339Nano, v.Str())
		if err != nil {
			return time.Time{}, errors.New("is not an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		// UnixMicro is defined for every year that RFC 3339 can write.
		us = t.UnixMicro()
	case Time:
		us = v.Micros()
	case Int:
		if ms := v.Int(); ms > maxMicros/1000 || ms < minMicros {
			return time.Time{}, errTimeRange
		}
		us = v.Int() * 1000
	case Float:
		ms := v.Number()
		if !(ms < maxMicros/1000 && ms > minMicros) {
			return time.Time{}, errTimeRange
		}
		if ms != math.Trunc(ms) {
			return time.Time{}, errTimeFraction
		}
		us = int64(ms) * 1000
	default:
		return time.Time{}, fmt.Errorf("is %s, not a time", v.Kind())
	}
	if us <= minMicros || us >= maxMicros {
		return time.Time{}, errTimeRange
	}
	return time.UnixMicro(us).UTC(), nil
}

var (
	errTimeRange    = errors.New("is not between 1970 and 2200 (numbers are milliseconds since 1970)")
	errTimeFraction = errors.New("is a number with a fraction (numbers are whole milliseconds since 1970)")
)
