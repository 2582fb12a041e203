package preprocess

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"verdict/schemas"
)

// Subject is one entity, such as a customer, and whatever else is kept by its fields: the pairs that the customer is a part of.
type Subject struct {
	key    string
	fields []string // as they stand in keys
	values []string // side by side with fields
}

// Subject returns the entity of that name in this set, by the values of its fields, as they stand in orders (an integer in decimal).
func (f *FeatureSet) Subject(entity string, values ...string) (Subject, error) {
	names := make(map[string]*group, len(f.entities))
	for _, e := range f.entities {
		names[e.name] = &f.groups[e.group]
	}
	g, known := names[entity]
	if !known {
		all := slices.Sorted(maps.Keys(names))
		return Subject{}, fmt.Errorf("the features have no entity %s%s: %s", entity, schemas.Meant(entity, all), strings.Join(all, ", "))
	}
	if len(values) != len(g.paths) {
		return Subject{}, fmt.Errorf("the key of %s is made of %d fields, and %d values are given", entity, len(g.paths), len(values))
	}
	key := []byte(g.prefix)
	for i, value := range values {
		if value == "" {
			return Subject{}, errors.New("an empty value is no key")
		}
		key = g.appendPart(key, i, value)
	}
	return Subject{key: string(shortKey(key, 0)), fields: strings.Split(strings.TrimSuffix(g.prefix, ":"), ","), values: values}, nil
}

// Key is the entity's Ask.Key.
func (s Subject) Key() string { return s.key }

// Part is a text that every key has which In may say yes to; but for the entity's own, if that is so long that it is hashed.
func (s Subject) Part() string { return s.values[0] }

// In says whether what is kept under an Ask.Key is kept by the entity's fields and values, and by others maybe. Of a key that is hashed only the entity's own can
// be told.
func (s Subject) In(key string) bool {
	if key == s.key {
		return true
	}
	prefix, rest, found := strings.Cut(key, ":")
	if !found {
		return false
	}
	fields := strings.Split(prefix, ",")
	values := make([]string, len(fields))
	for i := range len(fields) - 1 {
		digits, after, _ := strings.Cut(rest, ":")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 || n > len(after) {
			return false
		}
		values[i], rest = after[:n], after[n:]
	}
	values[len(values)-1] = rest
	for i, field := range s.fields {
		if at := slices.Index(fields, field); at < 0 || values[at] != s.values[i] {
			return false
		}
	}
	return true
}
