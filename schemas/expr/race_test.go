//go:build race

package expr_test

const raceDetector = true // it allocates where the program does not

// slower is how much slower everything may be under the race detector.
const slower = 7
