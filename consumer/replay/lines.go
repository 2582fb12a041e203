package replay

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"sync/atomic"
)

const (
	// MaxLine is the longest line that is read as a record, in bytes; it is the bound of a live order too. A longer one is a dead letter.
	MaxLine = 64 << 10
	// blockSize is how much is read and handed to a decoder at a time: at 110 bytes an order some 1,200 of them, enough to make the hand-over cheap.
	// It is more than two of the longest lines, so that a block without a line break lies in a line too long.
	blockSize = 160 << 10
)

// block is a run of whole lines. Its data is never used again for another, so that records may point into it.
type block struct {
	first int64 // number of its first line, from 0
	data  []byte
}

// line is one line of a block: of a line too long only the beginning, which is still too long.
type line struct {
	number int64
	text   []byte
}

// lines returns the block's lines, blank ones left out.
func (b *block) lines() iter.Seq[line] {
	return func(yield func(line) bool) {
		data := b.data
		for n := b.first; len(data) > 0; n++ {
			text := data
			if end := bytes.IndexByte(data, '\n'); end >= 0 {
				text, data = data[:end], data[end+1:]
			} else {
				data = nil
			}
			if n == 0 {
				text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the byte order mark that some editors write
			}
			if text = bytes.TrimSuffix(text, []byte{'\r'}); len(text) <= MaxLine {
				text = bytes.TrimSpace(text)
			}
			if len(text) > 0 && !yield(line{n, text[:min(len(text), MaxLine+1)]}) {
				return
			}
		}
	}
}

// lineReader cuts a stream into blocks of whole lines, in bounded memory.
type lineReader struct {
	r    io.Reader
	line int64  // number of the next line
	rest []byte // the beginning of a line whose end was not in the last block
	end  error  // what ended the stream: io.EOF, or why it could not be read on
}

// next returns the next block. At the end of the stream it returns io.EOF, or the error that cut the stream short, once all that came before is out.
func (l *lineReader) next() (*block, error) {
	if l.end != nil && len(l.rest) == 0 {
		return nil, l.end
	}
	buf := l.fill()
	if end := bytes.LastIndexByte(buf, '\n') + 1; end > 0 {
		l.rest = buf[end:]
		return l.cut(buf[:end]), nil
	}
	if l.end == nil {
		return l.skipLine(buf), nil
	}
	if !errors.Is(l.end, io.EOF) || len(buf) == 0 {
		return nil, l.end // half a line of a stream cut short is no record
	}
	return l.cut(buf), nil
}

// fill reads until a block is full or the stream ends.
func (l *lineReader) fill() []byte {
	buf := make([]byte, blockSize)
	n := copy(buf, l.rest)
	l.rest = nil
	for n < len(buf) && l.end == nil {
		var m int
		m, l.end = l.r.Read(buf[n:])
		n += m
	}
	return buf[:n]
}

func (l *lineReader) cut(data []byte) *block {
	b := &block{first: l.line, data: data}
	l.line += int64(bytes.Count(data, []byte{'\n'}))
	return b
}

// skipLine reads on to the end of a line that is longer than a block, and returns its beginning: enough to be refused for its length.
func (l *lineReader) skipLine(start []byte) *block {
	b := &block{first: l.line, data: start}
	l.line++
	for l.end == nil {
		buf := l.fill()
		if end := bytes.IndexByte(buf, '\n') + 1; end > 0 {
			l.rest = buf[end:]
			break
		}
	}
	return b
}

// countingReader counts the bytes that were read through it; the count may be asked for from any goroutine.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

// Read reads and counts.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
