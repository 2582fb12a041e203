package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one JSON document. An order is far below all of them.
const (
	DefaultMaxBytes = 64 << 10
	maxDepth        = 64
	maxGuess        = 32 // fields that room is made for before they are seen
)

// DecodeJSON decodes an object of any shape, strictly by RFC 8259 and RFC 7493: a name that stands twice, text that is not UTF-8 and bytes after the
// object are refused. Whole numbers are an Int, exactly; numbers with a fraction or an exponent a Float. The error is a *Malformed.
func DecodeJSON(raw []byte) (Record, error) { return decodeJSON(raw, DefaultMaxBytes, exactly) }

// numbers says what becomes of numbers.
type numbers uint8

const (
	exactly      numbers = iota // what neither an int64 nor a double holds is refused
	withLiterals                // the same, and a Float carries the text that it was written as, for a schema that needs all its digits
	likeDoubles                 // whole numbers beyond an int64, and −0, are doubles: as AppendDecision writes them
)

// decodeJSON is DecodeJSON of at most maxBytes.
func decodeJSON(raw []byte, maxBytes int, how numbers) (Record, error) {
	if len(raw) == 0 {
		return nil, &Malformed{Code: "empty", Detail: "there are no bytes"}
	}
	if len(raw) > maxBytes {
		return nil, &Malformed{Code: "too_large", Detail: fmt.Sprintf("%d bytes, more than the allowed %d", len(raw), maxBytes)}
	}
	d, _ := jsonDecoders.Get().(*jsonDecoder)
	if d == nil {
		d = new(jsonDecoder)
	}
	d.open(raw, how)
	rec, err := d.document()
	d.close()
	jsonDecoders.Put(d)
	return rec, err
}

var jsonDecoders sync.Pool

// jsonDecoder turns tokens into Values. All strings of one document are parts of one copy of it, so a record costs that copy and one slice an object.
type jsonDecoder struct {
	dec   jsontext.Decoder
	src   bytes.Buffer
	text  string              // the document
	sizes [maxDepth + 1]uint8 // :: depth → how many fields the last object there had: orders resemble one another
	how   numbers
}

func (d *jsonDecoder) open(raw []byte, how numbers) {
	d.src = *bytes.NewBuffer(slices.Clip(raw))
	d.dec.Reset(&d.src)
	d.text = string(raw)
	d.how = how
}

// close lets go of the document.
func (d *jsonDecoder) close() { d.src, d.text = bytes.Buffer{}, "" }

func (d *jsonDecoder) document() (Record, error) {
	v, err := d.value(1)
	if err != nil {
		return nil, d.malformed(err)
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, &Malformed{Code: "json_syntax", Detail: fmt.Sprintf("there are further bytes after the end of the document, from byte %d", d.dec.InputOffset())}
	}
	if v.Kind() != Object {
		return nil, &Malformed{Code: "schema_mismatch", Detail: "must be an object", Faults: []Fault{{Detail: "is " + aKind(v) + ", must be an object"}}}
	}
	return v.Object(), nil
}

func (d *jsonDecoder) value(depth int) (Value, error) {
	switch d.dec.PeekKind() {
	case '{', '[':
		if depth > maxDepth {
			return Value{}, errDepth
		}
		if t, err := d.dec.ReadToken(); err != nil {
			return Value{}, err
		} else if t.Kind() == '{' {
			return d.object(depth)
		}
		return d.list(depth)
	default:
		return d.scalar()
	}
}

func (d *jsonDecoder) object(depth int) (Value, error) {
	rec := make(Record, 0, d.sizes[depth])
	for d.dec.PeekKind() != '}' {
		name, err := d.string()
		if err != nil {
			return Value{}, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		rec = append(rec, Field{Name: name, Value: v})
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return Value{}, err
	}
	d.sizes[depth] = uint8(min(len(rec), maxGuess))
	return ObjectValue(rec), nil
}

func (d *jsonDecoder) list(depth int) (Value, error) {
	list := []Value{}
	for d.dec.PeekKind() != ']' {
		v, err := d.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		list = append(list, v)
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return Value{}, err
	}
	return ListValue(list), nil
}

func (d *jsonDecoder) scalar() (Value, error) {
	raw, err := d.dec.ReadValue()
	if err != nil {
		return Value{}, err
	}
	switch raw.Kind() {
	case 'n':
		return Value{}, nil
	case 't':
		return BoolValue(true), nil
	case 'f':
		return BoolValue(false), nil
	case '0':
		return d.number(d.last(raw))
	default:
		s, err := d.unquote(raw)
		return StringValue(s), err
	}
}

func (d *jsonDecoder) string() (string, error) {
	raw, err := d.dec.ReadValue()
	if err != nil {
		return "", err
	}
	return d.unquote(raw)
}

// unquote returns the text of a string literal that was just read.
func (d *jsonDecoder) unquote(raw jsontext.Value) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		s := d.last(raw)
		return s[1 : len(s)-1], nil
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	return string(s), err
}

// last returns the literal that was just read as a part of the document's text.
func (d *jsonDecoder) last(raw jsontext.Value) string {
	end := int(d.dec.InputOffset())
	return d.text[end-len(raw) : end]
}

func (d *jsonDecoder) number(literal string) (Value, error) {
	if !strings.ContainsAny(literal, ".eE") {
		i, err := strconv.ParseInt(literal, 10, 64)
		double := d.how == likeDoubles && (err != nil || literal == "-0")
		if err != nil && !double {
			return Value{}, errNumberRange
		}
		if !double {
			return IntValue(i), nil
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || f == 0 && !zeroLiteral(literal) {
		return Value{}, errNumberRange
	}
	v := FloatValue(f)
	if d.how == withLiterals {
		v.str = literal
	}
	return v, nil
}

// zeroLiteral says whether a literal that reads as 0 is one, and not a number too small for a double.
func zeroLiteral(literal string) bool {
	mantissa, _, _ := strings.Cut(strings.ToLower(literal), "e")
	return strings.Trim(mantissa, "-0.") == ""
}

var (
	errDepth       = errors.New("nested too deeply")
	errNumberRange = errors.New("number out of range")
)

// malformed says what an error of the decoder means.
func (d *jsonDecoder) malformed(err error) *Malformed {
	at := d.dec.InputOffset()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errDepth):
		return &Malformed{Code: "json_depth", Detail: fmt.Sprintf("is nested more than %d deep", maxDepth)}
	case errors.Is(err, errNumberRange):
		p := cutPointer(string(d.dec.StackPointer()))
		return &Malformed{Code: "value_range", Detail: fmt.Sprintf("the number before byte %d is beyond what a 64-bit integer or double holds", at), Faults: []Fault{{Pointer: p, Detail: "is out of range"}}}
	case errors.Is(err, jsontext.ErrDuplicateName):
		p := ""
		if errors.As(err, &syntax) {
			p = cutPointer(string(syntax.JSONPointer))
		}
		return &Malformed{Code: "json_duplicate", Detail: "an object has a name twice", Faults: []Fault{{Pointer: p, Detail: "stands twice"}}}
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return &Malformed{Code: "json_syntax", Detail: "is not JSON: it ends too early"}
	case errors.As(err, &syntax):
		return &Malformed{Code: "json_syntax", Detail: fmt.Sprintf("is not JSON at byte %d", syntax.ByteOffset)} // what the library says quotes the input
	default:
		return &Malformed{Code: "json_syntax", Detail: fmt.Sprintf("is not JSON at byte %d", at)}
	}
}

// cutPointer keeps what a stranger named a field out of logs when it is long.
func cutPointer(p string) string {
	const most = 200
	if len(p) <= most {
		return p
	}
	return strings.ToValidUTF8(p[:most], "") + "…"
}
