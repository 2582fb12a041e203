//go:build !bug_read_uncommitted

package kafka

// bugReadUncommitted is a bug that a build with its tag has: it decides orders of transactions that were aborted.
const bugReadUncommitted = false
