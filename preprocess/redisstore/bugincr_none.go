//go:build !bug_incr

package redisstore

// bugIncr is a bug that a build with its tag has: it counts an order once more each time that it is delivered.
const bugIncr = false
