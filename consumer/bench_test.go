package consumer_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

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
	}
	return &e.batch, nil
}

func (e *endless) Publish(context.Context, []consumer.Message) error { return nil }
func (e *endless) Commit(context.Context, *consumer.Batch) error     { return nil }

// BenchmarkStep is the whole path in memory, but for Kafka: the Handbook's 15 features, 100 trees, a policy. An op is an order (its making included).
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
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			store := memstore.New(memstore.Config{})
			w, err := consumer.New(consumer.Config{
				Transport: &endless{size: size, n: b.N}, Orders: codec, Labels: codec, Binding: features.Binding(),
				Extractor: preprocess.NewExtractor(features, store, 0), Store: store, Scorer: s, Ledger: consumer.NewMemLedger(100_000),
				Decisions: schemas.NewDecisionCodec(nil, ""), Lane: "bench", Topics: []string{"orders"}, Now: time.Now,
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
