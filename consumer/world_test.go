package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

// world is all that a worker needs, in memory, with a fault to be had at any call of transport, store or ledger.
type world struct {
	t         *testing.T
	features  *preprocess.FeatureSet
	scorer    *scorer.Scorer
	transport *transport
	store     *store
	ledger    *ledger
	faults    *faults
	now       time.Time
	registry  *schemas.Registry // nil: orders are JSON
	events    consumer.EventTimes
	metrics   *consumer.Metrics // nil measures nothing
}

const featureText = `
name: t
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id]}
features:
  amount: {value: amount}
  orders: {count: "*", by: customer, window: 1d}
  total:  {sum: amount, by: customer, window: 1d}
  frauds: {sum: fraud, by: customer, window: 1d}
`

// modelText scores an order of up to 100 with −2 and a larger one with 2, before the sigmoid.
const modelText = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
objective=binary sigmoid:1
feature_names=amount
feature_infos=[0:1000]
tree_sizes=243

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=100
decision_type=2
left_child=-1
right_child=-2
leaf_value=-2 2
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=2
internal_count=2
is_linear=0
shrinkage=1


end of trees
`

const policyText = `
name: t
version: 1
rules: [{id: very_large, when: "amount > 5000", then: reject}]
thresholds: {review: 0.5, reject: 0.99}
on_degraded: review
`

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	features, err := preprocess.Parse("features.yaml", []byte(featureText), nil)
	if err != nil {
		t.Fatal(err)
	}
	write("m/bundle.yaml", "name: t\nversion: 1\nfeatures: t@1\nfile: model.txt\nformat: lightgbm\ninputs: [amount]\n")
	write("m/model.txt", modelText)
	write("m/golden.csv", "amount,score\n10,0.11920292202211755\n500,0.8807970779778823\n")
	bundle, err := scorer.LoadBundle(filepath.Join(dir, "m"), map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scorer.LoadPolicy(write("policy.yaml", policyText), nil, features.Layout())
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: features.Layout(), Champion: bundle, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	f := &faults{}
	return &world{
		t: t, features: features, scorer: s, faults: f, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		transport: &transport{faults: f, size: 3}, store: &store{faults: f, inner: memstore.New(memstore.Config{})},
		ledger: &ledger{faults: f, inner: consumer.NewMemLedger(0)},
	}
}

// worker returns a worker over the world's parts, as a process that starts would make it.
func (w *world) worker() *consumer.Worker {
	w.t.Helper()
	worker, err := consumer.New(w.workerConfig())
	if err != nil {
		w.t.Fatal(err)
	}
	return worker
}

func (w *world) workerConfig() consumer.Config {
	w.t.Helper()
	codec, err := schemas.NewCodec(schemas.CodecConfig{Registry: w.registry})
	if err != nil {
		w.t.Fatal(err)
	}
	return consumer.Config{
		Transport: w.transport, Orders: codec, Labels: codec, Binding: w.features.Binding(),
		Extractor: preprocess.NewExtractor(w.features, w.store, time.Hour), Store: w.store, Scorer: w.scorer, Ledger: w.ledger,
		Decisions: schemas.NewDecisionCodec(nil, ""), Lane: "test", Topics: []string{"orders", "orders.sync"}, ReplyTopics: []string{"replies"},
		Events: w.events, Metrics: w.metrics,
		Now: func() time.Time { w.now = w.now.Add(time.Second); return w.now }, // another time at each try: a decision that is made twice shows
	}
}

// order adds an order record of partition 0 and returns it, so that a test can change it.
func (w *world) order(id, customer string, amount float64, minute int) *consumer.Record {
	at := time.Date(2026, 11, 1, 0, minute, 0, 0, time.UTC)
	return w.record(consumer.Orders, "orders", fmt.Sprintf(`{"order_id":%q,"occurred_at":%q,"customer_id":%q,"amount":%v}`, id, at.Format(time.RFC3339), customer, amount))
}

func (w *world) label(id string, minute int) *consumer.Record {
	at := time.Date(2026, 11, 1, 0, minute, 0, 0, time.UTC)
	return w.record(consumer.Labels, "labels", fmt.Sprintf(`{"order_id":%q,"fraud":true,"known_at":%q}`, id, at.Format(time.RFC3339)))
}

func (w *world) record(stream consumer.Stream, topic, value string) *consumer.Record {
	n := len(w.transport.log)
	w.transport.log = append(w.transport.log, &consumer.Record{
		Stream: stream, Topic: topic, Offset: int64(n), Time: w.now.Add(time.Duration(n) * time.Millisecond), Key: []byte("key"), Value: []byte(value),
	})
	return w.transport.log[n]
}

// decisions returns what lies on the decisions topic, by order; every copy of an order's decision must be equal.
func (w *world) decisions() map[schemas.OrderID]schemas.Decision {
	w.t.Helper()
	out, text := map[schemas.OrderID]schemas.Decision{}, map[schemas.OrderID]string{}
	for _, m := range w.transport.written(consumer.Decisions) {
		d, err := schemas.DecodeDecision(m.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if earlier, again := text[d.OrderID]; again && earlier != string(m.Value) {
			w.t.Fatalf("order %s has two decisions:\n%s\n%s", d.OrderID, earlier, m.Value)
		}
		out[d.OrderID], text[d.OrderID] = d, string(m.Value)
	}
	return out
}

// vectors returns the decided vectors as text, by order.
func (w *world) vectors() map[schemas.OrderID]string {
	out := map[schemas.OrderID]string{}
	for id, d := range w.decisions() {
		out[id] = fmt.Sprint(d.Inputs.Layout.Names, d.Inputs.Values)
	}
	return out
}

func header(m consumer.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// errFault is what a planted fault reports.
var errFault = errors.New("planted fault")

// faults fails one call: the one whose number is at (from 1), refusing it, or doing it and reporting failure all the same.
type faults struct {
	calls, at int
	done      bool
}

// next counts a call. Before says that it is to be refused, after that it is to be done and then reported as failed.
func (f *faults) next() (before, after error) {
	f.calls++
	switch {
	case f.calls != f.at:
		return nil, nil
	case f.done:
		return nil, errFault
	default:
		return errFault, nil
	}
}

// transport is a log of one partition, read in batches; io.EOF at its end.
type transport struct {
	faults    *faults
	log       []*consumer.Record
	size      int // records a poll
	read      int // where the worker reads
	committed int // where a new worker would read
	messages  []consumer.Message
	durable   int   // messages that a Publish has confirmed
	lost      error // what every Commit returns
	early     []int // offsets that were committed before their decision or dead letter was durable
}

func (t *transport) Poll(ctx context.Context) (*consumer.Batch, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if t.read == len(t.log) {
		return nil, io.EOF
	}
	var b consumer.Batch
	for ; t.read < len(t.log) && len(b.Records) < t.size; t.read++ {
		b.Records = append(b.Records, *t.log[t.read])
	}
	return &b, nil
}

func (t *transport) Publish(_ context.Context, messages []consumer.Message) error {
	before, after := t.faults.next()
	if before != nil {
		return before
	}
	for _, m := range messages { // the worker uses its buffers again
		m.Value = bytes.Clone(m.Value)
		t.messages = append(t.messages, m)
	}
	if after == nil {
		t.durable = len(t.messages)
	}
	return after
}

func (t *transport) Commit(_ context.Context, b *consumer.Batch) error {
	before, after := t.faults.next()
	if before != nil {
		return before
	}
	if t.lost != nil {
		return t.lost
	}
	out := map[string]bool{}
	for _, m := range t.messages[:t.durable] {
		out[header(m, "verdict.source")] = true
	}
	for offset := t.committed; offset < t.read; offset++ {
		if r := t.log[offset]; r.Stream == consumer.Orders && r.Value != nil && !out[fmt.Sprintf("%s/0/%d", r.Topic, offset)] {
			t.early = append(t.early, offset)
		}
	}
	t.committed = t.read
	return after
}

func (t *transport) written(to consumer.Output) []consumer.Message {
	var out []consumer.Message
	for _, m := range t.messages {
		if m.To == to {
			out = append(out, m)
		}
	}
	return out
}

type store struct {
	faults *faults
	inner  preprocess.Store
}

func (s *store) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	before, after := s.faults.next()
	if before != nil {
		return before
	}
	return errors.Join(s.inner.Exchange(ctx, visits, see), after)
}

func (s *store) Learn(ctx context.Context, labels []schemas.Label) error {
	before, after := s.faults.next()
	if before != nil {
		return before
	}
	return errors.Join(s.inner.Learn(ctx, labels), after)
}

type ledger struct {
	faults *faults
	inner  consumer.Ledger
}

func (l *ledger) First(ctx context.Context, records []consumer.Kept) ([][]byte, error) {
	before, after := l.faults.next()
	if before != nil {
		return nil, before
	}
	out, err := l.inner.First(ctx, records)
	return out, errors.Join(err, after)
}

func (l *ledger) Find(ctx context.Context, id schemas.OrderID) ([]byte, bool, error) {
	before, after := l.faults.next()
	if before != nil {
		return nil, false, before
	}
	record, found, err := l.inner.Find(ctx, id)
	return record, found, errors.Join(err, after)
}
