package preprocess

import "verdict/schemas"

// Entities returns the fields that make the key of each entity, by its name.
func (f *FeatureSet) Entities() map[string][]schemas.Path {
	all := make(map[string][]schemas.Path, len(f.entities))
	for _, e := range f.entities {
		all[e.name] = f.groups[e.group].paths
	}
	return all
}
