//go:build !bug_skip_bad_batch

package consumer

// bugSkipBadBatch is a bug that a build with its tag has: it drops a batch whose step failed.
const bugSkipBadBatch = false
