package backtest

import (
	"math"
	"slices"
)

// sketch counts a column's values in buckets that get wider with the value: each is at most 1/64 of its value wide, and whole numbers up to 127 have their
// own. It is exact in its counts, the same for any order of the values, and bounded: with too many buckets used, two neighbours each become one.
type sketch struct {
	missing uint64
	n       uint64
	keys    []uint32 // a hash table with open addressing: key + 1, 0 where empty; its length is a power of two
	counts  []uint32
	used    int
	shift   uint8 // bits that were dropped to make buckets wider
}

const (
	keyBits   = 18         // sign, exponent, 6 bits of mantissa
	maxSlots  = 1 << 12    // of a table: 32 KiB
	firstSize = 1 << 5     // most features have few values
	hashOdd   = 2654435769 // 2^32 ÷ the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)
)

// keyOf returns a number that orders as x does.
func keyOf(x float64) uint32 {
	bits := math.Float64bits(x + 0) // −0 is 0
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return uint32(bits >> (64 - keyBits))
}

func (s *sketch) add(x float64) {
	if x != x {
		s.missing++
		return
	}
	s.n++
	s.count(keyOf(x)>>s.shift, 1)
}

func (s *sketch) count(key, by uint32) {
	if len(s.keys) == 0 {
		s.keys, s.counts = make([]uint32, firstSize), make([]uint32, firstSize)
	}
	mask := uint32(len(s.keys) - 1)
	at := (key * hashOdd >> 8) & mask
	for s.keys[at] != 0 {
		if s.keys[at] == key+1 {
			s.counts[at] += by
			return
		}
		at = (at + 1) & mask
	}
	s.keys[at], s.counts[at] = key+1, by
	if s.used++; s.used > len(s.keys)/4*3 {
		s.grow()
	}
}

// grow makes room: twice the table, or at its largest half the buckets.
func (s *sketch) grow() {
	keys, counts := s.keys, s.counts
	size, drop := 2*len(keys), uint8(0)
	if size > maxSlots {
		size, drop = maxSlots, 1
	}
	s.keys, s.counts, s.used, s.shift = make([]uint32, size), make([]uint32, size), 0, s.shift+drop
	for i, key := range keys {
		if key != 0 {
			s.count((key-1)>>drop, counts[i])
		}
	}
}

// bucket is a bucket's key and count.
type bucket struct{ key, n uint32 }

// buckets returns the buckets in order, at least as wide as that shift makes them.
func (s *sketch) buckets(shift uint8) []bucket {
	wide := shift - s.shift
	all := make([]bucket, 0, s.used)
	for i, key := range s.keys {
		if key != 0 {
			all = append(all, bucket{(key - 1) >> wide, s.counts[i]})
		}
	}
	slices.SortFunc(all, func(a, b bucket) int { return int(a.key) - int(b.key) })
	merged := all[:0]
	for _, b := range all {
		if last := len(merged) - 1; last >= 0 && merged[last].key == b.key {
			merged[last].n += b.n
		} else {
			merged = append(merged, b)
		}
	}
	return merged
}

// stabilityBins is among how many bins the base's values are divided evenly.
const stabilityBins = 10

// stability returns the population stability index of s against base: Σ (q − p) · ln(q / p) over bins that divide base's values evenly, p and q being the
// parts of base's and of s's values in a bin (Siddiqi, Credit Risk Scorecards, 2006). Missing values are a bin of their own. Half an order is added to each
// bin, so that an empty one gives a number. Equal values share a bin: of few different ones there are fewer bins. NaN when one of them is empty.
func stability(base, s *sketch) Number {
	if base.n+base.missing == 0 || s.n+s.missing == 0 {
		return missing()
	}
	shift := max(base.shift, s.shift)
	first, then := base.buckets(shift), s.buckets(shift)
	edges := edgesOf(first, base.n)
	p, q := inBins(first, edges), inBins(then, edges)
	if base.missing+s.missing > 0 {
		p, q = append(p, float64(base.missing)), append(q, float64(s.missing))
	}
	half := 0.5 * float64(len(p))
	index, ofP, ofQ := 0.0, float64(base.n+base.missing)+half, float64(s.n+s.missing)+half
	for i := range p {
		a, b := (p[i]+0.5)/ofP, (q[i]+0.5)/ofQ
		index += (b - a) * math.Log(b/a)
	}
	return Number(index)
}

// edgesOf returns the keys that end bins, the last bin's apart.
func edgesOf(all []bucket, n uint64) []uint32 {
	var edges []uint32
	sum, next := uint64(0), uint64(1)
	for i, b := range all {
		sum += uint64(b.n)
		if i == len(all)-1 || sum*stabilityBins < next*n {
			continue
		}
		edges = append(edges, b.key)
		next = sum*stabilityBins/n + 1
	}
	return edges
}

func inBins(all []bucket, edges []uint32) []float64 {
	bins := make([]float64, len(edges)+1)
	for _, b := range all {
		at, _ := slices.BinarySearch(edges, b.key)
		bins[at] += float64(b.n)
	}
	return bins
}
