package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/schemas"
)

// RedisLedgerConfig says where in Redis a RedisLedger lives and how long it keeps. The zero value is usable.
type RedisLedgerConfig struct {
	Prefix  string        // of all keys; "" is "verdict:". Braces in it become parentheses: a cluster looks for the first pair of braces
	Keep    time.Duration // how long a decision stands; zero is 30 days: longer than any topic of orders is read again
	Timeout time.Duration // how long Redis may take for a few records; zero is 50 ms. Many have half a millisecond more for each

	// Lost says whether a call failed since the server had lost what was written before, and gives a context in which what the call has written can be taken back.
	// Nil: no server does.
	Lost func(ctx context.Context, err error) (undo context.Context, lost bool)
}

// RedisLedger is a Ledger in Redis: one string an order, written by SET NX GET, which keeps the first and returns it. Expiry counts from the first
// decision. Make the client with redisstore.Dial: with go-redis's defaults a lost reply is sent again and a silent server waited for.
type RedisLedger struct {
	client  redis.UniversalClient
	prefix  string
	keep    time.Duration
	timeout time.Duration
	lost    func(context.Context, error) (context.Context, bool)
}

var _ Ledger = (*RedisLedger)(nil)

// NewRedisLedger makes a RedisLedger.
func NewRedisLedger(client redis.UniversalClient, cfg RedisLedgerConfig) *RedisLedger {
	if cfg.Prefix == "" {
		cfg.Prefix = "verdict:"
	}
	if cfg.Keep <= 0 {
		cfg.Keep = 30 * 24 * time.Hour
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 50 * time.Millisecond
	}
	prefix := strings.NewReplacer("{", "(", "}", ")").Replace(cfg.Prefix) // as the store does
	return &RedisLedger{client: client, prefix: prefix, keep: cfg.Keep, timeout: cfg.Timeout, lost: cfg.Lost}
}

// First is Ledger's. A call made again returns what the first time kept. One that finds that the server has lost something takes back what it has kept: the first
// decisions may be among what was lost, and nobody is to be told others meanwhile.
func (l *RedisLedger) First(ctx context.Context, records []Kept) ([][]byte, error) {
	if len(records) == 0 {
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout+time.Duration(len(records))*time.Millisecond/2)
	defer cancel()
	pipe, earlier, ttl := l.client.Pipeline(), make([]*redis.StringCmd, len(records)), any(l.keep.Milliseconds())
	// Of an order's records only the first is sent: a server without room refuses some commands of a pipeline and obeys others.
	first := make(map[schemas.OrderID]int, len(records))
	for i := range records {
		if _, copied := first[records[i].ID]; copied {
			continue
		}
		first[records[i].ID] = i
		earlier[i] = redis.NewStringCmd(ctx, "set", l.key(records[i].ID), records[i].Record, "nx", "get", "px", ttl)
		if err := pipe.Process(ctx, earlier[i]); err != nil {
			return nil, fmt.Errorf("keeping %d decisions in Redis: %w", len(records), err)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		if l.lost != nil {
			if undo, lost := l.lost(ctx, err); lost {
				l.takeBack(undo, records, earlier)
			}
		}
		return nil, fmt.Errorf("keeping %d decisions in Redis: %w", len(records), err)
	}
	stands := make([][]byte, len(records))
	for i := range records {
		if at := first[records[i].ID]; at != i {
			stands[i] = stands[at]
			continue
		}
		record, err := earlier[i].Bytes()
		switch {
		case err == nil && !bugFirstDecision:
			stands[i] = record
		case err == nil:
			stands[i] = records[i].Record
		case errors.Is(err, redis.Nil):
			stands[i] = records[i].Record
		default: // Exec tells the first error only, and nothing found counts as one
			return nil, fmt.Errorf("keeping %d decisions in Redis: %w", len(records), err)
		}
	}
	return stands, nil
}

// takeBack takes out of Redis what a call has kept there, and nothing else: the first decisions may be kept again by now. That this fails leaves no more behind than a
// process that dies here.
func (l *RedisLedger) takeBack(ctx context.Context, records []Kept, earlier []*redis.StringCmd) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout+time.Duration(len(records))*time.Millisecond/2)
	defer cancel()
	read, drop := l.client.Pipeline(), l.client.Pipeline()
	found := make(map[int]*redis.StringCmd)
	for i := range records {
		if earlier[i] != nil && errors.Is(earlier[i].Err(), redis.Nil) {
			found[i] = read.Get(ctx, l.key(records[i].ID))
		}
	}
	if len(found) == 0 {
		return
	}
	_, _ = read.Exec(ctx)
	for i, record := range found {
		if record.Val() == string(records[i].Record) {
			drop.Del(ctx, l.key(records[i].ID))
		}
	}
	if drop.Len() > 0 {
		_, _ = drop.Exec(ctx)
	}
}

// Restore has records stand in place of what does: for first decisions that were lost, where another was kept since and told nobody. An error means that any part may
// have been done; the call can be made again.
func (l *RedisLedger) Restore(ctx context.Context, records []Kept) error {
	if len(records) == 0 {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout+time.Duration(len(records))*time.Millisecond/2)
	defer cancel()
	pipe := l.client.Pipeline()
	for i := range records {
		pipe.Set(ctx, l.key(records[i].ID), records[i].Record, l.keep)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keeping %d decisions in Redis again: %w", len(records), err)
	}
	return nil
}

// Find is Ledger's.
func (l *RedisLedger) Find(ctx context.Context, id schemas.OrderID) (record []byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	// Not GET: that nothing is there, as nearly always, is an error to the client, which it takes 16 allocations to look at. No record is empty.
	record, err = l.client.GetRange(ctx, l.key(id), 0, -1).Bytes()
	if err != nil {
		return nil, false, fmt.Errorf("reading a decision from Redis: %w", err)
	}
	if len(record) == 0 {
		return nil, false, nil
	}
	return record, true, nil
}

// key has the order's id in braces, as the keys of the store: what belongs to an order lies on one node of a cluster.
func (l *RedisLedger) key(id schemas.OrderID) string { return l.prefix + "d:{" + string(id) + "}" }
