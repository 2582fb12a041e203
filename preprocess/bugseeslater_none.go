//go:build !bug_sees_later

package preprocess

// bugSeesLater is a bug that a build with its tag has: it lets an order that is delivered again see what came after it.
const bugSeesLater = false
