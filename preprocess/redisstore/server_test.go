package redisstore_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess/redisstore"
)

// servers are the kinds of Redis that the tests run against.
var servers = []struct {
	name  string
	start func(t testing.TB) (addr string)
}{
	{"miniredis", startMiniredis},
	{"redis", startRedis},
}

func startMiniredis(t testing.TB) string {
	t.Helper()
	return miniredis.RunT(t).Addr()
}

// startRedis runs a real Redis for the time of a test.
func startRedis(t testing.TB) string {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("left out: real Redis, since there is no redis-server on the PATH")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	var log bytes.Buffer
	cmd := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--unixsocket", "", "--daemonize", "no", "--loglevel", "warning")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := dial(t, redisstore.DialConfig{Addrs: []string{addr}})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err := client.Ping(context.Background()).Err(); err == nil {
			return addr
		} else if time.Now().After(deadline) {
			t.Fatalf("redis-server on %s does not answer: %v\n%s", addr, err, log.String())
		}
		time.Sleep(time.Millisecond) // another process: there is nothing to wait on
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
		return redisstore.New(client, redisstore.Config{Prefix: "t" + strconv.Itoa(n) + ":"})
	}
}
