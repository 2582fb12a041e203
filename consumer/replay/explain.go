package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"verdict/schemas"
)

// How close together two decisions of different partitions may lie so that their times do not tell which order's state came first: a step of live may take
// that long. A label's record may be read that much later than it was written.
const (
	concurrentWithin = time.Second
	labelWithin      = 5 * time.Second
)

// How good a reason is. A better one replaces a worse one.
const (
	rankNone       = iota
	rankConcurrent // at about the same time: that one missed the other is but possible
	rankHistory    // orders are missing, of whichever entity
	rankMaybeLabel
	rankLabel
	rankArrival
	rankOrder // an order of the same entity is missing, or another
)

// maxShared is how many of the orders in question are looked at for each entity: a hot one must not make it a matter of hours.
const maxShared = 2_000

// end explains what is open and returns the whole of it. Only of a whole history can be told what it lacks.
func (v *verifier) end(labels *history, whole bool) (*Verification, error) {
	v.explain(labels)
	for i := range v.open {
		u := &v.open[i]
		was := &v.live.all[v.seen.live[u.row]]
		if err := v.tell(&told{id: u.id, kind: u.kind, detail: u.detail, live: was, vector: v.values.at(u.vector, len(v.live.kinds[was.kind].names)), score: u.score, action: u.action}); err != nil {
			return nil, err
		}
	}
	if err := v.unread(whole); err != nil {
		return nil, err
	}
	r := &v.result
	r.Twice, r.Alien, r.Live, r.Digest = v.live.twice, v.live.alien, int64(len(v.live.all)), v.live.digest.String()
	for i := range kinds {
		d := v.found[kinds[i].name]
		if d == nil {
			continue
		}
		d.Means, d.Explained = kinds[i].means, kinds[i].explained
		r.Differences = append(r.Differences, *d)
		if !d.Explained {
			r.Unexplained += d.Count
		}
	}
	return r, nil
}

// unread tells of what live decided and the history does not have, between the first and the last order that was replayed, and of what live decided twice.
func (v *verifier) unread(whole bool) error {
	first, last := int64(0), int64(-1)
	if len(v.seen.at) > 0 {
		first, last = max(slices.Min(v.seen.at), v.since), min(slices.Max(v.seen.at), v.until-1)
	}
	var left []told
	for id, at := range v.live.index {
		was := &v.live.all[at]
		if was.torn {
			left = append(left, told{id: id, kind: Torn, live: was})
		}
		if whole && !was.seen && was.at >= first && was.at <= last {
			left = append(left, told{id: id, kind: NotReplayed, live: was})
		}
	}
	slices.SortFunc(left, func(a, b told) int { // a map has no order
		return cmp.Or(cmp.Compare(a.live.at, b.live.at), cmp.Compare(a.id, b.id), cmp.Compare(a.kind, b.kind))
	})
	for i := range left {
		if err := v.tell(&left[i]); err != nil {
			return err
		}
	}
	return nil
}

// explain finds a reason for each order with other features.
func (v *verifier) explain(labels *history) {
	if len(v.open) == 0 {
		return
	}
	similar := 2*v.contents > v.result.Compared // else live's orders were in another format, and their contents say nothing
	share := v.sharing()
	v.byOrders(share, similar)
	v.byLabels(share, labels)
	v.byHistory()
	for i := range v.open {
		u := &v.open[i]
		was := &v.live.all[v.seen.live[u.row]]
		switch {
		case similar && was.content != u.content:
			u.kind, u.detail = OtherContent, ""
		case u.left == 0:
		case (was.degraded|u.degraded)&lackFeatures != 0:
			u.kind, u.detail = Degraded, ""
		default:
			u.kind, u.detail = Unknown, v.unnamed(u, was)
		}
	}
}

// sharing returns the orders in question by the entities that they have.
func (v *verifier) sharing() map[uint64][]int32 {
	share := make(map[uint64][]int32)
	n := len(v.entities)
	for i := range v.open {
		row := int(v.open[i].row)
		for _, key := range v.seen.keys[row*n : (row+1)*n] {
			if key != 0 && len(share[key]) < maxShared {
				share[key] = append(share[key], int32(i))
			}
		}
	}
	return share
}

// each calls do for each order in question that has an entity in common with the order at row, or is that order, and of whose features that differ that order
// may change some, by itself or by its labels: why has their classes.
func (v *verifier) each(row int, share map[uint64][]int32, labels bool, do func(u *unexplained, entity string, why uint64)) {
	n := len(v.entities)
	at := v.seen.at[row]
	for e, key := range v.seen.keys[row*n : (row+1)*n] {
		if key == 0 {
			continue
		}
		for _, i := range share[key] {
			u := &v.open[i]
			age := v.seen.at[u.row] - at
			if age < 0 || age >= v.reach {
				continue
			}
			if why := v.changes(u.differs, e, age, labels); why != 0 {
				do(u, v.entities[e].name, why)
			}
		}
	}
}

// byOrders looks for orders that live had on the other side, or with another content (where contents are similar, and so say something), or not at all.
func (v *verifier) byOrders(share map[uint64][]int32, similar bool) {
	for row := range v.seen.at {
		v.each(row, share, false, func(u *unexplained, entity string, why uint64) {
			before := row < int(u.row) // in the history
			if row == int(u.row) || u.rank == rankOrder && u.left&why == 0 {
				return // itself, or there is no better reason: of a hot entity there are many to be asked
			}
			a, b := v.seen.live[row], &v.live.all[v.seen.live[u.row]]
			if a < 0 {
				if before {
					u.because(why, rankOrder, OtherHistory, "live has no decision of an order of the same "+entity)
				}
				return
			}
			if before && similar && v.seen.other[row] {
				u.because(why, rankOrder, OtherContent, "live had an order of the same "+entity+" with another content")
				return
			}
			was := &v.live.all[a]
			first, sure := was.before(b)
			if sure && before == first || !sure && u.rank >= rankConcurrent && u.left&why == 0 {
				return
			}
			where := fmt.Sprintf("%s/%d offset %d of the same %s", v.live.topics[was.topic], was.partition, was.offset, entity)
			by := time.Duration(was.decided-b.decided) * time.Microsecond
			switch {
			case !sure:
				u.because(why, rankConcurrent, Concurrent, fmt.Sprintf("%s was decided within %s of it", where, by.Abs()))
			case before:
				u.because(why, rankArrival, LateArrival, fmt.Sprintf("%s was decided live %s after it", where, by))
			default:
				u.because(why, rankArrival, LateArrival, fmt.Sprintf("%s was decided live %s before it, and lies behind it in the history", where, -by))
			}
		})
	}
}

// before says whether live had one order before another: by their offsets in one partition, else by when they were decided, where that is far enough apart.
func (a *lived) before(b *lived) (before, sure bool) {
	if a.topic == b.topic && a.partition == b.partition {
		return a.offset < b.offset, true
	}
	apart := b.decided - a.decided
	return apart > 0, apart > concurrentWithin.Microseconds() || apart < -concurrentWithin.Microseconds()
}

// byLabels looks for labels that were known by an order's time and had not come to live when it was decided.
func (v *verifier) byLabels(share map[uint64][]int32, labels *history) {
	of := make(map[uint64][]int32, len(labels.labels)) // :: hash of an order's id → its labels
	for i := range labels.labels {
		id := xxhash.Sum64String(string(labels.labels[i].ID))
		of[id] = append(of[id], int32(i))
	}
	for row, id := range v.seen.id {
		for _, n := range of[id] {
			l := &labels.labels[n]
			known := l.KnownAt.UnixMicro()
			v.each(row, share, true, func(u *unexplained, entity string, why uint64) {
				b := &v.live.all[v.seen.live[u.row]]
				switch {
				case known > v.seen.at[u.row] || u.rank >= rankLabel && u.left&why == 0:
				case l.at == unheard:
					u.because(why, rankMaybeLabel, LateLabel, "a label of the same "+entity+" was known by then; when it came is not")
				case l.at > b.decided-labelWithin.Microseconds():
					u.because(why, rankLabel, LateLabel, fmt.Sprintf("a label of the same %s came %s after the decision", entity, time.Duration(l.at-b.decided)*time.Microsecond))
				}
			})
		}
	}
}

// byHistory looks for orders that live had decided in the time that an order's features look back to, and that the history does not have.
func (v *verifier) byHistory() {
	var times []int64
	for i := range v.live.all {
		if !v.live.all[i].seen {
			times = append(times, v.live.all[i].at)
		}
	}
	slices.Sort(times)
	for i := range v.open {
		u := &v.open[i]
		at := v.seen.at[u.row]
		for n := range v.classes {
			why := uint64(1) << n
			if u.differs&why == 0 {
				continue
			}
			near, far := v.classes[n].span()
			from, _ := slices.BinarySearch(times, at-far+1)
			to, _ := slices.BinarySearch(times, at-near+1)
			if to > from {
				u.because(why, rankHistory, OtherHistory, fmt.Sprintf("the history lacks %d orders that live decided in the time that a feature looks back to", to-from))
			}
		}
	}
}

// because notes a reason for the classes why, and keeps it when it is better than what there is.
func (u *unexplained) because(why uint64, rank int, kind, detail string) {
	u.left &^= why
	if rank > u.rank {
		u.rank, u.kind, u.detail = rank, kind, detail
	}
}

// place is a partition.
type place struct {
	topic     string
	partition int32
}

// span notes how far live's decisions reach.
func (l *live) span(d *schemas.Decision) {
	at := d.OccurredAt.UnixMicro()
	l.first, l.final = min(l.first, at), max(l.final, at)
	where := place{l.topics[l.topic(d.Source.Topic)], d.Source.Partition}
	if last, ok := l.last[where]; !ok || d.Source.Offset > last {
		l.last[where] = d.Source.Offset
	}
}
