package redisstore

import (
	"context"
	"fmt"
	"time"
)

// Newest returns how far the feature sets that are registered have come: an event time that the newest order is not before, and not more than some hours
// after while any of them is at work. It is false when none is registered.
func (s *Store) Newest(ctx context.Context) (time.Time, bool, error) {
	all, err := s.registered(ctx)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading which feature sets there are: %w", err)
	}
	newest := int64(never)
	for _, set := range all {
		newest = max(newest, set.Newest)
	}
	return time.UnixMicro(newest).UTC(), len(all) > 0, nil
}
