package preprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"

	"verdict/schemas"
)

// maxKey is the longest Ask.Key, in bytes.
const maxKey = 512

// appendKey appends the store's key of the entity that an order has; false when the order lacks one of its fields. The parts of several fields are led by
// their lengths, all but the last: "customer_id,terminal_id:2:42T1". What would be too long is hashed; such a key has no colon, every other one has.
func (g *group) appendKey(dst []byte, fields schemas.Record) ([]byte, bool) {
	key := dst
	key = append(key, g.prefix...)
	for i, path := range g.paths {
		part, ok := fields.At(path).Key()
		if !ok {
			return dst, false
		}
		key = g.appendPart(key, i, part)
	}
	return shortKey(key, len(dst)), true
}

// appendPart appends the value of the group's i-th field.
func (g *group) appendPart(key []byte, i int, part string) []byte {
	if i < len(g.paths)-1 {
		key = append(strconv.AppendInt(key, int64(len(part)), 10), ':')
	}
	return append(key, part...)
}

// shortKey hashes the key that begins at at, if it is too long.
func shortKey(key []byte, at int) []byte {
	if len(key)-at <= maxKey {
		return key
	}
	sum := sha256.Sum256(key[at:])
	return hex.AppendEncode(append(key[:at], '#'), sum[:])
}

// of returns the field as a number; NaN is missing.
func (r *reading) of(fields schemas.Record) float64 {
	v := fields.At(r.path)
	if r.coding == "" {
		return finite(v.Number())
	}
	text, ok := v.Key()
	if !ok && v.Kind() != schemas.String { // the empty string is a string, if no key
		return math.NaN()
	}
	if r.hash > 0 {
		return float64(fnv1a(text) % r.hash)
	}
	if code, ok := r.codes[text]; ok {
		return code
	}
	return r.other
}

// fnv1a is the 64-bit FNV-1a hash: of encode, so that anyone who trains a model can compute it too.
func fnv1a(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
