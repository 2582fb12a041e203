package memstore

import (
	"slices"

	"verdict/preprocess"
)

// merged is a merged column that can be shown as it was. What was merged cannot be taken apart again, so an order that is delivered again would see what came
// after it, merged with what came before. Until its source goes on, it is looked for in a copy of what was there before anything was merged, with what was added
// since. (Behind what other sources merge meanwhile it is not found.)
type merged struct {
	preprocess.Merged

	before *preprocess.Merged // as it was before a call first merged anything; nil: nothing was merged that may be delivered again
	since  []preprocess.Point // what was added since, in that order
	source int32              // of the point for which it was merged
	call   uint64             // the last that needs before: in which it was made, or what was in it was delivered again

	again *preprocess.Merged // before with the first of since, for as many visits as come one after the other; nil when there was none
	added int                // how many of since
}

// visitor is a visit that comes again.
type visitor struct {
	arrival preprocess.Arrival
	adds    bool // its point before it looks
	calls   *calls
}

// add adds a point, unless it is there.
func (m *merged) add(p preprocess.Point, keep int64, c *calls) {
	if m.Had(p.Arrival) {
		return
	}
	if m.before != nil && m.call != c.n && m.source == p.Arrival.Source {
		m.forget(c) // what is before it was decided: a step begins when the one before it is done
	}
	if m.Full() && (m.before == nil || m.call != c.n) {
		m.forget(c)
		m.before, m.source, m.call = c.copyOf(&m.Merged), p.Arrival.Source, c.n
	}
	m.Add(p, keep)
	if m.before != nil {
		m.since = append(m.since, p)
	}
}

// calls counts calls of Exchange, and has memory for copies that were made in one and are not needed in another.
type calls struct {
	n      uint64
	spares []*preprocess.Merged
}

// maxSpares is for how many columns that memory is kept.
const maxSpares = 16

func (c *calls) copyOf(m *preprocess.Merged) *preprocess.Merged {
	to := new(preprocess.Merged)
	if n := len(c.spares); n > 0 {
		to, c.spares = c.spares[n-1], c.spares[:n-1]
	}
	m.CopyTo(to)
	return to
}

func (m *merged) forget(c *calls) {
	if m.before != nil && len(c.spares) < maxSpares {
		c.spares = append(c.spares, m.before)
	}
	m.before, m.since, m.again, m.added = nil, nil, nil, 0
}

// asItWas returns what a visit saw that was had: all that came before it, and nothing that came after it was merged.
func (m *merged) asItWas(v *visitor, keep int64) *preprocess.Merged {
	if m.before == nil {
		return &m.Merged
	}
	m.call = v.calls.n
	n := m.seen(v)
	if m.again == nil || n < m.added {
		m.again, m.added = v.calls.copyOf(m.before), 0
	}
	for ; m.added < n; m.added++ {
		m.again.Add(m.since[m.added], keep)
	}
	return m.again
}

// seen is how many of those added since a visit had before it, or with its own.
func (m *merged) seen(v *visitor) int {
	if m.before.Had(v.arrival) {
		return 0
	}
	at := slices.IndexFunc(m.since, func(p preprocess.Point) bool {
		return p.Arrival.Source == v.arrival.Source && p.Arrival.Offset >= v.arrival.Offset
	})
	switch {
	case at < 0: // never, as it was had
		return len(m.since)
	case v.adds && m.since[at].Arrival == v.arrival:
		return at + 1
	default:
		return at
	}
}
