package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"

	"verdict/schemas"
)

// feed is where records come from: a location (source), several files (files), or partitions of topics (partitions). One goroutine calls next and close; far may be asked by any.
type feed interface {
	// next returns the next records, and io.EOF when all are read.
	next(ctx context.Context) ([]item, error)
	// far returns how much is read, of how much (0: not known), and of what.
	far() (read, total int64, of string)
	close()
}

// Files returns the location of several files. Orders are merged by event time, those of one time in the order of the files here; where each file is in
// order, so is what is read. Of labels and decisions the files are read one after the other.
func Files(files []Location) (Location, error) {
	for i := range files {
		if files[i].Stdin() || files[i].InTopics() {
			return Location{}, fmt.Errorf("%s is no file: several sources are read when all of them are files", files[i])
		}
		if slices.ContainsFunc(files[:i], func(f Location) bool { return f.path == files[i].path }) {
			return Location{}, fmt.Errorf("%s is named twice", files[i])
		}
	}
	switch len(files) {
	case 0:
		return Location{}, errors.New("no file is named")
	case 1:
		return files[0], nil
	default:
		return Location{path: fmt.Sprintf("%s and %d more", files[0], len(files)-1), encoding: severalFiles, files: files}, nil
	}
}

// Names returns the files, or the one location, as people write them.
func (l Location) Names() []string {
	if len(l.files) == 0 {
		return []string{l.String()}
	}
	names := make([]string, len(l.files))
	for i := range l.files {
		names[i] = l.files[i].String()
	}
	return names
}

// file returns the file of that number; a single location is number 0.
func (l Location) file(number int32) Location {
	if len(l.files) == 0 {
		return l
	}
	return l.files[number]
}

// openFeed starts to read a location.
func openFeed(ctx context.Context, cfg sourceConfig) (feed, error) {
	switch {
	case len(cfg.from.files) > 0:
		return openFiles(ctx, cfg)
	case cfg.from.partitions != nil:
		return openPartitions(ctx, cfg)
	default:
		return openSource(ctx, cfg)
	}
}

// files are several files, read as one. A file is opened when what is read has come to its first record, so that of a file a day one or two are open.
type files struct {
	merge

	cfg   sourceConfig
	ctx   context.Context //nolint:containedctx // of the sources that are yet to be opened
	stop  context.CancelFunc
	over  int64 // bytes of the files that are read to their ends; under far's eyes only by way of read
	read  atomic.Int64
	total int64
}

// openFiles finds where each file begins; a source whose records have no times begins nowhere, and waits for its turn.
func openFiles(ctx context.Context, cfg sourceConfig) (*files, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &files{cfg: cfg, ctx: ctx, stop: stop}
	f.begin, f.ended = f.openPart, func(p *part) { f.over += p.source.stream.read() }
	for i, at := range cfg.from.files {
		p := &part{number: int32(i), at: math.MaxInt64}
		size, err := at.size()
		if err == nil && cfg.ordered {
			p.at, err = f.begins(ctx, at)
		}
		if err != nil {
			stop()
			return nil, err
		}
		f.total += size
		f.waiting = append(f.waiting, p)
	}
	slices.SortFunc(f.waiting, func(a, b *part) int {
		if a.before(b) {
			return 1
		}
		return -1
	})
	return f, nil
}

// begins returns the event time of the first order of a file; of one that begins with something else, the beginning of time.
func (f *files) begins(ctx context.Context, at Location) (int64, error) {
	cfg := f.cfg
	cfg.from = at
	s, err := openSource(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer s.close()
	items, err := s.next(ctx)
	if errors.Is(err, io.EOF) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, err
	}
	return items[0].time(), nil
}

// openPart opens a file.
func (f *files) openPart(p *part) (err error) {
	cfg := f.cfg
	cfg.from = cfg.from.files[p.number]
	p.source, err = openSource(f.ctx, cfg)
	return err
}

// next merges the next records.
func (f *files) next(ctx context.Context) ([]item, error) {
	items, err := f.merge.next(ctx)
	read := f.over
	for p := range f.reading() {
		read += p.source.stream.read()
	}
	f.read.Store(read)
	return items, err
}

func (f *files) far() (read, total int64, of string) { return f.read.Load(), f.total, "the files" }

// close ends the reading.
func (f *files) close() {
	f.stop()
	f.merge.close()
}

func (s *source) far() (read, total int64, of string) {
	return s.stream.read(), s.stream.size, s.stream.of
}

// orderCodec returns the codec of a schema of orders, nil for any object.
func orderCodec(cfg *Config) (*schemas.Codec, error) {
	return schemas.NewCodec(schemas.CodecConfig{Schema: cfg.Schema, Registry: cfg.Registry, MaxBytes: MaxLine})
}
