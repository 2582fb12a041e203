package treemodel

import (
	"fmt"
	"strconv"
	"strings"
)

// document is a model file that is read value by value, from the front and in the order of the file, without a tree of values in memory: JSON, or the
// UBJSON that XGBoost writes. What a caller does not want it skips; every error names the file, where in the document it is, and the byte.
type document interface {
	// kind says what the next value is.
	kind() (valueKind, error)
	// object reads an object. each is called for every key and must read or skip that key's value. A key that stands twice is an error.
	object(each func(key string) error) error
	// array reads an array of n values, n being unknown; each must read or skip the value.
	array(each func(i int) error) error
	text() (string, error)
	// whole reads a whole number.
	whole() (int64, error)
	// float reads a number, to 32 bits.
	float() (float32, error)
	// floats, ints and flags append an array's numbers to what they are given; flags takes true and false, and 1 and 0.
	floats(into []float32) ([]float32, error)
	ints(into []int32) ([]int32, error)
	flags(into []bool) ([]bool, error)
	skip() error

	// here is a place to come back to: before a value that was skipped.
	here() int
	back(to int)
	// end is an error unless nothing follows.
	end() error
	// fault makes an error of the value below the current one that below names; none is the current one itself.
	fault(below, format string, args ...any) error
}

// valueKind is what a value of a document is.
type valueKind uint8

const (
	objectValue valueKind = iota
	arrayValue
	textValue
	numberValue
	flagValue
	nullValue
)

func (k valueKind) String() string {
	return [...]string{"an object", "an array", "a string", "a number", "true or false", "null"}[k]
}

// maxNesting bounds how deep values may lie: XGBoost's own lie 7 deep.
const maxNesting = 32

// reader is what both forms of a document share: the bytes, and the way to where the reader is.
type reader struct {
	file string
	data []byte
	at   int
	way  []string // keys, and indices as digits
}

func (r *reader) here() int { return r.at }

func (r *reader) back(to int) { r.at = to }

// fault implements document.
func (r *reader) fault(below, format string, args ...any) error {
	var b strings.Builder
	for _, key := range r.way {
		b.WriteString("/" + short(key))
	}
	if below != "" {
		b.WriteString("/" + below)
	}
	if b.Len() == 0 {
		b.WriteString("/")
	}
	return fmt.Errorf("%s: %s: %s (at byte %d)", r.file, b.String(), fmt.Sprintf(format, args...), r.at)
}

// short shows a key of the file within a pointer.
func short(key string) string {
	if len(key) > 40 {
		key = key[:40] + "…"
	}
	quoted := strconv.Quote(key)
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(quoted[1 : len(quoted)-1])
}

// enter and leave keep the way.
func (r *reader) enter(key string) error {
	if len(r.way) >= maxNesting {
		return r.fault("", "values lie more than %d deep", maxNesting)
	}
	r.way = append(r.way, key)
	return nil
}

func (r *reader) leave() { r.way = r.way[:len(r.way)-1] }

func (r *reader) cut() error { return r.fault("", "the file is cut short") }
