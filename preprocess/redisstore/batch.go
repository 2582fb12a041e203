package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/schemas"
)

// batch is one call of exchange on its way.
type batch struct {
	store  *Store
	visits []preprocess.Visit
	asks   int
	cmds   []redis.Cmder
	args   []any  // of all commands, one after the other
	bytes  []byte // members, one after the other
	idTTL  any

	claims  []*redis.RawCmd // :: visit → reply to its claim
	labels  []*redis.RawCmd // :: visit → reply with its versions, nil when not labelled
	reads   []*redis.RawCmd // :: asks of all visits, one after the other → reply
	written []write         // as reads; zero for Marks
	columns map[string]span // :: key of a zset that is read → what may be dropped from it

	firsts  []claim                                // :: visit → the claim that holds its id, when it is not its own
	repeats map[schemas.OrderID]preprocess.Arrival // :: id that came as a repeat → who holds it; nil without
	early   map[string][]earlyMark                 // :: entity → marks of labels that came before their orders; nil without
}

// write is a point as written.
type write struct{ key, member any }

// span is what the end of a pipeline does for a zset: the last visit's word counts for all.
type span struct {
	key    any
	newest int64
	keep   int64
	points bool
}

func newBatch(s *Store, visits []preprocess.Visit) *batch {
	b := &batch{store: s, visits: visits}
	for i := range visits {
		b.asks += len(visits[i].Asks)
	}
	b.cmds = make([]redis.Cmder, 0, 2*len(visits)+4*b.asks)
	b.args = make([]any, 0, 8*len(visits)+13*b.asks)
	b.bytes = make([]byte, 0, 40*(len(visits)+b.asks))
	b.claims, b.labels = make([]*redis.RawCmd, len(visits)), make([]*redis.RawCmd, len(visits))
	b.reads, b.written = make([]*redis.RawCmd, 0, b.asks), make([]write, 0, b.asks)
	b.columns = make(map[string]span, b.asks)
	b.idTTL = s.idTTL()
	return b
}

// raw queues a command whose reply is read, do one of which only an error matters.
func (b *batch) raw(ctx context.Context, args ...any) *redis.RawCmd {
	cmd := redis.NewRawCmd(ctx, b.keepArgs(args)...)
	b.cmds = append(b.cmds, cmd)
	return cmd
}

func (b *batch) do(ctx context.Context, args ...any) {
	b.cmds = append(b.cmds, redis.NewIntCmd(ctx, b.keepArgs(args)...))
}

// keepArgs moves arguments into the array shared by all commands; the caller's can then stay on the stack.
func (b *batch) keepArgs(args []any) []any {
	at := len(b.args)
	b.args = append(b.args, args...)
	return b.args[at:len(b.args):len(b.args)]
}

// member cuts what was appended to bytes since at.
func (b *batch) member(at int) []byte { return b.bytes[at:len(b.bytes):len(b.bytes)] }

// send is the one pipeline: for each visit in order its claim, its labels, and for each ask first the point, then the read.
func (b *batch) send(ctx context.Context) error {
	for i := range b.visits {
		v := &b.visits[i]
		at := len(b.bytes)
		b.bytes = appendClaim(b.bytes, v)
		b.claims[i] = b.raw(ctx, "set", b.store.claimKey(v.ID), b.member(at), "nx", "get", "px", b.idTTL)
		if len(v.Labelled) > 0 {
			b.labels[i] = b.raw(ctx, "smembers", b.store.labelsKey(v.ID))
		}
		for j := range v.Asks {
			b.ask(ctx, v, &v.Asks[j])
		}
	}
	b.trim(ctx)
	return b.store.exec(ctx, len(b.visits), b.cmds)
}

func (b *batch) ask(ctx context.Context, v *preprocess.Visit, ask *preprocess.Ask) {
	var w write
	name := b.store.columnKey(ask.Key, ask.Column)
	if ask.Marks {
		name = b.store.marksKey(ask.Key)
	}
	key := any(name)
	if !ask.Marks {
		at := len(b.bytes)
		b.bytes = appendPoint(b.bytes, v, ask)
		w = write{key, b.member(at)}
		b.do(ctx, "zadd", key, &v.At, w.member)
	}
	b.written = append(b.written, w)
	// Whole microseconds below 2^53 are exact as scores, so (From, To] is [From+1, To].
	b.reads = append(b.reads, b.raw(ctx, "zrangebyscore", key, ask.From+1, &ask.To))

	s := b.columns[name]
	b.columns[name] = span{key, max(s.newest, v.At), max(s.keep, ask.Keep), !ask.Marks}
}

// trim ends the pipeline: each zset that was touched loses what is too old, and lives on. A visit's own time will do for the newest of a column: it is
// never later. Marks live by when they were written.
func (b *batch) trim(ctx context.Context) {
	for _, s := range b.columns {
		b.do(ctx, "zremrangebyscore", s.key, "-inf", s.newest-s.keep-1)
		if s.points {
			b.do(ctx, "pexpire", s.key, b.store.columnTTL(s.keep))
		}
	}
}

// readClaims finds out who holds each id.
func (b *batch) readClaims(found []preprocess.Found) error {
	for i := range b.visits {
		v := &b.visits[i]
		found[i].First, found[i].Content = v.Arrival, v.Content
		value, held, err := bulk(b.claims[i])
		if err != nil {
			return fmt.Errorf("claiming an order's id: %w", err)
		}
		if !held {
			continue
		}
		c, ok := readClaim(value)
		if !ok {
			return fmt.Errorf("reading the claim on an order's id: %w", errCorrupt)
		}
		if b.firsts == nil {
			b.firsts = make([]claim, len(b.visits))
		}
		b.firsts[i] = c
		found[i].First, found[i].Content = c.arrival, c.content
		if c.arrival != v.Arrival {
			if b.repeats == nil {
				b.repeats = make(map[schemas.OrderID]preprocess.Arrival)
			}
			b.repeats[v.ID] = c.arrival
		}
	}
	return nil
}

// holds says whether a visit holds its id.
func (b *batch) holds(i int) bool {
	if b.repeats == nil {
		return true
	}
	first, repeated := b.repeats[b.visits[i].ID]
	return !repeated || first == b.visits[i].Arrival
}

// settle is the second pipeline, when there is any need: it takes back the points of repeats and puts the marks of early labels.
func (b *batch) settle(ctx context.Context) error {
	b.cmds, b.args = b.cmds[:0:0], b.args[:0:0]
	ask := 0
	for i := range b.visits {
		n := len(b.visits[i].Asks)
		if !b.holds(i) {
			for _, w := range b.written[ask : ask+n] {
				if w.member != nil {
					b.do(ctx, "zrem", w.key, w.member)
				}
			}
		}
		ask += n
	}
	for key, marks := range b.early {
		b.putMarks(ctx, key, marks)
	}
	return b.store.exec(ctx, len(b.visits), b.cmds)
}

// readAsks takes apart what the reads found. A repeat's points of this batch, and of any other that has not come to taking them back, are left out.
func (b *batch) readAsks(found []preprocess.Found) error {
	points := make([][]preprocess.Point, b.asks)
	var marks [][]preprocess.Mark
	d := dedup{holders: b.repeats, seed: b.store.seed}
	ask := 0
	for i := range b.visits {
		v := &b.visits[i]
		n := len(v.Asks)
		found[i].Points = points[ask : ask+n : ask+n]
		for j := range v.Asks {
			a := &v.Asks[j]
			var err error
			if a.Marks {
				if found[i].Marks == nil {
					if len(marks) < n {
						marks = make([][]preprocess.Mark, b.asks-ask)
					}
					found[i].Marks, marks = marks[:n:n], marks[n:]
				}
				found[i].Marks[j], err = b.readMarks(i, a, b.reads[ask+j])
			} else {
				found[i].Points[j], err = readPoints(b.reads[ask+j], a.Column != ordersAlone, &d)
			}
			if err != nil {
				return fmt.Errorf("reading column %q: %w", columnName(a), err)
			}
		}
		ask += n
	}
	return nil
}

func columnName(ask *preprocess.Ask) string {
	if ask.Marks {
		return "of labels"
	}
	return ask.Column
}

func readPoints(cmd *redis.RawCmd, valued bool, d *dedup) ([]preprocess.Point, error) {
	r, n, err := array(cmd)
	if err != nil || n == 0 {
		return nil, err
	}
	points := make([]preprocess.Point, n)
	for i := range points {
		member, _, err := r.next()
		if err != nil {
			return nil, err
		}
		if !readPoint(&points[i], member, valued) {
			return nil, errCorrupt
		}
	}
	return d.clean(points), nil
}
