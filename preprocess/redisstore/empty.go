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

// leases begins the names, behind the prefix, of what is no state: who of the API's processes reads which replies just now.
const leases = "reply:"

// Empty says whether no key of state has the Store's prefix. It looks through all keys of the server, or of each node of a cluster, until one has.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	look := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := node.Scan(ctx, cursor, globLiteral(s.prefix)+"*", scanCount).Result()
			switch {
			case err != nil:
				return err
			case slices.ContainsFunc(keys, func(key string) bool { return !strings.HasPrefix(key, s.prefix+leases) }):
				return errFound
			case next == 0:
				return nil
			}
			cursor = next
		}
	}
	var err error
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return look(ctx, node) })
	} else {
		err = look(ctx, s.client)
	}
	if errors.Is(err, errFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for keys: %w", err)
	}
	return true, nil
}

const scanCount = 1000

// globLiteral writes a text so that SCAN takes none of it for a pattern.
func globLiteral(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(text)
}
