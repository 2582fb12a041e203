//go:build !race

package expr_test

const raceDetector = false

const slower = 1
