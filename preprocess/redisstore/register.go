package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Register registers the Store's feature set (Config.Set) ahead of its first order, as one that has come to newest. A process that works on the same state
// keeps what the set wants from its next call on that comes after it has read the registry: it does so in each call, and, when its event time has moved on
// by a minute or more, before it.
func (s *Store) Register(ctx context.Context, newest time.Time) error {
	r := s.sets
	if r.set == "" {
		return nil
	}
	if _, err := s.retention(ctx, never); err != nil { // a set that is there already may have come further
		return fmt.Errorf("reading which feature sets there are: %w", err)
	}
	r.mu.Lock()
	r.newest = max(r.newest, newest.UnixMicro())
	entry, ttl := r.entry(), s.ttl(r.current().longest())
	r.mu.Unlock()
	cmds := []redis.Cmder{redis.NewIntCmd(ctx, "hset", r.key, r.set, entry), redis.NewIntCmd(ctx, "pexpire", r.key, ttl)}
	if err := s.exec(ctx, 1, cmds); err != nil {
		return fmt.Errorf("registering a feature set: %w", err)
	}
	return nil
}
