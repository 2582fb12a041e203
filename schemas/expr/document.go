package expr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
)

// maxDocument is how deep a document may be.
const maxDocument = 64

// errDocument is all that is said of a document that is not JSON: its bytes may be card data.
var errDocument = errors.New("not one JSON value, with each key once and at most 64 levels")

// Document is a JSON value as shapes take and give it. Its objects keep the order of their keys, and its numbers what they are: one that a double does not
// hold exactly is an integer, or else a number that can be passed on but not computed with. The zero value is null.
type Document struct{ value ref.Val }

// ParseDocument reads one JSON value, strictly. Its error is a *schemas.Malformed, with the codes of orders, and quotes nothing.
func ParseDocument(text []byte) (Document, error) {
	if len(text) == 0 {
		return Document{}, &schemas.Malformed{Code: "empty", Detail: "there are no bytes"}
	}
	in := jsontext.NewDecoder(bytes.NewReader(text))
	v, err := parseValue(in, maxDocument)
	if err == nil {
		_, err = in.ReadToken()
	}
	switch {
	case errors.Is(err, io.EOF) && v != nil:
		return Document{v}, nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return Document{}, &schemas.Malformed{Code: "json_duplicate", Detail: "an object has a name twice"}
	case errors.Is(err, errDocument):
		return Document{}, &schemas.Malformed{Code: "json_depth", Detail: fmt.Sprintf("is nested more than %d deep", maxDocument)}
	default:
		return Document{}, &schemas.Malformed{Code: "json_syntax", Detail: "is " + errDocument.Error()}
	}
}

func parseValue(in *jsontext.Decoder, depth int) (ref.Val, error) {
	if depth == 0 {
		return nil, errDocument
	}
	token, err := in.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return types.NullValue, nil
	case 't', 'f':
		return types.Bool(token.Bool()), nil
	case '"':
		return types.String(token.String()), nil
	case '0':
		return parseNumber(token.String()), nil
	case '[':
		all := []ref.Val{}
		for in.PeekKind() != ']' {
			v, err := parseValue(in, depth-1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		_, err := in.ReadToken()
		return types.NewRefValList(types.DefaultTypeAdapter, all), err
	default:
		return parseObject(in, depth)
	}
}

func parseObject(in *jsontext.Decoder, depth int) (ref.Val, error) {
	var o members
	for in.PeekKind() != '}' {
		name, err := in.ReadToken()
		if err != nil {
			return nil, err
		}
		key := types.String(name.String()) // the token is gone with the next
		v, err := parseValue(in, depth-1)
		if err != nil {
			return nil, err
		}
		o.set(key, v)
	}
	_, err := in.ReadToken()
	return o.object(), err
}

// parseNumber keeps what the number is. A double has 15 digits at the least, and reads back the shortest text that names it.
func parseNumber(text string) ref.Val {
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && (digits(text) <= 15 || string(appendDouble(nil, f)) == text) {
		return types.Double(f)
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		if i > -1<<53 && i < 1<<53 {
			return types.Double(float64(i))
		}
		return types.Int(i)
	}
	return numberText{text}
}

// digits is how many digits stand before an exponent.
func digits(text string) int {
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		text = text[:e]
	}
	return len(strings.Trim(text, "-.")) - strings.Count(text, ".")
}

// members are those of an object that is being made, in their order.
type members struct {
	keys   []types.String
	values map[ref.Val]ref.Val
}

func (m *members) set(key types.String, v ref.Val) {
	if m.values == nil {
		m.values = make(map[ref.Val]ref.Val)
	}
	if _, known := m.values[key]; !known {
		m.keys = append(m.keys, key)
	}
	m.values[key] = v
}

func (m *members) object() *object {
	if m.values == nil {
		m.values = make(map[ref.Val]ref.Val)
	}
	return &object{Mapper: types.NewRefValMap(types.DefaultTypeAdapter, m.values), members: m}
}

// object is a CEL map that knows the order of its keys. It is not changed once it is made.
type object struct {
	traits.Mapper

	members *members
}

// numberText is a number that is only passed on, as it is written.
type numberText struct{ text string }

var numberTextType = types.NewOpaqueType("number")

// ConvertToNative is CEL's; there is no such conversion.
func (n numberText) ConvertToNative(reflect.Type) (any, error) { return nil, errDocument }

// ConvertToType is CEL's: to a string it is its text.
func (n numberText) ConvertToType(t ref.Type) ref.Val {
	if t == types.StringType {
		return types.String(n.text)
	}
	return types.NewErr("this number cannot be computed with")
}

// Equal is CEL's: of the same text.
func (n numberText) Equal(other ref.Val) ref.Val {
	o, ok := other.(numberText)
	return types.Bool(ok && o.text == n.text)
}

// Type is CEL's.
func (n numberText) Type() ref.Type { return numberTextType }

// Value is CEL's.
func (n numberText) Value() any { return n.text }

// Text returns the document's string, when it is one.
func (d Document) Text() (string, bool) {
	s, ok := d.value.(types.String)
	return string(s), ok
}

// Whole returns the document's number, when it is a whole one of up to 2^53.
func (d Document) Whole() (int64, bool) {
	f, ok := d.value.(types.Double)
	return int64(f), ok && f == types.Double(math.Trunc(float64(f))) && math.Abs(float64(f)) <= 1<<53
}

// Truth returns true or false as a document.
func Truth(b bool) Document { return Document{types.Bool(b)} }

// Members returns what an object has, by name; nothing of what is no object.
func (d Document) Members() iter.Seq2[string, Document] {
	return func(yield func(string, Document) bool) {
		o, ok := d.value.(*object)
		if !ok {
			return
		}
		for _, key := range o.members.keys {
			if !yield(string(key), Document{o.members.values[key]}) {
				return
			}
		}
	}
}

// Object says whether the document is an object.
func (d Document) Object() bool {
	_, ok := d.value.(*object)
	return ok
}

// With returns the object with a value at a path of names; objects on the way that are not there are made. The object itself stays as it is. False: the
// document, or something on the way, is no object.
func (d Document) With(path []string, v Document) (Document, bool) {
	m := members{}
	switch o := d.value.(type) {
	case nil, types.Null:
	case *object:
		for _, key := range o.members.keys {
			m.set(key, o.members.values[key])
		}
	default:
		return Document{}, false
	}
	name := types.String(path[0])
	if len(path) > 1 {
		var ok bool
		if v, ok = (Document{m.values[name]}).With(path[1:], v); !ok {
			return Document{}, false
		}
	}
	m.set(name, v.orNull())
	return Document{m.object()}, true
}

func (d Document) orNull() ref.Val {
	if d.value == nil {
		return types.NullValue
	}
	return d.value
}
