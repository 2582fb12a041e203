package preprocess

import "time"

// Approximation is what a resolution costs a feature.
type Approximation struct {
	Feature string

	// FarEdge is by how much the far edge of the window may lie off, at most: it is moved to the nearest bound of cells, in every order alike.
	FarEdge time.Duration

	// MergedBeyond is how many of an entity's latest orders are never merged. Where more came since the near edge of a window (it has a delay, or the order
	// is late), that edge is moved back by up to NearEdge, since a cell is in as a whole or not at all. With distinct, a late order then misses the values
	// that were seen again after it.
	MergedBeyond int
	NearEdge     time.Duration
	Delayed      bool // the window has a delay, so that this is so for every order and not for late ones alone

	// SampledBeyond is how many different values are told apart before a sample is counted in their place, with a standard error of about SampleError, as a
	// part of the number; 0 is for what is not distinct.
	SampledBeyond int
	SampleError   float64
}

// sampleError is that of a sample which holds between half of maxSightings and all of them: between 1/√512 and 1/√1024.
const sampleError = 0.04

// Approximations returns, of the features that have a resolution, what it costs.
func (s *FeatureSet) Approximations() []Approximation {
	var all []Approximation
	for i := range s.features {
		f := &s.features[i]
		if f.window == nil || f.window.resolution == 0 {
			continue
		}
		cell := time.Duration(f.window.resolution) * time.Microsecond
		a := Approximation{Feature: f.name, FarEdge: cell / 2, MergedBeyond: minExact, NearEdge: cell, Delayed: f.window.delay > 0}
		if f.window.what == distinct {
			a.SampledBeyond, a.SampleError = maxSightings, sampleError
		}
		all = append(all, a)
	}
	return all
}
