package redisstore

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

// evictedKey has the evictions after which the store was filled.
const evictedKey = "evicted"

// Evictions is how many keys servers have dropped for room since they started, by their run ids: of those that have dropped any.
type Evictions map[string]int64

// more says whether e has evictions that are not in known.
func (e Evictions) more(known Evictions) bool {
	for server, keys := range e {
		if keys > known[server] {
			return true
		}
	}
	return false
}

// Evictions asks the servers what they have dropped for room, and says whether that is more than the store was filled after (Accept). A key that is gone looks like one
// that never was, so no call that reads notices it; and it may be any key, so that the marks say nothing.
func (b *Bulletin) Evictions(ctx context.Context) (now Evictions, unmade bool, err error) {
	if now, err = b.evictions(ctx); err != nil {
		return nil, false, fmt.Errorf("asking what was evicted: %w", err)
	}
	if len(now) == 0 {
		return now, false, nil
	}
	var p pipeline
	key := b.prefix + evictedKey
	p.do(ctx, "pexpire", key, b.keep.Milliseconds())
	told := p.raw(ctx, "get", key)
	if err := b.exec(ctx, &p); err != nil {
		return nil, false, fmt.Errorf("asking what was evicted before: %w", err)
	}
	var known Evictions
	text, found, err := bulk(told)
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &known)
	}
	if err != nil {
		return nil, false, fmt.Errorf("asking what was evicted before: %w", err)
	}
	return now, now.more(known), nil
}

// More says whether more was evicted than known, and returns what was.
func (b *Bulletin) More(ctx context.Context, known Evictions) (now Evictions, more bool, err error) {
	if now, err = b.evictions(ctx); err != nil {
		return nil, false, fmt.Errorf("asking what was evicted meanwhile: %w", err)
	}
	return now, now.more(known), nil
}

func (b *Bulletin) evictions(ctx context.Context) (Evictions, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	nodes, err := nodesOf(ctx, b.client)
	if err != nil {
		return nil, err
	}
	e := make(Evictions)
	for _, node := range nodes {
		text, err := node.Info(ctx).Result()
		if err != nil {
			return nil, err
		}
		var s Server
		if s.read(text); s.Evicted > 0 {
			e[s.RunID] = s.Evicted
		}
	}
	return e, nil
}

// Accept notes that the store was filled after these evictions. Of none there is nothing to be noted.
func (b *Bulletin) Accept(ctx context.Context, e Evictions) error {
	if len(e) == 0 {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("noting what was evicted before: %w", err)
	}
	var p pipeline
	p.cmds = append(p.cmds, redis.NewStatusCmd(ctx, "set", b.prefix+evictedKey, text, "px", b.keep.Milliseconds()))
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("noting what was evicted before: %w", err)
	}
	return nil
}
