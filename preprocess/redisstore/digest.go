package redisstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// StateDigest tells two states apart.
type StateDigest struct {
	SHA256 [sha256.Size]byte

	// How much there is of each kind that has a part in it.
	Orders    int // claims on ids
	Labels    int // orders with labels
	Decisions int // first decisions (the ledger's)
	Columns   int // of entities, that have any points
	Points    int // in them
	Marks     int
	Merged    int // parts of merged columns, one for each source
}

// Digest reads all that lies under the Store's prefix, on each server of a cluster, and returns what tells the state apart from any other: it is equal for
// two databases that were brought to the same state by the same orders and labels, however these were cut into polls, and whatever was delivered again.
//
// Claims on ids, versions of labels and where they belong, marks, points, the parts of merged columns, and the ledger's first decisions have a part in it.
// How long keys live, and which feature sets are registered, have none. Neither has what is of no use and only waits to be dropped: points of an entity's
// column, and marks, that are older than its newest point by more than any registered feature set keeps them; points that repeats have left behind; and
// older versions of merged parts. Where no set is registered nothing is too old.
//
// It takes about 24 bytes of memory for each key. While orders are coming it is of no moment: what it read first is then older than what it read last.
func (s *Store) Digest(ctx context.Context) (StateDigest, error) {
	sets, err := s.registered(ctx)
	if err != nil {
		return StateDigest{}, fmt.Errorf("reading which feature sets there are: %w", err)
	}
	t := &teller{store: s, newest: make(map[string]int64), marks: make(map[string]string)}
	if len(sets) > 0 {
		t.keeps = newRetention()
		for _, set := range sets {
			t.keeps.add(&set)
		}
	}
	nodes, err := nodesOf(ctx, s.client)
	if err != nil {
		return StateDigest{}, fmt.Errorf("finding the servers of the cluster: %w", err)
	}
	for _, node := range nodes {
		if err := t.scan(ctx, node); err != nil {
			return StateDigest{}, fmt.Errorf("reading all keys: %w", err)
		}
	}
	if err := t.tellMarks(ctx); err != nil {
		return StateDigest{}, fmt.Errorf("reading all marks: %w", err)
	}
	return t.sum(), nil
}

// nodesOf returns a client for each server that holds keys.
func nodesOf(ctx context.Context, client redis.UniversalClient) ([]redis.UniversalClient, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return []redis.UniversalClient{client}, nil
	}
	var mu sync.Mutex
	var nodes []redis.UniversalClient
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { // at the same time for all
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	})
	return nodes, err
}

// teller makes a digest.
type teller struct {
	store  *Store
	keeps  *retention // nil: nothing is too old
	told   []tale
	newest map[string]int64  // :: entity → its newest point
	marks  map[string]string // :: key of marks → entity; they are told last, when the newest point is known
}

// tale is a key with what it holds.
type tale struct {
	digest [16]byte
	kind   kind
	many   int32 // of what is counted
}

// kind is what a key holds.
type kind byte

const (
	ofClaim    kind = 'o'
	ofWider    kind = 'x'
	ofLabels   kind = 'l'
	ofDecision kind = 'd' // consumer.RedisLedger writes them
	ofColumn   kind = 'c'
	ofMerged   kind = 'm'
	ofMarks    kind = 'k'
	ofNobody   kind = 0
)

// kindOf tells a key's kind from what follows the prefix, and for columns and marks the entity (as it is quoted) and the column.
func kindOf(rest string) (k kind, entity, column string) {
	if strings.HasPrefix(rest, "{") {
		entity, column, found := strings.Cut(rest[1:], "}:")
		switch {
		case !found:
			return ofNobody, "", ""
		case column == "l":
			return ofMarks, entity, ""
		case strings.HasPrefix(column, "c:"):
			return ofColumn, entity, column[2:]
		case strings.HasPrefix(column, "m:"):
			return ofMerged, entity, column[2:]
		}
		return ofNobody, "", ""
	}
	if len(rest) > 3 && rest[1:3] == ":{" && strings.IndexByte("oxld", rest[0]) >= 0 {
		return kind(rest[0]), "", ""
	}
	return ofNobody, "", ""
}

// scanned is how many keys are asked for, and read, at once.
const scanned = 500

func (t *teller) scan(ctx context.Context, node redis.UniversalClient) error {
	pattern := escapeGlob(t.store.prefix) + "*"
	for cursor := uint64(0); ; {
		page, cancel := context.WithTimeout(ctx, t.store.timeout+scanned*visitTimeout)
		keys, next, err := node.Scan(page, cursor, pattern, scanned).Result()
		cancel()
		if err != nil {
			return err
		}
		if err := t.tell(ctx, keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "^", `\^`).Replace(s)
}

// tell reads and digests keys of all kinds but marks.
func (t *teller) tell(ctx context.Context, keys []string) error {
	var p pipeline
	replies := make([]*redis.RawCmd, len(keys))
	for i, key := range keys {
		switch k, entity, _ := kindOf(key[len(t.store.prefix):]); k {
		case ofClaim, ofDecision:
			replies[i] = p.raw(ctx, "get", key)
		case ofWider, ofLabels:
			replies[i] = p.raw(ctx, "smembers", key)
		case ofColumn:
			replies[i] = p.raw(ctx, "zrange", key, 0, -1)
		case ofMerged:
			replies[i] = p.raw(ctx, "hgetall", key)
		case ofMarks:
			t.marks[key] = entity
		case ofNobody:
		}
	}
	if err := t.store.exec(ctx, len(keys), p.cmds); err != nil {
		return err
	}
	for i, key := range keys {
		if replies[i] == nil {
			continue
		}
		if err := t.tellKey(key, replies[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) tellKey(key string, reply *redis.RawCmd) error {
	name := key[len(t.store.prefix):]
	k, entity, column := kindOf(name)
	switch k {
	case ofClaim, ofDecision:
		value, found, err := bulk(reply)
		if err != nil || !found { // it has expired meanwhile
			return err
		}
		t.add(k, 1, name, value)
		return nil
	case ofWider, ofLabels:
		members, err := readStrings(reply)
		if err != nil || len(members) == 0 {
			return err
		}
		slices.Sort(members)
		t.add(k, 1, name, members...)
		return nil
	case ofMerged:
		return t.tellMerged(name, entity, reply)
	default:
		return t.tellColumn(name, entity, column, reply)
	}
}

func (t *teller) tellColumn(name, entity, column string, reply *redis.RawCmd) error {
	members, err := readStrings(reply)
	if err != nil || len(members) == 0 {
		return err
	}
	points, refs := make([]preprocess.Point, len(members)), make([]preprocess.Ref, len(members))
	texts := make(map[pointKey]string, len(members)) // so that what is told is what stands there
	for i, m := range members {
		points[i].Ref = &refs[i]
		if !readPoint(&points[i], m, column != ordersAlone) {
			return errCorrupt
		}
		if k := keyOf(&points[i]); texts[k] == "" {
			texts[k] = m
		}
	}
	d := dedup{seed: t.store.seed}
	points = d.clean(points)
	newest := points[len(points)-1].At
	t.touch(entity, newest)
	oldest := t.oldest(entity, column, newest)
	points = slices.DeleteFunc(points, func(p preprocess.Point) bool { return p.At < oldest })
	members = members[:0]
	for i := range points {
		members = append(members, texts[keyOf(&points[i])])
	}
	t.add(ofColumn, len(members), name, members...)
	return nil
}

// pointKey tells the points of a column apart, but for those of one arrival that have two values; of these the first stands.
type pointKey struct {
	at      int64
	id      string
	arrival preprocess.Arrival
}

func keyOf(p *preprocess.Point) pointKey { return pointKey{p.At, string(p.ID), p.Arrival} }

// touch notes that an entity has a point of that time.
func (t *teller) touch(entity string, at int64) {
	if newest, known := t.newest[entity]; !known || at > newest {
		t.newest[entity] = at
	}
}

// oldest is the time before which nothing of a column is wanted any more.
func (t *teller) oldest(entity, column string, newest int64) int64 {
	if t.keeps == nil {
		return math.MinInt64
	}
	keep := t.keeps.of(unquote(entity), column)
	if keep == 0 { // of a set that is registered no more, or of none
		return math.MinInt64
	}
	return newest - keep
}

// unquote is the reverse of quote.
func unquote(entity string) string {
	return strings.NewReplacer("%25", "%", "%7D", "}").Replace(entity)
}

func (t *teller) tellMerged(name, entity string, reply *redis.RawCmd) error {
	sources, err := sourcesOf(reply)
	if err != nil {
		return err
	}
	for _, s := range sources {
		p := s.newest()
		// Whatever the resolution, points come first and at the end is the newest.
		d := decoder{rest: p.blob}
		if d.byte() != mergedVersion {
			return errCorrupt
		}
		points := d.points(s.number)
		if d.bad {
			return errCorrupt
		}
		if len(points) > 0 {
			t.touch(entity, points[len(points)-1].At)
		}
		t.add(ofMerged, 1, name, mergedField(s.number, p.offset), p.blob)
	}
	return nil
}

// tellMarks reads and digests all marks.
func (t *teller) tellMarks(ctx context.Context) error {
	keys := make([]string, 0, scanned)
	flush := func() error {
		var p pipeline
		replies := make([]*redis.RawCmd, len(keys))
		for i, key := range keys {
			replies[i] = p.raw(ctx, "zrange", key, 0, -1)
		}
		if err := t.store.exec(ctx, len(keys), p.cmds); err != nil {
			return err
		}
		for i, key := range keys {
			if err := t.tellMark(key, replies[i]); err != nil {
				return err
			}
		}
		keys = keys[:0]
		return nil
	}
	for key := range t.marks {
		if keys = append(keys, key); len(keys) == scanned {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (t *teller) tellMark(key string, reply *redis.RawCmd) error {
	members, err := readStrings(reply)
	if err != nil {
		return err
	}
	entity := t.marks[key]
	oldest := int64(math.MinInt64)
	if newest, known := t.newest[entity]; known {
		oldest = t.oldest(entity, "", newest)
	}
	var m preprocess.Mark
	live := members[:0]
	for _, member := range members {
		if !readMark(&m, member) {
			return errCorrupt
		}
		if m.At >= oldest {
			live = append(live, member)
		}
	}
	if len(live) > 0 {
		t.add(ofMarks, len(live), key[len(t.store.prefix):], live...)
	}
	return nil
}

// add digests a key with what it holds.
func (t *teller) add(k kind, many int, name string, values ...string) {
	h := sha256.New()
	frame(h, name)
	for _, v := range values {
		frame(h, v)
	}
	one := tale{kind: k, many: int32(min(many, math.MaxInt32))}
	copy(one.digest[:], h.Sum(nil))
	t.told = append(t.told, one)
}

// frame writes a string so that where it ends is told too.
func frame(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// sum makes one digest of all. SCAN may have told a key more than once.
func (t *teller) sum() StateDigest {
	slices.SortFunc(t.told, func(a, b tale) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	t.told = slices.Compact(t.told)
	var d StateDigest
	h := sha256.New()
	for i := range t.told {
		h.Write(t.told[i].digest[:])
		many := int(t.told[i].many)
		switch t.told[i].kind {
		case ofClaim:
			d.Orders += many
		case ofLabels:
			d.Labels += many
		case ofDecision:
			d.Decisions += many
		case ofColumn:
			d.Columns++
			d.Points += many
		case ofMarks:
			d.Marks += many
		case ofMerged:
			d.Merged += many
		case ofWider, ofNobody:
		}
	}
	copy(d.SHA256[:], h.Sum(nil))
	return d
}
