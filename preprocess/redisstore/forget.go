package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/schemas"
)

// Forgotten is how much was removed, or would be.
type Forgotten struct {
	Entities  int // that anything was kept of
	Columns   int
	Points    int // in them
	Merged    int // parts of merged columns
	Marks     int
	Orders    int // that were found, and those that were named
	Claims    int // of these orders
	Labels    int
	Decisions int
}

// forgetPage is how many members of a column, and orders, are read or removed at once.
const forgetPage = 1000

// Forget removes what is kept of entities, and the claims, labels and first decisions of their orders: those that are named, those whose ids stand in what is
// kept of the entities, and those whose claims name one. With dry it only counts. It looks through all keys under the prefix, on each server of a cluster.
//
// Orders go first, and what tells which they are goes last: a call that was broken off is made good by another. What the same orders are in other entities (a
// terminal's points) stays: it has the order's id and the values of features, and no key of the entity. What comes while it works is not its matter.
func (s *Store) Forget(ctx context.Context, subjects []preprocess.Subject, orders []schemas.OrderID, dry bool) (Forgotten, error) {
	f := &forgetting{store: s, subjects: subjects, dry: dry, keys: make(map[string]kind), entities: make(map[string]bool), orders: make(map[schemas.OrderID]bool)}
	for _, id := range orders {
		f.orders[id] = true
	}
	if err := f.find(ctx); err != nil {
		return f.done, fmt.Errorf("finding what is kept: %w", err)
	}
	if err := f.read(ctx); err != nil {
		return f.done, fmt.Errorf("reading what is kept: %w", err)
	}
	f.done.Entities, f.done.Orders = len(f.entities), len(f.orders)
	if err := f.forgetOrders(ctx); err != nil {
		return f.done, fmt.Errorf("removing what is kept of orders: %w", err)
	}
	if err := f.forgetKeys(ctx); err != nil {
		return f.done, fmt.Errorf("removing what is kept of entities: %w", err)
	}
	return f.done, nil
}

// forgetting is a Forget at work.
type forgetting struct {
	store    *Store
	subjects []preprocess.Subject
	dry      bool
	keys     map[string]kind // :: key of an entity's column, merged column or marks → which
	entities map[string]bool // :: as they are quoted → true
	orders   map[schemas.OrderID]bool
	done     Forgotten
}

// find looks through all keys of entities, and all claims.
func (f *forgetting) find(ctx context.Context) error {
	nodes, err := nodesOf(ctx, f.store.client)
	if err != nil {
		return fmt.Errorf("finding the servers of the cluster: %w", err)
	}
	patterns := make(map[string]bool)
	for i := range f.subjects {
		s := f.subjects[i]
		patterns["*"+escapeGlob(strings.NewReplacer("%", "%25", "}", "%7D").Replace(s.Part()))+"*"] = true
		if !strings.Contains(s.Key(), ":") { // it is hashed
			patterns[escapeGlob(s.Key())] = true
		}
	}
	prefix := escapeGlob(f.store.prefix)
	for _, node := range nodes {
		for pattern := range patterns {
			if err := f.scan(ctx, node, prefix+"{"+pattern+"}:*", f.note); err != nil {
				return err
			}
		}
		for _, kind := range []kind{ofClaim, ofWider} {
			look := func(ctx context.Context, keys []string) error { return f.lookInto(ctx, kind, keys) }
			if err := f.scan(ctx, node, prefix+string(kind)+":{*", look); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan gives a server's keys of a pattern to do, some at a time.
func (f *forgetting) scan(ctx context.Context, node redis.UniversalClient, pattern string, do func(context.Context, []string) error) error {
	if len(f.subjects) == 0 {
		return nil
	}
	for cursor := uint64(0); ; {
		page, cancel := context.WithTimeout(ctx, f.store.timeout+scanned*visitTimeout)
		keys, next, err := node.Scan(page, cursor, pattern, scanned).Result()
		cancel()
		if err == nil {
			err = do(ctx, keys)
		}
		if err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// note takes down the keys of the entities.
func (f *forgetting) note(_ context.Context, keys []string) error {
	for _, key := range keys {
		k, entity, _ := kindOf(key[len(f.store.prefix):])
		if k != ofNobody && entity != "" && f.means(unquote(entity)) {
			f.keys[key], f.entities[entity] = k, true
		}
	}
	return nil
}

// lookInto finds orders by the entities that their claims name, those at which labels are wanted: of some the points are gone, or merged.
func (f *forgetting) lookInto(ctx context.Context, k kind, keys []string) error {
	var p pipeline
	replies := make([]*redis.RawCmd, len(keys))
	for i, key := range keys {
		if k == ofClaim {
			replies[i] = p.raw(ctx, "get", key)
		} else {
			replies[i] = p.raw(ctx, "smembers", key)
		}
	}
	if err := f.store.exec(ctx, len(keys), p.cmds); err != nil {
		return err
	}
	for i, key := range keys {
		entities, err := namedBy(k, replies[i])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(entities, f.means) {
			id := strings.TrimSuffix(key[len(f.store.prefix)+len("o:{"):], "}")
			f.orders[schemas.OrderID(id)] = true
		}
	}
	return nil
}

// namedBy reads the entities of a claim, or of what stands beside one.
func namedBy(k kind, reply *redis.RawCmd) ([]string, error) {
	if k != ofClaim {
		return readStrings(reply)
	}
	value, found, err := bulk(reply)
	if err != nil || !found { // it has expired meanwhile
		return nil, err
	}
	c, ok := readClaim(value)
	if !ok {
		return nil, errCorrupt
	}
	return c.labelled, nil
}

// means says whether an Ask.Key is of one of those that are to be forgotten.
func (f *forgetting) means(key string) bool {
	return slices.ContainsFunc(f.subjects, func(s preprocess.Subject) bool { return s.In(key) })
}

// read counts what the keys hold, and finds the orders in it.
func (f *forgetting) read(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(f.keys)) {
		var err error
		switch k := f.keys[key]; k {
		case ofMerged:
			err = f.readMerged(ctx, key)
		default:
			err = f.readMembers(ctx, key, k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readMembers reads a column or marks, whose members begin with the order's id.
func (f *forgetting) readMembers(ctx context.Context, key string, k kind) error {
	n := 0
	for from := 0; ; from += forgetPage {
		var p pipeline
		reply := p.raw(ctx, "zrange", key, from, from+forgetPage-1)
		if err := f.store.exec(ctx, forgetPage, p.cmds); err != nil {
			return err
		}
		members, err := readStrings(reply)
		if err != nil {
			return err
		}
		for _, m := range members {
			id, _, found := strings.Cut(m, "\x00")
			if !found {
				return errCorrupt
			}
			f.orders[schemas.OrderID(id)] = true
		}
		if n += len(members); len(members) < forgetPage {
			break
		}
	}
	if k == ofMarks {
		f.done.Marks += n
	} else {
		f.done.Columns++
		f.done.Points += n
	}
	return nil
}

// readMerged reads a merged column: of its points the orders can be told, of those that were merged not.
func (f *forgetting) readMerged(ctx context.Context, key string) error {
	var p pipeline
	reply := p.raw(ctx, "hgetall", key)
	if err := f.store.exec(ctx, forgetPage, p.cmds); err != nil {
		return err
	}
	sources, err := sourcesOf(reply)
	if err != nil {
		return err
	}
	f.done.Columns++
	f.done.Merged += len(sources)
	for _, s := range sources {
		for _, p := range s.found {
			if err := f.readPart(s.number, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *forgetting) readPart(source int32, p part) error {
	d := decoder{rest: p.blob}
	if d.byte() != mergedVersion {
		return errCorrupt
	}
	points := d.points(source)
	if d.bad {
		return errCorrupt
	}
	for i := range points {
		f.orders[schemas.OrderID(strings.Clone(string(points[i].ID)))] = true
	}
	return nil
}

// forgetOrders removes claims, labels and first decisions, or counts them.
func (f *forgetting) forgetOrders(ctx context.Context) error {
	prefix := f.store.prefix
	for page := range slices.Chunk(slices.Sorted(maps.Keys(f.orders)), forgetPage) {
		var p pipeline
		counts := make([]*redis.IntCmd, 0, 4*len(page))
		for _, id := range page {
			for _, kind := range []kind{ofClaim, ofLabels, ofDecision, ofWider} {
				counts = append(counts, f.remove(ctx, &p, prefix+string(kind)+":{"+string(id)+"}"))
			}
		}
		if err := f.store.exec(ctx, len(counts), p.cmds); err != nil {
			return err
		}
		for i, into := range []*int{&f.done.Claims, &f.done.Labels, &f.done.Decisions} {
			for at := i; at < len(counts); at += 4 {
				*into += int(counts[at].Val())
			}
		}
	}
	return nil
}

// forgetKeys removes the columns and marks.
func (f *forgetting) forgetKeys(ctx context.Context) error {
	if f.dry {
		return nil
	}
	for page := range slices.Chunk(slices.Sorted(maps.Keys(f.keys)), forgetPage) {
		var p pipeline
		for _, key := range page {
			f.remove(ctx, &p, key)
		}
		if err := f.store.exec(ctx, len(page), p.cmds); err != nil {
			return err
		}
	}
	return nil
}

// remove queues the removal of a key, or with dry the question whether it is there: either way the reply counts it. Each key by itself: in a cluster they have
// slots of their own.
func (f *forgetting) remove(ctx context.Context, p *pipeline, key string) *redis.IntCmd {
	verb := "unlink"
	if f.dry {
		verb = "exists"
	}
	cmd := redis.NewIntCmd(ctx, verb, key)
	p.cmds = append(p.cmds, cmd)
	return cmd
}
