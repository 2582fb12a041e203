//go:build bug_ack_early

package kafka

// bugAckEarly plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugAckEarly = true
