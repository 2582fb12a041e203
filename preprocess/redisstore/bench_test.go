package redisstore_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

// Sizes of the benchmark: a poll of orders, each of a customer with about 100 orders in its window and of a terminal with about 40.
const (
	poll           = 500
	customers      = 1000
	terminals      = 2500
	warmUp         = 100_000
	microsPerOrder = 864_000 // 100,000 orders a day
	day            = 24 * 3600 * 1_000_000
)

func benchVisit(n int) preprocess.Visit {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	at := int64(1_790_000_000_000_000) + int64(n)*microsPerOrder
	customer, terminal := "customer:"+strconv.Itoa(r.IntN(customers)), "terminal:"+strconv.Itoa(r.IntN(terminals))
	asks := []preprocess.Ask{
		{Key: customer, Column: "amount", Value: float64(r.IntN(20000)) / 100, From: at - day, To: at, Keep: day},
		{Key: terminal, Column: "*", From: at - day, To: at, Keep: day},
		{Key: terminal, Marks: true, From: at - day, To: at, Keep: day},
	}
	return preprocess.Visit{
		ID: schemas.OrderID("10" + strconv.Itoa(n)), At: at, Content: r.Uint64(), Asks: asks, Labelled: []string{terminal},
		Arrival: preprocess.Arrival{Millis: at/1000 + 40, Offset: int64(n)},
	}
}

func benchVisits(from, n int) []preprocess.Visit {
	visits := make([]preprocess.Visit, n)
	for i := range visits {
		visits[i] = benchVisit(from + i)
	}
	return visits
}

// BenchmarkExchange polls 500 orders at a time. "floor" is the same commands in the same pipeline, with replies that nobody reads: what is left to gain.
func BenchmarkExchange(b *testing.B) {
	server := startRedis(b)
	client := dial(b, server)
	recorded := &recorder{}
	next := 0
	b.Run("store", func(b *testing.B) {
		s := redisstore.New(client, redisstore.Config{Prefix: "b:", Timeout: patient})
		next = warm(b, s, next)
		points := 0
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			b.StopTimer()
			visits := benchVisits(next, poll)
			next += poll
			b.StartTimer()
			found, err := storetest.Exchange(b.Context(), s, visits)
			if err != nil {
				b.Fatal(err)
			}
			points += len(found[0].Views[0].Points) + len(found[0].Views[1].Points)
		}
		b.ReportMetric(float64(b.N*poll)/b.Elapsed().Seconds(), "orders/s")
		b.ReportMetric(float64(points)/float64(b.N), "points/order")
	})
	b.Run("floor", func(b *testing.B) {
		s := redisstore.New(recordingClient(b, server, recorded), redisstore.Config{Prefix: "b:", Timeout: patient})
		next = warm(b, s, next)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			b.StopTimer()
			recorded.skip = true
			if _, err := storetest.Exchange(b.Context(), s, benchVisits(next, poll)); err == nil {
				b.Fatal("the recorder let a pipeline through")
			}
			recorded.skip = false
			next += poll
			pipe := client.Pipeline()
			for _, args := range recorded.args {
				_ = pipe.Process(b.Context(), discard(args))
			}
			b.StartTimer()
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*poll)/b.Elapsed().Seconds(), "orders/s")
		b.ReportMetric(float64(len(recorded.args))/poll, "commands/order")
	})
}

func warm(b *testing.B, s preprocess.Store, next int) int {
	b.Helper()
	if next > 0 {
		return next
	}
	for ; next < warmUp; next += poll {
		if _, err := storetest.Exchange(b.Context(), s, benchVisits(next, poll)); err != nil {
			b.Fatal(err)
		}
	}
	return next
}

// recorder is a hook that keeps the arguments of a pipeline instead of sending it.
type recorder struct {
	redis.Hook
	skip bool
	args [][]any
}

type notSentError struct{}

func (notSentError) Error() string { return "not sent" }

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !r.skip {
			return next(ctx, cmds)
		}
		r.args = r.args[:0]
		for _, cmd := range cmds {
			r.args = append(r.args, cmd.Args())
		}
		return notSentError{}
	}
}

func recordingClient(b *testing.B, server redisstore.DialConfig, r *recorder) redis.UniversalClient {
	b.Helper()
	client := dial(b, server)
	client.AddHook(r)
	return client
}

// discard is a command whose reply is read off the wire and thrown away.
func discard(args []any) redis.Cmder {
	return redis.NewRawWriteToCmd(context.Background(), nowhere{}, args...)
}

// nowhere throws away without copying what io.CopyN would copy through a buffer of its own.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
