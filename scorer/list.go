package scorer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// maxListBytes bounds the file of a list: about ten million entries.
const maxListBytes = 128 << 20

// forever is the end of an entry that has none.
const forever = math.MaxInt64

// list is a set of keys, as the order's fields have them as text :: key → when its entry ends, in microseconds since 1970.
type list map[string]int64

// Has says whether key is on the list at a time: an entry's end is the first moment at which it is not.
func (l list) Has(key string, at int64) bool {
	end, on := l[key]
	return on && at < end
}

// parseList reads one entry a line: a value, or a value, a comma and when it ends. Empty lines are skipped, and so is what follows a # that begins a line or
// comes after a space. A value may stand in double quotes (a quote in it is doubled), as one with a comma must. Of two entries of a value the one that
// ends later counts. An error names file and line, and no value.
func parseList(file string, text []byte) (list, error) {
	if len(text) > maxListBytes {
		return nil, fmt.Errorf("the list has %d MiB, more than %d", len(text)>>20, maxListBytes>>20)
	}
	l := make(list)
	in := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	line := 0
	for in.Scan() {
		line++
		key, end, err := parseEntry(in.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, line, err)
		}
		if sooner, twice := l[key]; key != "" && (!twice || end > sooner) {
			l[key] = end
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, line+1, err)
	}
	return l, nil
}

// parseEntry reads a line of a list; the key is "" when there is nothing.
func parseEntry(line string) (key string, end int64, err error) {
	rest := strings.TrimSpace(line)
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		if key, rest, err = unquote(quoted); err != nil {
			return "", 0, err
		}
		if rest = strings.TrimSpace(uncomment(" " + rest)); rest != "" && rest[0] != ',' {
			return "", 0, errors.New("after the closing quote, a comma and when the entry ends is wanted, or nothing")
		}
		return ending(key, strings.TrimPrefix(rest, ","), rest != "")
	}
	key, rest, timed := strings.Cut(strings.TrimSpace(uncomment(rest)), ",")
	return ending(strings.TrimSpace(key), rest, timed)
}

// ending reads when an entry ends.
func ending(key, text string, timed bool) (string, int64, error) {
	if !timed {
		return key, forever, nil
	}
	if key == "" {
		return "", 0, errors.New("there is no value before the comma")
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(text))
	if err != nil {
		return "", 0, errors.New("what stands after the comma is not when the entry ends, such as 2026-12-31T00:00:00Z (a value with a comma stands in double quotes)")
	}
	return key, t.UnixMicro(), nil
}

// uncomment cuts off a comment.
func uncomment(s string) string {
	for i := range len(s) {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			return s[:i]
		}
	}
	return s
}

// unquote reads up to the closing quote, and returns what follows it.
func unquote(s string) (value, rest string, err error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, `"`)
		b.WriteString(before)
		switch {
		case !ok:
			return "", "", errors.New("a quote is opened and not closed")
		case !strings.HasPrefix(after, `"`):
			if b.Len() == 0 {
				return "", "", errors.New("the value between the quotes is empty")
			}
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
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
