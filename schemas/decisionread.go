package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"
)

// maxDecisionBytes is the largest record of a decision: some thousand features.
const maxDecisionBytes = 1 << 20

// PublicDecision cuts what the API does not return off a record that AppendDecision wrote. The result shares no memory with raw.
func PublicDecision(raw []byte) ([]byte, error) {
	at := bytes.Index(raw, []byte(inputsKey))
	if at < 0 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		return nil, notADecision()
	}
	public := make([]byte, at+1)
	copy(public, raw[:at])
	public[at] = '}'
	return public, nil
}

// DecisionID returns whose decision a record is that AppendDecision wrote, without reading the rest of it: what a reader of many replies can afford for
// each. The error is a *Malformed.
func DecisionID(raw []byte) (OrderID, error) {
	rest, ok := bytes.CutPrefix(raw, []byte(idKey))
	end := bytes.IndexByte(rest, '"') // an id has no byte that JSON would need escaped
	if !ok || end < 0 || end > MaxOrderID {
		return "", notADecision()
	}
	id := OrderID(rest[:end])
	if !id.Valid() {
		return "", notADecision()
	}
	return id, nil
}

// DecidedAt returns when a decision was made, of a record or its public part, without reading the rest of it; false when raw does not say.
func DecidedAt(raw []byte) (time.Time, bool) {
	const before = 512 // bytes: an id, an action, a score and a time stand before it, none of which can hold its name
	_, rest, ok := bytes.Cut(raw[:min(len(raw), before)], []byte(decidedKey))
	text, _, ended := bytes.Cut(rest, []byte{'"'})
	if !ok || !ended {
		return time.Time{}, false
	}
	decided, err := time.Parse(time.RFC3339Nano, string(text))
	return decided, err == nil
}

func notADecision() *Malformed {
	return &Malformed{Code: "decision_shape", Detail: "is not the record of a decision"}
}

// DecodeDecision reads what AppendDecision wrote, bit for bit; fields that it does not know are passed over. Inputs get a Layout of their own.
// The error is a *Malformed.
func DecodeDecision(raw []byte) (Decision, error) {
	rec, err := decodeJSON(raw, maxDecisionBytes, likeDoubles)
	if err != nil {
		return Decision{}, err
	}
	r := decisionReader{}
	d := r.decision(rec)
	if len(r.faults) > 0 {
		return Decision{}, mismatch("decision_shape", r.faults)
	}
	return d, nil
}

// decisionReader takes a decision out of a record and notes what is not as AppendDecision writes it.
type decisionReader struct{ faults []Fault }

func (r *decisionReader) fault(pointer, detail string) {
	r.faults = append(r.faults, Fault{Pointer: pointer, Detail: detail})
}

func (r *decisionReader) decision(rec Record) Decision {
	d := Decision{
		OrderID:    OrderID(r.text(rec, "", "order_id")),
		Action:     Action(r.optional(rec.Get("action"), "/action")),
		Score:      r.number(rec.Get("score"), "/score"),
		OccurredAt: r.time(rec, "occurred_at"),
		DecidedAt:  r.time(rec, "decided_at"),
		Model:      r.version(rec, "model"),
		Features:   r.version(rec, "features"),
		Policy:     PolicyVersion{Version: r.version(rec, "policy"), Rule: r.optional(rec.Get("policy").Object().Get("rule"), "/policy/rule")},
	}
	for _, v := range r.list(rec, "reasons") {
		o := r.object(v, "/reasons")
		d.Reasons = append(d.Reasons, Reason{
			Feature:      r.text(o, "/reasons", "feature"),
			Value:        r.number(o.Get("value"), "/reasons/value"),
			Contribution: r.number(o.Get("contribution"), "/reasons/contribution"),
		})
	}
	for _, v := range r.list(rec, "degraded") {
		d.Degraded = append(d.Degraded, r.optional(v, "/degraded"))
	}
	for _, v := range r.list(rec, "challengers") {
		o := r.object(v, "/challengers")
		d.Challengers = append(d.Challengers, Challenger{
			Name:    r.text(o, "/challengers", "name"),
			Version: r.text(o, "/challengers", "version"),
			Score:   r.number(o.Get("score"), "/challengers/score"),
		})
	}
	d.Inputs = r.inputs(r.object(rec.Get("inputs"), "/inputs"), d.Features)
	source := r.object(rec.Get("source"), "/source")
	d.Source = Source{Topic: r.text(source, "/source", "topic"), Partition: r.partition(source), Offset: r.whole(source, "/source", "offset")}
	d.Content = r.content(rec)
	return d
}

func (r *decisionReader) inputs(rec Record, features Version) FeatureVector {
	names, values := make([]string, len(rec)), make([]float64, len(rec))
	for i := range rec {
		names[i] = rec[i].Name
		values[i] = r.number(rec[i].Value, "/inputs")
	}
	layout, err := NewLayout(features, names)
	if err != nil {
		r.fault("/inputs", "has a feature twice") // unreachable: JSON with a name twice was refused
	}
	return FeatureVector{Layout: layout, Values: values}
}

func (r *decisionReader) text(rec Record, pointer, name string) string {
	v := rec.Get(name)
	if v.Kind() != String {
		r.fault(pointer+"/"+name, "must be a string")
	}
	return v.Str()
}

// optional is a string, or "" for null.
func (r *decisionReader) optional(v Value, pointer string) string {
	if v.Kind() != String && !v.Missing() {
		r.fault(pointer, "must be a string")
	}
	return v.Str()
}

func (r *decisionReader) number(v Value, pointer string) float64 {
	switch v.Kind() {
	case Missing:
		return math.NaN()
	case Int, Float:
		return v.Number()
	default:
		r.fault(pointer, "must be a number or null")
		return 0
	}
}

func (r *decisionReader) whole(rec Record, pointer, name string) int64 {
	v := rec.Get(name)
	if v.Kind() != Int {
		r.fault(pointer+"/"+name, "must be a whole number")
	}
	return v.Int()
}

func (r *decisionReader) partition(source Record) int32 {
	p := r.whole(source, "/source", "partition")
	if p != int64(int32(p)) {
		r.fault("/source/partition", "is beyond 32 bits")
	}
	return int32(p)
}

func (r *decisionReader) time(rec Record, name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, rec.Get(name).Str())
	if err != nil {
		r.fault("/"+name, "must be an RFC 3339 time")
	}
	return t.UTC()
}

func (r *decisionReader) version(rec Record, name string) Version {
	v := rec.Get(name)
	if v.Missing() {
		return Version{}
	}
	o := r.object(v, "/"+name)
	return Version{Name: r.text(o, "/"+name, "name"), Version: r.text(o, "/"+name, "version"), Hash: r.text(o, "/"+name, "hash")}
}

func (r *decisionReader) object(v Value, pointer string) Record {
	if v.Kind() != Object {
		r.fault(pointer, "must be an object")
	}
	return v.Object()
}

func (r *decisionReader) list(rec Record, name string) []Value {
	v := rec.Get(name)
	if v.Kind() != List {
		r.fault("/"+name, "must be a list")
	}
	return v.List()
}

func (r *decisionReader) content(rec Record) uint64 {
	b, err := hex.DecodeString(rec.Get("content").Str())
	if err != nil || len(b) != 8 {
		r.fault("/content", "must be 16 hex digits")
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
