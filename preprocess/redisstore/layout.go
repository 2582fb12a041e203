package redisstore

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"verdict/preprocess"
	"verdict/schemas"
)

// What lies where. <id> and <key> stand in braces, so that in a cluster all that belongs to an order, or to an entity, lies on one node:
//
//	<prefix>o:{<id>}              string  the visit that holds the id
//	<prefix>x:{<id>}              set     entities under which later feature sets want the order's labels too
//	<prefix>l:{<id>}              set     versions of its label, as integers: Redis packs small sets of integers into 8 bytes each
//	<prefix>{<key>}:c:<column>    zset    points, by event time
//	<prefix>{<key>}:m:<column>    hash    a merged column: <source>:<offset> → what is kept of that source's orders up to that offset (blob.go):
//	                                       the furthest counts, and orders that come again need an earlier one (rewind.go); empty: of no use any more,
//	                                       until the next one is written
//	<prefix>{<key>}:l             zset    marks, by event time of the order
//	<prefix>sets                  hash    feature sets: its hash → what it keeps, and when it was last at work (sets.go)
//
// And what is no state, by which a loss of state is noticed and made good (guard.go, bulletin.go):
//
//	<prefix>fence:{<part>}:<writer>    string  how many pipelines a process has sent
//	<prefix>at:{<topic>/<partition>}   string  up to which offset everything is in the store, and when that was written
//	<prefix>whole:{<part>}             string  the store is whole: a name that is never used twice
//	<prefix>repair, <prefix>workers    string, hash  who fills the store again, and who works on it
//
// Members of a zset begin with the order's id and a zero byte, less than any byte of an id, so that Redis returns members of one time in the order of
// their ids. They repeat the time, which is their score: Redis 7.0 spends longer on writing a score than on all the rest of a point.
//
// A change of what members or values look like needs another letter, or prefix, since processes of two versions may share a database.

// quote makes a key safe to stand in braces: the first closing brace ends what a cluster hashes. An empty one would not be hashed at all.
func quote(key string) string {
	if key == "" {
		return "%"
	}
	if !strings.ContainsAny(key, "}%") {
		return key
	}
	return strings.NewReplacer("%", "%25", "}", "%7D").Replace(key)
}

func (s *Store) claimKey(id schemas.OrderID) string  { return s.prefix + "o:{" + string(id) + "}" }
func (s *Store) widerKey(id schemas.OrderID) string  { return s.prefix + "x:{" + string(id) + "}" }
func (s *Store) labelsKey(id schemas.OrderID) string { return s.prefix + "l:{" + string(id) + "}" }
func (s *Store) columnKey(key, column string) string {
	return s.prefix + "{" + quote(key) + "}:c:" + column
}

func (s *Store) mergedKey(key, column string) string {
	return s.prefix + "{" + quote(key) + "}:m:" + column
}

func (s *Store) marksKey(key string) string { return s.prefix + "{" + quote(key) + "}:l" }

var errCorrupt = errors.New("it holds bytes that are not ours")

// appendPoint writes id, zero, time, value (not in the column of orders alone), arrival.
func appendPoint(dst []byte, v *preprocess.Visit, ask *preprocess.Ask) []byte {
	dst = append(dst, v.ID...)
	if bugIncr {
		dst = strconv.AppendUint(append(dst, '#'), rand.Uint64(), 36) //nolint:gosec // G404: tells one time from another
	}
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.At))
	if ask.Column != ordersAlone {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(ask.Value))
	}
	return appendArrival(dst, v.Arrival, v.At)
}

// ordersAlone is the column without values.
const ordersAlone = "*"

// readPoint is the reverse of appendPoint, into a point that has a Ref. The id is a part of member.
func readPoint(p *preprocess.Point, member string, valued bool) bool {
	id, rest, found := strings.Cut(member, "\x00")
	p.ID, p.Value = schemas.OrderID(id), 0
	if !found || len(rest) < 8 {
		return false
	}
	p.At, rest = int64(bigEndian(rest)), rest[8:]
	if valued {
		if len(rest) < 8 {
			return false
		}
		p.Value, rest = math.Float64frombits(bigEndian(rest)), rest[8:]
	}
	var ok bool
	p.Arrival, rest, ok = readArrival(rest, p.At)
	return ok && rest == ""
}

// appendArrival writes the milliseconds as a difference to the event time, which is mostly small.
func appendArrival(dst []byte, a preprocess.Arrival, at int64) []byte {
	dst = binary.AppendVarint(dst, a.Millis-at/1000)
	dst = binary.AppendVarint(dst, int64(a.Source))
	return binary.AppendVarint(dst, a.Offset)
}

func readArrival(s string, at int64) (preprocess.Arrival, string, bool) {
	millis, s, ok1 := varint(s)
	source, s, ok2 := varint(s)
	offset, s, ok3 := varint(s)
	return preprocess.Arrival{Millis: millis + at/1000, Source: int32(source), Offset: offset}, s, ok1 && ok2 && ok3 && source == int64(int32(source))
}

// appendMark writes id, zero, known, fraud, time: so that marks of one order sort by known, then fraud.
func appendMark(dst []byte, m preprocess.Mark) []byte {
	dst = append(append(dst, m.ID...), 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Known)^1<<63)
	fraud := byte(0)
	if m.Fraud {
		fraud = 1
	}
	return binary.BigEndian.AppendUint64(append(dst, fraud), uint64(m.At))
}

func readMark(m *preprocess.Mark, member string) bool {
	n := strings.IndexByte(member, 0)
	if n < 0 || len(member) != n+18 || member[n+9] > 1 {
		return false
	}
	*m = preprocess.Mark{ID: schemas.OrderID(member[:n]), Known: int64(bigEndian(member[n+1:]) ^ 1<<63), Fraud: member[n+9] == 1, At: int64(bigEndian(member[n+10:]))}
	return true
}

// claim is what is kept of the visit that holds an id.
type claim struct {
	at       int64
	arrival  preprocess.Arrival
	content  uint64
	labelled []string
}

func appendClaim(dst []byte, v *preprocess.Visit) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.At))
	dst = binary.BigEndian.AppendUint64(dst, v.Content)
	dst = appendArrival(dst, v.Arrival, v.At)
	for _, key := range v.Labelled {
		dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
	}
	return dst
}

func readClaim(s string) (c claim, ok bool) {
	if len(s) < 16 {
		return c, false
	}
	c.at, c.content = int64(bigEndian(s)), bigEndian(s[8:])
	if c.arrival, s, ok = readArrival(s[16:], c.at); !ok {
		return c, false
	}
	for s != "" {
		n, rest, ok := uvarint(s)
		if !ok || n > uint64(len(rest)) {
			return c, false
		}
		c.labelled, s = append(c.labelled, rest[:n]), rest[n:]
	}
	return c, true
}

// version is one version of a label as an integer: when it was known, twice, and 1 for fraud.
type version int64

func newVersion(l *schemas.Label) version {
	v := version(l.KnownAt.UnixMicro() << 1)
	if l.Fraud {
		v |= 1
	}
	return v
}

func (v version) known() int64 { return int64(v >> 1) }
func (v version) fraud() bool  { return v&1 == 1 }

func bigEndian(s string) uint64 {
	_ = s[7]
	return uint64(s[7]) | uint64(s[6])<<8 | uint64(s[5])<<16 | uint64(s[4])<<24 | uint64(s[3])<<32 | uint64(s[2])<<40 | uint64(s[1])<<48 | uint64(s[0])<<56
}

// uvarint and varint are encoding/binary's, on a string.
func uvarint(s string) (x uint64, rest string, ok bool) {
	if s != "" && s[0] < 0x80 {
		return uint64(s[0]), s[1:], true
	}
	for i, shift := 0, 0; i < len(s) && i < binary.MaxVarintLen64; i, shift = i+1, shift+7 {
		b := s[i]
		if b < 0x80 {
			return x | uint64(b)<<shift, s[i+1:], i < binary.MaxVarintLen64-1 || b <= 1
		}
		x |= uint64(b&0x7f) << shift
	}
	return 0, "", false
}

func varint(s string) (x int64, rest string, ok bool) {
	u, rest, ok := uvarint(s)
	return int64(u>>1) ^ -int64(u&1), rest, ok
}
