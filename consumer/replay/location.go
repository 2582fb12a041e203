package replay

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is how the records of a source are written.
type encoding uint8

const (
	jsonLines    encoding = iota
	avroFile              // an object container file: it carries its own schema
	topicRecords          // records of Kafka topics
	severalFiles          // of any kind
)

// Location is where a history lies: a file (.jsonl or .avro, also .gz or .zst), "-", JSON lines on stdin, or topics (FromTopics, FromPartitions).
type Location struct {
	path       string // "" is stdin
	encoding   encoding
	compressed string // ".gz", ".zst" or ""

	files []Location // of severalFiles

	topics    []string // of topicRecords, with what opens them
	subscribe func(context.Context) (Topics, error)

	partitions func(context.Context) (Partitions, error) // in place of subscribe: they are merged by event time
}

// ParseLocation reads a file's location as it is given on the command line. It opens nothing.
func ParseLocation(s string) (Location, error) {
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return Location{}, fmt.Errorf("%s:// is not a source of a replay: give a file (.jsonl or .avro, also .gz or .zst), - or kafka://broker/topic", scheme)
	}
	if s == "-" {
		return Location{}, nil
	}
	at := Location{path: s}
	plain := s
	if ext := filepath.Ext(s); ext == ".gz" || ext == ".zst" {
		at.compressed, plain = ext, strings.TrimSuffix(s, ext)
	}
	switch filepath.Ext(plain) {
	case ".jsonl", ".ndjson":
		at.encoding = jsonLines
	case ".avro":
		at.encoding = avroFile
	default:
		return Location{}, fmt.Errorf("%s is not a source that a replay knows by its name: .jsonl or .avro, also .gz or .zst, or -", s)
	}
	return at, nil
}

// Stdin says whether the location is the standard input.
func (l Location) Stdin() bool { return l.path == "" }

// InLines says whether the location has JSON lines.
func (l Location) InLines() bool {
	if l.encoding == severalFiles {
		return !slices.ContainsFunc(l.files, func(f Location) bool { return !f.InLines() })
	}
	return l.encoding == jsonLines
}

// size returns how large the file is, in bytes.
func (l Location) size() (int64, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// String returns the location as people write it.
func (l Location) String() string {
	if l.Stdin() {
		return "-"
	}
	return l.path
}

// Base returns the name under which the location's records are known in decisions.
func (l Location) Base() string { return filepath.Base(l.String()) }

// stream is an opened location.
type stream struct {
	io.Reader // what was written, decompressed
	read      func() int64
	size      int64  // bytes of the file as it lies on disk, or offsets of topics; 0 when unknown
	of        string // what has the size
	topics    Topics // instead of bytes
	close     func()
}

// open opens the location. Its read count goes by the bytes on disk, so that it can be held against the size.
func (l Location) open(ctx context.Context, stdin io.Reader) (*stream, error) {
	if l.InTopics() {
		return l.openTopics(ctx)
	}
	if l.Stdin() {
		counted := &countingReader{r: stdin}
		return &stream{Reader: counted, read: counted.n.Load, close: func() {}}, nil
	}
	file, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, closing(file, err)
	}
	if info.IsDir() {
		return nil, closing(file, fmt.Errorf("%s is a folder", l.path))
	}
	counted := &countingReader{r: file}
	s := &stream{Reader: counted, read: counted.n.Load, size: info.Size(), of: "the file", close: func() { _ = file.Close() }}
	switch l.compressed {
	case ".gz":
		plain, err := gzip.NewReader(counted)
		if err != nil {
			return nil, closing(file, fmt.Errorf("reading %s: %w", l.path, err))
		}
		s.Reader = plain
	case ".zst":
		// Without concurrency it decompresses on the reading goroutine, which is one of its own already.
		plain, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, closing(file, fmt.Errorf("reading %s: %w", l.path, err))
		}
		s.Reader = plain
		s.close = func() {
			plain.Close()
			_ = file.Close() // it was only read
		}
	}
	return s, nil
}

// closing closes f on the way out with err.
func closing(f *os.File, err error) error {
	_ = f.Close() // it was only read
	return err
}
