package treemodel

import (
	"errors"
	"fmt"
	"sync"
)

// Contributions are path-dependent TreeSHAP (Lundberg et al., arXiv:1802.03888): exact Shapley values of the game in which a split that asks a known
// feature sends the row its own way, and one that asks an unknown feature sends it both ways, by the shares of the training rows.
//
// A feature's Shapley value is the integral over t from 0 to 1 of what knowing it adds while every other feature is known with chance t (Owen, 1972). For
// one t a tree takes two passes:
//
//	down  reach(n), how likely the row comes to split n
//	up    mean(n), what the tree then gives on average; at n, gain = mean(the row's side) - the mean of both sides by their shares
//
// and the split's feature gains reach × gain × τ(1-τ) / t(1-t). Here τ is how likely the feature is known, now that the row is at n: t where no split above
// asks it. Where some do, and the row itself goes this way at all of them, a share z of the rows would have come this way with the feature unknown, so that
// τ = t / (t + z(1-t)), as Bayes has it; and where the row itself would have left the way before, the feature cannot be known, and τ = 0.
//
// What is integrated is a polynomial in t of a degree less than the features on the longest path, so Gauss-Legendre quadrature is not an approximation: n
// points suffice for 2n features. XGBoost since 3.4 integrates too, at eight points and in float32; Linear TreeSHAP (Yu et al., NeurIPS 2022) keeps the
// polynomials. With chances a row's splits decide nothing but which of the numbers made beforehand are multiplied; none is divided by what may be small.

// maxContributionDepth bounds what a hostile file can make contributions cost, which grows with depth beside the number of splits.
const maxContributionDepth = 512

// maxShareBytes bounds the tables of contributions. 500 trees of 63 leaves take 3 MiB.
const maxShareBytes = 512 << 20

var (
	// errNoCounts says that a file does not have what contributions are computed from.
	errNoCounts = errors.New("the model has no counts of training rows, too deep a tree, or leaves that are linear models, so it gives no contributions")
	// errLargeShares says that the tables would take too much memory.
	errLargeShares = fmt.Errorf("the model is too large for contributions: their tables would take more than %d MiB", maxShareBytes>>20)
)

// contributor makes the tables when the first contributions are asked for.
type contributor struct {
	once    sync.Once
	shares  *shares
	err     error
	working sync.Pool // of *shareWork
}

// Contributions splits the raw score of one row among the features, exactly, as LightGBM's pred_contrib and XGBoost's pred_contribs do. For each output out
// takes one number a feature and then the expected score; together they are the raw score. The first call makes tables, in
// milliseconds; later ones allocate nothing.
func (m *Model) Contributions(row, out []float64) error {
	width, k := len(m.info.Inputs), m.info.Outputs
	if !m.info.Contributions {
		return errNoCounts
	}
	if len(row) != width || len(out) != (width+1)*k {
		return fmt.Errorf("%w: %d values and %d contributions of a model of %d inputs and %d outputs", errShape, len(row), len(out), width, k)
	}
	c := &m.contributor
	c.once.Do(func() { c.shares, c.err = newShares(&m.trees, &m.cover, maxShareBytes) })
	if c.err != nil {
		return c.err
	}
	w, _ := c.working.Get().(*shareWork)
	if w == nil {
		w = c.shares.newWork()
	}
	c.shares.split(w, row, out)
	c.working.Put(w)
	return nil
}
