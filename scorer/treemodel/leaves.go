package treemodel

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dmitryikh/leaves"
)

// CrossCheck scores rows with leaves, an implementation of its own, and compares the raw scores bit for bit. It says false for models that leaves is
// known to score wrong or not to read. text is the model that m was parsed from: leaves must be handed nothing else, for it takes damaged files down
// with it, and no short rows, for it scores them 0.
func (m *Model) CrossCheck(text []byte, rows []float64) (compared bool, err error) {
	// leaves does not average (rf), does not see that leaves are linear, and knows no sizes of trees but those of the header.
	// What it makes of XGBoost's files is wrong, so it is never handed one.
	if m.trees.single || m.info.AverageOutput || m.info.Linear || !bytes.Contains(text, []byte("\ntree_sizes=")) {
		return false, nil
	}
	ours := make([]float64, len(rows)/len(m.info.Inputs)*m.info.Outputs)
	if err := m.Raw(rows, ours); err != nil {
		return false, err
	}
	// LightGBM's predictor takes values this near to zero for 0 before its trees see them; leaves leaves that to its caller.
	flat := slices.Clone(rows)
	for i, x := range flat {
		if math.Abs(x) <= zeroThreshold {
			flat[i] = 0
		}
	}
	theirs, err := leavesRaw(text, flat, len(m.info.Inputs), len(ours))
	if err != nil {
		return false, err
	}
	for i := range ours {
		if math.Float64bits(ours[i]) != math.Float64bits(theirs[i]) {
			return true, fmt.Errorf("row %d: the raw score is %v, and by leaves %v", i/m.info.Outputs+1, ours[i], theirs[i])
		}
	}
	return true, nil
}

// leavesRaw returns the raw scores of leaves.
func leavesRaw(text []byte, rows []float64, width, scores int) (out []float64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("leaves panicked: %v", p)
		}
	}()
	// Text of v4 differs from v3 in nothing that leaves reads, but it refuses the number.
	head, rest, _ := strings.Cut(string(text), "\nversion=v4\n")
	if rest != "" {
		head += "\nversion=v3\n" + rest
	}
	ensemble, err := leaves.LGEnsembleFromReader(bufio.NewReader(strings.NewReader(head)), false)
	if err != nil {
		return nil, fmt.Errorf("loading the model into leaves: %w", err)
	}
	if ensemble.NFeatures() != width {
		return nil, fmt.Errorf("leaves finds %d features, not %d", ensemble.NFeatures(), width)
	}
	out = make([]float64, scores)
	if err := ensemble.PredictDense(rows, len(rows)/width, width, out, 0, 1); err != nil {
		return nil, fmt.Errorf("scoring with leaves: %w", err)
	}
	return out, nil
}
