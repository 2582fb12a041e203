package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"verdict/schemas"
)

// avroRun is how many records of an Avro file are handed on at a time.
const avroRun = 1000

// readAvro reads an object container file. It is decoded where it is read: that is quicker than the step even so.
func (s *source) readAvro(ctx context.Context) error {
	file, err := schemas.NewContainer(s.stream, s.schema)
	if err != nil {
		return err
	}
	for offset := int64(0); ; {
		r := &run{items: make([]item, 0, avroRun), done: make(chan struct{})}
		close(r.done)
		for err == nil && len(r.items) < avroRun {
			var it item
			if it, err = s.readRecord(file, offset); err == nil {
				r.items = append(r.items, it)
				offset++
			}
		}
		select {
		case s.inOrder <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("after record %d: %w", offset, err)
		}
	}
}

// readRecord reads one record; the error is the end of the file, or what broke it.
func (s *source) readRecord(file *schemas.Container, offset int64) (item, error) {
	fields, err := file.Next()
	it := item{offset: offset, fields: fields, bad: err}
	switch bad := (*schemas.Malformed)(nil); {
	case errors.As(err, &bad):
		return it, nil
	case err != nil:
		return item{}, err
	}
	it.bad = s.sort(&it)
	return it, nil
}
