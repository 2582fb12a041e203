package redisstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/schemas"
)

// batch is one call of exchange on its way.
type batch struct {
	pipeline

	store  *Store
	visits []preprocess.Visit
	call   []preprocess.Visit // of Exchange, of which visits are a part; nil when nothing is exchanged
	keeps  *retention
	room   *room
	idTTL  any

	claims   []*redis.RawCmd // :: visit → reply to its claim; nil for one that comes behind another of its id
	copies   map[int]int     // :: visit that does → the first of that id; nil without
	labels   []*redis.RawCmd // :: visit → reply with its versions, nil when not labelled
	sets     *redis.RawCmd   // reply with the registry; nil without one
	entities map[string]*entity
	columns  []column  // of all entities, each once, in the order in which they were first asked for. Never moved, since entities point into it
	places   []*column // :: asks of all visits, one after the other → what it asks for

	firsts  []claim                                // :: visit → the claim that held its id before; nil when none did
	held    []bool                                 // :: visit → there was one; nil when none did
	repeats map[schemas.OrderID]preprocess.Arrival // :: id that came as a repeat → who holds it; nil without
	early   []earlyMark                            // marks of labels that came before their orders, in the order of visits
	leasts  map[int32]int64                        // :: source → the least offset of the call's visits; nil while nobody asked
}

// room is memory that one call leaves to the next.
type room struct {
	points  []preprocess.Point
	refs    []preprocess.Ref // of them
	table   []uint32
	columns []column
	places  []*column
	first   map[schemas.OrderID]int // empty between calls
	cmds    []redis.Cmder
	args    []any
	bytes   []byte
}

// How much is kept of that memory: for the two lanes of a process, unless one call needed far more than another will, in points. (A sync.Pool is empty after
// two garbage collections, and a large call takes that many.)
const (
	maxRooms = 2
	maxRoom  = 1 << 20
)

func (s *Store) newBatch(visits []preprocess.Visit, keeps *retention) *batch {
	var r *room
	select {
	case r = <-s.rooms:
	default:
		r = &room{first: make(map[schemas.OrderID]int, len(visits))}
	}
	asks := 0
	for i := range visits {
		asks += len(visits[i].Asks)
	}
	b := &batch{store: s, visits: visits, keeps: keeps, room: r, idTTL: s.ttl(keeps.longest())}
	b.cmds, b.args, b.bytes, b.places = r.cmds[:0], r.args[:0], r.bytes[:0], r.places[:0]
	if b.columns = r.columns[:0]; cap(b.columns) < asks {
		b.columns = make([]column, 0, asks)
	}
	replies := make([]*redis.RawCmd, 2*len(visits))
	b.claims, b.labels = replies[:len(visits)], replies[len(visits):]
	b.entities = make(map[string]*entity, asks)
	return b
}

// release hands the room on, when all is done.
func (s *Store) release(b *batch) {
	clear(b.args)
	clear(b.cmds)
	clear(b.columns)
	clear(b.places)
	b.room.cmds, b.room.args, b.room.bytes, b.room.columns, b.room.places = b.cmds, b.args, b.bytes, b.columns, b.places
	if cap(b.room.points) > maxRoom {
		return
	}
	select {
	case s.rooms <- b.room:
	default:
	}
}

// load is the first pipeline: for each visit its claim and its labels; then for each column one read, and after that what the visits add to it.
func (b *batch) load(ctx context.Context) error {
	for i := range b.visits {
		b.gather(&b.visits[i])
	}
	b.findCopies()
	for i := range b.visits {
		v := &b.visits[i]
		if _, copied := b.copies[i]; !copied {
			at := len(b.bytes)
			b.bytes = appendClaim(b.bytes, v)
			b.claims[i] = b.raw(ctx, "set", b.store.claimKey(v.ID), b.member(at), "nx", "get", "px", b.idTTL)
		}
		if len(v.Labelled) > 0 {
			b.labels[i] = b.raw(ctx, "smembers", b.store.labelsKey(v.ID))
		}
	}
	b.sets = b.store.register(ctx, b)
	for i := range b.columns {
		b.loadColumn(ctx, &b.columns[i])
	}
	place := 0
	for i := range b.visits {
		v := &b.visits[i]
		for j := range v.Asks {
			c := b.places[place]
			place++
			if ask := &v.Asks[j]; c.blind(ask) {
				at := len(b.bytes)
				b.bytes = appendPoint(b.bytes, v, ask)
				c.blinds = append(c.blinds, &v.At, b.member(at))
			}
		}
	}
	return b.store.exec(ctx, len(b.visits), b.cmds)
}

// findCopies finds visits that come behind another of their id. They claim nothing: a server without room refuses some commands of a pipeline and obeys others, so that
// the second might hold the id.
func (b *batch) findCopies() {
	if len(b.visits) < 2 {
		return
	}
	first := b.room.first
	for i := range b.visits {
		at, known := first[b.visits[i].ID]
		if !known {
			first[b.visits[i].ID] = i
			continue
		}
		if b.copies == nil {
			b.copies = make(map[int]int)
		}
		b.copies[i] = at
	}
	clear(first)
}

// gather finds out which columns a visit asks for, and what of them.
func (b *batch) gather(v *preprocess.Visit) {
	var e *entity
	for j := range v.Asks {
		ask := &v.Asks[j]
		if e == nil || e.key != ask.Key {
			if e = b.entities[ask.Key]; e == nil {
				e = &entity{key: ask.Key}
				b.entities[ask.Key] = e
			}
		}
		c := e.column(ask)
		if c == nil {
			b.columns = append(b.columns, b.newColumn(e, ask))
			c = &b.columns[len(b.columns)-1]
			c.next, e.columns = e.columns, c
		}
		c.want(v, ask)
		b.places = append(b.places, c)
	}
}

// loadColumn queues the read, and room for what is added blind; then what is too old goes, and the rest lives on.
func (b *batch) loadColumn(ctx context.Context, c *column) {
	switch {
	case c.merge != nil:
		c.reply = b.raw(ctx, "hgetall", c.key)
		return
	default:
		// Whole microseconds below 2^53 are exact as scores, so (From, To] is [From+1, To].
		c.reply = b.raw(ctx, "zrangebyscore", c.key, c.from+1, &c.to)
	}
	if c.marks {
		c.newest = c.entity.newest
		b.trim(ctx, c, c.newest)
		return
	}
	if c.adds > 0 {
		c.blinds = b.doWith(ctx, 2*c.adds, "zadd", c.key)
		b.trim(ctx, c, c.newest)
		b.do(ctx, "pexpire", c.key, b.store.ttl(c.keep))
	}
}

// trim drops what is too old once there is an order of that time. Only a visit that adds tells the time, never one that only looks: so what is left is told
// by the points alone. Marks have their time from the points of their entity, and live by when they were written.
func (b *batch) trim(ctx context.Context, c *column, newest int64) {
	if newest > never {
		b.do(ctx, "zremrangebyscore", c.key, "-inf", newest-c.keep-1)
	}
}

// readClaims finds out who holds each id.
func (b *batch) readClaims() error {
	for i := range b.visits {
		v := &b.visits[i]
		c, held, err := b.readClaim(i)
		if err != nil {
			return err
		}
		if !held {
			continue
		}
		if b.firsts == nil {
			b.firsts, b.held = make([]claim, len(b.visits)), make([]bool, len(b.visits))
		}
		b.firsts[i], b.held[i] = c, true
		if c.arrival != v.Arrival {
			if b.repeats == nil {
				b.repeats = make(map[schemas.OrderID]preprocess.Arrival)
			}
			b.repeats[v.ID] = c.arrival
		}
	}
	return nil
}

// readClaim returns who held a visit's id before.
func (b *batch) readClaim(i int) (c claim, held bool, err error) {
	if at, copied := b.copies[i]; copied {
		if b.held != nil && b.held[at] {
			return b.firsts[at], true, nil
		}
		return claim{arrival: b.visits[at].Arrival, content: b.visits[at].Content}, true, nil
	}
	value, held, err := bulk(b.claims[i])
	if err != nil {
		return c, false, fmt.Errorf("claiming an order's id: %w", err)
	}
	if !held {
		return c, false, nil
	}
	c, ok := readClaim(value)
	if !ok {
		return c, false, fmt.Errorf("reading the claim on an order's id: %w", errCorrupt)
	}
	return c, true, nil
}

// disclaim takes back what the first pipeline has written on a server that it found to have lost what was written before: points, and claims on ids. An order that
// is lost there may have held an id of which this batch has a copy: when it is read once more it is to hold it again, and to find no point of the copy in its place.
// What visits had written before, whose claims stood, stays. That this fails leaves no more behind than a process that dies here.
func (b *batch) disclaim(ctx context.Context) {
	b.next()
	var made []any // keys of claims
	place := 0
	for i := range b.visits {
		v := &b.visits[i]
		columns := b.places[place : place+len(v.Asks)]
		place += len(v.Asks)
		if _, copied := b.copies[i]; !copied {
			value, held, err := bulk(b.claims[i])
			if err != nil { // one that was not sent has no reply
				continue
			}
			if c, _ := readClaim(value); held && c.arrival == v.Arrival {
				continue
			}
			if !held {
				made = append(made, b.store.claimKey(v.ID))
			}
		}
		b.dropBlind(ctx, v, columns)
	}
	for _, key := range made {
		b.do(ctx, "del", key)
	}
	_ = b.store.exec(unbound(ctx), len(b.visits), b.cmds)
}

// dropBlind queues that the points go which a visit has added blind.
func (b *batch) dropBlind(ctx context.Context, v *preprocess.Visit, columns []*column) {
	for j, c := range columns {
		if ask := &v.Asks[j]; c.blind(ask) {
			at := len(b.bytes)
			b.bytes = appendPoint(b.bytes, v, ask)
			b.do(ctx, "zrem", c.key, b.member(at))
		}
	}
}

// holds says whether a visit holds its id.
func (b *batch) holds(i int) bool {
	if b.repeats == nil {
		return true
	}
	first, repeated := b.repeats[b.visits[i].ID]
	return !repeated || first == b.visits[i].Arrival
}

// readColumns takes apart what the reads found.
func (b *batch) readColumns() error {
	if err := b.store.readSets(b.sets); err != nil {
		return fmt.Errorf("reading which feature sets there are: %w", err)
	}
	n := 0
	for i := range b.columns {
		c := &b.columns[i]
		if err := c.open(); err != nil {
			return fmt.Errorf("reading column %q: %w", c.title(), err)
		}
		n += c.size()
	}
	if cap(b.room.points) < n {
		b.room.points, b.room.refs = make([]preprocess.Point, n), make([]preprocess.Ref, n)
	}
	for i := range n {
		b.room.points[i].Ref = &b.room.refs[i]
	}
	points, d := b.room.points[:n], dedup{holders: b.repeats, seed: b.store.seed, table: b.room.table}
	for i := range b.columns {
		c := &b.columns[i]
		size := c.size()
		if err := b.readColumn(c, points[:0:size], &d); err != nil {
			return fmt.Errorf("reading column %q: %w", c.title(), err)
		}
		points = points[size:]
	}
	b.room.table = d.table
	return nil
}

// takeBack queues for the second pipeline that the points go which repeats have added blind.
func (b *batch) takeBack(ctx context.Context) {
	b.next()
	place := 0
	for i := range b.visits {
		v := &b.visits[i]
		columns := b.places[place : place+len(v.Asks)]
		place += len(v.Asks)
		if !b.holds(i) {
			b.dropBlind(ctx, v, columns)
		}
	}
}

// run does the visits one by one.
func (b *batch) run(see func(int, *preprocess.Found)) {
	var found preprocess.Found
	places, early := b.places, b.early
	for i := range b.visits {
		n := len(b.visits[i].Asks)
		for ; len(early) > 0 && early[0].visit <= i; early = early[1:] {
			b.entities[early[0].key].mark(early[0].Mark)
		}
		b.look(i, places[:n], &found)
		see(i, &found)
		b.addSeen(i, places[:n])
		places = places[n:]
	}
}

// look adds a visit's points to what was read, and shows it what it asks for.
func (b *batch) look(i int, columns []*column, found *preprocess.Found) {
	v, holds := &b.visits[i], b.holds(i)
	found.First, found.Content, found.Again = v.Arrival, v.Content, false
	if b.held != nil && b.held[i] {
		found.First, found.Content, found.Again = b.firsts[i].arrival, b.firsts[i].content, true
	}
	found.Views = slices.Grow(found.Views[:0], len(v.Asks))[:len(v.Asks)]
	clear(found.Views)
	for j := range v.Asks {
		ask, c := &v.Asks[j], columns[j]
		c.merged.reach(v.Arrival)
		if holds && !ask.Marks && ask.Adds == preprocess.AddNow && !c.add(v, ask) {
			// It is there, so it came before: of a call that failed, other servers of a cluster may have this part done, and not the claim.
			found.Again = true
		}
		c.look(ask, &found.Views[j])
	}
}

// addSeen adds the points whose values see has found.
func (b *batch) addSeen(i int, columns []*column) {
	v := &b.visits[i]
	if !b.holds(i) {
		return
	}
	for j := range v.Asks {
		ask, c := &v.Asks[j], columns[j]
		if ask.Marks || ask.Adds != preprocess.AddSeen || !c.add(v, ask) {
			continue
		}
		c.entity.newest = max(c.entity.newest, v.At)
		if c.merge != nil {
			continue // written whole
		}
		at := len(b.bytes)
		b.bytes = appendPoint(b.bytes, v, ask)
		c.seen = append(c.seen, &v.At, b.member(at))
		c.newest = max(c.newest, v.At)
	}
}

// write is the second pipeline, when there is any need: points that came of what was seen, merged columns, marks of early labels, and what is taken back.
func (b *batch) write(ctx context.Context) error {
	for i := range b.columns {
		c := &b.columns[i]
		switch {
		case len(c.seen) > 0:
			args := b.doWith(ctx, len(c.seen), "zadd", c.key)
			copy(args[len(args):cap(args)], c.seen)
			b.trim(ctx, c, c.newest)
			b.do(ctx, "pexpire", c.key, b.store.ttl(c.keep))
		case c.merged.changed:
			b.writeMerged(ctx, c)
		case c.marks && c.entity.newest > c.newest:
			b.trim(ctx, c, c.entity.newest)
		}
	}
	b.putMarks(ctx)
	return b.store.exec(ctx, len(b.visits), b.cmds)
}
