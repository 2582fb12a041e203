package replay

import (
	"errors"
	"io"
)

// AppendNumber is appendNumber, for its tests.
var AppendNumber = appendNumber

// Progress tells of a replay that has read so many orders and bytes of size, until end is called.
func Progress(to io.Writer, terminal bool, orders, read, size int64) (end func()) {
	return Tell(TellConfig{To: to, Name: "replay", Bar: terminal, Far: func() Far { return Far{Orders: orders, Done: read, Total: size, Of: "the file"} }}).End
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
