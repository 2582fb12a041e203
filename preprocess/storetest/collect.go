package storetest

import (
	"context"
	"slices"

	"verdict/preprocess"
)

// Exchange calls s.Exchange and returns copies of all that the visits saw, in their order. What see puts into the asks is what stands there.
func Exchange(ctx context.Context, s preprocess.Store, visits []preprocess.Visit) ([]preprocess.Found, error) {
	found := make([]preprocess.Found, 0, len(visits))
	err := s.Exchange(ctx, visits, func(_ int, f *preprocess.Found) {
		found = append(found, copied(f))
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// copied returns a copy of what a visit saw, to keep.
func copied(f *preprocess.Found) preprocess.Found {
	seen := *f
	seen.Views = slices.Clone(f.Views)
	for i := range seen.Views {
		v := &seen.Views[i]
		v.Points, v.Marks = slices.Clone(v.Points), slices.Clone(v.Marks)
		v.Cells, v.Sightings = slices.Clone(v.Cells), slices.Clone(v.Sightings)
	}
	return seen
}
