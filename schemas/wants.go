package schemas

import (
	"fmt"
	"strings"
)

// aKind names a value's kind with its article, for error texts.
func aKind(v Value) string {
	switch v.Kind() {
	case Missing:
		return "null"
	case Int, Object:
		return "an " + v.Kind().String()
	default:
		return "a " + v.Kind().String()
	}
}

// wants says what a JSON value of the type must be, for error texts.
func (t *avroType) wants() string {
	switch t.logical {
	case decimal:
		return fmt.Sprintf("a decimal number of at most %d digits, %d of them after the point", t.precision, t.scale)
	case date:
		return "a date such as 2026-01-31"
	case millis, micros, nanos:
		return "an RFC 3339 time such as 2026-01-31T12:00:00Z or milliseconds since 1970"
	case plain:
	}
	switch t.kind {
	case avroNull:
		return "null"
	case avroBoolean:
		return "true or false"
	case avroInt:
		return "a whole number of 32 bits"
	case avroLong:
		return "a whole number of 64 bits"
	case avroFloat, avroDouble:
		return "a number"
	case avroString:
		return "a string or a whole number"
	case avroBytes:
		return "a string"
	case avroFixed:
		return fmt.Sprintf("a string of %d bytes", t.size)
	case avroEnum:
		return "one of " + strings.Join(t.symbols[:min(len(t.symbols), 20)], ", ")
	case avroArray:
		return "a list"
	case avroMap, avroRecord:
		return "an object"
	case avroUnion:
		return t.wantsOneOf()
	}
	return "something else" // unreachable: the kinds are all above
}

func (t *avroType) wantsOneOf() string {
	var all []string
	for _, b := range t.branches[:min(len(t.branches), 20)] {
		all = append(all, b.wants())
	}
	return strings.Join(all, ", or ")
}
