package treemodel

import "slices"

// maxCover is above any count of rows, and far below what sums of counts overflow.
const maxCover = 1 << 62

// cover is how many training rows passed through each node and leaf of a forest; XGBoost weighs them, by the sum of their hessians.
type cover struct {
	nodes, leaves []float64
	whole         bool // every tree has its counts, and none is 0 but of leaves of XGBoost
}

// add keeps the counts of one tree.
func (c *cover) add(s *section, p *parser, splits, leaves int) error {
	if splits == 0 {
		c.leaves = append(c.leaves, 1) // a constant tree: all rows
		return nil
	}
	for _, part := range []struct {
		key   string
		count int
		into  *[]float64
	}{{"internal_count", splits, &c.nodes}, {"leaf_count", leaves, &c.leaves}} {
		if _, given := s.values[part.key]; !given {
			c.whole = false
			continue
		}
		counts, _, err := p.floats(s, part.key, part.count)
		if err != nil {
			return err
		}
		c.whole = c.whole && slices.Min(counts) >= 1 && slices.Max(counts) <= maxCover
		*part.into = append(*part.into, counts...)
	}
	return nil
}

// of returns the rows of a child as nodes refer to it.
func (c *cover) of(child int32) float64 {
	if child < 0 {
		return c.leaves[^child]
	}
	return c.nodes[child]
}
