package preprocess

import (
	"slices"
	"time"
)

// Influence is which orders, other than its own, may change a feature of an order: those that have an entity in common with it, and lie before it by an age
// from Near up to, but not with, Far.
type Influence struct {
	Entity string // "": any
	Near   time.Duration
	Far    time.Duration
	Labels bool // what became known of those orders counts
}

// Influences returns for each feature, in the vector's order, what may change it; none for a feature that is made of the order alone.
func (s *FeatureSet) Influences() [][]Influence {
	all := make([][]Influence, len(s.features))
	for i := range s.features {
		f := &s.features[i]
		if f.window != nil {
			all[i] = s.ofWindow(f.window)
			continue
		}
		for _, name := range s.names(f) {
			at, _ := s.layout.Index(name) // it stands above
			for _, one := range all[at] {
				if !slices.Contains(all[i], one) {
					all[i] = append(all[i], one)
				}
			}
		}
	}
	return all
}

// ofWindow returns what may change a window. What it counts may itself have been made of earlier orders, of whichever entity, and those of orders before: then
// any order may, as far back as a chain of all features goes.
func (s *FeatureSet) ofWindow(w *window) []Influence {
	group := &s.groups[w.group]
	c := &group.columns[w.ask]
	if c.later || w.codes >= 0 && group.columns[w.codes].later {
		return []Influence{{Far: time.Duration(len(s.features)) * s.Keep(), Labels: true}}
	}
	i := Influence{Entity: s.entityOf(w.group), Near: micros(w.delay - w.resolution), Far: micros(w.delay + w.width + w.resolution), Labels: w.marks() || c.coded}
	i.Near = max(0, i.Near)
	return []Influence{i}
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
