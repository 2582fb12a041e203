package consumer

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"verdict/schemas"
)

// Headers of our own on a dead letter whose value its topic would not take, and on a record that is tried again.
const (
	HeaderValueBytes = "verdict.error.value_bytes" // how long the value was that is left out, as decimal text
	HeaderBare       = "verdict.error.bare"        // "true" where key and headers are left out as well
	HeaderRetry      = "verdict.retry"             // how often the record has been tried again, as decimal text
	HeaderRetryOf    = "verdict.retry.of"          // topic/partition/offset of the dead letter that this record was
)

// Letter is a dead letter as it lies in its topic.
type Letter struct {
	Record     Record         // as it was read
	Code       string         // HeaderErrorCode; "" on a letter that is not ours
	Detail     string         // HeaderErrorDetail
	Source     schemas.Source // where the record lay that it was made of; no Topic when the letter does not say
	SourceTime time.Time      // of that record; zero when the letter does not say
	Retries    int            // how often that record had been tried again already
	LeftOut    int64          // how many bytes the value had that the dead letters' topic would not take; 0: it is here, whole
	Bare       bool           // the record's key and headers are not here either
	headers    []Header       // that the record came with
}

// ReadLetter takes a record of the dead letters' topic apart. A letter of Kafka Connect's or Spring's is read by their headers.
func ReadLetter(r *Record) Letter {
	d := Letter{Record: *r, headers: slices.Clone(r.Headers)}
	last := make(map[string][]byte, len(r.Headers))
	for i := range r.Headers {
		last[r.Headers[i].Key] = r.Headers[i].Value
	}
	d.Code, d.Detail = string(last[HeaderErrorCode]), string(last[HeaderErrorDetail])
	d.Source = letterSource(last)
	if stamp := last["kafka_dlt-original-timestamp"]; len(stamp) == 8 {
		d.SourceTime = time.UnixMilli(int64(binary.BigEndian.Uint64(stamp))).UTC()
	}
	if n, err := strconv.Atoi(string(last[HeaderRetry])); err == nil && n > 0 {
		d.Retries = n
	}
	if n, err := strconv.ParseInt(string(last[HeaderValueBytes]), 10, 64); err == nil && r.Value == nil {
		d.LeftOut = n
	}
	if n := len(r.Headers); n > 0 && r.Value == nil && r.Headers[n-1].Key == HeaderBare {
		d.Bare, d.headers = true, nil
		return d
	}
	ours := d.ours()
	for at, h := range slices.Backward(r.Headers) { // from the end: what the record came with may bear the same names, and stays
		if ours[h.Key] {
			d.headers = slices.Delete(d.headers, at, at+1)
			ours[h.Key] = false
		}
	}
	return d
}

// ours returns the names of the headers that the letter has beside its record's.
func (l *Letter) ours() map[string]bool {
	names := map[string]bool{HeaderValueBytes: l.LeftOut > 0}
	if l.Code != "" {
		for _, h := range (&letter{record: &Record{}, why: &schemas.Malformed{}}).message().Headers {
			names[h.Key] = true
		}
		return names
	}
	for _, h := range l.headers {
		names[h.Key] = names[h.Key] || strings.HasPrefix(h.Key, "__connect.errors.") || strings.HasPrefix(h.Key, "kafka_dlt-")
	}
	return names
}

// letterSource reads where a letter's record lay.
func letterSource(headers map[string][]byte) schemas.Source {
	if s, ok := ParseSource(string(headers[HeaderOrderSource])); ok {
		return s
	}
	connect := string(headers["__connect.errors.topic"]) + "/" + string(headers["__connect.errors.partition"]) + "/" + string(headers["__connect.errors.offset"])
	if s, ok := ParseSource(connect); ok {
		return s
	}
	topic, partition, offset := headers["kafka_dlt-original-topic"], headers["kafka_dlt-original-partition"], headers["kafka_dlt-original-offset"]
	if len(topic) == 0 || len(partition) != 4 || len(offset) != 8 {
		return schemas.Source{}
	}
	return schemas.Source{Topic: string(topic), Partition: int32(binary.BigEndian.Uint32(partition)), Offset: int64(binary.BigEndian.Uint64(offset))}
}

// ParseSource reads topic/partition/offset.
func ParseSource(text string) (s schemas.Source, ok bool) {
	rest, offset, found := cutLast(text)
	topic, partition, also := cutLast(rest)
	p, bad := strconv.ParseInt(partition, 10, 32)
	o, worse := strconv.ParseInt(offset, 10, 64)
	if !found || !also || topic == "" || bad != nil || worse != nil || p < 0 || o < 0 {
		return schemas.Source{}, false
	}
	return schemas.Source{Topic: topic, Partition: int32(p), Offset: o}, true
}

func cutLast(text string) (before, after string, found bool) {
	at := strings.LastIndexByte(text, '/')
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+1:], true
}

// ID names what the letter is about: the record that it was made of, by its place and time, so that a letter that was written twice has one. The time is in
// it since a topic that is made anew begins to count anew. A letter that does not say where its record lay is about itself.
func (l *Letter) ID() string {
	source, at := l.Source, l.SourceTime
	if source.Topic == "" {
		source, at = l.Position(), l.Record.Time
	}
	id := SourceText(source)
	if !at.IsZero() {
		id += "@" + strconv.FormatInt(at.UnixMilli(), 10)
	}
	return id
}

// Short says whether something of the record is left out, and must be looked up before it can be tried again.
func (l *Letter) Short() bool { return l.LeftOut > 0 || l.Bare }

// Fill puts in what was left out, from what lies where the letter's record lay. It says false, and does nothing, when that is another record.
func (l *Letter) Fill(found *Record) bool {
	same := l.SourceTime.IsZero() || found.Time.Equal(l.SourceTime)
	if !same || found.Value == nil || int64(len(found.Value)) != l.LeftOut || !l.Bare && !bytes.Equal(found.Key, l.Record.Key) {
		return false
	}
	l.Record.Value, l.LeftOut = found.Value, 0
	if l.Bare {
		l.Record.Key, l.headers, l.Bare = found.Key, slices.Clone(found.Headers), false
	}
	return true
}

// Position is where the letter lies.
func (l *Letter) Position() schemas.Source {
	return schemas.Source{Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset}
}

// SourceText writes topic/partition/offset.
func SourceText(s schemas.Source) string {
	return s.Topic + "/" + strconv.Itoa(int(s.Partition)) + "/" + strconv.FormatInt(s.Offset, 10)
}

// Again returns the record that tries the letter's again: key, value and headers as they came, to where it came from, and the headers that say so. The
// headers by which a caller asked for a reply are left out: nobody waits any more. A letter whose value was left out has none to give.
func (l *Letter) Again() Record {
	r := Record{Topic: l.Source.Topic, Partition: l.Source.Partition, Key: l.Record.Key, Value: l.Record.Value}
	for _, h := range l.headers {
		switch h.Key {
		case HeaderReplyTopic, HeaderReplyPartition, HeaderDeadline, HeaderRetry, HeaderRetryOf:
		default:
			r.Headers = append(r.Headers, h)
		}
	}
	r.Headers = append(r.Headers, Header{HeaderRetry, strconv.AppendInt(nil, int64(l.Retries)+1, 10)}, Header{HeaderRetryOf, []byte(SourceText(l.Position()))})
	return r
}
