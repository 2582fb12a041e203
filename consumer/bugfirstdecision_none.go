//go:build !bug_first_decision

package consumer

// bugFirstDecision is a bug that a build with its tag has: it lets an order's latest decision stand in the place of its first.
const bugFirstDecision = false
