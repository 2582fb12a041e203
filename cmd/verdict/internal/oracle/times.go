package oracle

import (
	"slices"
	"time"
)

// partition is the inputs and the progress of one partition.
type partition struct {
	written []time.Time // when inputs were written, ascending
	decided []time.Time // when each input's first output was seen, ascending; fewer than written when some were lost
}

// times finds how long partitions stood still, and how soon they went on after each fault.
func (c *counter) times() {
	all := map[Place]*partition{} // :: topic and partition
	var end time.Time
	for _, in := range c.places {
		if !in.known || in.Time.IsZero() {
			continue
		}
		where := Place{Topic: in.Place.Topic, Partition: in.Place.Partition}
		p := all[where]
		if p == nil {
			p = &partition{}
			all[where] = p
		}
		p.written = append(p.written, in.Time)
		end = later(end, in.Time)
		if len(in.outputs) > 0 && !in.firstSeen.IsZero() {
			// An input cannot be done before it is there: clocks in milliseconds may have it so.
			p.decided = append(p.decided, later(in.firstSeen, in.Time))
			end = later(end, in.firstSeen)
		}
	}
	for _, p := range all {
		slices.SortFunc(p.written, time.Time.Compare)
		slices.SortFunc(p.decided, time.Time.Compare)
		c.report.StuckMax = max(c.report.StuckMax, p.stuck(end))
	}
	c.recoveries(all, end)
}

// stuck returns the longest time in which there was work and none was done.
func (p *partition) stuck(end time.Time) (longest time.Duration) {
	var since time.Time // since when there is work and none is done; zero while there is none
	open, w, d := 0, 0, 0
	for w < len(p.written) || d < len(p.decided) {
		if d == len(p.decided) || w < len(p.written) && !p.written[w].After(p.decided[d]) {
			if open == 0 {
				since = p.written[w]
			}
			open++
			w++
			continue
		}
		longest = max(longest, p.decided[d].Sub(since))
		since = p.decided[d]
		open--
		d++
	}
	if open > 0 {
		longest = max(longest, end.Sub(since))
	}
	return longest
}

// recoveries finds, for each fault, when the last of the partitions that had work went on. A partition that has none until the next fault begins says nothing.
func (c *counter) recoveries(all map[Place]*partition, end time.Time) {
	faults := slices.Clone(c.oracle.faults)
	slices.SortFunc(faults, func(a, b fault) int { return a.ended.Compare(b.ended) })
	took := make([]time.Duration, 0, len(faults))
	for i, f := range faults {
		until := end
		if i+1 < len(faults) && faults[i+1].began.After(f.ended) {
			until = faults[i+1].began
		}
		slowest := time.Duration(0)
		for _, p := range all {
			slowest = max(slowest, p.recovery(f.ended, until, end))
		}
		took = append(took, slowest)
	}
	c.report.Faults = len(took)
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	c.report.RecoverP99, c.report.RecoverMax = took[(len(took)*99+99)/100-1], took[len(took)-1]
}

// recovery returns how long after a fault's end a partition with work had its next decision. What is written later than until is of the next fault.
func (p *partition) recovery(from, until, end time.Time) time.Duration {
	next, _ := slices.BinarySearchFunc(p.decided, from, time.Time.Compare)
	had, _ := slices.BinarySearchFunc(p.written, from, time.Time.Compare)
	if had <= next { // nothing was left to do: the first that was written afterwards counts, from then on
		if had == len(p.written) || p.written[had].After(until) {
			return 0
		}
		from = p.written[had]
	}
	if next == len(p.decided) {
		return end.Sub(from)
	}
	return max(0, p.decided[next].Sub(from))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
