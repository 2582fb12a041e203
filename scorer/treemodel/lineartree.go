package treemodel

import "math"

// addLinear reads the linear models of a tree's leaves, where it or a tree before it has such.
func (b *builder) addLinear(s *section, leaves int) error {
	e, given := s.values["is_linear"]
	is := given && string(e.text) == "1"
	if given && !is && string(e.text) != "0" {
		return b.p.fault(e.line, "is_linear is %s, and should be 0 or 1", quote(e.text))
	}
	first := len(b.f.leaves) - leaves
	if is && b.f.linear == nil {
		b.info.Linear = true
		b.f.linear = &linear{starts: []uint32{0}}
		b.constantLeaves(b.f.leaves[:first])
	}
	if is {
		return b.readLinear(s, leaves)
	}
	if b.f.linear != nil {
		b.constantLeaves(b.f.leaves[first:])
	}
	return nil
}

// constantLeaves adds linear models of no features.
func (b *builder) constantLeaves(values []float64) {
	l := b.f.linear
	for _, v := range values {
		l.constants = append(l.constants, v)
		l.starts = append(l.starts, uint32(len(l.features)))
	}
}

func (b *builder) readLinear(s *section, leaves int) error {
	p, l := b.p, b.f.linear
	constants, line, err := p.floats(s, "leaf_const", leaves)
	if err != nil {
		return err
	}
	for i, v := range constants {
		if math.IsInf(v, 0) {
			return p.fault(line, "leaf_const[%d] is infinite", i)
		}
	}
	counts, countLine, err := p.ints(s, "num_features", leaves, 32)
	if err != nil {
		return err
	}
	total := words(s.values["leaf_features"].text)
	features, featureLine, err := p.ints(s, "leaf_features", total, 32)
	if err != nil {
		return err
	}
	coefficients, line, err := p.floats(s, "leaf_coeff", total)
	if err != nil {
		return err
	}
	at := 0
	for i, n := range counts {
		if n < 0 || n > int64(total-at) {
			return p.fault(countLine, "num_features[%d] is %d, but leaf_features has %d left of %d", i, n, total-at, total)
		}
		at += int(n)
		l.starts = append(l.starts, uint32(len(l.features)+at))
	}
	if at != total {
		return p.fault(countLine, "num_features are %d together, but leaf_features has %d", at, total)
	}
	for i, feature := range features {
		if feature < 0 || int(feature) >= len(b.used) {
			return p.fault(featureLine, "leaf_features[%d] is %d, and the model has %d features", i, feature, len(b.used))
		}
		if math.IsInf(coefficients[i], 0) {
			return p.fault(line, "leaf_coeff[%d] is infinite", i)
		}
		b.used[feature] = true
		l.features = append(l.features, uint32(feature))
	}
	l.constants = append(l.constants, constants...)
	l.coefficients = append(l.coefficients, coefficients...)
	return nil
}
