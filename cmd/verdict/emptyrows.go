package main

import (
	"bufio"
	"errors"
)

// emptyRows reads the rows of a file with one column, and writes out an empty line as an empty cell: encoding/csv passes over empty lines, which would
// be right of a file with several columns, but here such a line is a row whose one value is missing.
type emptyRows struct {
	in     *bufio.Reader
	rest   []byte // read and not yet handed out; valid until in is read again
	inside bool   // the last piece did not end its line
	end    error  // what ended in
}

// Read reads at most one line.
func (e *emptyRows) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		e.next()
	}
	if len(e.rest) == 0 {
		return 0, e.end
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// next reads a line, or a piece of one that is long.
func (e *emptyRows) next() {
	if e.end != nil {
		return
	}
	piece, err := e.in.ReadSlice('\n')
	e.rest = piece
	if text := string(piece); !e.inside && (text == "\n" || text == "\r\n") {
		e.rest = []byte("\"\"\n")
	}
	if e.inside = errors.Is(err, bufio.ErrBufferFull); !e.inside {
		e.end = err
	}
}
