package treemodel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// parser goes through the lines of a model file.
type parser struct {
	file  string
	rest  []byte
	total int
	line  int  // of the line last read, counted from 1
	ended bool // the line last read ended with the file, not with a line end
}

// fault returns an error at a line of the file.
func (p *parser) fault(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...))
}

// next returns the next line without its end; false at the end of the file.
func (p *parser) next() ([]byte, bool) {
	if len(p.rest) == 0 {
		return nil, false
	}
	p.line++
	line, rest, whole := bytes.Cut(p.rest, []byte("\n"))
	p.rest, p.ended = rest, !whole
	return line, true
}

// offset returns how many bytes have been read.
func (p *parser) offset() int { return p.total - len(p.rest) }

// section is the key=value lines of the header or of one tree.
type section struct {
	line   int // of its first line
	values map[string]entry
}

type entry struct {
	text []byte
	line int
}

// add keeps one key=value line. Keys that are not known are refused: they could mean that the model is to be scored in some other way.
func (p *parser) add(s *section, line []byte, known string) error {
	if bytes.HasSuffix(line, []byte("\r")) {
		return p.fault(p.line, "has Windows line ends, with which the sizes of the trees are wrong: convert it back (dos2unix)")
	}
	key, value, _ := bytes.Cut(line, []byte("="))
	name := string(key[:min(len(key), 64)])
	if !strings.Contains(known, " "+name+" ") || strings.Contains(name, " ") {
		return p.fault(p.line, "%q is not known in LightGBM models v2 to v4", name)
	}
	if _, twice := s.values[name]; twice {
		return p.fault(p.line, "%s stands twice", name)
	}
	s.values[name] = entry{text: value, line: p.line}
	return nil
}

// number reads a whole number between low and high.
func (p *parser) number(s *section, key string, low, high int) (int, error) {
	e, given := s.values[key]
	if !given {
		return 0, p.fault(s.line, "%s is missing", key)
	}
	v, err := strconv.Atoi(string(e.text))
	if err != nil {
		return 0, p.fault(e.line, "%s is %s, not a whole number", key, quote(e.text))
	}
	if v < low || v > high {
		return 0, p.fault(e.line, "%s is %d, which is not between %d and %d", key, v, low, high)
	}
	return v, nil
}

// list returns a line of count words. They are counted before anything is kept: a number in the file never sizes memory that the file's own bytes do
// not fill.
func (p *parser) list(s *section, key string, count int) (entry, error) {
	e, given := s.values[key]
	if !given {
		return e, p.fault(s.line, "%s is missing", key)
	}
	if have := words(e.text); have != count {
		return e, p.fault(e.line, "%s has %d values, and %d belong there", key, have, count)
	}
	return e, nil
}

// words counts the words of a line.
func words(text []byte) int {
	n := 0
	for range bytes.FieldsSeq(text) {
		n++
	}
	return n
}

// ints reads a line of count whole numbers, and returns them with their line.
func (p *parser) ints(s *section, key string, count, bits int) ([]int64, int, error) {
	e, err := p.list(s, key, count)
	if err != nil {
		return nil, e.line, err
	}
	out := make([]int64, 0, count)
	for w := range bytes.FieldsSeq(e.text) {
		v, err := strconv.ParseInt(string(w), 10, bits)
		if err != nil {
			return nil, e.line, p.fault(e.line, "%s[%d] is %s, not a whole number", key, len(out), quote(w))
		}
		out = append(out, v)
	}
	return out, e.line, nil
}

// floats reads a line of count numbers, none of them NaN, and returns them with their line.
func (p *parser) floats(s *section, key string, count int) ([]float64, int, error) {
	e, err := p.list(s, key, count)
	if err != nil {
		return nil, e.line, err
	}
	out := make([]float64, 0, count)
	for w := range bytes.FieldsSeq(e.text) {
		v, err := strconv.ParseFloat(string(w), 64)
		if err != nil {
			return nil, e.line, p.fault(e.line, "%s[%d] is %s, not a number", key, len(out), quote(w))
		}
		if v != v {
			return nil, e.line, p.fault(e.line, "%s[%d] is NaN", key, len(out))
		}
		out = append(out, v)
	}
	return out, e.line, nil
}

// quote shows the beginning of what the file says.
func quote(text []byte) string {
	if len(text) > 40 {
		return strconv.Quote(string(text[:40])) + "…"
	}
	return strconv.Quote(string(text))
}
