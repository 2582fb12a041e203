package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// drift holds live's first decisions against the recomputed ones, cell for cell: each feature, the score, the action. Without a second computation there
// is nothing to hold them against.
func (c *counter) drift() {
	if len(c.oracle.recomputed) == 0 {
		return
	}
	late := map[string]bool{} // :: order id → an input of it was marked late
	for _, in := range c.places {
		if in.Late {
			late[in.ID] = true
		}
	}
	type pair struct {
		id   string
		live *order
		want *recomputed
	}
	pairs := make([]pair, 0, len(c.oracle.recomputed))
	for id, live := range c.oracle.byID {
		pairs = append(pairs, pair{id, live, c.oracle.recomputed[id]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return comparePlaces(a.live.source, b.live.source) })
	for _, p := range pairs {
		d := compare(p.live.first, p.want)
		if d.cells() == 0 {
			continue
		}
		switch {
		case p.live.first.degraded || p.want != nil && p.want.degraded:
			c.report.Flagged += d.cells()
		case late[p.id]:
			c.report.Late += d.cells()
		default:
			c.report.Mismatch += d.mismatch
			c.report.Missing += d.missing
			c.report.Extra += d.extra
			c.blame("drift", p.live.source, d.String())
		}
	}
	var missing []*recomputed
	for id, want := range c.oracle.recomputed {
		if c.oracle.byID[id] == nil {
			missing = append(missing, want)
		}
	}
	slices.SortFunc(missing, func(a, b *recomputed) int { return comparePlaces(a.source, b.source) })
	for _, want := range missing {
		c.report.Missing += len(want.values) + 2
		c.blame("drift", want.source, "the replay decided it, and it has no decision")
	}
}

// difference is the cells of one order that differ.
type difference struct {
	mismatch, missing, extra int
	names                    []string
}

func (d *difference) cells() int { return d.mismatch + d.missing + d.extra }

// String names what differs. Features' values stay out of it, as they tell of a person.
func (d *difference) String() string {
	const most = 5
	names := d.names
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return fmt.Sprintf("%d cells differ: %s", d.cells(), strings.Join(names, ", "))
}

// compare counts the cells that differ. An order that was not recomputed has all its cells too many.
func compare(live *decision, want *recomputed) difference {
	var d difference
	if want == nil {
		d.extra, d.names = len(live.values)+2, []string{"all: the replay did not decide it"}
		return d
	}
	if live.layout == want.layout {
		for i := range live.values {
			if !same(live.values[i], want.values[i]) {
				d.mismatch++
				d.names = append(d.names, live.layout.names[i])
			}
		}
	} else {
		d.byName(live, want)
	}
	if !same(live.score, want.score) {
		d.mismatch++
		d.names = append(d.names, "score")
	}
	if live.action != want.action {
		d.mismatch++
		d.names = append(d.names, "action")
	}
	return d
}

// byName compares vectors of different layouts.
func (d *difference) byName(live *decision, want *recomputed) {
	for i, name := range want.layout.names {
		at := slices.Index(live.layout.names, name)
		switch {
		case at < 0:
			d.missing++
		case !same(live.values[at], want.values[i]):
			d.mismatch++
		default:
			continue
		}
		d.names = append(d.names, name)
	}
	for _, name := range live.layout.names {
		if !slices.Contains(want.layout.names, name) {
			d.extra++
			d.names = append(d.names, name)
		}
	}
}
