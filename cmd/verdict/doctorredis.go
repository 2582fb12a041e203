package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
)

// redis looks at the store.
func (d *doctor) redis(ctx context.Context) (f findings) {
	if d.cfg.State.Store == "memory" {
		f.warn("redis", "state.store is memory: nothing survives the process", "state.store: redis, for more than a trial")
		return f
	}
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)})
	dial := dialConfig(&d.cfg.Redis)
	dial.Timeout = max(dial.Timeout, doctorWait)
	client := redisstore.Dial(dial)
	defer client.Close()
	servers, err := consult(ctx, func(ctx context.Context) ([]redisstore.Server, error) {
		return redisstore.Inspect(ctx, client, time.Now)
	})
	if err != nil {
		f.fault("redis", strings.Join(d.cfg.Redis.Addresses, ", ")+": "+err.Error(), "see that it listens there and takes redis.username, redis.password and redis.tls")
		if len(servers) == 0 {
			return f
		}
	}
	for i := range servers {
		d.server(&f, &servers[i])
	}
	return append(f, d.sets(ctx, client)...)
}

// server looks at one of the servers.
func (d *doctor) server(f *findings, s *redisstore.Server) {
	about := "redis " + s.Address
	if major, err := strconv.Atoi(strings.Split(s.Version, ".")[0]); err == nil && major < 7 {
		f.fault(about, s.Name+" "+s.Version+" does not know SET NX GET, by which first decisions are kept", "Redis 7.0 or later, or Valkey")
	}
	if s.Loading {
		f.fault(about, "it is loading its files, and answers nothing else", "wait until it has")
	}
	if s.Role == "slave" {
		f.fault(about, "it is a replica, and takes no writes", "name the primary in redis.addresses")
	}
	if s.Cluster != "" && s.Cluster != "ok" {
		f.fault(about, "cluster_state is "+s.Cluster, "bring the nodes back that have the missing slots")
	}
	memory(f, about, s)
	durability(f, about, s)
	if s.Ahead.Abs() > maxSkew+s.Ping {
		way := "ahead of"
		if s.Ahead < 0 {
			way = "behind"
		}
		f.warn(about, fmt.Sprintf("its clock is %s %s this machine's", s.Ahead.Abs().Round(time.Millisecond), way), "set both by NTP: deadlines of callers and lives of keys are told by clocks")
	}
	if s.Ping > d.cfg.Redis.Timeout/5 {
		f.warn(about, fmt.Sprintf("an answer takes %s, and redis.timeout is %s", s.Ping.Round(10*time.Microsecond), d.cfg.Redis.Timeout), "have it nearer, or less busy: every step waits for it twice")
	}
	f.okUnless(about, "%s, %s used, an answer takes %s", strings.TrimSpace(s.Name+" "+s.Version), size(s.UsedMemory), s.Ping.Round(10*time.Microsecond))
}

// memory looks at what happens when there is no more room.
func memory(f *findings, about string, s *redisstore.Server) {
	if s.Policy != "" && s.Policy != "noeviction" {
		f.fault(about, "maxmemory-policy is "+s.Policy+": what it drops for room is missing in features, and all of the state is made anew each time", "maxmemory-policy noeviction")
	}
	if s.Evicted > 0 {
		f.fault(about, fmt.Sprintf("it has dropped %s for room in the %s since it started", count(int(s.Evicted), "key"), s.Uptime), "maxmemory-policy noeviction, more memory, and verdict rebuild")
	}
	switch share := float64(s.UsedMemory) / float64(max(s.MaxMemory, 1)); {
	case s.UsedMemory == 0: // not told
	case s.MaxMemory == 0:
		f.warn(about, size(s.UsedMemory)+" used, and maxmemory is not set: it grows until the machine ends it", "set maxmemory to what the machine can give")
	case share > 0.95:
		f.fault(about, fmt.Sprintf("%s of %s are used: soon nothing can be written, and scorers stop", size(s.UsedMemory), size(s.MaxMemory)), "more memory")
	case share > 0.8:
		f.warn(about, fmt.Sprintf("%s of %s are used", size(s.UsedMemory), size(s.MaxMemory)), "more memory, before it is full")
	}
}

// durability looks at what a restart leaves.
func durability(f *findings, about string, s *redisstore.Server) {
	switch {
	case s.Policy == "" || s.AppendOnly: // not told, or the better of the two
	case s.Snapshots != "":
		f.warn(about, "appendonly is off: a restart loses what came after the last snapshot", "appendonly yes, appendfsync everysec")
	default:
		f.warn(about, "it keeps nothing on disk: after a restart it is empty, and all must be read from the topics again", "appendonly yes, appendfsync everysec")
	}
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	default:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
}

// sets looks at which feature sets are at work under the prefix.
func (d *doctor) sets(ctx context.Context, client redis.UniversalClient) (f findings) {
	about := "redis prefix " + d.cfg.Redis.Prefix
	store := redisstore.New(client, redisstore.Config{Prefix: d.cfg.Redis.Prefix, Timeout: doctorWait})
	sets, err := consult(ctx, func(ctx context.Context) (map[string][]preprocess.ColumnUse, error) { return store.Sets(ctx) })
	if err != nil {
		f.fault(about, err.Error(), "see what else writes under the prefix")
		return f
	}
	own := ""
	if d.features != nil {
		own = d.features.Version().Hash
	}
	_, known := sets[own]
	delete(sets, own)
	others := slices.Sorted(maps.Keys(sets))
	switch {
	case !known && len(others) == 0:
		f.ok(about, "no feature set is at work on it yet")
	case !known:
		f.warn(about, fmt.Sprintf("other feature sets are at work on it (%s), and this config's is not", strings.Join(others, ", ")), "verdict diff says what of the state it needs and is not kept, verdict backfill warms that up")
	case len(others) == 0:
		f.ok(about, "this config's feature set alone is at work on it")
	default:
		f.ok(about, "this config's feature set is at work on it, and %s beside it: %s", count(len(others), "other"), strings.Join(others, ", "))
	}
	return f
}
