package memstore

import (
	"slices"
	"strings"

	"verdict/preprocess"
)

// entity is what is kept under one key.
type entity struct {
	key     string
	seen    int64 // the newest event time of all when it was last visited
	columns []column
	marks   []preprocess.Mark // ascending by (At, ID, Known, Fraud)
	keep    int64             // the longest Keep that marks were asked with; 0 while nobody asked, and nothing may be dropped
}

// column is what is kept of the orders of an entity.
type column struct {
	name   string
	keep   int64             // the longest that was asked for: several feature sets may share the column
	exact  preprocess.Series // unless merged
	merged *merged           // nil: exact
}

func newEntity(key string) *entity {
	// A key is often cut out of a whole order, which it would keep alive.
	return &entity{key: strings.Clone(key)}
}

func (e *entity) column(ask *preprocess.Ask, create bool) *column {
	for i := range e.columns {
		if e.columns[i].name == ask.Column {
			return &e.columns[i]
		}
	}
	if !create {
		return nil
	}
	c := column{name: strings.Clone(ask.Column)}
	if ask.Merge != nil {
		c.merged = &merged{Merged: preprocess.Merged{Merging: *ask.Merge}}
	}
	e.columns = append(e.columns, c)
	return &e.columns[len(e.columns)-1]
}

// add adds an order's point to the column that is asked for, in a call.
func (e *entity) add(ask *preprocess.Ask, o *order, call *calls) {
	c := e.column(ask, true)
	c.keep = max(c.keep, ask.Keep)
	p := preprocess.Point{At: o.at, Value: ask.Value, Ref: o.Ref}
	if ask.Column == "*" {
		p.Value = 0 // so that all stores give the same
	}
	if c.merged != nil {
		c.merged.add(p, c.keep, call)
		return
	}
	c.exact.Add(p, c.keep)
}

// had says whether a visit comes to a merged column again.
func (e *entity) had(ask *preprocess.Ask, a preprocess.Arrival) bool {
	if ask.Merge == nil || ask.Marks {
		return false
	}
	c := e.column(ask, false)
	return c != nil && c.merged != nil && c.merged.Had(a)
}

// look shows what is asked for. A merged column that had the visit is shown as it was then.
func (e *entity) look(ask *preprocess.Ask, view *preprocess.View, had *visitor) {
	if ask.Marks {
		view.Marks = e.marksBetween(ask)
		return
	}
	c := e.column(ask, false)
	if c == nil {
		return
	}
	if c.merged != nil {
		m := &c.merged.Merged
		if had != nil {
			m = c.merged.asItWas(had, c.keep)
		}
		view.Points = m.Between(ask.From, ask.To)
		view.Cells, view.Sightings = m.Cells, m.Sightings
		return
	}
	view.Points = c.exact.Between(ask.From, ask.To)
}

// marksBetween returns the marks asked for.
func (e *entity) marksBetween(ask *preprocess.Ask) []preprocess.Mark {
	e.keep = max(e.keep, ask.Keep)
	from := preprocess.MarkAfter(e.marks, ask.From)
	return e.marks[from:max(from, preprocess.MarkAfter(e.marks, ask.To))]
}

// mark adds a version of a label, and drops old marks when it needs room.
func (e *entity) mark(m preprocess.Mark) {
	at, known := slices.BinarySearchFunc(e.marks, m, preprocess.CompareMarks)
	if known {
		return
	}
	if len(e.marks) == cap(e.marks) {
		old := min(at, e.oldMarks(max(m.At, newestMark(e.marks))))
		e.marks, at = slices.Grow(slices.Clone(e.marks[old:]), 1), at-old
	}
	e.marks = slices.Insert(e.marks, at, m)
}

func newestMark(marks []preprocess.Mark) int64 {
	if len(marks) == 0 {
		return 0
	}
	return marks[len(marks)-1].At
}

// oldMarks is how many marks lie before all that can be asked for once there is one at the given time.
func (e *entity) oldMarks(newest int64) int {
	if e.keep == 0 {
		return 0
	}
	return preprocess.MarkAfter(e.marks, newest-e.keep-1)
}
