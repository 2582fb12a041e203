package scorer

import "verdict/schemas"

// Model scores feature vectors. It is pure: the same rows give the same scores, bit for bit. Safe for concurrent use.
type Model interface {
	// Layout returns the features that the model reads, in its own order.
	Layout() *schemas.Layout
	// Predict writes the score of rows[i] to scores[i], which has the same length. Rows have the layout of a feature set that holds all of
	// Layout's names (a bundle sees to that); a row of another length is an error, never a score.
	Predict(rows []schemas.FeatureVector, scores []float64) error
}
