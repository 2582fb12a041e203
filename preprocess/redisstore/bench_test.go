package redisstore_test

import (
	"context"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// Sizes of the benchmark: a poll of orders, each of a customer with about 100 orders in its longest window and of a terminal with about 40.
const (
	poll           = 500
	customers      = 1000
	terminals      = 2500
	warmUp         = 110_000
	microsPerOrder = 6_048_000 // 100,000 orders in 7 days
)

// benchSet has 15 windows on two entities.
const benchSet = `
name: bench
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], terminal: [terminal_id]}
features:
  customer_orders_1h:     {count: "*", by: customer, window: 1h}
  customer_orders_1d:     {count: "*", by: customer, window: 1d}
  customer_orders_7d:     {count: "*", by: customer, window: 7d}
  customer_amount_1d:     {sum: amount, by: customer, window: 1d}
  customer_mean_7d:       {mean: amount, by: customer, window: 7d}
  customer_max_7d:        {max: amount, by: customer, window: 7d}
  customer_deviation_7d:  {stddev: amount, by: customer, window: 7d}
  customer_terminals_7d:  {distinct: terminal_id, by: customer, window: 7d}
  since_last:             {since_last: "*", by: customer, window: 7d}
  terminal_orders_1h:     {count: "*", by: terminal, window: 1h}
  terminal_orders_1d:     {count: "*", by: terminal, window: 1d}
  terminal_mean_7d:       {mean: amount, by: terminal, window: 7d}
  terminal_max_1d:        {max: amount, by: terminal, window: 1d}
  terminal_customers_7d:  {distinct: customer_id, by: terminal, window: 7d}
  terminal_fraud_7d:      {rate: fraud, by: terminal, window: 6d, delay: 1d}
`

func benchOrders(from int) []preprocess.Arrived {
	orders := make([]preprocess.Arrived, poll)
	for i := range orders {
		n := from + i
		r := rand.New(rand.NewPCG(1, uint64(n)))
		at := int64(1_790_000_000_000_000) + int64(n)*microsPerOrder
		fields := schemas.Record{
			{Name: "customer_id", Value: schemas.StringValue("C" + strconv.Itoa(r.IntN(customers)))},
			{Name: "terminal_id", Value: schemas.StringValue("T" + strconv.Itoa(r.IntN(terminals)))},
			{Name: "amount", Value: schemas.FloatValue(float64(r.IntN(20000)) / 100)},
		}
		orders[i] = preprocess.Arrived{
			Order:   schemas.Order{ID: schemas.OrderID("10" + strconv.Itoa(n)), At: time.UnixMicro(at).UTC(), Fields: fields},
			Arrival: preprocess.Arrival{Millis: at/1000 + 40, Offset: int64(n)}, Content: r.Uint64(),
		}
	}
	return orders
}

// BenchmarkExtract extracts 500 orders at a time. Every second poll is the floor instead: the very commands that the store would have sent, in the same
// pipeline, with replies that nobody reads. "x-floor" is the time of the ones by the time of the others, in one run and by turns.
func BenchmarkExtract(b *testing.B) {
	server := startRedis(b)
	set, err := preprocess.Parse("bench.yaml", []byte(benchSet), nil)
	if err != nil {
		b.Fatal(err)
	}
	client, recorded := dial(b, server), &recorder{}
	cfg := redisstore.Config{Prefix: "b:", Timeout: patient, Set: set.Version().Hash, Columns: set.Columns(0)}
	x := preprocess.NewExtractor(set, redisstore.New(client, cfg), 0)
	next := 0
	for ; next < warmUp; next += poll {
		if _, err := x.Extract(b.Context(), benchOrders(next)); err != nil {
			b.Fatal(err)
		}
	}
	recording := preprocess.NewExtractor(set, redisstore.New(recordingClient(b, server, recorded), cfg), 0)
	if _, err := recording.Extract(b.Context(), benchOrders(next)); err != nil { // it knows the registry then
		b.Fatal(err)
	}
	next += poll
	var floor time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		recorded.skip = true
		if _, err := recording.Extract(b.Context(), benchOrders(next)); err == nil {
			b.Fatal("the recorder let a pipeline through")
		}
		recorded.skip = false
		pipe := client.Pipeline()
		for _, args := range recorded.args {
			_ = pipe.Process(b.Context(), discard(args))
		}
		start := time.Now()
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
		floor += time.Since(start)
		orders := benchOrders(next + poll)
		next += 2 * poll
		b.StartTimer()
		if _, err := x.Extract(b.Context(), orders); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N) * poll
	b.ReportMetric(n/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(n/floor.Seconds(), "floor-orders/s")
	b.ReportMetric(b.Elapsed().Seconds()/floor.Seconds(), "x-floor")
	b.ReportMetric(float64(len(recorded.args))/poll, "commands/order")
}

const day = 24 * 3600 * 1_000_000

// benchVisit is of a customer and of a terminal, whose label is asked for too.
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

// recorder is a hook that keeps the arguments of a pipeline instead of sending it. One of a single command (and its token), which reads the registry, is sent.
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
		if !r.skip || len(cmds) <= 2 { // the token, and a command
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

// nowhere throws away in large pieces.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error)               { return len(p), nil }
func (nowhere) ReadFrom(r io.Reader) (n int64, err error) { return io.Copy(io.Discard, r) }
