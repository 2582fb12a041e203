package backtest

import (
	"cmp"
	"math"
	"slices"
)

// sample is the rows that count and have a score, by falling score; of equal scores the earlier order first, then by the customer's hash, so that the order in
// which rows came does not matter.
type sample struct {
	rows  []uint32  // places in the columns
	score []float64 // one a row, in that order
	marks []uint32  // one a row, in that order: cluster << 2 | ends a run of equal scores << 1 | fraud
	days  []dayList // by day
	cards []dayList // by day: customers by their highest score of the day, fraud if any order of the day was; nil without customers

	frauds int
}

const (
	markFraud = 1
	markEnd   = 2
	markShift = 2
)

// dayList is one day's entries by falling score: cluster << 1 | fraud.
type dayList struct {
	day     int64
	entries []uint32
	rows    []uint32 // places in the columns; nil for customers
}

// counted are the rows of which figures with labels are made.
type counted struct {
	rows     []uint32 // places in the columns, in their order
	cluster  []uint32 // one for each of all rows, also those that do not count: number of its customer
	keys     []uint64 // :: cluster → its customer's hash
	immature int
	known    int // left out since their customer was known
}

// count tells which rows count.
func (c *Collector) count() counted {
	var all counted
	edge := c.matureUntil()
	all.cluster = make([]uint32, len(c.at))
	numbers := make(map[uint64]uint32)
	for i, at := range c.at {
		n, ok := numbers[c.customer[i]]
		if !ok {
			n = uint32(len(all.keys))
			numbers[c.customer[i]], all.keys = n, append(all.keys, c.customer[i])
		}
		all.cluster[i] = n
		switch {
		case at > edge:
			all.immature++
		case c.wasKnown(i):
			all.known++
		default:
			all.rows = append(all.rows, uint32(i))
		}
	}
	return all
}

// matureUntil returns the time of the last order that is old enough.
func (c *Collector) matureUntil() int64 {
	if c.cfg.Mature == 0 {
		return math.MaxInt64
	}
	return c.end() - c.cfg.Mature.Microseconds()
}

// end returns the end of what is known, microseconds.
func (c *Collector) end() int64 {
	if c.cfg.Until.IsZero() {
		return c.latest
	}
	return c.until
}

// wasKnown says whether a fraud of the row's customer was known on its day.
func (c *Collector) wasKnown(row int) bool {
	if c.cfg.Known == nil {
		return false
	}
	first, ok := c.known[c.customer[row]]
	return ok && first+c.cfg.Known.Delay.Microseconds()/microsOfDay < dayOf(c.at[row])
}

// sampleOf returns the rows that have a score, sorted.
func (c *Collector) sampleOf(rows []uint32, of *counted, score []float64) *sample {
	type key struct {
		score float64
		at    int64
		row   uint32
	}
	keys := make([]key, 0, len(rows))
	for _, row := range rows {
		if s := score[row]; s == s {
			keys = append(keys, key{s, c.at[row], row})
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		default:
			return cmp.Or(cmp.Compare(c.customer[a.row], c.customer[b.row]), cmp.Compare(a.row, b.row))
		}
	})
	s := &sample{rows: make([]uint32, len(keys)), score: make([]float64, len(keys)), marks: make([]uint32, len(keys))}
	for i, k := range keys {
		s.rows[i], s.score[i] = k.row, k.score
	}
	s.mark(c, of)
	return s
}

// mark makes the marks of rows and scores that are there.
func (s *sample) mark(c *Collector, of *counted) {
	for i, row := range s.rows {
		mark := of.cluster[row] << markShift
		if c.label[row] == Fraud {
			mark |= markFraud
			s.frauds++
		}
		if i == len(s.rows)-1 || s.score[i+1] != s.score[i] {
			mark |= markEnd
		}
		s.marks[i] = mark
	}
}

// byDay makes the lists by day, and with customers those too.
func (s *sample) byDay(c *Collector, of *counted) {
	sizes := make(map[int64]int)
	for _, row := range s.rows {
		sizes[dayOf(c.at[row])]++
	}
	for day, n := range sizes {
		s.days = append(s.days, dayList{day: day, entries: make([]uint32, 0, n), rows: make([]uint32, 0, n)})
	}
	slices.SortFunc(s.days, func(a, b dayList) int { return cmp.Compare(a.day, b.day) })
	places := make(map[int64]int, len(s.days))
	for i := range s.days {
		places[s.days[i].day] = i
	}
	for i, row := range s.rows {
		d := &s.days[places[dayOf(c.at[row])]]
		d.entries, d.rows = append(d.entries, s.marks[i]>>markShift<<1|s.marks[i]&markFraud), append(d.rows, row)
	}
	if !c.customers {
		return
	}
	place := make([]uint32, len(of.keys)) // :: cluster → its place in the day's list, from 1
	for i := range s.days {
		d := dayList{day: s.days[i].day}
		for _, entry := range s.days[i].entries {
			at := &place[entry>>1]
			if *at == 0 {
				d.entries = append(d.entries, entry)
				*at = uint32(len(d.entries))
			} else {
				d.entries[*at-1] |= entry & 1
			}
		}
		for _, entry := range d.entries {
			place[entry>>1] = 0
		}
		s.cards = append(s.cards, d)
	}
}
