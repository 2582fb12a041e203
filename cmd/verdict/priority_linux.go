package main

import (
	"os"
	"strconv"
	"syscall"
)

// lowest is the niceness that gives way to everybody.
const lowest = 19

// giveWay has this process run when no other wants the processor: live answers callers, a replay can wait. On Linux a thread has a niceness of its own, and
// hands it on to those that it starts. One that cannot be set stays as it is: then the replay is as quick as others are.
func giveWay() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, lowest)
		}
	}
}
