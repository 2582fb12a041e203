package preprocess

import "verdict/schemas"

// PartitionKey returns the field that orders are best keyed by in Kafka: the first field of the first entity, so that the orders of one such entity
// stay in order; the order's id when the set has no entity.
func (f *FeatureSet) PartitionKey() schemas.Path {
	if len(f.groups) == 0 {
		return f.binding.ID
	}
	return f.groups[0].paths[0]
}
