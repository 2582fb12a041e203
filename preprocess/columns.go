package preprocess

import "time"

// ColumnUse is a column of an entity as a feature set keeps it, or the entity's labels.
type ColumnUse struct {
	Entity string        // how the keys of the entity begin (Ask.Key), with the colon; a key too long to be kept as it is begins with "#"
	Column string        // Ask.Column; "" for the labels
	Merge  *Merging      // Ask.Merge
	Keep   time.Duration // Ask.Keep
}

// Columns returns all that the feature set keeps, with that lateness (see NewExtractor): by entity in the order of the file, then by column.
func (f *FeatureSet) Columns(lateness time.Duration) []ColumnUse {
	var uses []ColumnUse
	for i := range f.groups {
		g := &f.groups[i]
		for j := range g.columns {
			c := &g.columns[j]
			uses = append(uses, ColumnUse{Entity: g.prefix, Column: c.name, Merge: c.merge, Keep: time.Duration(c.back)*time.Microsecond + lateness})
		}
		if g.marks != nil {
			uses = append(uses, ColumnUse{Entity: g.prefix, Keep: time.Duration(g.marks.back)*time.Microsecond + lateness})
		}
	}
	return uses
}
