package scorer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// maxListBytes bounds the file of a list: about ten million entries.
const maxListBytes = 128 << 20

// maxListLine bounds a line of a list, in bytes: no key of an order is as long.
const maxListLine = 64 << 10

// maxPresized is up to how many entries room is made for before they are seen.
const maxPresized = 1 << 16

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
// ends later counts. What is not UTF-8 text with line ends is refused: its entries would match nothing, and nobody would know. An error names file and line, and no
// value.
func parseList(file, text string) (list, error) {
	if len(text) > maxListBytes {
		return nil, fmt.Errorf("the list has %d MiB, more than %d", len(text)>>20, maxListBytes>>20)
	}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, fmt.Errorf("%s:1: the file is UTF-16: save it as UTF-8", file)
	}
	rest := strings.TrimPrefix(text, "\ufeff")
	l := make(list, min(strings.Count(rest, "\n"), maxPresized))
	for line := 1; rest != ""; line++ {
		var entry string
		entry, rest, _ = strings.Cut(rest, "\n")
		entry = strings.TrimSuffix(entry, "\r")
		err := fitLine(entry)
		var key string
		var end int64
		if err == nil {
			key, end, err = parseEntry(entry)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, line, err)
		}
		if sooner, twice := l[key]; key != "" && (!twice || end > sooner) {
			l[key] = end // a key is a part of text: a list takes its own length and a map
		}
	}
	return l, nil
}

// fitLine says whether a line is text that can be an entry.
func fitLine(line string) error {
	switch {
	case len(line) > maxListLine:
		return fmt.Errorf("the line has %d bytes, more than %d: an entry a line is wanted", len(line), maxListLine)
	case strings.IndexByte(line, 0) >= 0:
		return errors.New("there is a byte of value 0, which no text has (is it UTF-16? save it as UTF-8)")
	case strings.IndexByte(line, '\r') >= 0:
		return errors.New("there is a carriage return inside of the line: lines end with a line feed, or with both")
	case !utf8.ValidString(line):
		return errors.New("it is not UTF-8 text: save the file as UTF-8")
	default:
		return nil
	}
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
func readList(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the list: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxListBytes {
		return "", fmt.Errorf("reading the list: %s is no file of at most %d MiB", path, maxListBytes>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the list: %w", err)
	}
	defer f.Close()
	var text strings.Builder // not bytes: a string made of them would be a copy of a file that may be large
	text.Grow(int(info.Size()))
	if _, err := io.Copy(&text, io.LimitReader(f, maxListBytes+1)); err != nil {
		return "", fmt.Errorf("reading the list: %w", err)
	}
	return text.String(), nil
}
