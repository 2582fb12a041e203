package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
)

// state is where features' points and first decisions are kept.
type state struct {
	store  preprocess.Store
	look   preprocess.Looker // the same store
	ledger consumer.Ledger
	again  func(context.Context, []consumer.Kept) error // keeps first decisions in the ledger over what it has; nil in memory
	client redis.UniversalClient                        // of the store and the ledger; nil in memory
	leases *kafka.Leases                                // of reply partitions; nil where there is one process alone
	kept   consumer.Ledger                              // the same ledger for the API's look-ups, by connections of its own: a thousand callers must not keep a lane's pipeline waiting for one
	ping   func(context.Context) error
	close  func() error
}

// openState makes the clients; nothing is asked of a server yet. Features nil serves no set, and only looks. Guard nil notices no loss.
func openState(cfg *Config, features *preprocess.FeatureSet, guard *redisstore.Guard) *state {
	if cfg.State.Store == "memory" {
		store, ledger := memstore.New(memstore.Config{}), consumer.NewMemLedger(0)
		return &state{
			store: store, look: store, ledger: ledger, kept: ledger,
			ping: func(context.Context) error { return nil }, close: func() error { return nil },
		}
	}
	guarded := dialConfig(&cfg.Redis)
	guarded.Guard = guard
	client, callers := redisstore.Dial(guarded), redisstore.Dial(dialConfig(&cfg.Redis))
	ledger := consumer.RedisLedgerConfig{Prefix: cfg.Redis.Prefix, Keep: cfg.State.Decisions, Timeout: cfg.Redis.Timeout, Lost: redisstore.Lost}
	store, kept := redisstore.New(client, storeConfig(cfg, features)), consumer.NewRedisLedger(client, ledger)
	return &state{
		store: store, look: store, client: client,
		ledger: kept, again: kept.Restore,
		kept:   consumer.NewRedisLedger(callers, ledger),
		leases: kafka.NewLeases(kafka.LeasesConfig{Client: client, Prefix: cfg.Redis.Prefix, Timeout: cfg.Redis.Timeout}),
		ping:   func(ctx context.Context) error { return client.Ping(ctx).Err() },
		close:  func() error { return errors.Join(client.Close(), callers.Close()) },
	}
}

func dialConfig(cfg *RedisConfig) redisstore.DialConfig {
	dial := redisstore.DialConfig{Addrs: cfg.Addresses, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, Timeout: cfg.Timeout, Dialer: cfg.Dial}
	if cfg.TLS {
		dial.TLS = cfg.config()
	}
	return dial
}

// storeConfig is the same for all who work on one state: serve, backfill and rebuild.
func storeConfig(cfg *Config, features *preprocess.FeatureSet) redisstore.Config {
	// An id is held for as long as its decision stands, or a later order under it would be counted and then refused.
	store := redisstore.Config{Prefix: cfg.Redis.Prefix, Keep: cfg.State.Decisions, Timeout: cfg.Redis.Timeout}
	if features != nil {
		store.Keep = max(features.Keep()+cfg.State.Lateness, cfg.State.Decisions)
		store.Set, store.Columns = features.Version().Hash, features.Columns(cfg.State.Lateness)
	}
	return store
}

// newLog returns the log that cfg asks for, on stderr.
func newLog(cfg LogConfig) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("%w config: log.level %q is not debug, info, warn or error", errInvalid, cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	default:
		return nil, fmt.Errorf("%w config: log.format %q is not text or json", errInvalid, cfg.Format)
	}
}

// clientLog returns the log of the Kafka client, which tells every group and metadata step at info: that is for debugging.
func clientLog(cfg LogConfig) (*slog.Logger, error) {
	if cfg.Level == "info" {
		cfg.Level = "warn"
	}
	return newLog(cfg)
}

// redisLog takes what go-redis tells, which it would write to stderr in a form of its own.
type redisLog struct{ log *slog.Logger }

// Printf is go-redis's.
func (r redisLog) Printf(_ context.Context, format string, v ...any) {
	r.log.Warn("redis client", "says", fmt.Sprintf(format, v...))
}

// topicSpecs says how missing topics are made. Replies are read at once or never; decisions, labels and orders are the history that replays read, so
// how long they stay is the broker's default until somebody says otherwise.
func topicSpecs(cfg *KafkaConfig) map[string]kafka.TopicSpec {
	spec := kafka.TopicSpec{Partitions: cfg.Partitions, Replication: cfg.Replication}
	replies := kafka.TopicSpec{Partitions: cfg.ReplyPartitions, Replication: cfg.Replication}
	replies.Configs = map[string]string{"retention.ms": "600000", "segment.bytes": "16777216"}
	t := cfg.Topics
	return map[string]kafka.TopicSpec{t.Orders: spec, t.Sync: spec, t.Labels: spec, t.Decisions: spec, t.DeadLetters: spec, t.Replies: replies}
}

// awaitReady calls ready, at first every 50 ms and then every second, until it succeeds or ctx ends, and says so when it takes longer than a second.
func awaitReady(ctx context.Context, log *slog.Logger, what string, ready func(context.Context) error) error {
	for try := 0; ; try++ {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errInvalid) {
			return err
		}
		pause := 50 * time.Millisecond
		if try >= 20 {
			pause = time.Second
			log.Warn("waiting", "for", what, "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(pause):
		}
	}
}
