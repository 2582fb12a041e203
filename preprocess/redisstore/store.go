// Package redisstore keeps preprocess.Store in Redis: plain commands in explicit pipelines, one for a call, and a second when there is something that the
// first could not know. layout.go says what lies where.
//
// A call loads what its visits ask for, each column of an entity once however many visits ask; runs the visits one by one in memory, as memstore does; and
// writes. Points that are known beforehand are written blind in the pipeline that reads, right after their column was read; those that come of what was
// read, merged columns, and what has to be put right follow in the second.
//
// The one order of commands on which labels rest: each side writes before it reads. A visit writes its claim on the id and then reads the labels; a label is
// written and then the claim read. So of an order and its label, in whatever processes, at least one sees the other and puts the mark.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/schemas"
)

// Defaults of Config.
const (
	DefaultPrefix = "verdict:"
	DefaultKeep   = 60 * 24 * time.Hour
	DefaultLag    = 7 * 24 * time.Hour // Kafka's default retention: who lags behind more has lost orders anyway
)

// Config says where in Redis a Store lives and how long it keeps. The zero value is usable.
type Config struct {
	Prefix string        // of all keys; "" is DefaultPrefix. Braces in it become parentheses: a cluster looks for the first pair of braces
	Keep   time.Duration // how long claims on ids and labels are kept, and columns at least: the longest Ask.Keep. Zero is DefaultKeep

	// Lag is how much longer everything is kept than event time asks for. Redis expires by its clock, features by event time: when a worker was
	// down for hours and reads on, what it finds must not have expired meanwhile. Zero is DefaultLag.
	Lag time.Duration

	// Timeout is how long Redis may take for a small pipeline; zero is DefaultTimeout. A large one has visitTimeout more for each visit.
	Timeout time.Duration

	// Set is the hash of the feature set that this Store serves, and Columns what that keeps (preprocess.FeatureSet.Columns). They are registered in Redis,
	// so that of feature sets that share columns the one that keeps less does not drop what another still wants. "" registers nothing, and looks at
	// nobody else's.
	Set     string
	Columns []preprocess.ColumnUse
}

// Store is a preprocess.Store in Redis.
type Store struct {
	client  redis.UniversalClient
	prefix  string
	keep    time.Duration
	lag     time.Duration
	timeout time.Duration
	seed    maphash.Seed
	sets    *registry
	rooms   chan *room // that are not in use
}

var _ preprocess.Store = (*Store)(nil)

// New makes a Store. The client should have been made with Dial or Options, or its calls may be done twice and wait for seconds.
func New(client redis.UniversalClient, cfg Config) *Store {
	s := &Store{client: client, keep: cfg.Keep, lag: cfg.Lag, timeout: cfg.Timeout, seed: maphash.MakeSeed(), rooms: make(chan *room, maxRooms)}
	s.prefix = safePrefix(cfg.Prefix)
	if s.keep <= 0 {
		s.keep = DefaultKeep
	}
	if s.lag <= 0 {
		s.lag = DefaultLag
	}
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	s.sets = newRegistry(s.prefix, cfg.Set, cfg.Columns, s.lag)
	return s
}

// maxVisits is how many visits, or labels, one pipeline carries: go-redis holds all replies of a pipeline before the first is looked at.
const maxVisits = 1000

// visitTimeout is about twenty times what a visit takes, whose windows hold 100 orders: windows may hold more, and machines be busy.
const visitTimeout = time.Millisecond

// Exchange is preprocess.Store's.
func (s *Store) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for from := 0; from < len(visits); from += maxVisits {
		to := min(len(visits), from+maxVisits)
		err := s.exchange(ctx, visits, from, to, func(i int, found *preprocess.Found) { see(from+i, found) })
		if err != nil {
			return fmt.Errorf("exchanging %d visits with Redis: %w", len(visits), err)
		}
	}
	return nil
}

// exchange does some of a call's visits, at most maxVisits.
func (s *Store) exchange(ctx context.Context, call []preprocess.Visit, from, to int, see func(int, *preprocess.Found)) error {
	visits := call[from:to]
	newest := int64(never)
	for i := range visits {
		newest = max(newest, visits[i].At)
	}
	keeps, err := s.retention(ctx, newest)
	if err != nil {
		return err
	}
	b := s.newBatch(visits, keeps)
	b.call = call
	if err := b.load(ctx); err != nil {
		if errors.Is(err, ErrLost) {
			b.disclaim(ctx)
		}
		return err
	}
	if err := b.readClaims(); err != nil {
		return err
	}
	if err := b.widen(ctx); err != nil {
		return err
	}
	if err := b.readLabels(); err != nil {
		return err
	}
	if err := b.readColumns(); err != nil {
		return err
	}
	b.takeBack(ctx)
	b.run(see)
	if err := b.write(ctx); err != nil {
		return err
	}
	s.release(b)
	return nil
}

// Learn is preprocess.Store's.
func (s *Store) Learn(ctx context.Context, labels []schemas.Label) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for from := 0; from < len(labels); from += maxVisits {
		if err := s.learn(ctx, labels[from:min(len(labels), from+maxVisits)]); err != nil {
			return fmt.Errorf("keeping %d labels in Redis: %w", len(labels), err)
		}
	}
	return nil
}

// exec runs commands as one pipeline. A command that Redis refused is an error of the whole.
func (s *Store) exec(ctx context.Context, visits int, cmds []redis.Cmder) error {
	if len(cmds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout+time.Duration(visits)*visitTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	if err := pipe.BatchProcess(ctx, cmds...); err != nil {
		return err
	}
	_, err := pipe.Exec(ctx)
	return err
}

// ttl is for how many milliseconds a key lives of which so many microseconds of event time are wanted.
func (s *Store) ttl(keep int64) int64 {
	return (max(s.keep, time.Duration(keep)*time.Microsecond) + s.lag).Milliseconds()
}
