package preprocess

import "sort"

// Series is the points of one column of one entity as a store holds them in memory: ascending by (At, ID), each order once. The zero value is empty.
// It is not safe for concurrent use.
type Series struct {
	points []Point
	from   int   // where the last view began: the next begins near it
	last   int64 // At of the last point, here so that an order in time need not look at it: that is a miss of the processor's cache
}

// NewSeries returns a Series of these points, which must be ascending by (At, ID), each order once; it owns them.
func NewSeries(points []Point) Series {
	s := Series{points: points}
	if n := len(points); n > 0 {
		s.last = points[n-1].At
	}
	return s
}

// Points returns all points. They are not to be changed, and are valid until the next Add.
func (s *Series) Points() []Point { return s.points }

// Newest returns the event time of the last point, in microseconds; 0 when there is none.
func (s *Series) Newest() int64 { return s.last }

// Add puts a point in its place; one of an order that is there already changes nothing. Points older than the newest by more than keep may go.
func (s *Series) Add(p Point, keep int64) {
	n := len(s.points)
	if n == 0 || s.last < p.At || s.points[n-1].Before(&p) {
		if n == cap(s.points) {
			s.grow(keep)
		}
		s.points, s.last = append(s.points, p), p.At
		return
	}
	at := sort.Search(n, func(i int) bool { return !s.points[i].Before(&p) })
	if s.points[at].At == p.At && s.points[at].ID == p.ID {
		return // delivered again
	}
	if n == cap(s.points) {
		at -= s.grow(keep)
	}
	if at < 0 {
		at = 0 // it is older than all that is kept, and still seen by its own visit
	}
	s.points = append(s.points, Point{})
	copy(s.points[at+1:], s.points[at:])
	s.points[at] = p
}

// grow moves what is young enough to a larger array, and returns how many points it left behind. Growing by half costs two copies of a point over its
// life, and at most a third of the array is empty.
func (s *Series) grow(keep int64) int {
	old := s.after(s.last-keep-1, s.from)
	live := s.points[old:]
	s.points = append(make([]Point, 0, max(minSeries, len(live)+len(live)/2)), live...)
	s.from = max(0, s.from-old)
	return old
}

// minSeries is the capacity of a new series: most entities are seen a few times only.
const minSeries = 2

// Between returns the points with from < At <= to. They are not to be changed, and are valid until the next Add.
func (s *Series) Between(from, to int64) []Point {
	points := s.points
	if s.last > to {
		points = points[:s.after(to, len(points))]
	}
	first := min(len(points), s.after(from, s.from))
	s.from = first
	return points[first:len(points):len(points)]
}

// Drop lets go of the points that are older than the newest by more than keep.
func (s *Series) Drop(keep int64) {
	old := s.after(s.last-keep-1, s.from)
	s.points = s.points[old:]
	s.from = max(0, s.from-old)
}

// Remove takes the point of an order out, if it is there.
func (s *Series) Remove(p *Point) {
	at := sort.Search(len(s.points), func(i int) bool { return !s.points[i].Before(p) })
	if at == len(s.points) || s.points[at].At != p.At || s.points[at].ID != p.ID {
		return
	}
	s.points = append(s.points[:at], s.points[at+1:]...)
	s.last = 0
	if n := len(s.points); n > 0 {
		s.last = s.points[n-1].At
	}
}

// after is the place of the first point later than t. It looks near the guess first, in steps that double: windows slide, and each point looked at
// in a long array is a miss of the processor's cache.
func (s *Series) after(t int64, guess int) int {
	points := s.points
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
