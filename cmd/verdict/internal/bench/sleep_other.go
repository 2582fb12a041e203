//go:build !linux

package bench

import "time"

// fineSleep is Go's own sleep where the system's finer one is not known.
func fineSleep() (sleep func(time.Duration), end func()) { return time.Sleep, func() {} }
