package replay

import (
	"context"
	"errors"
	"io"

	"verdict/schemas"
)

// ReadConfig is what Read reads.
type ReadConfig struct {
	From     Location
	Stdin    io.Reader         // of the location "-"
	Registry *schemas.Registry // of Avro in topics; nil is none
}

// Read hands the records of a location to take, in their order, until take says that it has enough. Raw is the record's text as it lay there, nil in an Avro
// file, and fields what was decoded of it. One that cannot be decoded is left out; Read returns how many were.
func Read(ctx context.Context, cfg ReadConfig, take func(raw []byte, fields schemas.Record) (more bool, err error)) (left int, err error) {
	s, err := openFeed(ctx, sourceConfig{from: cfg.From, stdin: cfg.Stdin, registry: cfg.Registry, sort: func(*item) error { return nil }})
	if err != nil {
		return 0, err
	}
	defer s.close()
	for {
		items, err := s.next(ctx)
		if errors.Is(err, io.EOF) {
			return left, nil
		}
		if err != nil {
			return left, err
		}
		for i := range items {
			if items[i].bad != nil {
				left++
				continue
			}
			if more, err := take(items[i].raw, items[i].fields); err != nil || !more {
				return left, err
			}
		}
	}
}
