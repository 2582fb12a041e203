package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// errFound ends a search.
var errFound = errors.New("found")

// leases begins the names, behind the prefix, of who of the API's processes reads which replies just now.
const leases = "reply:"

// stateless says whether a key, behind the prefix, is of what processes tell each other, and of no order.
func stateless(rest string) bool {
	for _, begins := range []string{leases, counters, applied, wholeKeys, repairKey, workersKey, evictedKey} {
		if strings.HasPrefix(rest, begins) {
			return true
		}
	}
	return false
}

// Empty says whether no key of state has the Store's prefix. It looks through all keys of the server, or of each node of a cluster, until one has.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	err := s.scan(ctx, func(_ context.Context, _ redis.Cmdable, keys []string) error {
		if slices.ContainsFunc(keys, func(key string) bool { return !stateless(key[len(s.prefix):]) }) {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for keys: %w", err)
	}
	return true, nil
}

// Clear removes every key under the prefix: what a replay kept for itself. It may be called again after an error.
func (s *Store) Clear(ctx context.Context) error {
	err := s.scan(ctx, func(ctx context.Context, node redis.Cmdable, keys []string) error {
		_, err := node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, key := range keys { // one by one: in a cluster they have slots of their own
				pipe.Unlink(ctx, key)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("removing keys: %w", err)
	}
	return nil
}

// scan calls do for the keys under the prefix, some at a time, with the node that has them; of a cluster's nodes at the same time.
func (s *Store) scan(ctx context.Context, do func(ctx context.Context, node redis.Cmdable, keys []string) error) error {
	walk := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := node.Scan(ctx, cursor, globLiteral(s.prefix)+"*", scanCount).Result()
			if err == nil && len(keys) > 0 {
				err = do(ctx, node, keys)
			}
			if err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return walk(ctx, node) })
	}
	return walk(ctx, s.client)
}

const scanCount = 1000

// globLiteral writes a text so that SCAN takes none of it for a pattern.
func globLiteral(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(text)
}
