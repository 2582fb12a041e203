//go:build unix

package main_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// asNobody has a command run as the user of the image, where this process may become another; else it runs as this one. What lies in dir, and the program, can be
// read by it then.
func asNobody(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("this process is not root's: what it starts is no other user's")
		return
	}
	const nobody = 65532
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	open := func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() != "empty" {
			err = os.Chmod(path, 0o755)
		} else if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o644)
		}
		return err
	}
	for _, folder := range []string{filepath.Dir(program), filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := filepath.WalkDir(dir, open); err != nil {
		t.Fatal(err)
	}
}
