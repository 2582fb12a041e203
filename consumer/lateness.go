package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// latenessBuckets are in seconds: 1 s, 10 s, 1 min, 10 min, 1 h, 6 h, 1 d, 7 d (the default of state.lateness), 30 d, 90 d.
func latenessBuckets() []float64 {
	const hour, day = 3600, 24 * 3600
	return []float64{1, 10, 60, 600, hour, 6 * hour, day, 7 * day, 30 * day, 90 * day}
}

// reached is how far a worker has come with one partition.
type reached struct {
	newest time.Time // the latest event time of its orders
	offset int64     // of the last order that was looked at
}

// progress is how far a worker has come, by Arrival.Source: an entry a partition that it has ever read.
type progress map[int32]*reached

// late tells by how much the orders of a step that succeeded are late: behind the newest event time that came before them on their partition. Orders in
// time are not told, nor are copies, which count in no feature, nor records that come again because their offset was not committed.
func (p progress) late(k *work, tell prometheus.Observer) {
	for i := range k.extracted {
		if k.extracted[i].Repeat || k.extracted[i].Conflict {
			continue
		}
		at, arrival := k.orders[i].Order.At, k.orders[i].Arrival
		r, known := p[arrival.Source]
		switch {
		case !known:
			p[arrival.Source] = &reached{newest: at, offset: arrival.Offset}
			continue
		case arrival.Offset <= r.offset:
			continue
		case at.Before(r.newest):
			tell.Observe(r.newest.Sub(at).Seconds())
		default:
			r.newest = at
		}
		r.offset = arrival.Offset
	}
}
