package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/schemas"
)

// earlyMark is a mark put by a visit of this batch, or by a label whose order is known.
type earlyMark struct {
	preprocess.Mark

	key   string // of the entity
	visit int
}

// learn keeps at most maxVisits labels: first the versions, reading who holds the ids; then, where that is known, the marks.
func (s *Store) learn(ctx context.Context, labels []schemas.Label) error {
	keeps, err := s.retention(ctx, never)
	if err != nil {
		return err
	}
	b := &batch{store: s, idTTL: s.ttl(keeps.longest())}
	versions, claims, wider := make([]*redis.RawCmd, len(labels)), make([]*redis.RawCmd, len(labels)), make([]*redis.RawCmd, len(labels))
	for i := range labels {
		key := s.labelsKey(labels[i].ID)
		b.do(ctx, "sadd", key, int64(newVersion(&labels[i])))
		b.do(ctx, "pexpire", key, b.idTTL)
		versions[i] = b.raw(ctx, "smembers", key)
		claims[i] = b.raw(ctx, "get", s.claimKey(labels[i].ID))
		wider[i] = b.raw(ctx, "smembers", s.widerKey(labels[i].ID))
	}
	if err := s.exec(ctx, len(labels), b.cmds); err != nil {
		return err
	}
	for i := range labels {
		if err := b.place(labels[i].ID, versions[i], claims[i], wider[i]); err != nil {
			return err
		}
	}
	b.next()
	b.putMarks(ctx)
	return s.exec(ctx, len(labels), b.cmds)
}

// place finds where the versions of an order's label belong, if the order has come.
func (b *batch) place(id schemas.OrderID, versions, held, wider *redis.RawCmd) error {
	all, fraud, err := readVersions(versions)
	if err != nil {
		return fmt.Errorf("reading the versions of a label: %w", err)
	}
	value, come, err := bulk(held)
	if err != nil {
		return fmt.Errorf("reading the claim on an order's id: %w", err)
	}
	more, err := readStrings(wider)
	if err != nil {
		return fmt.Errorf("reading the entities of an order's label: %w", err)
	}
	if !come || !fraud {
		return nil
	}
	c, ok := readClaim(value)
	if !ok {
		return fmt.Errorf("reading the claim on an order's id: %w", errCorrupt)
	}
	b.addEarly(0, id, c.at, append(c.labelled, more...), all)
	return nil
}

// readLabels finds the labels that were there before the orders of this batch.
func (b *batch) readLabels() error {
	for i := range b.visits {
		if b.labels[i] == nil || !b.holds(i) {
			continue
		}
		all, fraud, err := readVersions(b.labels[i])
		if err != nil {
			return fmt.Errorf("reading the versions of a label: %w", err)
		}
		if fraud {
			b.addEarly(i, b.visits[i].ID, b.visits[i].At, b.visits[i].Labelled, all)
		}
	}
	return nil
}

// addEarly notes marks: all versions, since one that says "not fraud" may be the later by when it was known.
func (b *batch) addEarly(visit int, id schemas.OrderID, at int64, keys []string, versions []version) {
	for _, key := range keys {
		for _, v := range versions {
			b.early = append(b.early, earlyMark{preprocess.Mark{At: at, ID: id, Known: v.known(), Fraud: v.fraud()}, key, visit})
		}
	}
}

// putMarks queues the writing of early marks, an entity's at once.
func (b *batch) putMarks(ctx context.Context) {
	slices.SortStableFunc(b.early, func(x, y earlyMark) int { return cmp.Compare(x.key, y.key) })
	for rest := b.early; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].key == rest[0].key {
			n++
		}
		key := any(b.store.marksKey(rest[0].key))
		args := b.doWith(ctx, 2*n, "zadd", key)
		for i := range rest[:n] {
			at := len(b.bytes)
			b.bytes = appendMark(b.bytes, rest[i].Mark)
			args = append(args, &rest[i].At, b.member(at))
		}
		b.do(ctx, "pexpire", key, b.idTTL)
		rest = rest[n:]
	}
}

// widen handles visits that were there before, under a feature set that asked for labels of fewer entities, or of none: the claim is as it was, so the
// further entities are kept beside it. Written before the label is read once more, as everywhere.
func (b *batch) widen(ctx context.Context) error {
	if b.firsts == nil {
		return nil
	}
	b.next()
	for i := range b.visits {
		v := &b.visits[i]
		if !b.held[i] || b.firsts[i].arrival != v.Arrival {
			continue
		}
		key := any(nil)
		for _, entity := range v.Labelled {
			if !slices.Contains(b.firsts[i].labelled, entity) {
				key = b.store.widerKey(v.ID)
				b.do(ctx, "sadd", key, entity)
			}
		}
		if key != nil {
			b.do(ctx, "pexpire", key, b.idTTL)
			b.labels[i] = b.raw(ctx, "smembers", b.store.labelsKey(v.ID))
		}
	}
	return b.store.exec(ctx, len(b.visits), b.cmds)
}

func readVersions(cmd *redis.RawCmd) (all []version, fraud bool, err error) {
	members, err := readStrings(cmd)
	if err != nil {
		return nil, false, err
	}
	for _, m := range members {
		n, err := strconv.ParseInt(m, 10, 64)
		if err != nil {
			return nil, false, errCorrupt
		}
		all, fraud = append(all, version(n)), fraud || version(n).fraud()
	}
	return all, fraud, nil
}

func readStrings(cmd *redis.RawCmd) ([]string, error) {
	r, n, err := array(cmd)
	if err != nil || n == 0 {
		return nil, err
	}
	members := make([]string, n)
	for i := range members {
		if members[i], _, err = r.next(); err != nil {
			return nil, err
		}
	}
	return members, nil
}
