package schemas

import "strings"

// Malformed says why bytes are not an order, a label or a decision. It is the one error of this package that is the input's fault:
// such a record goes to the dead letters and is never tried again. Its texts name fields, never their contents.
type Malformed struct {
	Code   string  // stable and bounded: json_duplicate, avro_decode, id_format, … (metric label and dead-letter header)
	Detail string  // one line for people
	Faults []Fault // where the fault is known by place; may be empty
}

// Fault is one thing wrong at one place.
type Fault struct {
	Pointer string `json:"pointer"` // JSON pointer (RFC 6901); "" is the whole document
	Detail  string `json:"detail"`
}

// Error returns the detail with its code.
func (m *Malformed) Error() string { return m.Code + ": " + m.Detail }

// Pointer returns the path as an RFC 6901 JSON pointer.
func (p Path) Pointer() string {
	var b strings.Builder
	for _, name := range p {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}
