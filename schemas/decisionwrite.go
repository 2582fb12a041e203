package schemas

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendPublic appends the decision as the API returns it: one JSON object, without spaces, always with the same fields in the same order.
func AppendPublic(dst []byte, d *Decision) []byte {
	dst = append(appendPublic(dst, d), '}')
	return dst
}

// AppendDecision appends the record on the topic: the public decision and then inputs (null is missing), source and content.
func AppendDecision(dst []byte, d *Decision) []byte {
	dst = appendInputs(appendPublic(dst, d), &d.Inputs)
	dst = append(dst, `,"source":{"topic":`...)
	dst = appendString(dst, d.Source.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(d.Source.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, d.Source.Offset, 10)
	dst = append(dst, `},"content":"`...)
	dst = appendContent(dst, d.Content)
	return append(dst, `"}`...)
}

// appendInputs writes the feature vector by name.
func appendInputs(dst []byte, v *FeatureVector) []byte {
	dst = append(dst, inputsKey...)
	for i, f := range v.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v.Layout.Names[i])
		dst = append(dst, ':')
		dst = appendNumber(dst, f)
	}
	return append(dst, '}')
}

// inputsKey begins the part of the topic's record that the API does not return. In a string its quotes would be escaped, so it is found by its bytes.
const inputsKey = `,"inputs":{`

// decidedKey stands before the time of the decision.
const decidedKey = `,"decided_at":"`

// idKey begins every record of a decision, up to the id itself.
const idKey = `{"order_id":"`

func appendPublic(dst []byte, d *Decision) []byte {
	dst = append(dst, idKey[:len(idKey)-1]...)
	dst = appendString(dst, string(d.OrderID))
	dst = append(dst, `,"action":`...)
	dst = appendAction(dst, d.Action)
	dst = append(dst, `,"score":`...)
	dst = appendNumber(dst, d.Score)
	dst = append(dst, `,"occurred_at":`...)
	dst = appendTime(dst, d.OccurredAt)
	dst = append(dst, decidedKey[:len(decidedKey)-1]...)
	dst = appendTime(dst, d.DecidedAt)
	dst = append(dst, `,"model":`...)
	dst = appendVersion(dst, d.Model)
	dst = append(dst, `,"features":`...)
	dst = appendVersion(dst, d.Features)
	dst = append(dst, `,"policy":`...)
	dst = appendPolicy(dst, d.Policy)
	dst = append(dst, `,"reasons":[`...)
	for i := range d.Reasons {
		dst = appendReason(appendComma(dst, i), &d.Reasons[i])
	}
	dst = append(dst, `],"degraded":[`...)
	for i, what := range d.Degraded {
		dst = appendString(appendComma(dst, i), what)
	}
	dst = append(dst, `],"challengers":[`...)
	for i := range d.Challengers {
		dst = appendChallenger(appendComma(dst, i), &d.Challengers[i])
	}
	return append(dst, ']')
}

func appendComma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// appendAction writes null for none: no policy decided.
func appendAction(dst []byte, a Action) []byte {
	if a == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, string(a))
}

// appendVersion writes null for nothing: no model was asked, or no policy decided.
func appendVersion(dst []byte, v Version) []byte {
	if v.Name == "" {
		return append(dst, "null"...)
	}
	return append(appendNames(dst, v), '}')
}

func appendPolicy(dst []byte, p PolicyVersion) []byte {
	if p.Name == "" {
		return append(dst, "null"...)
	}
	dst = append(appendNames(dst, p.Version), `,"rule":`...)
	if p.Rule == "" {
		return append(dst, "null}"...)
	}
	return append(appendString(dst, p.Rule), '}')
}

func appendNames(dst []byte, v Version) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, v.Name)
	dst = append(dst, `,"version":`...)
	dst = appendString(dst, v.Version)
	dst = append(dst, `,"hash":`...)
	return appendString(dst, v.Hash)
}

func appendReason(dst []byte, r *Reason) []byte {
	dst = append(dst, `{"feature":`...)
	dst = appendString(dst, r.Feature)
	dst = append(dst, `,"value":`...)
	dst = appendNumber(dst, r.Value)
	dst = append(dst, `,"contribution":`...)
	dst = appendNumber(dst, r.Contribution)
	return append(dst, '}')
}

func appendChallenger(dst []byte, c *Challenger) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, c.Name)
	dst = append(dst, `,"version":`...)
	dst = appendString(dst, c.Version)
	dst = append(dst, `,"score":`...)
	dst = appendNumber(dst, c.Score)
	return append(dst, '}')
}

// appendNumber writes the shortest number that reads back the same, in the form of ECMAScript; null for NaN, and for an infinity, which JSON lacks.
func appendNumber(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return appendExponent(dst, f)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendExponent writes e-9 and not e-09.
func appendExponent(dst []byte, f float64) []byte {
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendTime writes a time in UTC with as many digits of the second as it has, at most six.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999Z")
	return append(dst, '"')
}

func appendContent(dst []byte, content uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], content)
	return hex.AppendEncode(dst, b[:])
}

func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendQuoted(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendQuoted escapes. What is not UTF-8, which no name or id of ours is, becomes U+FFFD, and that is all that the error could say.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
