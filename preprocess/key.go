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

// key returns the store's key of the entity that an order has; false when the order lacks one of its fields. The parts of several fields are led by
// their lengths, all but the last: "customer_id,terminal_id:2:42T1". What would be too long is hashed; such a key has no colon, every other one has.
func (g *group) key(fields schemas.Record) (string, bool) {
	if len(g.paths) == 1 {
		part, ok := fields.At(g.paths[0]).Key()
		return bounded(g.prefix + part), ok
	}
	key := append(make([]byte, 0, 64), g.prefix...)
	for i, path := range g.paths {
		part, ok := fields.At(path).Key()
		if !ok {
			return "", false
		}
		if i < len(g.paths)-1 {
			key = append(strconv.AppendInt(key, int64(len(part)), 10), ':')
		}
		key = append(key, part...)
	}
	return bounded(string(key)), true
}

// bounded returns the key, or a hash of one that is too long.
func bounded(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "#" + hex.EncodeToString(sum[:])
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
