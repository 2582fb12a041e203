//go:build bug_incr

package redisstore

// bugIncr plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugIncr = true
