package redisstore

import (
	"hash/maphash"
	"slices"

	"verdict/preprocess"
	"verdict/schemas"
)

// dedup leaves one point of each order in what was read. Two are there when a repeat came, and its points have not been taken back yet: by this call,
// or by another process, which may be about to or may have died in between; or when an order's point was written once more with another value, which only
// a crash between the two can bring about.
type dedup struct {
	holders map[schemas.OrderID]preprocess.Arrival // of ids known to have come more than once
	seed    maphash.Seed
	table   []uint32 // open addressing; :: hash of an id → 1 + index of its point
}

// clean takes points in the order of Redis: by time, then by the bytes of their members.
func (d *dedup) clean(points []preprocess.Point) []preprocess.Point {
	if d.holders != nil {
		points = slices.DeleteFunc(points, func(p preprocess.Point) bool {
			first, repeated := d.holders[p.ID]
			return repeated && first != p.Arrival
		})
	}
	if !d.twice(points) {
		return points
	}
	// Who holds the id is not known here. The one that arrived first is the likeliest; of those that arrived as one, the first in the order of Redis.
	first := make(map[schemas.OrderID]int, len(points))
	for i := range points {
		if at, known := first[points[i].ID]; !known || points[i].Arrival.Before(points[at].Arrival) {
			first[points[i].ID] = i
		}
	}
	i := -1
	return slices.DeleteFunc(points, func(p preprocess.Point) bool {
		i++
		return first[p.ID] != i
	})
}

// twice says whether an id is there more than once. It looks at each point ever read, so it is a table in one piece of memory rather than a map.
func (d *dedup) twice(points []preprocess.Point) bool {
	size := 16
	for size < 2*len(points) {
		size *= 2
	}
	if cap(d.table) < size {
		d.table = make([]uint32, size)
	}
	table := d.table[:size]
	clear(table)
	for i := range points {
		at := int(maphash.String(d.seed, string(points[i].ID))) & (size - 1)
		for ; table[at] != 0; at = (at + 1) & (size - 1) {
			if points[table[at]-1].ID == points[i].ID {
				return true
			}
		}
		table[at] = uint32(i) + 1
	}
	return false
}
