package main

import (
	"fmt"
	"slices"

	"verdict/consumer/replay"
	"verdict/schemas"
	"verdict/scorer"
)

// candidates pairs --model and --policy in their order: as many of each, or one for all of the other. Without either there are none.
func (f *replayFlags) candidates(fields *schemas.Schema, layout *schemas.Layout) ([]replay.Candidate, error) {
	models, policies := len(f.models), len(f.policies)
	if models > 1 && policies > 1 && models != policies {
		return nil, fmt.Errorf("%d models and %d policies: as many of each make pairs, or one goes with all of the other", models, policies)
	}
	var (
		all   = make([]replay.Candidate, max(models, policies))
		names []string
	)
	bundles, err := loadEach(f.models, func(dir string) (*scorer.Bundle, error) { return scorer.LoadBundle(dir, modelLoaders()) })
	if err != nil {
		return nil, err
	}
	read, err := loadEach(f.policies, func(file string) (*scorer.Policy, error) { return scorer.LoadPolicy(file, fields, layout) })
	if err != nil {
		return nil, err
	}
	for i := range all {
		c, err := replay.NewCandidate(layout, paired(bundles, i), paired(read, i))
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, c.Name()) {
			return nil, fmt.Errorf("candidate %s stands twice", c.Name())
		}
		all[i], names = c, append(names, c.Name())
	}
	return all, nil
}

// loadEach loads what lies at each of the paths.
func loadEach[T any](paths []string, load func(string) (*T, error)) ([]*T, error) {
	all := make([]*T, len(paths))
	for i, path := range paths {
		var err error
		if all[i], err = load(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// paired returns what goes with candidate i: its own, the one that goes with all, or none.
func paired[T any](all []*T, i int) *T {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	default:
		return all[i]
	}
}
