package kafka_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer/kafka"
	"verdict/preprocess/redisstore"
)

// echo answers each order on the sync topic where it asks for, with its own value, until the test ends.
func (b bench) echo(t *testing.T, ctx context.Context) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.conn.BootstrapServers...), kgo.ConsumeTopics(b.topics.Sync), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			fetches := client.PollFetches(ctx)
			if fetches.IsClientClosed() || ctx.Err() != nil {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				reply := &kgo.Record{Topic: b.topics.Replies, Value: r.Value}
				for _, h := range r.Headers {
					switch h.Key {
					case "kafka_correlationId":
						reply.Headers = append(reply.Headers, h)
					case "kafka_replyPartition":
						reply.Partition = int32(binary.BigEndian.Uint32(h.Value))
					}
				}
				client.Produce(ctx, reply, nil)
			})
		}
	}()
	t.Cleanup(func() { client.Close(); <-over })
}

// asker is a process with callers: each reply goes to the one who waits for it.
type asker struct {
	caller *kafka.Caller
	waits  sync.Map // :: correlation → chan string
	moves  atomic.Int64
}

func newAsker(t *testing.T, ctx context.Context, b bench, leases *kafka.Leases) *asker {
	t.Helper()
	a := &asker{}
	var err error
	a.caller, err = kafka.NewCaller(ctx, kafka.CallerConfig{
		Connection: b.conn, Topics: b.topics, ReplyPartition: -1, Leases: leases, LongestWait: time.Second,
		Moved: func(int32, int) { a.moves.Add(1) },
		Resolve: func(correlation, value []byte, _, _ string) {
			if wait, ok := a.waits.LoadAndDelete(string(correlation)); ok {
				wait.(chan string) <- string(value)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask sends an order and waits for its reply.
func (a *asker) ask(ctx context.Context, order string) (reply string, err error) {
	wait := make(chan string, 1)
	a.waits.Store(order, wait)
	if err := a.caller.Send(ctx, kafka.Request{Key: []byte(order), Order: []byte(order), Correlation: []byte(order)}); err != nil {
		return "", err
	}
	select {
	case reply := <-wait:
		return reply, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func quickLeases(client redis.UniversalClient, prefix string) *kafka.Leases {
	return kafka.NewLeases(kafka.LeasesConfig{Client: client, Prefix: prefix, Term: 300 * time.Millisecond, Every: 50 * time.Millisecond, Timeout: time.Second})
}

// TestACallerThatMovesLosesNoReply drives a caller from one partition to the other by strangers who come before it, while it sends.
func TestACallerThatMovesLosesNoReply(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		client, prefix := redisOf(t)
		b.echo(t, ctx)
		a := newAsker(t, ctx, b, quickLeases(client, prefix))
		busy, stop := context.WithCancel(ctx)
		var callers sync.WaitGroup
		var asked, slowest atomic.Int64
		for i := range 4 {
			callers.Go(func() {
				for n := 0; busy.Err() == nil; n++ {
					order, began := fmt.Sprint("order-", i, "-", n), time.Now()
					if got, err := a.ask(ctx, order); err != nil || got != order {
						t.Errorf("%s: %q, %v", order, got, err)
						return
					}
					asked.Add(1)
					if took := int64(time.Since(began)); took > slowest.Load() {
						slowest.Store(took)
					}
				}
			})
		}
		for want := int64(2); want <= 4; want++ {
			at := strconv.Itoa(int(a.caller.Partition()))
			for a.moves.Load() < want && ctx.Err() == nil {
				end := redis.Z{Score: float64(time.Now().Add(time.Minute).UnixMilli()), Member: "0 goes before all"}
				if err := client.ZAdd(ctx, prefix+"reply:"+at, end).Err(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond) // the caller looks at real times
			}
			client.Del(ctx, prefix+"reply:"+at)
		}
		stop()
		callers.Wait()
		t.Logf("%d orders over %d moves, the slowest %s", asked.Load(), a.moves.Load()-1, time.Duration(slowest.Load()))
		if a.moves.Load() < 4 {
			t.Errorf("%d moves", a.moves.Load()-1)
		}
		if err := a.caller.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := client.Exists(ctx, prefix+"reply:0", prefix+"reply:1").Val(); n != 0 {
			t.Errorf("%d leases are left behind", n)
		}
	})
}

func TestACallerDoesWithoutRedisAndTakesALeaseWhenItIsThere(t *testing.T) {
	onEach(t, func(t *testing.T, ctx context.Context, b bench) {
		server := miniredis.RunT(t)
		client := redisstore.Dial(redisstore.DialConfig{Addrs: []string{server.Addr()}, Timeout: time.Second})
		defer client.Close()
		b.echo(t, ctx)
		server.SetError("away")
		a := newAsker(t, ctx, b, quickLeases(client, "p:"))
		for i, away := range []bool{true, false, true, false} {
			server.SetError(map[bool]string{true: "away"}[away])
			for (a.caller.Sharers() == 0) != away {
				if ctx.Err() != nil {
					t.Fatalf("%d: %d sharers", i, a.caller.Sharers())
				}
				time.Sleep(5 * time.Millisecond) // the caller looks at real times
			}
			if got, err := a.ask(ctx, fmt.Sprint("order-", i)); err != nil || got != fmt.Sprint("order-", i) {
				t.Fatalf("%d: %q, %v", i, got, err)
			}
		}
		if a.caller.Sharers() != 1 || a.moves.Load() != 1 {
			t.Errorf("%d sharers after %d moves", a.caller.Sharers(), a.moves.Load()-1)
		}
		if err := a.caller.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestACallerGoesOnAfterItsBrokerWasAway ends the in-process broker and starts it again over the same log.
func TestACallerGoesOnAfterItsBrokerWasAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	broker := func(opts ...kfake.Opt) *kfake.Cluster {
		cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.DataDir(dir))...)
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	cluster := broker(kfake.SeedTopics(2, "orders.sync", "replies"))
	address := cluster.ListenAddrs()[0]
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	b := bench{conn: kafka.Connection{BootstrapServers: []string{address}}, topics: kafka.Topics{Sync: "orders.sync", Replies: "replies"}}
	b.echo(t, ctx)
	a := newAsker(t, ctx, b, nil)
	for round := range 3 {
		for {
			patience, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err := a.ask(patience, fmt.Sprint("order-", round, time.Now().UnixNano()))
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		for try := 0; ; try++ { // a connection that ended unseen is told once
			err := a.caller.Ready(ctx)
			if err == nil {
				break
			}
			if try == 3 {
				t.Fatalf("round %d: replies come, and the caller is not ready: %v", round, err)
			}
		}
		cluster.Close()
		cluster = broker(kfake.Ports(n))
	}
	defer cluster.Close()
	if err := a.caller.Close(ctx); err != nil {
		t.Error(err)
	}
}
