//go:build synctests

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/cmd/verdict/internal/oracle"
)

// stranger writes orders and labels as a stranger does: hot and cold customers, copies, late orders, other orders under the same id, bytes that are no orders.
type stranger struct {
	w      *world
	dice   *dice
	client *kgo.Client
	sent   []sent // of the last, for copies and labels
	labels []label
	n      int

	mu   sync.Mutex
	fate map[string]oracle.Fate // guarded by mu :: value of a record → what must become of it, where that is not a decision
	bad  []error                // guarded by mu: writes that failed
}

// sent is an order that was written.
type sent struct {
	id, customer, terminal, text string
	at                           time.Time
	amount                       int
}

// label is one that is still to be written.
type label struct {
	due  time.Time
	text string
	id   string
}

const (
	hotCustomers  = 3
	coldCustomers = 300
	terminals     = 12
)

func newStranger(w *world) *stranger {
	return &stranger{w: w, dice: newDice(w.seed, 3), client: w.client("feeder"), fate: map[string]oracle.Fate{}}
}

// run writes until ctx ends, about rate records a second, now and then a burst.
func (f *stranger) run(ctx context.Context, rate float64) {
	gap := time.Duration(float64(time.Second) / rate)
	for ctx.Err() == nil {
		burst := 1
		if f.dice.chance(0.004) {
			burst = 50 + f.dice.n(250)
		}
		for range burst {
			f.one()
		}
		f.due()
		select {
		case <-ctx.Done():
		case <-time.After(f.dice.between(0, 2*gap)):
		}
	}
}

// undone is what the ids of orders begin with that never were.
const undone = "undone"

// undo writes orders in transactions that are aborted, until ctx ends: they never were.
func (f *stranger) undo(ctx context.Context) {
	dice := newDice(f.w.seed, 5)
	for n := 0; ctx.Err() == nil; {
		client := f.w.client("feeder", kgo.TransactionalID("undone"), kgo.TransactionTimeout(10*time.Second), kgo.RecordDeliveryTimeout(10*time.Second))
		for failed := false; !failed && ctx.Err() == nil; {
			failed = client.BeginTransaction() != nil
			for range 1 + dice.n(3) {
				n++
				text := orderText(fmt.Sprint(undone, n), time.Now(), fmt.Sprint("hot", dice.n(hotCustomers)), fmt.Sprint("t", dice.n(terminals)), 1+dice.n(200))
				client.Produce(ctx, &kgo.Record{Topic: f.w.cfg.Kafka.Topics.Orders, Key: fmt.Append(nil, "undone", n), Value: []byte(text)}, nil)
			}
			ending, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			failed = client.Flush(ending) != nil || client.EndTransaction(ending, kgo.TryAbort) != nil || failed
			cancel()
			pause(ctx, dice.between(0, 40*time.Second))
		}
		client.Close() // a transaction that could not be ended is over when its time is
	}
}

// close writes what is left to be written, and an order to each partition: what transactions left lies behind no other record then, where nobody commits.
func (f *stranger) close() {
	for i := range 24 {
		f.send(f.w.cfg.Kafka.Topics.Orders, fmt.Sprint("last", i), orderText(fmt.Sprint("last", i), time.Now(), fmt.Sprint("last", i), "t0", 1))
	}
	for _, l := range f.labels {
		f.send(f.w.cfg.Kafka.Topics.Labels, l.id, l.text)
	}
	if err := f.client.Flush(context.Background()); err != nil {
		f.failed(err)
	}
	f.client.Close()
}

// one writes a record of some kind.
func (f *stranger) one() {
	topic := f.w.cfg.Kafka.Topics.Orders
	switch draw := f.dice.n(1000); {
	case draw < 20 && len(f.sent) > 0: // a copy, which counts once and has the first decision
		s := f.sent[f.dice.n(len(f.sent))]
		f.send(topic, s.customer, s.text)
	case draw < 26 && len(f.sent) > 0: // another order under an id that was given
		s := f.sent[f.dice.n(len(f.sent))]
		text := orderText(s.id, s.at, s.customer, s.terminal, s.amount+1_000_000)
		f.expect(text, oracle.Dead)
		f.send(topic, s.customer, text)
	case draw < 34:
		f.n++
		text := [...]string{
			"{", "\x02\x00\x01", "\x00\x00\x00\x00\x07\xff\xff\xff\xff\x0f", `{"order_id":"a","order_id":"b"}`, `{"order_id":"no id!","occurred_at":"2000-01-01T00:00:00Z","customer_id":"1","terminal_id":"1","amount":1}`,
			orderText("future", time.Now().Add(48*time.Hour), "c1", "t1", 1), `{"amount":1e400}`,
		}[f.dice.n(7)] + strings.Repeat(" ", f.n%50)
		f.expect(text, oracle.Dead)
		f.send(topic, fmt.Sprint("bad-", f.n%9), text)
	default:
		f.order(topic)
	}
}

// order writes a new order, and has it labelled later.
func (f *stranger) order(topic string) {
	f.n++
	s := sent{id: fmt.Sprint("o", f.n), at: time.Now(), terminal: fmt.Sprint("t", f.dice.n(terminals)), amount: 1 + f.dice.n(200)}
	if f.dice.chance(0.3) {
		s.customer = fmt.Sprint("hot", f.dice.n(hotCustomers))
	} else {
		s.customer = fmt.Sprint("c", f.dice.n(coldCustomers))
	}
	if f.dice.chance(0.05) { // late, and then out of order
		s.at = s.at.Add(-f.dice.between(0, time.Minute))
	}
	s.text = orderText(s.id, s.at, s.customer, s.terminal, s.amount)
	f.send(topic, s.customer, s.text)
	if f.sent = append(f.sent, s); len(f.sent) > 200 {
		f.sent = f.sent[100:]
	}
	switch draw := f.dice.n(100); {
	case draw < 20:
		f.label(&s, true)
	case draw < 25:
		f.label(&s, false)
	case draw < 28: // withdrawn
		f.label(&s, true)
		f.label(&s, false)
	}
}

// label has a label written within a minute: long before a window with its delay reaches the order.
func (f *stranger) label(of *sent, fraud bool) {
	due := time.Now().Add(f.dice.between(0, time.Minute))
	f.labels = append(f.labels, label{due, fmt.Sprintf(`{"order_id":%q,"fraud":%t,"known_at":%q}`, of.id, fraud, due.Format(time.RFC3339Nano)), of.id})
}

// due writes the labels whose time has come.
func (f *stranger) due() {
	now, left := time.Now(), f.labels[:0]
	for _, l := range f.labels {
		if l.due.After(now) {
			left = append(left, l)
			continue
		}
		f.send(f.w.cfg.Kafka.Topics.Labels, l.id, l.text)
		if f.dice.chance(0.05) {
			f.send(f.w.cfg.Kafka.Topics.Labels, l.id, l.text)
		}
	}
	f.labels = left
}

func (f *stranger) send(topic, key, text string) {
	f.client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(text)}, func(_ *kgo.Record, err error) {
		if err != nil {
			f.failed(err)
		}
	})
}

func (f *stranger) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = append(f.bad, err)
}

func (f *stranger) expect(text string, fate oracle.Fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fate[text] = fate
}

// fateOf is what must become of a record.
func (f *stranger) fateOf(text string) oracle.Fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fate, said := f.fate[text]; said {
		return fate
	}
	return oracle.Decided
}

func orderText(id string, at time.Time, customer, terminal string, cents int) string {
	return fmt.Sprintf(`{"order_id":%q,"occurred_at":%q,"customer_id":%q,"terminal_id":%q,"amount":%d.%02d}`,
		id, at.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano), customer, terminal, cents, cents%100)
}

// callers ask the API processes, with customers of their own: an order of another lane's customer may miss one that is under way (DESIGN.md).
type callers struct {
	texts []string // of all orders that were asked for

	mu      sync.Mutex
	answers []answered // guarded by mu
}

// answered is what a caller was told.
type answered struct {
	id     string
	status int // 0: no answer
	body   []byte
	wait   time.Duration // that it preferred
	took   time.Duration
}

// call has callers ask until ctx ends, about rate a second, and returns when all were answered.
func (w *world) call(ctx context.Context, rate float64) {
	dice := newDice(w.seed, 4)
	transport := &http.Transport{DialContext: w.net.Dialer("caller"), MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for ctx.Err() == nil {
		id := len(w.callers.texts)
		if dice.chance(0.05) && id > 10 {
			id -= 1 + dice.n(10) // asks again
		} else {
			w.callers.texts = append(w.callers.texts, orderText(fmt.Sprint("s", id), time.Now(), fmt.Sprint("sc", dice.n(37)), fmt.Sprint("t", dice.n(terminals)), 1+dice.n(300)))
		}
		wait := []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second}[dice.n(4)]
		host := w.apis[dice.n(len(w.apis))]
		text := w.callers.texts[id]
		all.Go(func() { w.ask(client, host, fmt.Sprint("s", id), text, wait) })
		select {
		case <-ctx.Done():
		case <-time.After(dice.between(0, time.Duration(2*float64(time.Second)/rate))):
		}
	}
	all.Wait()
}

// ask sends one order and keeps what its caller is told.
func (w *world) ask(client *http.Client, host *host, id, text string, wait time.Duration) {
	a := answered{id: id, wait: wait}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), wait+10*time.Second)
	defer cancel()
	a.status, a.body = w.request(ctx, client, host, http.MethodPost, "/v1/decisions", text, fmt.Sprintf("wait=%g", wait.Seconds()))
	a.took = time.Since(began)
	w.callers.mu.Lock()
	defer w.callers.mu.Unlock()
	w.callers.answers = append(w.callers.answers, a)
}

func (w *world) request(ctx context.Context, client *http.Client, host *host, method, path, text, prefer string) (int, []byte) {
	address := host.address()
	if address == "" {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, strings.NewReader(text))
	if err != nil {
		w.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return res.StatusCode, body
}

// code is the word of a problem.
func code(body []byte) string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &p)
	return p.Code
}
