package replay

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"verdict/schemas"
)

// shownLetters is how many dead letters are told of on stderr; all of them are in the file.
const shownLetters = 5

// deadLetters writes what could not be an order or a label to dead-letters.jsonl: where it lies and what is wrong, never what it says.
type deadLetters struct {
	file io.Writer // nil: they are only counted and told of
	tell io.Writer // stderr
	n    int64
}

// deadLetter is a line of the file. Lines count from 1, as editors do; in an Avro file it is the place of the record. Of what lay in a topic, the file is
// topic/partition and the line its offset.
type deadLetter struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// add counts and writes a letter. That nothing can be told on stderr is no reason to stop.
func (d *deadLetters) add(letter deadLetter) error {
	d.n++
	switch {
	case d.n <= shownLetters:
		_, _ = fmt.Fprintf(d.tell, "%s:%d: %s: %s\n", letter.File, letter.Line, letter.Code, letter.Detail)
	case d.n == shownLetters+1:
		_, _ = fmt.Fprintln(d.tell, "further malformed lines are not shown")
	}
	if d.file == nil {
		return nil
	}
	line, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	_, err = d.file.Write(append(line, '\n'))
	return err
}

// letterOf returns the dead letter of an item that is malformed; any other error of it is no dead letter.
func letterOf(at Location, it *item) (deadLetter, bool) {
	bad := (*schemas.Malformed)(nil)
	if !errors.As(it.bad, &bad) {
		return deadLetter{}, false
	}
	letter := deadLetter{File: at.file(it.file).String(), Line: it.offset + 1, Code: bad.Code, Detail: bad.Detail}
	if r := it.record; r != nil {
		letter.File, letter.Line = fmt.Sprintf("%s/%d", r.Topic, r.Partition), r.Offset
	}
	return letter, true
}
