package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"verdict/consumer"
	"verdict/consumer/backfill"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
)

const (
	lateness = 12 * time.Hour

	oldSet = `name: card
version: 1
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id]}
features:
  amount: {value: amount}
  n1: {count: "*", by: customer, window: 1d}
  m2: {mean: amount, by: customer, window: 2d}
`
	// Of the old set's column a longer window; a condition; a new entity with labels; features over features; and one that is merged.
	newSet = `name: card
version: 2
event: {id: order_id, time: occurred_at}
entities: {customer: [customer_id], terminal: [terminal_id]}
features:
  amount: {value: amount}
  n1: {count: "*", by: customer, window: 1d}
  m2: {mean: amount, by: customer, window: 2d}
  m7: {mean: amount, by: customer, window: 7d}
  large: {count: "*", by: customer, window: 5d, where: "amount > 50"}
  frauds: {rate: fraud, by: terminal, window: 10d, delay: 1d}
  lost: {sum: amount, by: terminal, window: 10d, delay: 1d, where: "fraud"}
  ratio: {expr: "amount / m7"}
  most: {max: ratio, by: customer, window: 6d, exclude_current: true}
  above: {count: "*", by: terminal, window: 4d, where: "most > 1"}
  places: {distinct: terminal_id, by: customer, window: 5d}
  busy: {sum: amount, by: terminal, window: 3d, resolution: 1h}
`
)

func parse(t testing.TB, text string) *preprocess.FeatureSet {
	t.Helper()
	set, err := preprocess.Parse("card.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func codec(t testing.TB) *schemas.Codec {
	t.Helper()
	c, err := schemas.NewCodec(schemas.CodecConfig{MaxBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// history draws records as they would lie in topics, in the order of writing: orders of two partitions, also late ones, copies, copies with another content,
// and what is no order; and labels, some before their orders.
func history(t *rapid.T, n int) []consumer.Record {
	var records []consumer.Record
	now := epoch
	offsets := map[int32]int64{}
	write := func(stream consumer.Stream, topic string, partition int32, value string) {
		now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
		records = append(records, consumer.Record{Stream: stream, Topic: topic, Partition: partition, Offset: offsets[partition], Time: now, Value: []byte(value)})
		offsets[partition]++
	}
	text := func(i, customer int, at time.Time, amount int) string {
		return fmt.Sprintf(`{"order_id":"o%d","occurred_at":%q,"customer_id":"c%d","terminal_id":"t%d","amount":%d}`, i, at.Format(time.RFC3339), customer, (i*7)%4, amount)
	}
	// A label that became known before an order and is written after it counts for that order or not, as it happens to be read: there is none here.
	known := func() string { return now.Add(time.Second).Format(time.RFC3339) }
	for i := range n {
		customer := rapid.IntRange(0, 3).Draw(t, "customer")
		partition := int32(customer % 2)
		at := now
		if rapid.IntRange(0, 9).Draw(t, "late") == 0 {
			at = at.Add(-time.Duration(rapid.IntRange(1, 11).Draw(t, "hours")) * time.Hour)
		}
		order := text(i, customer, at, rapid.IntRange(1, 100).Draw(t, "amount"))
		write(consumer.Orders, "orders", partition, order)
		switch rapid.IntRange(0, 15).Draw(t, "more") {
		case 0:
			write(consumer.Orders, "orders", partition, order)
		case 1:
			write(consumer.Orders, "orders", partition, text(i, customer, at, 7777))
		case 2:
			write(consumer.Orders, "orders", partition, `{"order_id":`)
		case 3: // dated too far ahead of its record
			write(consumer.Orders, "orders", partition, text(100_000+i, customer, now.AddDate(1, 0, 0), 9999))
		case 4, 5, 6:
			write(consumer.Labels, "labels", 9, fmt.Sprintf(`{"order_id":"o%d","fraud":true,"known_at":%q}`, rapid.IntRange(max(0, i-40), i+3).Draw(t, "labelled"), known()))
		case 7:
			write(consumer.Labels, "labels", 9, fmt.Sprintf(`{"order_id":"o%d","fraud":false,"known_at":%q}`, rapid.IntRange(max(0, i-40), i).Draw(t, "withdrawn"), known()))
		}
	}
	return records
}

// records is a transport that gives these, some at a time, and does something before each poll.
type records struct {
	rest   []consumer.Record
	poll   int
	before func()
	batch  consumer.Batch
}

func (r *records) Poll(context.Context) (*consumer.Batch, error) {
	if r.before != nil {
		r.before()
	}
	if len(r.rest) == 0 {
		return nil, io.EOF
	}
	n := min(r.poll, len(r.rest))
	r.batch.Records, r.rest = r.rest[:n], r.rest[n:]
	return &r.batch, nil
}

func (r *records) Publish(context.Context, []consumer.Message) error { return nil }

func (r *records) Commit(context.Context, *consumer.Batch) error { return nil }

var events = consumer.EventTimes{MaxAhead: 24 * time.Hour}

// vectors runs records through a worker as live does, and returns the vectors of orders by their places.
func vectors(t *rapid.T, set *preprocess.FeatureSet, store preprocess.Store, from consumer.Transport, orders *schemas.Codec) map[preprocess.Arrival][]float64 {
	out := map[preprocess.Arrival][]float64{}
	worker, err := consumer.New(consumer.Config{
		Transport: from, Orders: orders, Labels: orders, Binding: set.Binding(), Extractor: preprocess.NewExtractor(set, store, lateness), Store: store,
		Events: events, Lane: "live", Topics: []string{"orders"},
		Observe: func(orders []preprocess.Arrived, extracted []preprocess.Extracted, _ []schemas.Decision) {
			for i := range orders {
				out[orders[i].Arrival] = extracted[i].Vector.Values
			}
		},
	})
	if err == nil {
		err = worker.Run(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var bitwise = cmp.Comparer(func(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
})

// TestBackfilledSetEqualsOneThatRanFromTheStart: while the old set goes on, the new one is backfilled; from a random moment on it decides.
func TestBackfilledSetEqualsOneThatRanFromTheStart(t *testing.T) {
	before, after, orders := parse(t, oldSet), parse(t, newSet), codec(t)
	rapid.Check(t, func(t *rapid.T) {
		all := history(t, rapid.IntRange(50, 250).Draw(t, "orders"))
		want := vectors(t, after, memstore.New(memstore.Config{}), &records{rest: all, poll: 17}, orders)
		begins := rapid.IntRange(0, len(all)).Draw(t, "backfill begins")
		rollOut := rapid.IntRange(begins, len(all)).Draw(t, "roll-out")

		store := memstore.New(memstore.Config{Keep: 30 * 24 * time.Hour})
		vectors(t, before, store, &records{rest: all[:begins], poll: 10}, orders)
		live := begins // how far the old set has come
		lacking := preprocess.Lacking(after.Columns(lateness), before.Columns(lateness))
		fill := func(broken bool) {
			from := &records{rest: all[:rollOut], poll: rapid.IntRange(1, 40).Draw(t, "backfill's poll")}
			recorder := backfill.NewRecorder(backfill.RecorderConfig{
				Memory: memstore.New(memstore.Config{Keep: 30 * 24 * time.Hour}), Target: store, Columns: columns(lacking),
			})
			from.before = func() {
				if n := min(rollOut, live+rapid.IntRange(0, 30).Draw(t, "live")); n > live {
					vectors(t, before, store, &records{rest: all[live:n], poll: 9}, orders)
					live = n
				}
				if broken && rapid.IntRange(0, 3).Draw(t, "breaks off") == 0 {
					from.rest = nil
				}
			}
			run, err := backfill.New(backfill.Config{
				History: from, Features: after, Recorder: recorder, Orders: orders, Labels: orders, Events: events, Topics: []string{"orders"}, Lateness: lateness,
			})
			if err == nil {
				err = run.Run(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if rapid.Bool().Draw(t, "in two goes") {
			fill(true)
		}
		fill(false)
		if live < rollOut {
			vectors(t, before, store, &records{rest: all[live:rollOut], poll: 9}, orders)
		}
		got := vectors(t, after, store, &records{rest: all[rollOut:], poll: 13}, orders)
		for arrival, vector := range got {
			if diff := cmp.Diff(want[arrival], vector, bitwise); diff != "" {
				t.Fatalf("order at %+v: %s", arrival, diff)
			}
		}
	})
}

func columns(uses []preprocess.ColumnUse) []backfill.Column {
	out := make([]backfill.Column, len(uses))
	for i := range uses {
		out[i].ColumnUse = uses[i]
	}
	return out
}

// TestRecorderWritesWhatIsWantedAlone: nothing that another set keeps already, and nothing that is too old to be asked for.
func TestRecorderWritesWhatIsWantedAlone(t *testing.T) {
	set := parse(t, newSet)
	target := &counting{Store: memstore.New(memstore.Config{}), columns: map[string]int{}}
	uses := preprocess.Lacking(set.Columns(lateness), parse(t, oldSet).Columns(lateness))
	wanted := columns(uses)
	for i := range wanted {
		if wanted[i].Entity == "customer_id:" {
			wanted[i].Since = epoch.Add(5 * 24 * time.Hour)
		}
	}
	recorder := backfill.NewRecorder(backfill.RecorderConfig{Memory: memstore.New(memstore.Config{}), Target: target, Columns: wanted})
	var all []consumer.Record
	for i := range 10 {
		at := epoch.Add(time.Duration(i) * 24 * time.Hour)
		all = append(all, consumer.Record{Topic: "orders", Offset: int64(i), Time: at, Value: fmt.Appendf(nil,
			`{"order_id":"o%d","occurred_at":%q,"customer_id":"c","terminal_id":"t","amount":100}`, i, at.Format(time.RFC3339))})
	}
	run, err := backfill.New(backfill.Config{
		History: &records{rest: all, poll: 3}, Features: set, Recorder: recorder, Orders: codec(t), Topics: []string{"orders"}, Lateness: lateness,
	})
	if err == nil {
		err = run.Run(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ofCustomer, ofTerminal := 0, 0
	for key, n := range target.columns {
		switch {
		case key == "customer_id:c m2" || key == "customer_id:c n1":
			t.Errorf("%d points of %s, which the old set keeps", n, key)
		case key[:11] == "customer_id":
			ofCustomer = max(ofCustomer, n)
		default:
			ofTerminal = max(ofTerminal, n)
		}
	}
	if ofCustomer != 5 || ofTerminal != 10 {
		t.Errorf("%d orders of the customer and %d of the terminal were written, want 5 and 10: %v", ofCustomer, ofTerminal, target.columns)
	}
	if s := run.Summary(); s.Orders != 10 || s.Written != 10 {
		t.Errorf("summary %+v", s)
	}
}

// TestRecorderWaitsWhileTheStoreIsAway: a call on the memory that is made again would see what came after it, so it is not made again.
func TestRecorderWaitsWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := parse(t, newSet)
		target := &counting{Store: memstore.New(memstore.Config{}), columns: map[string]int{}, refuse: 7}
		began := time.Now()
		recorder := backfill.NewRecorder(backfill.RecorderConfig{
			Memory: memstore.New(memstore.Config{}), Target: target, Columns: columns(set.Columns(lateness)), After: began.Add(time.Minute), Rate: 10,
		})
		all := []consumer.Record{{Stream: consumer.Labels, Topic: "labels", Time: epoch, Value: []byte(`{"order_id":"o0","fraud":true,"known_at":"2026-01-01T00:00:00Z"}`)}}
		for i := range 500 {
			all = append(all, consumer.Record{Topic: "orders", Offset: int64(i), Time: epoch, Value: fmt.Appendf(nil,
				`{"order_id":"o%d","occurred_at":%q,"customer_id":"c","terminal_id":"t","amount":1}`, i, epoch.Add(time.Duration(i)*time.Second).Format(time.RFC3339))})
		}
		run, err := backfill.New(backfill.Config{
			History: &records{rest: all, poll: 250}, Features: set, Recorder: recorder, Orders: codec(t), Labels: codec(t), Topics: []string{"orders"}, Lateness: lateness,
		})
		if err == nil {
			err = run.Run(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		want := backfill.Summary{Orders: 500, Written: 500, Points: run.Summary().Points, Labels: 1}
		if diff := cmp.Diff(want, run.Summary()); diff != "" || target.refuse != 0 || target.columns["customer_id:c amount"] != 500 {
			t.Errorf("%s, %d refusals left, %v", diff, target.refuse, target.columns)
		}
		// A minute for the others, and then as fast as 10 a second; the first hundred need not wait for those before them.
		if took := time.Since(began); took < time.Minute+39*time.Second || took > time.Minute+60*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestOrdersFromElsewherePassForThoseThatAreKnown: an order that the store knows is written as it came then, one that it does not know as from no
// partition, and one that it knows with another content not at all.
func TestOrdersFromElsewherePassForThoseThatAreKnown(t *testing.T) {
	known := preprocess.Arrival{Millis: 7, Source: 2, Offset: 1000}
	var written []preprocess.Visit
	recorder := backfill.NewRecorder(backfill.RecorderConfig{
		Memory: memstore.New(memstore.Config{}), Columns: []backfill.Column{{ColumnUse: preprocess.ColumnUse{Entity: "c:", Column: "x"}}},
		Target: exchange(func(visits []preprocess.Visit) {
			for _, v := range visits {
				v.Asks = nil
				written = append(written, v)
			}
		}),
		Adopt: func(_ context.Context, visits []preprocess.Visit) error {
			for i := range visits {
				switch visits[i].ID {
				case "known":
					visits[i].Arrival, visits[i].Content = known, 11
				case "other":
					visits[i].Arrival, visits[i].Content = known, 99
				}
			}
			return nil
		},
	})
	var visits []preprocess.Visit
	for i, id := range []schemas.OrderID{"known", "other", "new"} {
		visits = append(visits, preprocess.Visit{
			ID: id, At: 5000, Arrival: preprocess.Arrival{Offset: int64(i)}, Content: 11, Asks: []preprocess.Ask{{Key: "c:1", Column: "x", Value: 1, To: 5000}},
		})
	}
	if err := recorder.Exchange(t.Context(), visits, func(int, *preprocess.Found) {}); err != nil {
		t.Fatal(err)
	}
	want := []preprocess.Visit{
		{ID: "known", At: 5000, Arrival: known, Content: 11},
		{ID: "new", At: 5000, Arrival: preprocess.Arrival{Millis: 5, Source: -1, Offset: 2}, Content: 11},
	}
	if diff := cmp.Diff(want, written, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if _, _, _, foreign := recorder.Counts(); foreign != 1 {
		t.Errorf("%d are foreign, want 1", foreign)
	}
}

// exchange is a store that is only given visits.
type exchange func(visits []preprocess.Visit)

func (e exchange) Exchange(_ context.Context, visits []preprocess.Visit, _ func(int, *preprocess.Found)) error {
	e(visits)
	return nil
}

func (e exchange) Learn(context.Context, []schemas.Label) error { return nil }

// TestDecisionsAreKeptAgain: those of orders before the end, and not those that would have expired.
func TestDecisionsAreKeptAgain(t *testing.T) {
	reader, err := schemas.NewDecisionReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []consumer.Record
	put := func(id string, offset int64, decided time.Time, action schemas.Action) []byte {
		d := schemas.Decision{
			OrderID: schemas.OrderID(id), Action: action, Score: 0.5, OccurredAt: epoch, DecidedAt: decided, Source: schemas.Source{Topic: "orders", Offset: offset},
			Inputs: schemas.FeatureVector{Layout: parse(t, oldSet).Layout(), Values: []float64{1, 2, 3}},
		}
		all = append(all, consumer.Record{Value: schemas.AppendDecision(nil, &d)})
		return all[len(all)-1].Value
	}
	put("old", 1, epoch.Add(-time.Second), schemas.Approve)
	first := put("a", 2, epoch, schemas.Review)
	put("a", 3, epoch.Add(time.Second), schemas.Reject)
	put("beyond", 10, epoch, schemas.Approve)
	all = append(all, consumer.Record{Value: []byte(`{"no":"decision"}`)}, consumer.Record{})
	ledger := consumer.NewMemLedger(0)
	given, foreign, err := backfill.KeepDecisions(t.Context(), backfill.DecisionsConfig{
		History: &records{rest: all, poll: 2}, Reader: reader, Ledger: ledger, Since: epoch, Before: func(s schemas.Source) bool { return s.Offset < 10 },
	})
	if err != nil || given != 2 || foreign != 1 {
		t.Errorf("%d given, %d foreign, %v; want 2 and 1", given, foreign, err)
	}
	for id, want := range map[schemas.OrderID][]byte{"a": first, "old": nil, "beyond": nil} {
		if record, _, err := ledger.Find(t.Context(), id); err != nil || !bytes.Equal(record, want) {
			t.Errorf("of %s there is kept %s, %v", id, record, err)
		}
	}
}

// TestADecisionThatWasKeptSinceGivesWayToTheFirst: whatever comes first, the ledger's or the topic's, and however often the topic is read.
func TestADecisionThatWasKeptSinceGivesWayToTheFirst(t *testing.T) {
	reader, err := schemas.NewDecisionReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	made := func(decided time.Time, offset int64) []byte {
		return schemas.AppendDecision(nil, &schemas.Decision{
			OrderID: "a", Action: schemas.Review, Score: 0.5, OccurredAt: epoch, DecidedAt: decided, Source: schemas.Source{Topic: "orders", Offset: offset},
			Inputs: schemas.FeatureVector{Layout: parse(t, oldSet).Layout(), Values: []float64{1, 2, 3}},
		})
	}
	first, later := made(epoch, 2), made(epoch.Add(time.Second), 9)
	ledger := consumer.NewRedisLedger(redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()}), consumer.RedisLedgerConfig{Timeout: 10 * time.Second})
	if _, err := ledger.First(t.Context(), []consumer.Kept{{ID: "a", Record: later}}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range [][][]byte{{first}, {first, later}, {later, first}, {later}} {
		var all []consumer.Record
		for _, value := range topic {
			all = append(all, consumer.Record{Value: value})
		}
		if _, _, err := backfill.KeepDecisions(t.Context(), backfill.DecisionsConfig{History: &records{rest: all, poll: 2}, Reader: reader, Ledger: ledger, Restore: ledger.Restore}); err != nil {
			t.Fatal(err)
		}
		if record, _, err := ledger.Find(t.Context(), "a"); err != nil || !bytes.Equal(record, first) {
			t.Errorf("there stands %s, %v", record, err)
		}
	}
}

// counting counts points by column.
type counting struct {
	preprocess.Store

	columns map[string]int
	refuse  int
}

func (c *counting) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	if c.refuse > 0 {
		c.refuse--
		return errors.New("away")
	}
	for i := range visits {
		for _, ask := range visits[i].Asks {
			c.columns[ask.Key+" "+ask.Column]++
		}
	}
	return c.Store.Exchange(ctx, visits, see)
}
