package redisstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// Register registers the Store's feature set (Config.Set) ahead of its first order, as one that has come to newest and has nothing of before. A process that
// works on the same state keeps what the set wants from its next call on that comes after it has read the registry: it does so in each call, and, when its
// event time has moved on by a minute or more, before it.
func (s *Store) Register(ctx context.Context, newest time.Time) error {
	at := newest.UnixMicro()
	return s.enter(ctx, func(own registered, known bool) (registered, bool) {
		if !known {
			own.Since = at
		}
		own.Newest = max(own.Newest, at)
		return own, true
	})
}

// Complete notes that all has been filled in which the Store's feature set keeps. Until then Kept tells of a set only what came since it began.
func (s *Store) Complete(ctx context.Context) error {
	return s.enter(ctx, func(own registered, known bool) (registered, bool) {
		own.Since = 0
		return own, known
	})
}

// enter changes the entry of the Store's set, unless change says that there is nothing to be written.
func (s *Store) enter(ctx context.Context, change func(own registered, known bool) (registered, bool)) error {
	r := s.sets
	if r.set == "" {
		return nil
	}
	all, err := s.registered(ctx)
	if err != nil {
		return fmt.Errorf("reading which feature sets there are: %w", err)
	}
	own, known := all[r.set]
	known = known && slices.Equal(own.Columns, r.own.Columns)
	own.Columns = r.own.Columns
	own, write := change(own, known)
	if !write {
		return nil
	}
	text, err := json.Marshal(&own)
	if err != nil {
		return fmt.Errorf("registering a feature set: %w", err)
	}
	cmds := []redis.Cmder{redis.NewIntCmd(ctx, "hset", r.key, r.set, text), redis.NewIntCmd(ctx, "pexpire", r.key, s.ttl(own.longest()))}
	if err := s.exec(ctx, 1, cmds); err != nil {
		return fmt.Errorf("registering a feature set: %w", err)
	}
	r.mu.Lock()
	r.text = nil // the next call reads it anew
	r.mu.Unlock()
	return nil
}

// Kept returns what the feature sets at work keep, that of one hash excepted: of a set that began not long ago, for no longer than since then.
func (s *Store) Kept(ctx context.Context, except string) ([]preprocess.ColumnUse, error) {
	all, err := s.registered(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading which feature sets there are: %w", err)
	}
	delete(all, except)
	var uses []preprocess.ColumnUse
	for _, set := range all {
		for _, c := range set.Columns {
			use := c.use()
			if set.Since != 0 {
				use.Keep = max(0, min(use.Keep, time.Duration(set.Newest-set.Since)*time.Microsecond))
			}
			uses = append(uses, use)
		}
	}
	return uses, nil
}
