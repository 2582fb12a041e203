//go:build bug_skip_bad_batch

package consumer

// bugSkipBadBatch plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugSkipBadBatch = true
