package treemodel

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonDocument reads JSON as XGBoost writes it, which up to version 2.1 has NaN, and may have Infinity, where numbers stand. That is why jsontext, which
// refuses them, reads the strings only.
type jsonDocument struct {
	reader
}

func (d *jsonDocument) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

// next returns the first byte of what comes next, which is not empty space.
func (d *jsonDocument) next() (byte, error) {
	d.space()
	if d.at == len(d.data) {
		return 0, d.cut()
	}
	return d.data[d.at], nil
}

func (d *jsonDocument) kind() (valueKind, error) {
	c, err := d.next()
	if err != nil {
		return nullValue, err
	}
	switch {
	case c == '{':
		return objectValue, nil
	case c == '[':
		return arrayValue, nil
	case c == '"':
		return textValue, nil
	case c == 't' || c == 'f':
		return flagValue, nil
	case c == 'n':
		return nullValue, nil
	case c == '-' || c == 'N' || c == 'I' || c >= '0' && c <= '9':
		return numberValue, nil
	default:
		return nullValue, d.fault("", "no value begins with %q", c)
	}
}

// expect goes past what must begin with c.
func (d *jsonDocument) expect(c byte, what string) error {
	got, err := d.next()
	if err != nil {
		return err
	}
	if got != c {
		return d.fault("", "%s is wanted here, not %q", what, got)
	}
	d.at++
	return nil
}

// more goes past the comma or the end that follows an item; before the first item only an end is looked for.
func (d *jsonDocument) more(first bool, end byte) (bool, error) {
	c, err := d.next()
	if err != nil {
		return false, err
	}
	switch {
	case c == end:
		d.at++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		d.at++
		return true, nil
	default:
		return false, d.fault("", "a comma or %q is wanted here, not %q", end, c)
	}
}

func (d *jsonDocument) object(each func(key string) error) error {
	if err := d.expect('{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for first := true; ; first = false {
		more, err := d.more(first, '}')
		if err != nil || !more {
			return err
		}
		key, err := d.text()
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
		if err := d.expect(':', "a colon"); err != nil {
			return err
		}
		if err := each(key); err != nil {
			return err
		}
		d.leave()
	}
}

func (d *jsonDocument) array(each func(i int) error) error {
	if err := d.expect('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := d.more(i == 0, ']')
		if err != nil || !more {
			return err
		}
		if err := d.enter(strconv.Itoa(i)); err != nil {
			return err
		}
		if err := each(i); err != nil {
			return err
		}
		d.leave()
	}
}

func (d *jsonDocument) text() (string, error) {
	from, to, plain, err := d.quoted()
	if err != nil {
		return "", err
	}
	if plain {
		return string(d.data[from+1 : to-1]), nil
	}
	text, err := jsontext.AppendUnquote(nil, d.data[from:to])
	if err != nil {
		d.at = from
		return "", d.fault("", "is no JSON string")
	}
	return string(text), nil
}

// quoted goes past a string, and says whether it is ASCII without escapes.
func (d *jsonDocument) quoted() (from, to int, plain bool, err error) {
	if err := d.expect('"', "a string"); err != nil {
		return 0, 0, false, err
	}
	from, plain = d.at-1, true
	for d.at < len(d.data) {
		switch c := d.data[d.at]; {
		case c == '"':
			d.at++
			return from, d.at, plain, nil
		case c == '\\':
			d.at++
			plain = false
		case c < ' ':
			return 0, 0, false, d.fault("", "a string has a control character")
		case c >= utf8.RuneSelf:
			plain = false
		}
		d.at++
	}
	d.at = min(d.at, len(d.data))
	return 0, 0, false, d.cut()
}

// literal goes past a number or a word and returns it. It may end where the file does only if the file is whole, which is for its caller to see.
func (d *jsonDocument) literal() ([]byte, error) {
	if _, err := d.next(); err != nil {
		return nil, err
	}
	from := d.at
	for d.at < len(d.data) {
		switch c := d.data[d.at]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '+', c == '.':
			d.at++
		default:
			return d.data[from:d.at], nil
		}
	}
	return d.data[from:d.at], nil
}

func (d *jsonDocument) whole() (int64, error) {
	word, err := d.literal()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(string(word), 10, 64)
	if err != nil {
		return 0, d.fault("", "%s is no whole number", quote(word))
	}
	return v, nil
}

func (d *jsonDocument) float() (float32, error) {
	word, err := d.literal()
	if err != nil {
		return 0, err
	}
	v, ok := jsonFloat(word)
	if !ok {
		return 0, d.fault("", "%s is no number of 32 bits", quote(word))
	}
	return v, nil
}

// numbers reads an array of what read takes.
func (d *jsonDocument) numbers(read func(word []byte) bool, what string) error {
	if err := d.expect('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := d.more(i == 0, ']')
		if err != nil || !more {
			return err
		}
		word, err := d.literal()
		if err != nil {
			return err
		}
		if !read(word) {
			return d.fault(strconv.Itoa(i), "%s is not %s", quote(word), what)
		}
	}
}

func (d *jsonDocument) floats(into []float32) ([]float32, error) {
	err := d.numbers(func(word []byte) bool {
		v, ok := jsonFloat(word)
		into = append(into, v)
		return ok
	}, "a number of 32 bits")
	return into, err
}

// jsonFloat reads a number as XGBoost does, straight to 32 bits.
func jsonFloat(word []byte) (float32, bool) {
	if len(word) == 0 {
		return 0, false
	}
	switch c := word[len(word)-1]; {
	case c >= '0' && c <= '9':
	case string(word) == "NaN":
		return float32(math.NaN()), true
	case string(word) == "Infinity":
		return float32(math.Inf(1)), true
	case string(word) == "-Infinity":
		return float32(math.Inf(-1)), true
	default:
		return 0, false
	}
	if c := word[0]; c != '-' && (c < '0' || c > '9') || bytes.ContainsAny(word, "xXpP") {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(word), 32)
	if errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return float32(v), err == nil
}

func (d *jsonDocument) ints(into []int32) ([]int32, error) {
	err := d.numbers(func(word []byte) bool {
		v, err := strconv.ParseInt(string(word), 10, 32)
		into = append(into, int32(v))
		return err == nil
	}, "a whole number of 32 bits")
	return into, err
}

func (d *jsonDocument) flags(into []bool) ([]bool, error) {
	err := d.numbers(func(word []byte) bool {
		yes := string(word) == "1" || string(word) == "true"
		into = append(into, yes)
		return yes || string(word) == "0" || string(word) == "false"
	}, "true or false")
	return into, err
}

func (d *jsonDocument) skip() error {
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
		_, _, _, err := d.quoted()
		return err
	default:
		word, err := d.literal()
		if _, ok := jsonFloat(word); err == nil && !ok && string(word) != "true" && string(word) != "false" && string(word) != "null" {
			return d.fault("", "%s is no value", quote(word))
		}
		return err
	}
}

// skipArray is fast where the array is of numbers, as the large ones are.
func (d *jsonDocument) skipArray() error {
	if err := d.expect('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := d.more(i == 0, ']')
		if err != nil || !more {
			return err
		}
		kind, err := d.kind()
		if err != nil {
			return err
		}
		if kind == numberValue {
			if _, err := d.literal(); err != nil {
				return err
			}
			continue
		}
		if err := d.enter(strconv.Itoa(i)); err != nil {
			return err
		}
		if err := d.skip(); err != nil {
			return err
		}
		d.leave()
	}
}

func (d *jsonDocument) end() error {
	if d.space(); d.at < len(d.data) {
		return d.fault("", "more follows the model's end")
	}
	return nil
}
