//go:build synctests

package main_test

import (
	"time"

	"github.com/alicebob/miniredis/v2"

	"verdict/cmd/verdict/internal/virtual"
)

// backup is what a Redis held at a moment.
type backup struct {
	texts  map[string]string
	hashes map[string]map[string]string
	sets   map[string][]string
	sorted map[string]map[string]float64
	ttl    map[string]time.Duration
}

// still is for how long nothing reaches Redis before it is looked at from within, so that it has done all that has.
const still = time.Second / 100

// backup copies what Redis holds, between two of its commands.
func (w *world) backup() *backup {
	silent := &virtual.Rule{On: toRedis, Hold: true}
	w.net.Add(silent)
	defer w.net.Remove(silent)
	time.Sleep(still)
	b := &backup{map[string]string{}, map[string]map[string]string{}, map[string][]string{}, map[string]map[string]float64{}, map[string]time.Duration{}}
	m := w.redis
	for _, key := range m.Keys() {
		b.ttl[key] = m.TTL(key)
		var err error
		switch m.Type(key) {
		case "string":
			b.texts[key], err = m.Get(key)
		case "hash":
			b.hashes[key], err = hashOf(m, key)
		case "set":
			b.sets[key], err = m.Members(key)
		case "zset":
			b.sorted[key], err = m.SortedSet(key)
		default:
			w.t.Errorf("a key is of type %s, which is not copied", m.Type(key))
		}
		if err != nil {
			w.t.Error(err)
		}
	}
	return b
}

func hashOf(m *miniredis.Miniredis, key string) (map[string]string, error) {
	fields, err := m.HKeys(key)
	out := make(map[string]string, len(fields))
	for _, f := range fields {
		out[f] = m.HGet(key, f)
	}
	return out, err
}

// restore has Redis hold what it held, with all connections to it broken.
func (w *world) restore(b *backup) {
	away := &virtual.Rule{On: toRedis, Refuse: true}
	w.net.Add(away)
	defer w.net.Remove(away)
	w.net.Cut(toRedis)
	time.Sleep(still)
	m := w.redis
	m.FlushAll()
	for key, text := range b.texts {
		_ = m.Set(key, text)
	}
	for key, hash := range b.hashes {
		for field, value := range hash {
			m.HSet(key, field, value)
		}
	}
	for key, members := range b.sets {
		_, _ = m.SAdd(key, members...)
	}
	for key, members := range b.sorted {
		for member, score := range members {
			_, _ = m.ZAdd(key, score, member)
		}
	}
	for key, ttl := range b.ttl {
		if ttl > 0 {
			m.SetTTL(key, ttl)
		}
	}
}
