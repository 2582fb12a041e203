package consumer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

// run runs a worker over the world's log to its end, in virtual time: back-off costs nothing.
func (w *world) run() {
	w.t.Helper()
	synctest.Test(w.t, func(t *testing.T) {
		if err := w.worker().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEachOrderIsDecidedWithItsFeaturesAndPlace(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.order("b", "c1", 500, 2)
	w.order("c", "c2", 9000, 3)
	w.run()
	want := map[schemas.OrderID]string{
		"a": "[amount orders total frauds] [50 1 50 0]",
		"b": "[amount orders total frauds] [500 2 550 0]",
		"c": "[amount orders total frauds] [9000 1 9000 0]",
	}
	if diff := cmp.Diff(want, w.vectors()); diff != "" {
		t.Fatal(diff)
	}
	got := w.decisions()
	if got["a"].Action != schemas.Approve || got["b"].Action != schemas.Review || got["c"].Action != schemas.Reject || got["c"].Policy.Rule != "very_large" {
		t.Fatalf("actions %s, %s, %s by rule %q", got["a"].Action, got["b"].Action, got["c"].Action, got["c"].Policy.Rule)
	}
	if diff := cmp.Diff(schemas.Source{Topic: "orders", Offset: 1}, got["b"].Source); diff != "" {
		t.Fatal(diff)
	}
	if got["a"].Model.String() != "t@1" || got["a"].Features.String() != "t@1" || got["a"].Policy.String() != "t@1" {
		t.Fatalf("decided by %v, %v, %v", got["a"].Model, got["a"].Features, got["a"].Policy)
	}
}

// oneHistory is what the fault tests run: labels before and after their orders, a repeat, a conflict, a bad record, a waiting caller,
// an order of the far future, a copy that comes after what may come.
func oneHistory(w *world) {
	w.events = consumer.EventTimes{MaxAge: 60 * 24 * time.Hour, MaxAhead: 24 * time.Hour}
	w.order("a", "c1", 50, 1)
	w.label("b", 4) // before its order
	w.order("b", "c1", 500, 2)
	w.order("a", "c1", 50, 1) // again, at another offset
	w.record(consumer.Orders, "orders", `{"order_id":"broken"`)
	w.order("c", "c1", 70, 5)
	w.order("b", "c1", 501, 2) // another content
	asking := w.order("d", "c2", 9000, 6)
	asking.Headers = replyHeaders("replies", []byte("corr"), 3)
	w.label("c", 7)
	w.order("ahead", "c1", 10, 8).Time = time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC)
	w.order("a", "c1", 50, 1).Time = time.Date(2027, 11, 1, 0, 0, 0, 0, time.UTC)
	w.order("e", "c1", 10, 8)
}

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func replyHeaders(topic string, correlation []byte, partition uint32) []consumer.Header {
	return []consumer.Header{
		{Key: "kafka_correlationId", Value: correlation},
		{Key: "kafka_replyTopic", Value: []byte(topic)},
		{Key: "kafka_replyPartition", Value: binary.BigEndian.AppendUint32(nil, partition)},
	}
}

// TestAFaultAtAnyCallChangesNoDecision fails each call of transport, store and ledger in turn, once refusing it and once doing it and then reporting
// failure. Whatever failed: one decision an order, all copies of it equal, no order counted twice, nothing committed that was not published.
func TestAFaultAtAnyCallChangesNoDecision(t *testing.T) {
	calm := newWorld(t)
	oneHistory(calm)
	calm.run()
	want, letters := calm.vectors(), len(calm.transport.written(consumer.DeadLetters))
	if len(want) != 5 || letters != 3 {
		t.Fatalf("without a fault: %d decided, %d dead letters", len(want), letters)
	}
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.faults.at, w.faults.done = at, done
			oneHistory(w)
			w.run()
			if w.faults.calls < at {
				if at < 10 {
					t.Fatalf("only %d calls were made", w.faults.calls)
				}
				break
			}
			if diff := cmp.Diff(want, w.vectors()); diff != "" {
				t.Fatalf("a fault at call %d (done %v) changed vectors:\n%s", at, done, diff)
			}
			w.checkCommits()
		}
	}
}

// away is a store that is away for a while.
type away struct {
	preprocess.Store

	until time.Time // zero: an hour from the first call on
	back  time.Time // when a call was let through
}

func (a *away) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if a.until.IsZero() {
		a.until = time.Now().Add(time.Hour)
	}
	if time.Now().Before(a.until) {
		return errFault
	}
	a.back = time.Now()
	return a.Store.Exchange(ctx, visits, see)
}

func TestALongOutageIsOverForAStepWithinASecondOfItsEnd(t *testing.T) {
	w := newWorld(t)
	store := &away{Store: w.store.inner}
	w.store.inner = store
	w.order("a", "c1", 50, 10)
	w.run()
	if took := store.back.Sub(store.until); took > time.Second || len(w.decisions()) != 1 {
		t.Errorf("%d decided, the first %s after the end of an outage", len(w.decisions()), took)
	}
}

// partly is a store that does the first call in part, all but its first visit, and then reports failure: as one that has lost what the call did before it learned
// that the rest of it was lost.
type partly struct {
	preprocess.Store

	failed bool
}

func (p *partly) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if p.failed {
		return p.Store.Exchange(ctx, visits, see)
	}
	p.failed = true
	return errors.Join(p.Store.Exchange(ctx, visits[1:], func(int, *preprocess.Found) {}), errFault)
}

// TestAStepThatIsTriedAgainSeesNothingOfWhatCameAfter, though the store does not know that the order was here before.
func TestAStepThatIsTriedAgainSeesNothingOfWhatCameAfter(t *testing.T) {
	orders := func(w *world) {
		w.order("first", "c1", 50, 10)
		w.order("late", "c1", 60, 5)
		w.order("last", "c1", 70, 15)
	}
	calm := newWorld(t)
	orders(calm)
	calm.run()
	w := newWorld(t)
	w.store.inner = &partly{Store: w.store.inner}
	orders(w)
	w.run()
	if diff := cmp.Diff(calm.vectors(), w.vectors()); diff != "" {
		t.Errorf("(-at once +tried again):\n%s", diff)
	}
}

// checkCommits says whether every record up to each commit had its output confirmed by then.
func (w *world) checkCommits() {
	w.t.Helper()
	if w.transport.committed != len(w.transport.log) {
		w.t.Fatalf("committed %d of %d", w.transport.committed, len(w.transport.log))
	}
	orders := 0
	for _, r := range w.transport.log {
		if r.Stream == consumer.Orders {
			orders++
		}
	}
	sources := map[string]bool{}
	for _, m := range append(w.transport.written(consumer.Decisions), w.transport.written(consumer.DeadLetters)...) {
		sources[header(m, "verdict.source")] = true
	}
	if len(sources) != orders {
		w.t.Fatalf("%d order records, %d of them came to a decision or a dead letter", orders, len(sources))
	}
	if len(w.transport.early) > 0 {
		w.t.Fatalf("offsets %v were committed before what came of them was durable", w.transport.early)
	}
}

// TestACrashAtAnyCallChangesNoDecision ends the worker at each call in turn and starts another one from the committed offset, over the same store and
// ledger: a kill -9 at the worst moments.
func TestACrashAtAnyCallChangesNoDecision(t *testing.T) {
	calm := newWorld(t)
	oneHistory(calm)
	calm.run()
	want := calm.vectors()
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.faults.at, w.faults.done = at, done
			oneHistory(w)
			synctest.Test(t, func(t *testing.T) {
				ctx, kill := context.WithCancel(t.Context())
				w.transport.size = 2
				time.AfterFunc(time.Millisecond, kill) // during the back-off after the fault, if there was one
				if err := w.worker().Run(ctx); err != nil {
					t.Fatal(err)
				}
			})
			w.transport.read, w.transport.size = w.transport.committed, 3
			w.run()
			if diff := cmp.Diff(want, w.vectors()); diff != "" {
				t.Fatalf("a crash at call %d (done %v) changed vectors:\n%s", at, done, diff)
			}
			w.checkCommits()
			if w.faults.calls < at {
				break
			}
		}
	}
}

func TestBatchSizesChangeNoVector(t *testing.T) {
	var want map[schemas.OrderID]string
	for _, size := range []int{1, 2, 3, 5, 100} {
		w := newWorld(t)
		w.transport.size = size
		for i := range 40 {
			w.order(string(rune('a'+i%26))+strings.Repeat("x", i/26), "c"+string(rune('0'+i%3)), float64(10*i), i)
		}
		w.run()
		if want == nil {
			want = w.vectors()
		}
		if diff := cmp.Diff(want, w.vectors()); diff != "" {
			t.Fatalf("batches of %d:\n%s", size, diff)
		}
	}
}

func TestARepeatGetsTheFirstDecisionAgain(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.order("other", "c1", 60, 2)
	w.order("a", "c1", 50, 1)
	w.run()
	copies := w.transport.written(consumer.Decisions)
	if len(copies) != 3 || string(copies[0].Value) != string(copies[2].Value) {
		t.Fatalf("%d decisions; first and last:\n%s\n%s", len(copies), copies[0].Value, copies[len(copies)-1].Value)
	}
	if header(copies[0], "verdict.repeat") != "" || header(copies[2], "verdict.repeat") != "true" || header(copies[2], "verdict.source") != "orders/0/2" {
		t.Fatalf("headers %v and %v", copies[0].Headers, copies[2].Headers)
	}
}

func TestAnotherOrderUnderADecidedIDIsADeadLetterAndCountsNowhere(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.order("a", "c2", 51, 1)
	w.order("b", "c2", 10, 2)
	w.run()
	letters := w.transport.written(consumer.DeadLetters)
	if len(letters) != 1 || header(letters[0], "verdict.error.code") != "order_conflict" {
		t.Fatalf("%+v", letters)
	}
	if got := w.vectors()["b"]; got != "[amount orders total frauds] [10 1 10 0]" {
		t.Fatalf("the conflicting order was counted: %s", got)
	}
}

func TestDeadLettersCarryBothHeaderFamiliesAndTheRecordAsItCame(t *testing.T) {
	w := newWorld(t)
	bad := w.record(consumer.Orders, "orders", `{"order_id":"a","order_id":"b"}`)
	bad.Headers = []consumer.Header{{Key: "mine", Value: []byte("kept")}}
	w.order("good", "c1", 1, 1)
	w.run()
	letters := w.transport.written(consumer.DeadLetters)
	if len(letters) != 1 || len(w.decisions()) != 1 {
		t.Fatalf("%d dead letters, %d decisions", len(letters), len(w.decisions()))
	}
	m := letters[0]
	if string(m.Value) != `{"order_id":"a","order_id":"b"}` || string(m.Key) != "key" {
		t.Fatalf("key %q value %q", m.Key, m.Value)
	}
	for key, want := range map[string]string{
		"mine": "kept", "verdict.error.code": "json_duplicate", "__connect.errors.topic": "orders", "__connect.errors.partition": "0", "__connect.errors.offset": "0",
		"__connect.errors.stage": "VALUE_CONVERTER", "kafka_dlt-original-topic": "orders",
		"kafka_dlt-original-partition": "\x00\x00\x00\x00", "kafka_dlt-original-offset": "\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if got := header(m, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"__connect.errors.exception.message", "kafka_dlt-exception-message", "kafka_dlt-exception-fqcn", "kafka_dlt-original-timestamp"} {
		if header(m, key) == "" {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestRepliesGoWhereTheRequestSaysAndOnlyToAllowedTopics(t *testing.T) {
	w := newWorld(t)
	correlation := []byte{0, 1, 2, 255}
	asked := w.order("a", "c1", 50, 1)
	asked.Headers = append(replyHeaders("replies", correlation, 3), consumer.Header{Key: "traceparent", Value: []byte(trace)})
	w.order("b", "c1", 50, 2).Headers = replyHeaders("secrets", correlation, 0)
	odd := w.order("c", "c1", 50, 3)
	odd.Headers = replyHeaders("replies", correlation, 0)
	odd.Headers[2].Value = []byte{1, 2, 3}
	w.order("d", "c1", 50, 4).Headers = replyHeaders("replies", make([]byte, 2000), 0)
	bad := w.record(consumer.Orders, "orders", `[]`)
	bad.Headers = replyHeaders("replies", correlation, 1)
	w.run()
	replies := w.transport.written(consumer.Replies)
	if len(replies) != 3 || len(w.decisions()) != 4 {
		t.Fatalf("%d replies, %d decisions", len(replies), len(w.decisions()))
	}
	byPartition := map[int32]consumer.Message{}
	for _, r := range replies {
		if header(r, "kafka_correlationId") != string(correlation) || r.Topic != "replies" {
			t.Fatalf("%+v", r)
		}
		byPartition[r.Partition] = r
	}
	whole := byPartition[3]
	if header(whole, "traceparent") != trace || string(whole.Value) != string(w.transport.written(consumer.Decisions)[0].Value) {
		t.Fatalf("the reply is not the decision: %+v", whole)
	}
	if _, keyed := byPartition[-1]; !keyed {
		t.Fatal("a reply partition of 3 bytes must leave it to the key")
	}
	if refused := byPartition[1]; header(refused, "verdict.error.code") == "" || refused.Value != nil {
		t.Fatalf("the refusal is %+v", refused)
	}
}

func TestALabelBeforeItsOrderWaitsForIt(t *testing.T) {
	w := newWorld(t)
	w.transport.size = 1
	w.label("a", 2)
	w.order("a", "c1", 50, 1)
	w.order("b", "c1", 50, 3)
	w.run()
	if got := w.vectors()["b"]; got != "[amount orders total frauds] [50 2 100 1]" {
		t.Fatal(got)
	}
}

func TestANullValueIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.order("gone", "c1", 50, 1).Value = nil
	w.order("a", "c1", 50, 1)
	w.run()
	if len(w.decisions()) != 1 || len(w.transport.messages) != 1 || w.transport.committed != 2 {
		t.Fatalf("%d messages, committed %d", len(w.transport.messages), w.transport.committed)
	}
}

func TestARecordWithoutAKeyIsDecided(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1).Key = nil
	w.record(consumer.Orders, "orders", "").Key = nil
	w.run()
	got, letters := w.transport.written(consumer.Decisions), w.transport.written(consumer.DeadLetters)
	if len(got) != 1 || got[0].Key != nil || len(letters) != 1 || header(letters[0], "verdict.error.code") != "empty" || letters[0].Key != nil {
		t.Fatalf("%+v, %+v", got, letters)
	}
}

func TestAnOutageIsWaitedOutWithBackOff(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.faults.at = 1
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := w.worker().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 5*time.Millisecond || took > 10*time.Millisecond {
			t.Fatalf("tried again after %s", took)
		}
	})
	if len(w.decisions()) != 1 {
		t.Fatal("the order was not decided")
	}
}

// silence is a schema registry that never answers.
type silence struct{}

func (silence) RoundTrip(*http.Request) (*http.Response, error) { return nil, errFault }

func TestAnUnknownSchemaStopsItsPartitionForHalfAMinuteOnly(t *testing.T) {
	w := newWorld(t)
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{"http://registry.invalid"}, Client: &http.Client{Transport: silence{}}})
	if err != nil {
		t.Fatal(err)
	}
	w.registry = registry
	w.record(consumer.Orders, "orders", "\x00\x00\x00\x00\x01rest")
	w.order("a", "c1", 50, 1)
	w.transport.size = 1
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := w.worker().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 30*time.Second || took > 40*time.Second {
			t.Fatalf("the next order waited %s", took)
		}
	})
	letters := w.transport.written(consumer.DeadLetters)
	if len(letters) != 1 || header(letters[0], "verdict.error.code") != "schema_unavailable" || len(w.decisions()) != 1 {
		t.Fatalf("%+v", letters)
	}
}

func TestTheLedgerTellsAConflictWhenTheStoreHasForgottenTheOrder(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.run()
	w.store.inner = memstore.New(memstore.Config{}) // its claim has expired, the decision stands
	w.order("a", "c1", 51, 1)
	w.run()
	letters := w.transport.written(consumer.DeadLetters)
	if len(letters) != 1 || header(letters[0], "verdict.error.code") != "order_conflict" || len(w.transport.written(consumer.Decisions)) != 1 {
		t.Fatalf("%d dead letters, %d decisions", len(letters), len(w.transport.written(consumer.Decisions)))
	}
}

func TestARedeliveredRecordIsNoRepeat(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.run()
	w.transport.read = 0
	w.run()
	copies := w.transport.written(consumer.Decisions)
	if len(copies) != 2 || string(copies[0].Value) != string(copies[1].Value) || header(copies[1], "verdict.repeat") != "" {
		t.Fatalf("%+v", copies)
	}
}

func TestABatchThatBelongsToAnotherWorkerNowIsNotTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.transport.size = 1
	w.order("a", "c1", 50, 1)
	w.order("b", "c1", 50, 2)
	w.transport.lost = fmt.Errorf("partition 0: %w", consumer.ErrLost)
	w.run()
	if n := len(w.transport.written(consumer.Decisions)); n != 2 {
		t.Fatalf("%d decisions were written for 2 orders", n)
	}
}

func TestWhatCannotGoOnEndsTheWorker(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	w.transport.lost = fmt.Errorf("a gap: %w", consumer.ErrStop)
	if err := w.worker().Run(t.Context()); !errors.Is(err, consumer.ErrStop) {
		t.Fatal(err)
	}
}

func TestOfTwoCopiesUnderWayTheOneKeptFirstIsNoRepeat(t *testing.T) {
	w := newWorld(t)
	r := w.order("a", "c1", 50, 1)
	fields, err := schemas.DecodeJSON(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	// Another worker's copy was seen by the store first, and its decision is not kept yet.
	visit := preprocess.Visit{ID: "a", At: 1, Arrival: preprocess.Arrival{Source: 9}, Content: schemas.Digest(fields)}
	if err := w.store.inner.Exchange(t.Context(), []preprocess.Visit{visit}, func(int, *preprocess.Found) {}); err != nil {
		t.Fatal(err)
	}
	w.run()
	copies := w.transport.written(consumer.Decisions)
	if len(copies) != 1 || header(copies[0], "verdict.repeat") != "" {
		t.Fatalf("%+v", copies)
	}
}

// TestAPollWithoutRecordsMakesGoodWhatCouldNotBeWritten: a transport whose brokers refused something polls nothing until it is written.
func TestAPollWithoutRecordsMakesGoodWhatCouldNotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.order("a", "c1", 50, 1)
		stuck := &stuckTransport{transport: w.transport, refusals: 3}
		cfg := w.workerConfig()
		cfg.Transport = stuck
		worker, err := consumer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := worker.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if stuck.asked != 4 || len(w.decisions()) != 1 {
			t.Errorf("it was asked %d times to write what was refused, and %d decisions are there", stuck.asked, len(w.decisions()))
		}
		if waited := time.Since(began); waited == 0 {
			t.Error("it asks without a pause")
		}
	})
}

// stuckTransport has something that it could not write, and returns no records until it is asked to write it again and can.
type stuckTransport struct {
	*transport

	refusals, asked int
}

func (s *stuckTransport) Poll(ctx context.Context) (*consumer.Batch, error) {
	if s.asked <= s.refusals {
		return &consumer.Batch{}, nil
	}
	return s.transport.Poll(ctx)
}

func (s *stuckTransport) Publish(ctx context.Context, messages []consumer.Message) error {
	if len(messages) > 0 {
		return s.transport.Publish(ctx, messages)
	}
	if s.asked++; s.asked <= s.refusals {
		return errFault
	}
	return nil
}
