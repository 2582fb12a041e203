//go:build bug_read_uncommitted

package kafka

// bugReadUncommitted plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugReadUncommitted = true
