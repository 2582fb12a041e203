package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"verdict/consumer/replay"
	"verdict/preprocess/redisstore"
)

// replayStore says where a replay keeps its state: in memory, unless a Redis is named.
type replayStore struct {
	url, prefix string
	keep        bool
}

func (f *replayStore) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "store", "", "keep the state in this Redis, for a history whose state is larger than memory: `redis://[user:password@]host:port[/db]`, rediss:// with TLS")
	flags.StringVar(&f.prefix, "prefix", "", "what the keys in --store begin with: none of the live prefix, and none that is in use (else one of this run's own)")
	flags.BoolVar(&f.keep, "keep", false, "leave the keys in --store where they are at the end; they expire")
}

// Timeouts of the store of a replay: nobody waits for an answer, and a step that fails ends the replay.
const (
	replayStoreTimeout = 10 * time.Second
	clearTimeout       = 5 * time.Minute
)

// ownStore is a replay's store, with what is to be done at the end.
type ownStore struct {
	store  *redisstore.Store
	client redis.UniversalClient
	prefix string
	keep   bool
}

// open makes the store that the flags name, and nothing without --store. The live state is not touched: a prefix that it may have is refused, as is one
// under which there is anything.
func (f *replayStore) open(ctx context.Context, cfg *replay.Config, config string) (*ownStore, error) {
	if f.url == "" {
		if f.prefix != "" || f.keep {
			return nil, fmt.Errorf("%w usage: --prefix and --keep go with --store", errInvalid)
		}
		return &ownStore{}, nil
	}
	site, err := loadConfig(config, os.Environ())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	prefix := f.prefix
	if prefix == "" {
		prefix = fmt.Sprintf("replay:%d:%d:", time.Now().UnixMilli(), os.Getpid())
	}
	for _, live := range []string{site.Redis.Prefix, redisstore.DefaultPrefix} {
		if strings.HasPrefix(prefix, live) || strings.HasPrefix(live, prefix) {
			return nil, fmt.Errorf("%w usage: --prefix %q may be the live state's, which has %q", errInvalid, prefix, live)
		}
	}
	if err := setStore(&site.Redis, f.url); err != nil {
		return nil, fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	site.Redis.Timeout = replayStoreTimeout
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what fails is told by the error that comes of it
	client := redisstore.Dial(dialConfig(&site.Redis))
	o := &ownStore{client: client, prefix: prefix, keep: f.keep, store: redisstore.New(client, redisstore.Config{
		Prefix: prefix, Keep: cfg.Features.Keep() + cfg.Lateness, Timeout: replayStoreTimeout,
	})}
	empty, err := o.store.Empty(ctx)
	if err == nil && !empty {
		err = fmt.Errorf("there are keys under %q: a replay begins with nothing", prefix)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--store: %w", err), client.Close())
	}
	cfg.Store = o.store
	return o, nil
}

// close removes the replay's keys, also after an interruption.
func (o *ownStore) close(ctx context.Context) (err error) {
	if o.store == nil {
		return nil
	}
	if !o.keep {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout)
		defer cancel()
		err = o.store.Clear(ctx)
	}
	return errors.Join(err, o.client.Close())
}
