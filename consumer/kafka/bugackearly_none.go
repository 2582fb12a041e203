//go:build !bug_ack_early

package kafka

// bugAckEarly is a bug that a build with its tag has: it commits a batch's offsets when it is polled, before anything of it is durable.
const bugAckEarly = false
