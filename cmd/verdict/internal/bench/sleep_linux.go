package bench

import (
	"runtime"
	"syscall"
	"time"
)

// fineSleep returns a sleep that ends within microseconds of when it should, for the goroutine that calls it, and what ends that. Go's own timers may be 1 ms
// late in a process that is idle, which is as long as an answer takes.
func fineSleep() (sleep func(time.Duration), end func()) {
	runtime.LockOSThread()
	// The kernel may wake a thread 50 µs late to save wake-ups; not this one. Where that is refused, it stays 50 µs.
	const setTimerSlack = 29 // PR_SET_TIMERSLACK
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
	return func(d time.Duration) {
		left := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&left, nil) // cut short by a signal: the pacer looks at the clock again
	}, runtime.UnlockOSThread
}
