package replay

import (
	"errors"
	"io"
)

// AppendNumber is appendNumber, for its tests.
var AppendNumber = appendNumber

// Progress tells of a replay that has read so many orders and bytes of size, until end is called.
func Progress(to io.Writer, terminal bool, orders, read, size int64) (end func()) {
	c := new(counts)
	c.orders.Store(orders)
	return startProgress(to, terminal, false, &stream{read: func() int64 { return read }, size: size, of: "the file"}, c).end
}

// Line is a line as a lineReader tells it.
type Line struct {
	Number int64
	Text   string
}

// Lines reads the lines of a stream, each cut as a source cuts it.
func Lines(r io.Reader) (all []Line, err error) {
	in := lineReader{r: r}
	for {
		b, err := in.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for line := range b.lines() {
			all = append(all, Line{line.number, string(line.text)})
		}
	}
}
