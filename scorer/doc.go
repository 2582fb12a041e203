// Package scorer turns feature vectors into decisions: a model bundle gives the score, a policy makes an action of it. It never calls the clock and
// reads no files after loading, so the same orders and vectors give the same decisions.
package scorer
