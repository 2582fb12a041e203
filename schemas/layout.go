package schemas

import "fmt"

// Version names one version of a feature set, a model bundle or a policy, and its content.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"` // first 16 hex digits of the SHA-256 of its content
}

// String returns name@version, as bundles refer to feature sets.
func (v Version) String() string { return v.Name + "@" + v.Version }

// Layout says which value stands where in a FeatureVector. It is shared by all vectors of a feature set and never changed.
type Layout struct {
	Features Version
	Names    []string
	index    map[string]int // :: name → place in Names
}

// NewLayout returns the layout of these distinct names.
func NewLayout(features Version, names []string) (*Layout, error) {
	l := &Layout{Features: features, Names: names, index: make(map[string]int, len(names))}
	for i, n := range names {
		if _, twice := l.index[n]; twice {
			return nil, fmt.Errorf("feature %q stands twice in %s", n, features)
		}
		l.index[n] = i
	}
	return l, nil
}

// Index returns the place of the feature of that name.
func (l *Layout) Index(name string) (int, bool) {
	i, ok := l.index[name]
	return i, ok
}

// FeatureVector is what preprocessing hands to the models: one value a feature, NaN where it is missing.
type FeatureVector struct {
	Layout *Layout
	Values []float64
	Stale  bool // they were made over a store that lacked some of what came before
}
