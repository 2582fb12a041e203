package replay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"verdict/consumer"
	"verdict/schemas"
)

// item is one record of a source.
type item struct {
	file   int32            // its number among several files
	offset int64            // its line, or its place in an Avro file, from 0; the record's offset in a topic
	record *consumer.Record // as it lay in a topic; nil in a file
	raw    []byte           // its text; nil in an Avro file. Of a line too long only the beginning, still too long to be taken
	fields schemas.Record   // nil when the text could not be decoded
	at     time.Time        // event time of an order
	ahead  consumer.Ahead   // what sort made of the fields
	bad    error            // why it is no order, or no label

	decision *schemas.Decision // of a source of decisions
}

// run is a number of records that lie one after the other, being decoded.
type run struct {
	block   *block            // what is to be decoded: lines,
	records []consumer.Record // or records; without either, items are there already
	items   []item
	done    chan struct{} // closed when items are complete
}

// source reads the records of a location in their order: one goroutine reads, some decode, and next puts the runs back in order. What lies between
// them is bounded, so memory is too, whatever the length of the history.
type source struct {
	sourceConfig

	stream  *stream
	codec   *schemas.Codec // of schema
	inOrder chan *run      // as read
	work    chan *run
	err     error // why the stream ended, set before ordered is closed
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// sourceConfig says what is read, and what is made of it. The functions are called on several goroutines at once.
type sourceConfig struct {
	from     Location
	stdin    io.Reader
	schema   *schemas.Schema                    // nil: any object
	decoders int                                // how many decode at once, with two runs each in waiting; 0: as many as there are processors
	ordered  bool                               // sort tells the records' times, by which several files are merged
	registry *schemas.Registry                  // nil: what lies in topics is JSON
	sort     func(*item) error                  // makes an order or a label of a decoded item
	read     func(context.Context, *item) error // in place of decoding and sort: makes of an item's text what it is
}

// openSource starts to read a location.
func openSource(ctx context.Context, cfg sourceConfig) (*source, error) {
	codec, err := schemas.NewCodec(schemas.CodecConfig{Schema: cfg.schema, Registry: cfg.registry, MaxBytes: MaxLine})
	if err != nil {
		return nil, err
	}
	in, err := cfg.from.open(ctx, cfg.stdin)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	decoders := cmp.Or(cfg.decoders, runtime.GOMAXPROCS(0))
	s := &source{
		sourceConfig: cfg, stream: in, codec: codec, stop: stop,
		inOrder: make(chan *run, 2*decoders),
		work:    make(chan *run, 2*decoders),
	}
	for range decoders {
		s.workers.Go(func() { s.decodeRuns(ctx) })
	}
	s.workers.Go(func() { s.run(ctx) })
	return s, nil
}

// close ends the goroutines, then the file.
func (s *source) close() {
	s.stop()
	if s.from.Stdin() {
		return // a read of a terminal or a pipe may never return, and the process is about to end
	}
	s.workers.Wait()
	s.stream.close()
}

// next returns the next records, and io.EOF when all are read.
func (s *source) next(ctx context.Context) ([]item, error) {
	for {
		select {
		case r, more := <-s.inOrder:
			if !more {
				return nil, s.err
			}
			select {
			case <-r.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if len(r.items) > 0 {
				return r.items, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *source) run(ctx context.Context) {
	defer close(s.inOrder)
	defer close(s.work)
	var err error
	switch s.from.encoding {
	case avroFile:
		err = s.readAvro(ctx)
	case topicRecords:
		err = s.readTopics(ctx)
	case jsonLines, severalFiles: // several are as many sources
		err = s.readLines(ctx)
	}
	s.err = err
	if !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("reading %s: %w", s.from, err)
	}
}

func (s *source) readLines(ctx context.Context) error {
	lines := lineReader{r: s.stream}
	for {
		b, err := lines.next()
		if err != nil {
			return afterLine(err, lines.line)
		}
		if err := s.hand(ctx, &run{block: b, done: make(chan struct{})}); err != nil {
			return err
		}
	}
}

// hand gives a run its place among the others and has it decoded.
func (s *source) hand(ctx context.Context, r *run) error {
	for _, to := range []chan *run{s.inOrder, s.work} {
		select {
		case to <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// afterLine says where a stream broke; a clean end stays io.EOF.
func afterLine(err error, line int64) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("after line %d: %w", line, err)
}

func (s *source) decodeRuns(ctx context.Context) {
	for r := range s.work {
		if r.block != nil {
			r.items = s.decodeLines(ctx, r.block)
		} else {
			r.items = s.decodeRecords(ctx, r.records)
		}
		close(r.done)
	}
}

// decodeLines decodes the lines of a block.
func (s *source) decodeLines(ctx context.Context, b *block) []item {
	items := make([]item, 0, bytes.Count(b.data, []byte{'\n'})+1)
	for line := range b.lines() {
		items = append(items, s.decode(ctx, item{offset: line.number, raw: line.text}))
	}
	return items
}

// decode fills an item from its text.
func (s *source) decode(ctx context.Context, it item) item {
	if s.read != nil {
		it.bad = s.read(ctx, &it)
		return it
	}
	if it.fields, _, it.bad = s.codec.Decode(ctx, it.raw); it.bad == nil {
		it.bad = s.sort(&it)
	} else {
		it.fields = nil // the worker tells what is wrong
	}
	return it
}

// sorted returns what sort made of the item, for the worker; nil when its text could not be decoded, which the worker then tells.
func (it *item) sorted() *consumer.Ahead {
	if it.fields == nil && it.raw != nil {
		return nil
	}
	if it.ahead.Err == nil {
		it.ahead.Err = it.bad // of an Avro file's record, which has no text
	}
	return &it.ahead
}
