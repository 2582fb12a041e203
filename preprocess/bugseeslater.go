//go:build bug_sees_later

package preprocess

// bugSeesLater plants a bug, for the fault campaign to find: an oracle that was never seen red proves nothing.
const bugSeesLater = true
