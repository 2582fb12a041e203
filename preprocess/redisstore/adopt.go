package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// Adopt makes visits those of the orders that are there already: where an order of the same id and event time holds a visit's id, its Arrival and Content
// are put in place of the visit's. So orders that are read from somewhere else than at first, such as a file of what was once a topic, bring their points
// to new columns as the orders that they are, and not as repeats of them. An order of another time under the id stays what it is, a conflict.
//
// It only reads; Exchange with these visits comes after it.
func (s *Store) Adopt(ctx context.Context, visits []preprocess.Visit) error {
	for from := 0; from < len(visits); from += maxVisits {
		if err := s.adopt(ctx, visits[from:min(len(visits), from+maxVisits)]); err != nil {
			return fmt.Errorf("reading who holds %d ids in Redis: %w", len(visits), err)
		}
	}
	return nil
}

func (s *Store) adopt(ctx context.Context, visits []preprocess.Visit) error {
	var p pipeline
	claims := make([]*redis.RawCmd, len(visits))
	for i := range visits {
		claims[i] = p.raw(ctx, "get", s.claimKey(visits[i].ID))
	}
	if err := s.exec(ctx, len(visits), p.cmds); err != nil {
		return err
	}
	for i := range visits {
		value, held, err := bulk(claims[i])
		if err != nil {
			return err
		}
		if !held {
			continue
		}
		c, ok := readClaim(value)
		if !ok {
			return errCorrupt
		}
		if c.at == visits[i].At {
			visits[i].Arrival, visits[i].Content = c.arrival, c.content
		}
	}
	return nil
}
