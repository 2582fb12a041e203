//go:build unix && !aix && !solaris

package replay

import (
	"os"
	"syscall"
)

// holds says whether files that are being written can be held here.
const holds = true

// hold has a file that was just created held by this process until it is closed, or the process ends in whatever way. It says no when another process removed the
// file before it was held. A file system without locks holds nothing, and then nobody takes a file for an orphan there.
func hold(f *os.File) bool {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			return true
		}
	}
	mine, err := f.Stat()
	if err != nil {
		return true // who writes to it tells
	}
	named, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, named)
}

// removeUnheld removes a file unless a process holds it.
func removeUnheld(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // nothing was written
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return
	}
	_ = os.Remove(path) // while it is held: who has just created it sees that it is gone. What cannot be removed stays
}
