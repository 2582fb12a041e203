package memstore

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"verdict/preprocess"
)

// entity is what is kept under one key.
type entity struct {
	key     string
	seen    int64 // the newest event time of all when it was last visited
	columns []column
	marks   []preprocess.Mark // ascending by (At, ID, Known, Fraud); replaced, never changed in place, but for appending
	keep    int64             // the longest Keep that marks were asked with; 0 while nobody asked, and nothing may be dropped
}

// column is one field of the orders of an entity.
type column struct {
	name   string
	points []preprocess.Point // ascending by (At, ID); as marks
	from   int                // where the last answer began: the next begins near it
	last   int64              // At of the last point, here so that an order in time need not look at it: that is a miss of the processor's cache
}

func newEntity(key string) *entity {
	// A key is often cut out of a whole order, which it would keep alive.
	return &entity{key: strings.Clone(key)}
}

// exchange adds the order's point if the visit holds the order's id, and returns the points asked for.
func (e *entity) exchange(ask *preprocess.Ask, o *order, holds bool) []preprocess.Point {
	c := e.column(ask.Column, holds)
	if c == nil {
		return nil
	}
	if holds {
		p := preprocess.Point{At: o.at, ID: o.id, Value: ask.Value, Arrival: o.arrival}
		if ask.Column == "*" {
			p.Value = 0 // so that all stores give the same
		}
		c.add(p, ask.Keep)
	}
	return c.between(ask.From, ask.To)
}

func (e *entity) column(name string, create bool) *column {
	for i := range e.columns {
		if e.columns[i].name == name {
			return &e.columns[i]
		}
	}
	if !create {
		return nil
	}
	e.columns = append(e.columns, column{name: strings.Clone(name)})
	return &e.columns[len(e.columns)-1]
}

func (c *column) add(p preprocess.Point, keep int64) {
	n := len(c.points)
	if n == 0 || c.last < p.At || pointBefore(&c.points[n-1], &p) {
		if n == cap(c.points) {
			c.grow(keep)
		}
		c.points, c.last = append(c.points, p), p.At
		return
	}
	at := sort.Search(n, func(i int) bool { return !pointBefore(&c.points[i], &p) })
	if c.points[at].At == p.At && c.points[at].ID == p.ID {
		return // delivered again
	}
	old := min(at, c.old(keep)) // a point that is too old itself is still seen by its own visit
	late := append(make([]preprocess.Point, 0, n-old+1+(n-old)/4), c.points[old:at]...)
	c.points = append(append(late, p), c.points[at:]...)
	c.from = max(0, c.from-old)
}

// old is how many points may be dropped.
func (c *column) old(keep int64) int { return firstAfter(c.points, c.last-keep-1, c.from) }

// grow moves what is young enough to a larger array. Growing by half costs two copies of a point over its life, and at most a third of the array is empty.
func (c *column) grow(keep int64) {
	old := c.old(keep)
	live := c.points[old:]
	c.points = append(make([]preprocess.Point, 0, max(minColumn, len(live)+len(live)/2)), live...)
	c.from = max(0, c.from-old)
}

// minColumn is the capacity of a new column: most entities are seen a few times only.
const minColumn = 2

func (c *column) between(from, to int64) []preprocess.Point {
	points := c.points
	if c.last > to {
		points = points[:firstAfter(points, to, len(points))]
	}
	first := firstAfter(points, from, c.from)
	c.from = first
	return points[first:len(points):len(points)]
}

// firstAfter is the index of the first point later than t. It looks near the guess first, in steps that double: windows slide, and each point looked at
// in a long array is a miss of the processor's cache.
func firstAfter(points []preprocess.Point, t int64, guess int) int {
	lo, hi := 0, len(points)
	guess = min(guess, hi)
	if guess < hi && points[guess].At <= t {
		lo = guess + 1
		for step := 1; lo+step < hi; step *= 2 {
			if points[lo+step].At > t {
				hi = lo + step
				break
			}
			lo += step + 1
		}
	} else {
		hi = guess
		for step := 1; hi-step > 0; step *= 2 {
			if points[hi-step].At <= t {
				lo = hi - step + 1
				break
			}
			hi -= step
		}
	}
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); points[mid].At > t {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

func pointBefore(a, b *preprocess.Point) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	return a.ID < b.ID
}

// marksBetween returns the marks asked for.
func (e *entity) marksBetween(ask *preprocess.Ask) []preprocess.Mark {
	e.keep = max(e.keep, ask.Keep)
	from := markAfter(e.marks, ask.From)
	return slices.Clip(e.marks[from:max(from, markAfter(e.marks, ask.To))])
}

// mark adds a version of a label. It replaces the array when it does not append, for the sake of views, and drops old marks then.
func (e *entity) mark(m preprocess.Mark) {
	at, known := slices.BinarySearchFunc(e.marks, m, compareMarks)
	if known {
		return
	}
	if at == len(e.marks) {
		if at == cap(e.marks) {
			e.marks = slices.Grow(slices.Clone(e.marks[e.oldMarks(m.At):]), 1)
		}
		e.marks = append(e.marks, m)
		return
	}
	old := min(at, e.oldMarks(e.marks[len(e.marks)-1].At))
	e.marks = slices.Insert(slices.Clip(e.marks[old:]), at-old, m)
}

// oldMarks is how many marks lie before all that can be asked for once there is one at the given time.
func (e *entity) oldMarks(newest int64) int {
	if e.keep == 0 {
		return 0
	}
	return markAfter(e.marks, newest-e.keep-1)
}

func markAfter(marks []preprocess.Mark, t int64) int {
	return sort.Search(len(marks), func(i int) bool { return marks[i].At > t })
}

func compareMarks(a, b preprocess.Mark) int {
	switch {
	case a.At != b.At:
		return cmp.Compare(a.At, b.At)
	case a.ID != b.ID:
		return cmp.Compare(a.ID, b.ID)
	case a.Known != b.Known:
		return cmp.Compare(a.Known, b.Known)
	case a.Fraud == b.Fraud:
		return 0
	case b.Fraud:
		return -1
	default:
		return 1
	}
}
