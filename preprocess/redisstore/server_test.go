package redisstore_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
)

// server is a kind of Redis that tests run against.
type server struct {
	name  string
	start func(t testing.TB) redisstore.DialConfig
}

var servers = []server{
	{"miniredis", startMiniredis},
	{"redis", func(t testing.TB) redisstore.DialConfig { return startRedis(t) }},
}

// withCluster are all servers. A cluster takes 2 s to start.
func withCluster() []server {
	return append(slices.Clone(servers), server{"redis cluster", func(t testing.TB) redisstore.DialConfig { return clusterConfig(redistest.StartCluster(t)) }})
}

// patient is for tests that are not about time: other work on the machine may hold up a server for long.
const patient = 10 * time.Second

func startMiniredis(t testing.TB) redisstore.DialConfig {
	t.Helper()
	return redisstore.DialConfig{Addrs: []string{miniredis.RunT(t).Addr()}, Timeout: patient}
}

// startRedis runs a real Redis for the time of a test.
func startRedis(t testing.TB, args ...string) redisstore.DialConfig {
	t.Helper()
	return redisstore.DialConfig{Addrs: []string{redistest.Start(t, args...).Addr()}, Timeout: patient}
}

func clusterConfig(c *redistest.Cluster) redisstore.DialConfig {
	return redisstore.DialConfig{Addrs: c.Addrs(), Cluster: true, Timeout: patient}
}

func dial(t testing.TB, cfg redisstore.DialConfig) redis.UniversalClient {
	t.Helper()
	client := redisstore.Dial(cfg)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// fresh gives stores of one server that share nothing.
func fresh(client redis.UniversalClient) func() *redisstore.Store {
	n := 0
	return func() *redisstore.Store {
		n++
		return redisstore.New(client, redisstore.Config{Prefix: "t" + strconv.Itoa(n) + ":", Timeout: patient})
	}
}

// keysOf returns every key under a prefix, on all nodes of a cluster.
func keysOf(t testing.TB, client redis.UniversalClient, prefix string) []string {
	t.Helper()
	var keys []string
	err := eachNode(t.Context(), client, func(ctx context.Context, node *redis.Client) error {
		for scan := node.Scan(ctx, 0, "*", 1000).Iterator(); ; {
			if !scan.Next(ctx) {
				return scan.Err()
			}
			if key := scan.Val(); len(key) >= len(prefix) && key[:len(prefix)] == prefix { // MATCH would take a prefix for a pattern
				keys = append(keys, key)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return slices.Compact(keys) // SCAN may tell a key twice
}

func eachNode(ctx context.Context, client redis.UniversalClient, do func(context.Context, *redis.Client) error) error {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return do(ctx, client.(*redis.Client))
	}
	var nodes []*redis.Client
	lock := make(chan struct{}, 1)
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { // at the same time for all
		lock <- struct{}{}
		nodes = append(nodes, node)
		<-lock
		return nil
	})
	for _, node := range nodes {
		if err == nil {
			err = do(ctx, node)
		}
	}
	return err
}
