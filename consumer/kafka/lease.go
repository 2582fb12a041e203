package kafka

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// LeasesConfig says where leases of reply partitions are kept. Client is required.
type LeasesConfig struct {
	Client  redis.UniversalClient
	Prefix  string        // of all keys; "" is "verdict:"
	Term    time.Duration // after which a lease that is not renewed is over; 0 is 15 s
	Every   time.Duration // between renewals; 0 is a third of Term
	Timeout time.Duration // how long Redis may take for one command; 0 is 50 ms
}

// Leases tell processes which partition of the replies topic others read, so that each takes one of its own while there are enough, and they share evenly
// where there are not. A lease is for efficiency and never for correctness: replies find their callers by correlation id, whoever reads them too. So a lease
// excludes nobody. It is an entry in the sorted set of its partition, with the time at which it ends by Redis's own clock, and who finds others there moves on if
// that makes it better. Only plain commands; all keys expire. One goroutine uses a Leases.
type Leases struct {
	cfg    LeasesConfig
	holder string // random: names this process in the sets
}

// NewLeases makes a Leases; nothing is asked of Redis yet.
func NewLeases(cfg LeasesConfig) *Leases {
	if cfg.Prefix == "" {
		cfg.Prefix = "verdict:"
	}
	cfg.Prefix = strings.NewReplacer("{", "(", "}", ")").Replace(cfg.Prefix) // as the ledger does
	if cfg.Term <= 0 {
		cfg.Term = 15 * time.Second
	}
	if cfg.Every <= 0 {
		cfg.Every = cfg.Term / 3
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 50 * time.Millisecond
	}
	return &Leases{cfg: cfg, holder: rand.Text()}
}

// place is a process's place among those who read a partition.
type place struct {
	partition int32
	sharers   int // all who read it, this process too
	rank      int // how many of them go before this process; they differ in it, whoever asks
}

// hold takes or renews the lease of a partition, and returns who shares it.
func (l *Leases) hold(ctx context.Context, partition int32) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.Timeout)
	defer cancel()
	now, err := l.cfg.Client.Time(ctx).Result() // one clock for all: the processes' own may differ by more than a term
	if err != nil {
		return place{}, fmt.Errorf("holding a reply partition: %w", err)
	}
	key, pipe := l.key(partition), l.cfg.Client.Pipeline()
	pipe.ZAdd(ctx, key, redis.Z{Score: float64(now.Add(l.cfg.Term).UnixMilli()), Member: l.holder})
	pipe.ZRemRangeByScore(ctx, key, "-inf", strconv.FormatInt(now.UnixMilli(), 10))
	pipe.PExpire(ctx, key, l.cfg.Term)
	holders := pipe.ZRange(ctx, key, 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		return place{}, fmt.Errorf("holding a reply partition: %w", err)
	}
	p := place{partition: partition, sharers: len(holders.Val())}
	for _, other := range holders.Val() {
		if other < l.holder {
			p.rank++
		}
	}
	return p, nil
}

// counts returns how many hold each of the first n partitions.
func (l *Leases) counts(ctx context.Context, n int32) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.Timeout+time.Duration(n)*time.Millisecond/10)
	defer cancel()
	now, err := l.cfg.Client.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("counting who reads replies: %w", err)
	}
	after, pipe := strconv.FormatInt(now.UnixMilli()+1, 10), l.cfg.Client.Pipeline()
	replies := make([]*redis.IntCmd, n)
	for i := range n {
		replies[i] = pipe.ZCount(ctx, l.key(i), after, "+inf")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("counting who reads replies: %w", err)
	}
	counts := make([]int64, n)
	for i := range replies {
		counts[i] = replies[i].Val()
	}
	return counts, nil
}

// leave gives a lease back.
func (l *Leases) leave(ctx context.Context, partition int32) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	if err := l.cfg.Client.ZRem(ctx, l.key(partition), l.holder).Err(); err != nil {
		return fmt.Errorf("giving a reply partition back: %w", err)
	}
	return nil
}

// take finds a partition among the first n when none is held yet. Processes that start at the same moment all see the same free one: each then sees the others
// there, and all but one look again.
func (l *Leases) take(ctx context.Context, n int32) (place, error) {
	counts, err := l.counts(ctx, n)
	if err != nil {
		return place{}, err
	}
	held, err := l.hold(ctx, least(counts, 0))
	for tries := 0; err == nil && tries < 3; tries++ { // what is left is for the renewals to mend
		var next int32
		if next, err = l.better(ctx, held, n); err != nil || next == held.partition {
			break
		}
		left := held.partition
		if held, err = l.hold(ctx, next); err == nil {
			err = l.leave(ctx, left)
		}
	}
	return held, err
}

// better returns the partition that a process should read that has this place, which is its own when none is better.
func (l *Leases) better(ctx context.Context, held place, n int32) (int32, error) {
	if held.rank == 0 {
		return held.partition, nil // the first of them stays, so a process alone need not look
	}
	counts, err := l.counts(ctx, n)
	if err != nil {
		return held.partition, err
	}
	return choose(counts, held), nil
}

// choose returns the partition for a process that has this place: another only if it would be one of fewer there than it is behind here. So, of those who share
// one, only as many move as make it even, and to different ones.
func choose(counts []int64, held place) int32 {
	if len(counts) == 0 || int64(held.rank) <= slices.Min(counts) {
		return held.partition
	}
	return least(counts, held.rank-1)
}

// least returns the partition with the fewest, and of several such the one at this place among them, counted round.
func least(counts []int64, at int) int32 {
	fewest, among := int64(math.MaxInt64), []int32(nil)
	for i, n := range counts {
		switch {
		case n < fewest:
			fewest, among = n, []int32{int32(i)}
		case n == fewest:
			among = append(among, int32(i))
		}
	}
	return among[at%len(among)]
}

func (l *Leases) key(partition int32) string {
	return l.cfg.Prefix + "reply:" + strconv.Itoa(int(partition))
}
