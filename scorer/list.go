package scorer

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// maxListBytes bounds the file of a list: about ten million entries.
const maxListBytes = 128 << 20

// list is a set of keys, as the order's fields have them as text.
type list map[string]struct{}

// Has says whether key is on the list.
func (l list) Has(key string) bool {
	_, on := l[key]
	return on
}

// parseList reads one entry a line. Empty lines are skipped, and so is what follows a # that begins a line or comes after a space.
func parseList(text []byte) (list, error) {
	if len(text) > maxListBytes {
		return nil, fmt.Errorf("the list has %d MiB, more than %d", len(text)>>20, maxListBytes>>20)
	}
	l := make(list)
	in := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for in.Scan() {
		line := in.Text()
		if at := strings.IndexByte(line, '#'); at == 0 || at > 0 && (line[at-1] == ' ' || line[at-1] == '\t') {
			line = line[:at]
		}
		if key := strings.TrimSpace(line); key != "" {
			l[key] = struct{}{}
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	return l, nil
}

// readList reads a list's file within bounds.
func readList(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxListBytes {
		return nil, fmt.Errorf("reading the list: %s is no file of at most %d MiB", path, maxListBytes>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	return text, nil
}
