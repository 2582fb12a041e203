package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// Feature sets share columns. So that the one that keeps less does not drop what another wants, each is registered with what it keeps, and all trim by the
// longest. A set counts while it is at work: it says so again each time that the event time of its orders has moved on by refreshAfter.

// In microseconds of event time.
const (
	refreshAfter = 3600 * 1_000_000
	// rereadAfter is how far event time may move on before the registry is read anew ahead of a call. Without it a process that had nothing to do for long
	// would trim once by what it knew before, though a set that keeps more has registered meanwhile (see Register).
	rereadAfter = 60 * 1_000_000
)

// registered is how a feature set stands in Redis.
type registered struct {
	Newest  int64              `json:"newest"`         // event time of its latest order when this was written, microseconds
	Since   int64              `json:"since,omitzero"` // from which event time on it has had every order, or had them filled in; 0 is all that there are
	Columns []registeredColumn `json:"columns"`
}

type registeredColumn struct {
	Entity     string `json:"entity"`
	Column     string `json:"column"`
	Keep       int64  `json:"keep"` // as all, in microseconds
	Resolution int64  `json:"resolution,omitzero"`
	HalfLife   int64  `json:"half_life,omitzero"`
	Distinct   bool   `json:"distinct,omitzero"`
}

func (c *registeredColumn) use() preprocess.ColumnUse {
	use := preprocess.ColumnUse{Entity: c.Entity, Column: c.Column, Keep: time.Duration(c.Keep) * time.Microsecond}
	if c.Resolution > 0 {
		use.Merge = &preprocess.Merging{Resolution: c.Resolution, HalfLife: c.HalfLife, Distinct: c.Distinct}
	}
	return use
}

// registry is what a Store knows of it.
type registry struct {
	key string
	set string // "" without
	own registered
	lag int64 // microseconds

	mu     sync.Mutex
	newest int64                 // guarded by mu; event time of the latest visit
	readAt int64                 // guarded by mu; newest when it was read last
	text   map[string]string     // guarded by mu; :: set → as it was read; nil: not read yet
	all    map[string]registered // guarded by mu; the same
	keeps  *retention            // guarded by mu; nil: all is to be looked at again. It is never changed once it is here
}

func newRegistry(prefix, set string, columns []preprocess.ColumnUse, lag time.Duration) *registry {
	r := &registry{key: prefix + "sets", set: set, lag: lag.Microseconds()}
	for _, c := range columns {
		column := registeredColumn{Entity: c.Entity, Column: c.Column, Keep: c.Keep.Microseconds()}
		if c.Merge != nil {
			column.Resolution, column.HalfLife, column.Distinct = c.Merge.Resolution, c.Merge.HalfLife, c.Merge.Distinct
		}
		r.own.Columns = append(r.own.Columns, column)
	}
	return r
}

// longest is the longest that a set keeps anything.
func (r *registered) longest() int64 {
	longest := int64(0)
	for _, c := range r.Columns {
		longest = max(longest, c.Keep)
	}
	return longest
}

// live says whether a set is at work when time is at newest.
func (r *registered) live(newest, lag int64) bool { return newest-r.Newest <= r.longest()+lag }

// retention is how long columns are kept, by all the sets that are at work. Nil knows of none.
type retention struct {
	most    int64
	columns map[string]map[string]int64 // :: entity → column, "" for its labels → microseconds
}

func newRetention() *retention { return &retention{columns: make(map[string]map[string]int64)} }

func (k *retention) add(set *registered) {
	for _, c := range set.Columns {
		if k.columns[c.Entity] == nil {
			k.columns[c.Entity] = make(map[string]int64)
		}
		k.columns[c.Entity][c.Column] = max(k.columns[c.Entity][c.Column], c.Keep)
		k.most = max(k.most, c.Keep)
	}
}

// longest is the longest that anything is kept.
func (k *retention) longest() int64 {
	if k == nil {
		return 0
	}
	return k.most
}

// of is how long a column is kept of the entity that a key is of.
func (k *retention) of(key, column string) int64 {
	if k == nil {
		return 0
	}
	at := strings.IndexByte(key, ':')
	if at >= 0 {
		return k.columns[key[:at+1]][column]
	}
	longest := int64(0) // the key was hashed, so it may be of any entity
	for _, columns := range k.columns {
		longest = max(longest, columns[column])
	}
	return longest
}

// retention returns what the registry says, as it was read last: by the call before, unless that was long before newest, the latest event time of the call
// at hand. The first call of a process reads it by itself.
func (s *Store) retention(ctx context.Context, newest int64) (*retention, error) {
	r := s.sets
	if r.set == "" {
		return nil, nil //nolint:nilnil // a nil retention is one that knows of no sets
	}
	r.mu.Lock()
	known := r.text != nil && newest <= r.readAt+rereadAfter
	r.mu.Unlock()
	if !known {
		cmd := redis.NewRawCmd(ctx, "hgetall", r.key)
		if err := s.exec(ctx, 1, []redis.Cmder{cmd}); err != nil {
			return nil, err
		}
		if err := s.readSets(cmd); err != nil {
			return nil, fmt.Errorf("reading which feature sets there are: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current(), nil
}

// current is called with mu held.
func (r *registry) current() *retention {
	if r.keeps != nil {
		return r.keeps
	}
	k := newRetention()
	k.add(&r.own)
	for _, set := range r.all {
		if set.live(r.newest, r.lag) {
			k.add(&set)
		}
	}
	r.keeps = k
	return k
}

// register queues the reading of the registry, and before it, when it is time, what this Store's set keeps. Sets that are at work no more are taken out.
func (s *Store) register(ctx context.Context, b *batch) *redis.RawCmd {
	r := s.sets
	if r.set == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b.visits {
		r.newest = max(r.newest, b.visits[i].At)
	}
	if own, known := r.all[r.set]; !known || r.newest-own.Newest >= refreshAfter || !slices.Equal(own.Columns, r.own.Columns) {
		r.keeps = nil // others may be at work no more
		b.do(ctx, "hset", r.key, r.set, r.entry())
		for set, other := range r.all {
			if set != r.set && !other.live(r.newest, r.lag) {
				b.do(ctx, "hdel", r.key, set)
			}
		}
		b.do(ctx, "pexpire", r.key, s.ttl(r.current().longest()))
	}
	return b.raw(ctx, "hgetall", r.key)
}

// entry is this Store's set as it is to stand in Redis. It is called with mu held.
func (r *registry) entry() []byte {
	own := r.own
	before, known := r.all[r.set]
	own.Newest, own.Since = max(r.newest, before.Newest), before.Since
	if !known || !slices.Equal(before.Columns, own.Columns) {
		own.Since = own.Newest // it begins here
	}
	text, err := json.Marshal(&own)
	if err != nil {
		panic(err) // unreachable: names in a feature set are read from YAML, so they are UTF-8
	}
	return text
}

// readSets takes the registry in. Mostly it is as it was.
func (s *Store) readSets(cmd *redis.RawCmd) error {
	if cmd == nil {
		return nil
	}
	text, err := readPairs(cmd)
	if err != nil {
		return err
	}
	r := s.sets
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readAt = r.newest
	if r.text != nil && maps.Equal(r.text, text) {
		return nil
	}
	all, err := parseSets(text)
	if err != nil {
		return err
	}
	r.text, r.all, r.keeps = text, all, nil
	return nil
}

func parseSets(text map[string]string) (map[string]registered, error) {
	all := make(map[string]registered, len(text))
	for set, entry := range text {
		var one registered
		if err := json.Unmarshal([]byte(entry), &one); err != nil {
			return nil, errCorrupt
		}
		all[set] = one
	}
	return all, nil
}

// Sets returns the feature sets that are registered in Redis, those which are long out of work excepted: by hash, what each keeps.
func (s *Store) Sets(ctx context.Context) (map[string][]preprocess.ColumnUse, error) {
	all, err := s.registered(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading which feature sets there are: %w", err)
	}
	out := make(map[string][]preprocess.ColumnUse, len(all))
	for set, one := range all {
		for _, c := range one.Columns {
			out[set] = append(out[set], c.use())
		}
	}
	return out, nil
}

// registered reads the sets that are at work.
func (s *Store) registered(ctx context.Context) (map[string]registered, error) {
	cmd := redis.NewRawCmd(ctx, "hgetall", s.sets.key)
	if err := s.exec(ctx, 1, []redis.Cmder{cmd}); err != nil {
		return nil, err
	}
	text, err := readPairs(cmd)
	if err != nil {
		return nil, err
	}
	all, err := parseSets(text)
	if err != nil {
		return nil, err
	}
	newest := int64(never)
	for _, set := range all {
		newest = max(newest, set.Newest)
	}
	maps.DeleteFunc(all, func(_ string, set registered) bool { return !set.live(newest, s.sets.lag) })
	return all, nil
}

// readPairs reads a small hash.
func readPairs(cmd *redis.RawCmd) (map[string]string, error) {
	members, err := readStrings(cmd)
	if err != nil {
		return nil, err
	}
	pairs := make(map[string]string, len(members)/2)
	for ; len(members) > 1; members = members[2:] {
		pairs[members[0]] = members[1]
	}
	return pairs, nil
}
