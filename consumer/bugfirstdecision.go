//go:build bug_first_decision

package consumer

// bugFirstDecision plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugFirstDecision = true
