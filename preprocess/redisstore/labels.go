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

// earlyMark is a mark put by a visit of this batch.
type earlyMark struct {
	preprocess.Mark

	visit int
}

// learn keeps at most maxVisits labels: first the versions, reading who holds the ids; then, where that is known, the marks.
func (s *Store) learn(ctx context.Context, labels []schemas.Label) error {
	b := newBatch(s, nil)
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
	b.cmds = nil
	for key, marks := range b.early {
		b.putMarks(ctx, key, marks)
	}
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
	if b.early == nil {
		b.early = make(map[string][]earlyMark)
	}
	for _, key := range keys {
		for _, v := range versions {
			b.early[key] = append(b.early[key], earlyMark{preprocess.Mark{At: at, ID: id, Known: v.known(), Fraud: v.fraud()}, visit})
		}
	}
}

// putMarks queues the writing of an entity's marks.
func (b *batch) putMarks(ctx context.Context, entity string, marks []earlyMark) {
	key := any(b.store.marksKey(entity))
	for i := range marks {
		at := len(b.bytes)
		b.bytes = appendMark(b.bytes, marks[i].Mark)
		b.do(ctx, "zadd", key, &marks[i].At, b.member(at))
	}
	b.do(ctx, "pexpire", key, b.idTTL)
}

// widen handles visits that were there before, under a feature set that asked for labels of fewer entities, or of none: the claim is as it was, so the
// further entities are kept beside it. Written before the label is read once more, as everywhere.
func (b *batch) widen(ctx context.Context) error {
	if b.firsts == nil {
		return nil
	}
	b.cmds = nil
	for i := range b.visits {
		v := &b.visits[i]
		if !b.holds(i) || b.firsts[i].arrival != v.Arrival {
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

// readMarks takes apart what was read, and adds what visits of this batch up to this one have put since.
func (b *batch) readMarks(visit int, ask *preprocess.Ask, cmd *redis.RawCmd) ([]preprocess.Mark, error) {
	r, n, err := array(cmd)
	if err != nil {
		return nil, err
	}
	marks := make([]preprocess.Mark, n)
	for i := range marks {
		member, _, err := r.next()
		if err != nil {
			return nil, err
		}
		if !readMark(&marks[i], member) {
			return nil, errCorrupt
		}
	}
	more := false
	for _, m := range b.early[ask.Key] {
		if m.visit <= visit && m.At > ask.From && m.At <= ask.To {
			marks, more = append(marks, m.Mark), true //nolint:makezero // marks is full by now: each place was read above
		}
	}
	if more {
		slices.SortFunc(marks, compareMarks)
		marks = slices.Compact(marks)
	}
	return marks, nil
}

func compareMarks(a, b preprocess.Mark) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Known, b.Known), cmp.Compare(bit(a.Fraud), bit(b.Fraud)))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
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
