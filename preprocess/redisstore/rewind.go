package redisstore

import (
	"context"
	"math"
	"slices"

	"verdict/preprocess"
)

// Rewinding. What came after an order is left out by its offset where it is still a point (preprocess.Found.Again); what was merged cannot be told apart any more.
// So an order that is delivered again has to be shown its source's part as it was before that. A part follows from its points in their order alone, so it is enough
// to keep an earlier one and to add to that what comes again. Of a source there stand, by what they go up to,
//
//   - the part from before the last call that merged anything, left as it was (its base; an empty one when there was none);
//   - when orders are being read again that the newest part has: the part up to where that came, unless no poll ended short of the newest;
//   - the newest, which alone counts where nothing is read again.
//
// A call begins when the one before it is done: what it decided stands, whatever is seen later. So what is needed is what stood when a call began. Its visits
// begin right behind what was committed, which no part that is older lacks anything of: the earlier part that is nearest to them has all that came before them on
// their source. (A source that is read from further back finds none that old, and takes the oldest: its orders were decided long since.)
//
// All this is of one source. What others brought meanwhile is seen, here as in columns that are not merged. Where that changes a value which is known only when an
// order is scored, what is added again is the new one, until the newest part is reached, in which the first one stays.

// beforeAll is what an empty part goes up to.
const beforeAll = -1

// startOf is which of a source's parts calls go on from whose visits begin at an offset: the last that lies before it, or the first of all.
func startOf(parts []part, offset int64) int {
	at := 0
	for at+1 < len(parts) && parts[at+1].offset < offset {
		at++
	}
	return at
}

// openMerged takes apart what a merged column's visits go on from.
func (b *batch) openMerged(c *column) (err error) {
	if c.merged.sources, err = readSources(&c.rest, c.points); err != nil {
		return err
	}
	for _, s := range c.merged.sources {
		s.from = len(s.found) - 1
		if s.from > 0 && b.least(s.number) <= s.newest().offset {
			s.from = startOf(s.found, b.leastOf(c, s.number))
		}
		if err := s.read(s.found[s.from], c.merge); err != nil {
			return err
		}
		if s.from < len(s.found)-1 {
			s.ahead = new(source)
			s.ahead.number = s.number
			if err := s.ahead.read(s.newest(), c.merge); err != nil {
				return err
			}
		}
	}
	return nil
}

// least returns the least offset of a source's visits in the whole call of Exchange, of which this batch may be a part; more than any when it has none.
func (b *batch) least(source int32) int64 {
	if b.leasts == nil {
		b.leasts = make(map[int32]int64)
		for i := range b.call {
			a := b.call[i].Arrival
			if least, known := b.leasts[a.Source]; !known || a.Offset < least {
				b.leasts[a.Source] = a.Offset
			}
		}
	}
	if least, known := b.leasts[source]; known {
		return least
	}
	return math.MaxInt64
}

// leastOf returns the same of those visits of this batch that ask for a column.
func (b *batch) leastOf(c *column, source int32) int64 {
	least, place := int64(math.MaxInt64), 0
	for i := range b.visits {
		v := &b.visits[i]
		columns := b.places[place : place+len(v.Asks)]
		place += len(v.Asks)
		if v.Arrival.Source == source && v.Arrival.Offset < least && slices.Contains(columns, c) {
			least = v.Arrival.Offset
		}
	}
	return least
}

// reach goes over to a source's newest part once a visit comes that is beyond it: it has all that was added since to the earlier one.
func (m *merged) reach(a preprocess.Arrival) {
	for _, s := range m.sources {
		if s.number == a.Source && s.ahead != nil && a.Offset > s.newest().offset {
			s.Merged, s.tail, s.ahead, s.mixed = s.ahead.Merged, s.ahead.tail, nil, true
			m.all = union{}
		}
	}
}

// writeMerged queues the blobs of the sources that brought something, and takes out what was of no use when it was read. Parts that are of no use from now on are
// emptied by the very command that writes the next: taken out by a command of its own the newest would be lost where the server has no room for the next one (it
// refuses hset then, and does hdel), and the orders in it with it.
func (b *batch) writeMerged(ctx context.Context, c *column) {
	for _, s := range c.merged.sources {
		if s.changed {
			b.writeSource(ctx, c, s)
		}
	}
	b.do(ctx, "pexpire", c.key, b.store.ttl(c.keep))
}

func (b *batch) writeSource(ctx context.Context, c *column, s *source) {
	if slices.ContainsFunc(s.found, func(p part) bool { return p.offset == s.applied() }) {
		return // delivered again, up to where that stands
	}
	base := 0
	var over []string // fields that it takes the place of
	if len(s.found) > 0 {
		base = startOf(s.found, b.least(s.number))
		for i, p := range s.found[base:] {
			needed := i == 0 && (base < s.from || s.mixed) || s.ahead != nil && p.offset == s.newest().offset
			if !needed {
				over = append(over, mergedField(s.number, p.offset))
			}
		}
	}
	field, at := mergedField(s.number, s.applied()), len(b.bytes)
	b.bytes = s.append(b.bytes)
	fields := []any{field, b.member(at)}
	for _, f := range over {
		fields = append(fields, f, "")
	}
	if len(s.found) == 0 && s.mixed {
		at := len(b.bytes)
		b.bytes = new(source).append(b.bytes)
		fields = append(fields, mergedField(s.number, beforeAll), b.member(at))
	}
	args := b.doWith(ctx, len(fields), "hset", c.key)
	copy(args[len(args):cap(args)], fields)
	gone := slices.DeleteFunc(s.empty, func(f string) bool { return f == field })
	for _, p := range s.found[:base] {
		gone = append(gone, mergedField(s.number, p.offset))
	}
	if len(gone) == 0 {
		return
	}
	args = b.doWith(ctx, len(gone), "hdel", c.key)
	for _, f := range gone {
		args = append(args, f)
	}
}
