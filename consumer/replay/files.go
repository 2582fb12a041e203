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

// feed is where records come from: a location (source), or several files (files). One goroutine calls next and close; far may be asked by any.
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
	if len(cfg.from.files) == 0 {
		return openSource(ctx, cfg)
	}
	return openFiles(ctx, cfg)
}

// mergeRun is how many records of a merge are handed on at a time.
const mergeRun = 1000

// files are several files, read as one. A file is opened when what is read has come to its first record, so that of a file a day one or two are open.
type files struct {
	cfg     sourceConfig
	ctx     context.Context //nolint:containedctx // of the sources that are yet to be opened
	stop    context.CancelFunc
	waiting []head // those that come first at the end
	open    []*head
	over    int64 // bytes of the files that are read to their ends; under far's eyes only by way of read
	read    atomic.Int64
	total   int64
}

// head is a file and its next records.
type head struct {
	number int32
	from   int64 // event time of its first order
	source *source
	items  []item
}

// openFiles finds where each file begins; a source whose records have no times begins nowhere, and waits for its turn.
func openFiles(ctx context.Context, cfg sourceConfig) (*files, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &files{cfg: cfg, ctx: ctx, stop: stop}
	for i, at := range cfg.from.files {
		h := head{number: int32(i), from: math.MaxInt64}
		size, err := at.size()
		if err == nil && cfg.ordered {
			h.from, err = f.begins(ctx, at)
		}
		if err != nil {
			stop()
			return nil, err
		}
		f.total += size
		f.waiting = append(f.waiting, h)
	}
	slices.SortStableFunc(f.waiting, func(a, b head) int { return -before(a.from, a.number, b.from, b.number) })
	return f, nil
}

func before(a int64, first int32, b int64, second int32) int {
	switch {
	case a < b || a == b && first < second:
		return -1
	case a == b && first == second:
		return 0
	default:
		return 1
	}
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

// time returns the event time by which an item is merged; what is no order goes before all others of its file's head.
func (it *item) time() int64 {
	if it.bad != nil {
		return math.MinInt64
	}
	return it.at.UnixMicro()
}

// next merges the next records.
func (f *files) next(ctx context.Context) ([]item, error) {
	out := make([]item, 0, mergeRun)
	for len(out) < mergeRun {
		h, until, err := f.first(ctx)
		if errors.Is(err, io.EOF) && len(out) > 0 {
			break // the next call tells
		}
		if err != nil {
			return nil, err
		}
		n := 1 // first says that the head's first record comes before all others
		for n < len(h.items) && n < mergeRun-len(out) && before(h.items[n].time(), h.number, until.from, until.number) < 0 {
			n++
		}
		out = append(out, h.items[:n]...)
		for i := len(out) - n; i < len(out); i++ {
			out[i].file = h.number
		}
		h.items = h.items[n:]
	}
	f.count()
	return out, nil
}

// first returns the file whose record comes next, and what its records come before: the next record of another file.
func (f *files) first(ctx context.Context) (best *head, until head, err error) {
	for {
		if err := f.fill(ctx); err != nil {
			return nil, head{}, err
		}
		best, until = nil, head{from: math.MaxInt64, number: math.MaxInt32}
		for _, h := range f.open {
			at := head{from: h.items[0].time(), number: h.number}
			switch {
			case best == nil:
				best = h
			case before(at.from, at.number, best.items[0].time(), best.number) < 0:
				until, best = head{from: best.items[0].time(), number: best.number}, h
			case before(at.from, at.number, until.from, until.number) < 0:
				until = at
			}
		}
		last := len(f.waiting) - 1
		if last < 0 {
			if best == nil {
				return nil, head{}, io.EOF
			}
			return best, until, nil
		}
		w := f.waiting[last]
		if best != nil && before(best.items[0].time(), best.number, w.from, w.number) < 0 {
			if before(w.from, w.number, until.from, until.number) < 0 {
				until = w
			}
			return best, until, nil
		}
		if err := f.begin(w); err != nil {
			return nil, head{}, err
		}
	}
}

// begin opens the file that waits last.
func (f *files) begin(w head) error {
	cfg := f.cfg
	cfg.from = f.cfg.from.files[w.number]
	s, err := openSource(f.ctx, cfg)
	if err != nil {
		return err
	}
	w.source = s
	f.waiting, f.open = f.waiting[:len(f.waiting)-1], append(f.open, &w)
	return nil
}

// fill gives each open file its next records, and closes those that have none.
func (f *files) fill(ctx context.Context) error {
	for i := 0; i < len(f.open); i++ {
		h := f.open[i]
		if len(h.items) > 0 {
			continue
		}
		items, err := h.source.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			f.over += h.source.stream.read()
			h.source.close()
			f.open = slices.Delete(f.open, i, i+1)
			i--
		case err != nil:
			return err
		default:
			h.items = items
		}
	}
	return nil
}

// count tells far.
func (f *files) count() {
	read := f.over
	for _, h := range f.open {
		read += h.source.stream.read()
	}
	f.read.Store(read)
}

func (f *files) far() (read, total int64, of string) { return f.read.Load(), f.total, "the files" }

// close ends the reading.
func (f *files) close() {
	f.stop()
	for _, h := range f.open {
		h.source.close()
	}
}

func (s *source) far() (read, total int64, of string) {
	return s.stream.read(), s.stream.size, s.stream.of
}

// orderCodec returns the codec of a schema of orders, nil for any object.
func orderCodec(cfg *Config) (*schemas.Codec, error) {
	return schemas.NewCodec(schemas.CodecConfig{Schema: cfg.Schema, Registry: cfg.Registry, MaxBytes: MaxLine})
}
