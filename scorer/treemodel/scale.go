package treemodel

import (
	"math"
	"math/bits"
	"slices"
)

// A scale turns the values of one feature into classes, so that every split on the feature decides all values of a class alike. The class of a number is
// its rank: how many cuts lie below it. Cuts are the model's thresholds for that feature, so that x <= threshold[k] is class <= k, exactly; +Inf, above
// which there is NaN alone; and where zeros are taken for missing, the ends of what counts as zero. Categories are in one class when they are in the same
// sets.
type scale struct {
	feature uint32
	classes uint32
	nan     uint32    // class of NaN, the last
	steps   int       // of the search: keys has 2 × steps - 1 elements, of which the last may stand for nothing
	keys    []uint64  // the cuts as ordered integers, ascending
	shown   []float64 // :: class → a value of it

	zeroFrom, zeroTo uint32 // classes of what counts as zero, where zeros are taken for missing

	categories []uint16 // :: category → class; nil where the splits are on numbers
	truncate   bool     // values between -1 and 0 are category 0 (LightGBM), not none (XGBoost)
}

const (
	// maxCuts keeps ranks in the 15 bits that the rank kernel has for them.
	maxCuts = 1<<15 - 8
	// maxCategories bounds the tables of categories.
	maxCategories = 1 << 20
	// maxGrouping bounds the classes of a feature's categories times its splits: the work of tabulating them.
	maxGrouping = 1 << 22
	// noCategory is the class of what is in no set.
	noCategory = 0
)

// key orders numbers as integers, both zeros being one, and NaN above all.
func key(x float64) uint64 {
	b := math.Float64bits(x + 0) // -0 + 0 is 0
	if b > math.Float64bits(math.Inf(-1)) {
		b = math.MaxUint64 >> 1 // NaN with its sign set
	}
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// class returns the class of x, which a model of float32 arithmetic has rounded.
func (s *scale) class(x float64) uint32 {
	if s.categories != nil {
		return s.category(x)
	}
	k, at := key(x), 0
	for step := s.steps; step > 0; step >>= 1 {
		_, below := bits.Sub64(s.keys[at+step-1], k, 0) // no branch: which way it goes cannot be foretold
		at += step & -int(below)
	}
	return uint32(at)
}

func (s *scale) category(x float64) uint32 {
	if x != x {
		return s.nan
	}
	if !(x > -1 && x < float64(len(s.categories))) || x < 0 && !s.truncate {
		return noCategory
	}
	return uint32(s.categories[uint32(x)])
}

// rank returns which of the scale's cuts t is.
func (s *scale) rank(t float64) uint32 {
	at, _ := slices.BinarySearch(s.keys, key(t))
	return uint32(at)
}

// splits is what the splits on one feature are, taken together.
type splits struct {
	cuts    []float64
	sets    []set
	kinds   uint8 // bits
	largest int   // categories that the sets have words for
}

const (
	zeroKinds = 1<<zeroLeft | 1<<zeroRight
	xgbKinds  = 1<<categoryRight | 1<<categoryRightOrNaN
)

// gather looks at every split of the trees, by feature.
func (f *forest) gather(features int) []splits {
	all := make([]splits, features)
	for i := range f.nodes {
		n := &f.nodes[i]
		s := &all[n.feature]
		s.kinds |= 1 << n.kind
		if n.kind.isCategorical() {
			set := f.sets[int(n.threshold)]
			s.sets = append(s.sets, set)
			s.largest = max(s.largest, 32*int(set.to-set.from))
			continue
		}
		s.cuts = append(s.cuts, n.threshold)
	}
	return all
}

// newScale makes the scale of a feature; false when there can be none.
func (f *forest) newScale(feature int, s *splits) (scale, bool) {
	out := scale{feature: uint32(feature)}
	switch {
	case len(s.sets) > 0 && (len(s.cuts) > 0 || s.kinds>>categorical&1 == 1 && s.kinds&xgbKinds != 0):
		return out, false
	case len(s.sets) > 0:
		return out, out.group(f, s)
	}
	if s.kinds&zeroKinds != 0 {
		s.cuts = append(s.cuts, math.Nextafter(-zeroThreshold, -1), zeroThreshold)
	}
	s.cuts = append(s.cuts, math.Inf(1))
	slices.SortFunc(s.cuts, func(a, b float64) int {
		if a < b {
			return -1
		}
		if a > b {
			return 1
		}
		return 0
	})
	s.cuts = slices.Compact(s.cuts)
	out.steps = 1
	for 2*out.steps-1 < len(s.cuts) {
		out.steps *= 2
	}
	out.keys = make([]uint64, 2*out.steps-1)
	for i := range out.keys {
		out.keys[i] = math.MaxUint64
		if i < len(s.cuts) {
			out.keys[i] = key(s.cuts[i])
		}
	}
	out.nan = uint32(len(s.cuts))
	out.classes = out.nan + 1
	out.shown = append(slices.Clip(s.cuts), math.NaN())
	if s.kinds&zeroKinds != 0 {
		out.zeroFrom, out.zeroTo = out.rank(math.Nextafter(-zeroThreshold, -1))+1, out.rank(zeroThreshold)+1
	}
	return out, out.nan <= maxCuts
}

// group puts the categories into classes: all begin in one, and each set parts those that it holds from those that it does not. False when that makes
// too many.
func (s *scale) group(f *forest, of *splits) bool {
	s.truncate = of.kinds>>categorical&1 == 1
	s.categories = make([]uint16, of.largest)
	members := []uint32{math.MaxUint32} // :: class → how many; the first has all that no set ever names
	var held, next []uint32             // :: class → how many of it the set holds, and the class that those become
	for _, set := range of.sets {
		held, next = append(held[:0], make([]uint32, len(members))...), append(next[:0], make([]uint32, len(members))...)
		s.each(f, set, func(c *uint16) { held[*c]++ })
		for class, n := range held {
			next[class] = uint32(class)
			if n > 0 && n < members[class] {
				next[class] = uint32(len(members))
				members[class] -= n
				members = append(members, n)
			}
		}
		if len(members)*len(of.sets) > maxGrouping || len(members) >= math.MaxUint16 {
			return false
		}
		s.each(f, set, func(c *uint16) { *c = uint16(next[*c]) })
	}
	s.nan, s.classes = uint32(len(members)), uint32(len(members))+1
	s.shown = make([]float64, s.classes)
	for category, class := range s.categories {
		s.shown[class] = float64(category)
	}
	s.shown[noCategory], s.shown[s.nan] = -1, math.NaN()
	return true
}

// each calls do with the class of each category of the set.
func (s *scale) each(f *forest, of set, do func(class *uint16)) {
	for w, word := range f.bits[of.from:of.to] {
		for ; word != 0; word &= word - 1 {
			do(&s.categories[32*w+bits.TrailingZeros32(word)])
		}
	}
}
