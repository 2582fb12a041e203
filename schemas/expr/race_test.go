//go:build race

package expr_test

// raceDetector says whether it is on: it allocates where the program does not.
const raceDetector = true
