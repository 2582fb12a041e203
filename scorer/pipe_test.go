//go:build unix

package scorer_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"verdict/scorer"
)

// To open a pipe waits for its writer: a bundle with one would hang whoever loads it.
func TestLoadBundleRefusesPipes(t *testing.T) {
	for _, name := range []string{"bundle.yaml", "model.txt", "golden.csv", "MLmodel"} {
		dir := folder(t, bundleFiles(goodBundle, goodGolden))
		if name == "MLmodel" {
			dir = folder(t, nil)
		}
		path := filepath.Join(dir, name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := scorer.LoadBundle(dir, loaders()); err == nil || !strings.Contains(err.Error(), name+" is not a file") {
			t.Errorf("%s is a pipe: %v", name, err)
		}
	}
}
