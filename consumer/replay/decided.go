package replay

import (
	"fmt"
	"slices"
	"sync/atomic"

	"verdict/schemas"
)

// decided are decisions of a step on their way to the digest and a file. Their vectors are copies: the extractor uses its own again.
type decided struct {
	decisions []schemas.Decision
	values    []float64 // of all vectors
}

// reset makes room for n decisions.
func (d *decided) reset(n int) {
	d.decisions, d.values = slices.Grow(d.decisions[:0], n), d.values[:0]
}

// take copies a decision.
func (d *decided) take(from *schemas.Decision) {
	d.decisions = append(d.decisions, *from)
	if from.Inputs.Values == nil {
		return
	}
	at := len(d.values)
	d.values = append(d.values, from.Inputs.Values...)
	d.decisions[len(d.decisions)-1].Inputs.Values = d.values[at:len(d.values):len(d.values)]
}

// scribe keeps the digest of a candidate's decisions and writes them. One goroutine uses it.
type scribe struct {
	digest Digest
	file   *output       // nil: they are not wanted
	told   *atomic.Int64 // counts what was written; nil counts nothing
	text   []byte
}

func (s *scribe) write(d *decided) error {
	s.text = s.text[:0]
	for i := range d.decisions {
		s.digest.Add(&d.decisions[i])
		if s.file != nil {
			s.text = append(schemas.AppendDecision(s.text, &d.decisions[i]), '\n')
		}
	}
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Write(s.text); err != nil {
		return fmt.Errorf("writing decisions: %w", err)
	}
	if s.told != nil {
		s.told.Add(int64(len(d.decisions)))
	}
	return nil
}
