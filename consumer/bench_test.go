package consumer_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// endless gives batches of new orders until n are given; what is published is dropped.
type endless struct {
	size, n, given int
	traced         bool // each order brings a trace that is recorded
	batch          consumer.Batch
}

func (e *endless) Poll(context.Context) (*consumer.Batch, error) {
	if e.given >= e.n {
		return nil, io.EOF
	}
	e.batch.Records = e.batch.Records[:0]
	for range e.size {
		e.given++
		at := time.Date(2026, 1, 1, 0, 0, e.given*9, 0, time.UTC) // 9,600 orders a day, as the Handbook has
		e.batch.Records = append(e.batch.Records, consumer.Record{
			Topic: "orders", Offset: int64(e.given), Time: at, Key: []byte("k"), Value: fmt.Appendf(nil,
				`{"order_id":"o%d","occurred_at":%q,"customer_id":"%d","terminal_id":"%d","amount":%d.5}`, e.given, at.Format(time.RFC3339), e.given*7%5000, e.given*11%10000, e.given%100),
		})
		if e.traced {
			e.batch.Records[len(e.batch.Records)-1].Headers = []consumer.Header{textHeader("traceparent", fmt.Sprintf("00-%032x-%016x-01", e.given, e.given))}
		}
	}
	return &e.batch, nil
}

func (e *endless) Publish(context.Context, []consumer.Message) error { return nil }
func (e *endless) Commit(context.Context, *consumer.Batch) error     { return nil }

// BenchmarkStep is the whole path in memory, but for Kafka: the Handbook's 15 features, 100 trees, a policy. An op is an order (its making included). Traced, every
// order is recorded, and what the queue of spans does not take is dropped.
func BenchmarkStep(b *testing.B) {
	const example = "../deploy/example/"
	features, err := preprocess.Load(example+"handbook.yaml", schemas.DefaultOrderSchema())
	if err != nil {
		b.Fatal(err)
	}
	bundle, err := scorer.LoadBundle(example+"models/handbook/1", map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		b.Fatal(err)
	}
	policy, err := scorer.LoadPolicy(example+"policy.yaml", schemas.DefaultOrderSchema(), features.Layout())
	if err != nil {
		b.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: features.Layout(), Champion: bundle, Policy: policy})
	if err != nil {
		b.Fatal(err)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{Schema: schemas.DefaultOrderSchema()})
	if err != nil {
		b.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()))
	for _, c := range []struct {
		name   string
		size   int
		tracer oteltrace.Tracer
	}{{"batch=1", 1, nil}, {"batch=16", 16, nil}, {"batch=256", 256, nil}, {"batch=1/traced", 1, provider.Tracer("")}, {"batch=256/traced", 256, provider.Tracer("")}} {
		b.Run(c.name, func(b *testing.B) {
			store := memstore.New(memstore.Config{})
			w, err := consumer.New(consumer.Config{
				Transport: &endless{size: c.size, n: b.N, traced: c.tracer != nil}, Orders: codec, Labels: codec, Binding: features.Binding(),
				Extractor: preprocess.NewExtractor(features, store, 0), Store: store, Scorer: s, Ledger: consumer.NewMemLedger(100_000),
				Decisions: schemas.NewDecisionCodec(nil, ""), Lane: "bench", Topics: []string{"orders"}, Now: time.Now, Tracer: c.tracer,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := w.Run(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
