package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
)

// OrdersConfig says where in an order lies what is written anew each time that it is sent, and what is not.
type OrdersConfig struct {
	ID        schemas.Path // gets a fresh id, a string or a whole number as it was
	Time      schemas.Path // gets the time of sending, as RFC 3339 or epoch milliseconds as it was; not looked at with KeepTimes
	Key       schemas.Path // the Kafka key; empty, or missing in an order, is none
	KeepTimes bool
}

// Orders are the orders that a load goes round and round, each time under a fresh id. Filled by one goroutine; then safe for concurrent use.
type Orders struct {
	cfg   OrdersConfig
	list  []template
	run   string // begins every id of this load, so that two loads share none
	first int64  // where ids that are numbers begin
}

// template is an order's JSON with two places that are written anew, in either order.
type template struct {
	text   []byte
	id, at hole
	key    []byte
}

// hole is a place in a text: [start, end). One of no length is none.
type hole struct {
	start, end int
	number     bool
}

// NewOrders returns no orders yet.
func NewOrders(cfg OrdersConfig) *Orders {
	return &Orders{
		cfg:   cfg,
		run:   "b" + strconv.FormatUint(rand.Uint64()>>24, 36) + "-", //nolint:gosec // tells loads apart, keeps no secret
		first: rand.Int64N(1 << 52),                                  //nolint:gosec // the same
	}
}

// Len is how many different orders there are.
func (o *Orders) Len() int { return len(o.list) }

// Add takes an order's JSON. The error says what of it cannot be sent under a fresh id.
func (o *Orders) Add(text []byte) error {
	if o.cfg.KeepTimes {
		return o.add(text, nil)
	}
	return o.add(text, o.cfg.Time)
}

func (o *Orders) add(text []byte, at schemas.Path) error {
	t := template{text: bytes.Clone(text)}
	var err error
	if t.id, err = find(t.text, o.cfg.ID); err != nil {
		return fmt.Errorf("the id: %w", err)
	}
	if len(at) > 0 {
		if t.at, err = find(t.text, at); err != nil {
			return fmt.Errorf("the event time: %w", err)
		}
	}
	if len(o.cfg.Key) > 0 {
		t.key = keyOf(t.text, o.cfg.Key)
	}
	o.list = append(o.list, t)
	return nil
}

// keyOf returns the text of a field, nil when there is none.
func keyOf(text []byte, path schemas.Path) []byte {
	h, err := find(text, path)
	switch value := text[h.start:h.end]; {
	case err != nil:
		return nil
	case h.number:
		return bytes.Clone(value)
	default:
		key, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return nil // unreachable: it was read as a string
		}
		return key
	}
}

// Order is one order as it is sent. Its bytes belong to who made it, and are written over by the next Make.
type Order struct {
	ID   []byte // as it stands in Body, without quotes
	Key  []byte // nil is none
	Body []byte
}

// Make writes the n-th order of the load into order. Each n has an id of its own.
func (o *Orders) Make(order *Order, n int64, now time.Time) {
	t := &o.list[n%int64(len(o.list))]
	order.ID, order.Key = o.id(order.ID[:0], n, t.id.number), t.key
	body, done := order.Body[:0], 0
	first, second := t.id, t.at
	if second.start < first.start {
		first, second = second, first
	}
	for _, h := range [...]hole{first, second} {
		if h.end == 0 {
			continue
		}
		body = append(body, t.text[done:h.start]...)
		switch {
		case h != t.id:
			body = appendTime(body, now, h.number)
		case h.number:
			body = append(body, order.ID...)
		default:
			body = append(append(append(body, '"'), order.ID...), '"')
		}
		done = h.end
	}
	body = append(body, t.text[done:]...)
	order.Body = body
}

func (o *Orders) id(dst []byte, n int64, number bool) []byte {
	if number {
		return strconv.AppendInt(dst, o.first+n, 10)
	}
	return strconv.AppendInt(append(dst, o.run...), n, 10)
}

func appendTime(dst []byte, now time.Time, number bool) []byte {
	if number {
		return strconv.AppendInt(dst, now.UnixMilli(), 10)
	}
	return now.UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
}

var errNoObject = errors.New("is not a JSON object")

// find returns where the value at path lies in a JSON object. It must be a string or a number.
func find(text []byte, path schemas.Path) (hole, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if d.PeekKind() != '{' {
		return hole{}, errNoObject
	}
	for depth := 0; depth < len(path) && d.PeekKind() == '{'; depth++ {
		if _, err := d.ReadToken(); err != nil {
			return hole{}, err
		}
		for {
			name, err := d.ReadToken()
			if err != nil {
				return hole{}, err
			}
			if name.Kind() == '}' {
				return hole{}, fmt.Errorf("no field %s", path)
			}
			if name.String() == path[depth] {
				break
			}
			if err := d.SkipValue(); err != nil {
				return hole{}, err
			}
		}
	}
	kind := d.PeekKind()
	value, err := d.ReadValue()
	if err != nil {
		return hole{}, err
	}
	if kind != '"' && kind != '0' {
		return hole{}, fmt.Errorf("%s is neither a string nor a number", path)
	}
	end := int(d.InputOffset())
	return hole{start: end - len(value), end: end, number: kind == '0'}, nil
}

// AppendRecord writes a decoded order as JSON: what an Avro source needs to be sent to a JSON API. Fields without a value are left out.
func AppendRecord(dst []byte, rec schemas.Record) []byte {
	dst = append(dst, '{')
	first := true
	for i := range rec {
		if rec[i].Value.Missing() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendString(dst, rec[i].Name), ':')
		dst = appendValue(dst, rec[i].Value)
	}
	return append(dst, '}')
}

func appendValue(dst []byte, v schemas.Value) []byte {
	switch v.Kind() {
	case schemas.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case schemas.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case schemas.Float:
		text, err := json.Marshal(v.Number())
		if err != nil { // NaN and infinities, which JSON has not
			return append(dst, "null"...)
		}
		return append(dst, text...)
	case schemas.String:
		return appendString(dst, v.Str())
	case schemas.Time:
		return time.UnixMicro(v.Micros()).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.999999Z"`)
	case schemas.List:
		dst = append(dst, '[')
		for i, item := range v.List() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, item)
		}
		return append(dst, ']')
	case schemas.Object:
		return AppendRecord(dst, v.Object())
	default:
		return append(dst, "null"...)
	}
}

func appendString(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil { // what is no UTF-8 has been replaced, and out is complete
		return out
	}
	return out
}
