package redisstore_test

import (
	"bytes"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess/redisstore"
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

// patient is for tests that are not about time: other work on the machine may hold up a server for long.
const patient = 10 * time.Second

func startMiniredis(t testing.TB) redisstore.DialConfig {
	t.Helper()
	return redisstore.DialConfig{Addrs: []string{miniredis.RunT(t).Addr()}, Timeout: patient}
}

// startCluster runs a cluster that consists of one server, which has all slots. It takes Redis 2 s, so few tests do it.
func startCluster(t testing.TB) redisstore.DialConfig {
	t.Helper()
	cfg := startRedis(t, "--cluster-enabled", "yes")
	node := dial(t, cfg)
	if err := node.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatalf("giving the node its slots: %v", err)
	}
	for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		info, err := node.ClusterInfo(t.Context()).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster does not come up: %v\n%s", err, info)
		}
	}
	cfg.Cluster = true
	return cfg
}

// startRedis runs a real Redis for the time of a test.
func startRedis(t testing.TB, args ...string) redisstore.DialConfig {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("left out: real Redis, since there is no redis-server on the PATH")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	var log bytes.Buffer
	args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--unixsocket", "", "--loglevel", "warning"}, args...)
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) { // another process: there is nothing to wait on
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return redisstore.DialConfig{Addrs: []string{addr}, Timeout: patient}
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
