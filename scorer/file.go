package scorer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxManifest bounds the small files of a bundle, in bytes.
const maxManifest = 4 << 20

// ReadFile reads a plain file of up to most bytes: any other kind is refused before it is opened, as to open a pipe would wait for its writer, for ever, and a
// wrong path must not eat the memory.
func ReadFile(path string, most int64) ([]byte, error) {
	info, err := regular(path)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if info.Size() > most {
		return nil, fmt.Errorf("%s has %d bytes, and %d are the most", name, info.Size(), most)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	defer f.Close()
	// The file may still grow between the two calls.
	var data bytes.Buffer
	data.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := data.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(data.Len()) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data.Bytes(), nil
}

// regular finds a plain file.
func regular(path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	return info, nil
}
