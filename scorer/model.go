package scorer

import (
	"errors"

	"verdict/schemas"
)

// Model scores feature vectors. It is pure: the same rows give the same scores, bit for bit. Safe for concurrent use.
type Model interface {
	// Layout returns the features that the model reads, in its own order.
	Layout() *schemas.Layout
	// Predict writes the score of rows[i] to scores[i], which has the same length. Rows have the layout of a feature set that holds all of
	// Layout's names (a bundle sees to that); a row of another length is an error, never a score.
	Predict(rows []schemas.FeatureVector, scores []float64) error
}

// Engine runs a loaded model file: what lies below a bundle. It is pure and safe for concurrent use. Rows are flat: n rows of len(Inputs()) values,
// one after the other, NaN where missing, for n × Outputs() scores; any other length is an error, never a score.
type Engine interface {
	// Inputs returns the file's own feature names in its order. They are not to be changed.
	Inputs() []string
	// Outputs returns how many scores a row has.
	Outputs() int
	// Raw writes the model's sums, before any transform: log-odds for a classifier.
	Raw(rows, out []float64) error
	// Predict writes what the library that trained the model would predict.
	Predict(rows, out []float64) error
	// Contributions splits the raw score of one row among its inputs: for each output one number an input, and last the expected score. It is an
	// error when the file does not hold what that takes.
	Contributions(row, out []float64) error
}

// RoundsBest ends the name of the loader that reads a format's models up to their best round, for rounds: best, where the one without it reads all.
const RoundsBest = "/best"

// ErrNoBestRound says that a file names no best round, as when training was not stopped early: the loader of RoundsBest refuses it with an error that wraps
// this one, and any other error of its means that the file is not as it should be.
var ErrNoBestRound = errors.New("the model was trained without early stopping, or saved without its attributes; score it with all rounds (rounds: all)")

// Loader reads a model file of one format. inputs are the features that the bundle feeds it, in its order; a file that names others is refused. When inputs is nil the file's
// own names are taken.
type Loader func(path string, inputs []string) (Engine, error)
