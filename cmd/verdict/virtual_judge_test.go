//go:build synctests

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	main "verdict/cmd/verdict"
	"verdict/cmd/verdict/internal/oracle"
	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// watcher reads decisions and dead letters, committed ones, from the first on and while faults are made.
type watcher struct {
	w    *world
	stop context.CancelFunc
	over chan struct{}

	mu    sync.Mutex
	first map[string][]byte       // guarded by mu :: order id → its decision
	done  map[oracle.Place]bool   // guarded by mu: inputs of which something came
	at    map[oracle.Place][]byte // guarded by mu :: input → its decision's record
	bad   []error                 // guarded by mu
}

func newWatcher(w *world) *watcher {
	o := &watcher{w: w, over: make(chan struct{}), first: map[string][]byte{}, done: map[oracle.Place]bool{}, at: map[oracle.Place][]byte{}}
	t := w.cfg.Kafka.Topics
	client := w.client("oracle", kgo.ConsumeTopics(t.Decisions, t.DeadLetters), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	go func() {
		defer close(o.over)
		defer client.Close()
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(o.take)
		}
	}()
	return o
}

func (o *watcher) take(r *kgo.Record) {
	out := oracle.Output{Place: oracle.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, Value: bytes.Clone(r.Value), Seen: time.Now()}
	var code []byte
	var err error
	for _, h := range r.Headers {
		switch h.Key {
		case consumer.HeaderOrderSource:
			out.Source, err = oracle.ParsePlace(string(h.Value))
		case consumer.HeaderErrorCode:
			code = h.Value
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.bad = append(o.bad, err)
	}
	o.done[out.Source] = true
	if r.Topic == o.w.cfg.Kafka.Topics.DeadLetters {
		out.Value = code
		o.w.oracle.DeadLetter(out)
		return
	}
	o.w.oracle.Decision(out)
	if d, err := schemas.DecodeDecision(out.Value); err == nil {
		switch id := string(d.OrderID); {
		case o.first[id] == nil:
			o.first[id] = out.Value
		case !bytes.Equal(o.first[id], out.Value):
			o.w.journal.note("two decisions:\n  %s\n  %s", o.first[id], out.Value)
		}
	}
}

// decision is what was decided of an order; nil is nothing.
func (o *watcher) decision(id string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first[id]
}

// missing is how many of the inputs nothing came of.
func (o *watcher) missing(inputs []oracle.Input) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range inputs {
		if !o.done[inputs[i].Place] {
			n++
		}
	}
	return n
}

// flagged are the decisions that say that they lacked something.
func (o *watcher) flagged() (out []consumer.Kept) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, text := range o.first {
		if d, err := schemas.DecodeDecision(text); err == nil && len(d.Degraded) > 0 {
			out = append(out, consumer.Kept{ID: schemas.OrderID(id), Record: text})
		}
	}
	return out
}

// perPartition is up to where something came of each partition's inputs.
func (o *watcher) perPartition() map[oracle.Place]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := map[oracle.Place]int64{}
	for at := range o.done {
		of := oracle.Place{Topic: at.Topic, Partition: at.Partition}
		n[of] = max(n[of], at.Offset+1)
	}
	return n
}

// connection is a stranger's way to the brokers.
func (w *world) connection(name string) kafka.Connection {
	c := w.cfg.Kafka.Connection
	c.Dial = w.net.Dialer(name)
	return c
}

// history opens the log of orders and labels as it is now, in the order of writing.
func (w *world) history(ctx context.Context) (*kafka.History, error) {
	t := w.cfg.Kafka.Topics
	return kafka.OpenHistory(ctx, kafka.HistoryConfig{Connection: w.connection("judge"), MaxPollRecords: 1, Topics: []kafka.HistoryTopic{
		{Name: t.Labels, Stream: consumer.Labels}, {Name: t.Orders, Stream: consumer.Orders}, {Name: t.Sync, Stream: consumer.Orders},
	}})
}

// inputs reads the log of orders and tells the oracle of it.
func (w *world) inputs(ctx context.Context, f *stranger) (out []oracle.Input, err error) {
	h, err := w.history(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	for {
		batch, err := h.Poll(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for _, r := range batch.Records {
			if r.Stream == consumer.Labels || neverWas(&r) {
				continue
			}
			in := oracle.Input{Place: oracle.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, Key: string(r.Key), Time: r.Time, Fate: f.fateOf(string(r.Value))}
			if in.Fate == oracle.Decided {
				in.ID = orderOf(r.Value)
			}
			w.oracle.Input(in)
			out = append(out, in)
		}
	}
}

// neverWas says whether a record is of a transaction that was aborted. Who reads committed records does not see those, but kfake forgets some of them in a life of hours.
func neverWas(r *consumer.Record) bool { return strings.HasPrefix(orderOf(r.Value), undone) }

// orderOf is the id of an order that was written as orderText has it.
func orderOf(value []byte) string {
	var order struct {
		ID string `json:"order_id"`
	}
	_ = json.Unmarshal(value, &order) // what is no JSON has none
	return order.ID
}

// quiet waits until something came of every input and the scorers have committed all, or until nothing has changed for longer than anything takes.
func (w *world) quiet(ctx context.Context, inputs []oracle.Input) error {
	began := time.Now()
	last, since := "", began
	for {
		missing, behind := w.watch.missing(inputs), w.behind(ctx)
		if missing == 0 && behind == "" {
			w.journal.note("quiet after %s", time.Since(began).Round(time.Millisecond))
			return nil
		}
		if now := fmt.Sprint(missing, behind); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 4*time.Minute {
			return fmt.Errorf("for 4 minutes without a fault %d of %d inputs have come to nothing, and the groups have not committed all: %s", missing, len(inputs), behind)
		}
		pause(ctx, min(time.Second+time.Since(since)/10, 10*time.Second))
	}
}

// behind says which partition is not committed to its end; "" is none.
func (w *world) behind(ctx context.Context) string {
	h, err := w.history(ctx)
	if err != nil {
		return err.Error()
	}
	defer h.Close()
	t := w.cfg.Kafka.Topics
	for group, topics := range map[string][]string{w.cfg.Kafka.Group: {t.Orders, t.Labels}, w.cfg.Kafka.Group + ".sync": {t.Sync}} {
		have, err := kafka.Committed(ctx, w.connection("judge"), group, topics...)
		if err != nil && !errors.Is(err, kafka.ErrNoCommits) {
			return err.Error()
		}
		for _, topic := range topics {
			for partition, end := range h.Ends()[topic] {
				if end > have[topic][partition] {
					return fmt.Sprintf("%s/%d: %d of %d", topic, partition, have[topic][partition], end)
				}
			}
		}
	}
	return ""
}

// told holds what callers were told against what was decided.
func (w *world) told(inputs []oracle.Input) (counts map[int]int) {
	log := map[string]bool{} // :: id of an order in the log
	for i := range inputs {
		log[inputs[i].ID] = true
	}
	counts = map[int]int{}
	for _, a := range w.callers.answers {
		counts[a.status]++
		if a.status != 0 && a.took > a.wait+time.Second {
			w.errorf("a caller who waits for %s was told %d after %s", a.wait, a.status, a.took)
		}
		switch a.status {
		case http.StatusOK:
			w.oracle.Told(a.id, a.body)
			if public, err := schemas.PublicDecision(w.watch.decision(a.id)); err == nil && !bytes.Equal(public, a.body) {
				w.t.Logf("a caller was told\n  %s\nand decided was\n  %s", a.body, w.watch.decision(a.id))
			}
			if w.watch.decision(a.id) == nil {
				w.errorf("a caller was told a decision that is not on the topic")
			}
		case http.StatusAccepted:
			if !log[a.id] {
				w.errorf("a caller was told 202 of an order that is not in the log")
			}
		case http.StatusServiceUnavailable:
			if c := code(a.body); c != "kafka_away" && c != "overloaded" {
				w.errorf("a caller was told 503 %s", a.body)
			}
		case 0: // no process, or one that ended meanwhile
		default:
			w.errorf("a caller was told %d %s", a.status, a.body)
		}
	}
	return counts
}

// found asks the API for what was decided.
func (w *world) found(ctx context.Context) {
	transport := &http.Transport{DialContext: w.net.Dialer("caller")}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for i := 0; i < len(w.callers.answers); i += 1 + len(w.callers.answers)/50 {
		a := w.callers.answers[i]
		decision := w.watch.decision(a.id)
		if decision == nil {
			continue
		}
		want, err := schemas.PublicDecision(decision)
		if err != nil {
			w.t.Error(err)
			continue
		}
		ask := func() (int, []byte) {
			return w.request(ctx, client, w.apis[i%len(w.apis)], http.MethodGet, "/v1/decisions/"+a.id, "", "")
		}
		status, body := ask()
		for try := 0; try < 10 && status == http.StatusServiceUnavailable; try++ { // of a connection to Redis that broke, which nobody has used since
			status, body = ask()
		}
		if status != http.StatusOK || !bytes.Equal(body, want) {
			w.t.Errorf("GET gives %d %s, and decided was %s", status, body, want)
		}
	}
}

// again decides the whole log once more, record by record in the order of writing, without a fault, and returns the digest of the state if it is in a Redis.
func (w *world) again(ctx context.Context, h *kafka.History, store preprocess.Store, ledger consumer.Ledger) error {
	source := &again{History: h, world: w}
	cfg, err := main.WorkerOf(w.cfg, store)
	if err != nil {
		return err
	}
	cfg.Transport, cfg.Ledger, cfg.Now = source, ledger, func() time.Time { return source.decided }
	worker, err := consumer.New(cfg)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

// again is the log as a transport, which tells the oracle what is decided now. The clock is that of the first time: so the decisions must be equal to the byte.
type again struct {
	*kafka.History

	world   *world
	decided time.Time
	told    int // decisions that differ
}

func (a *again) Poll(ctx context.Context) (*consumer.Batch, error) {
	batch, err := a.History.Poll(ctx)
	if err != nil {
		return nil, err
	}
	batch.Records = slices.DeleteFunc(batch.Records, func(r consumer.Record) bool { return neverWas(&r) })
	for _, r := range batch.Records {
		if first := a.world.watch.decision(orderOf(r.Value)); first != nil && r.Stream == consumer.Orders {
			if d, err := schemas.DecodeDecision(first); err == nil {
				a.decided = d.DecidedAt
			}
		}
	}
	return batch, nil
}

func (a *again) Publish(_ context.Context, messages []consumer.Message) error {
	for _, m := range messages {
		if m.To != consumer.Decisions {
			continue
		}
		if err := a.world.oracle.Recomputed(m.Value); err != nil {
			return err
		}
		d, err := schemas.DecodeDecision(m.Value)
		if err != nil {
			return err
		}
		if first := a.world.watch.decision(string(d.OrderID)); first != nil && !bytes.Equal(first, m.Value) && a.told < 3 && !bytes.Contains(first, []byte(`"features_stale"`)) {
			a.told++
			a.world.t.Logf("decided was\n  %s\nand again it is\n  %s", first, m.Value)
		}
	}
	return nil
}

// compare decides the log again, in memory and in another Redis, and tells the oracle of both.
func (w *world) compare(ctx context.Context) error {
	live := w.dial("judge", redisAddress)
	defer live.Close()
	h, err := w.history(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := w.again(ctx, h, memstore.New(memstore.Config{}), consumer.NewMemLedger(0)); err != nil {
		return fmt.Errorf("deciding again in memory: %w", err)
	}
	h, err = w.history(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	_, other := w.serveRedis("127.0.0.1:6380")
	defer other()
	clean := w.dial("judge", "127.0.0.1:6380")
	defer clean.Close()
	store, err := main.StoreOf(w.cfg, clean)
	if err != nil {
		return err
	}
	ledger := consumer.NewRedisLedger(clean, consumer.RedisLedgerConfig{Prefix: w.cfg.Redis.Prefix, Keep: w.cfg.State.Decisions, Timeout: time.Second})
	if _, err := ledger.First(ctx, w.watch.flagged()); err != nil { // they stand: what was lost when they were made is not lost now
		return err
	}
	if err := w.again(ctx, h, store, ledger); err != nil {
		return fmt.Errorf("deciding again in a Redis: %w", err)
	}
	want, err := store.Digest(ctx)
	if err != nil {
		return err
	}
	had, err := main.StoreOf(w.cfg, live)
	if err != nil {
		return err
	}
	got, err := had.Digest(ctx)
	if err != nil {
		return err
	}
	if got != want {
		differing(ctx, w, live, clean)
	}
	w.oracle.State("redis", fmt.Sprintf("%x %+v", got.SHA256, counted(got)), fmt.Sprintf("%x %+v", want.SHA256, counted(want)))
	return nil
}

// differing logs the first keys that differ between two servers.
func differing(ctx context.Context, w *world, live, clean redis.UniversalClient) {
	had, want := contents(ctx, live), contents(ctx, clean)
	keys := map[string]bool{}
	for k := range had {
		keys[k] = true
	}
	for k := range want {
		keys[k] = true
	}
	told := 0
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if had[k] != want[k] && told < 5 && !about(strings.TrimPrefix(k, w.cfg.Redis.Prefix)) {
			told++
			w.t.Logf("key %s\n  is   %q\n  want %q", k, had[k], want[k])
		}
	}
}

// about says whether a key is about the state, and no part of it.
func about(name string) bool {
	return slices.ContainsFunc([]string{"fence:", "at:", "whole:", "repair", "workers", "evicted", "lease"}, func(kind string) bool { return strings.HasPrefix(name, kind) })
}

// contents is what a server holds, as text.
func contents(ctx context.Context, c redis.UniversalClient) map[string]string {
	out := map[string]string{}
	keys := c.Keys(ctx, "*").Val()
	for _, k := range keys {
		switch c.Type(ctx, k).Val() {
		case "string":
			out[k] = c.Get(ctx, k).Val()
		case "zset":
			out[k] = fmt.Sprint(c.ZRangeWithScores(ctx, k, 0, -1).Val())
		case "set":
			out[k] = fmt.Sprint(slices.Sorted(slices.Values(c.SMembers(ctx, k).Val())))
		case "hash":
			out[k] = fmt.Sprint(c.HGetAll(ctx, k).Val())
		}
	}
	return out
}

// counted is a digest without its sum.
func counted(d redisstore.StateDigest) []int {
	return []int{d.Orders, d.Labels, d.Decisions, d.Columns, d.Points, d.Marks, d.Merged}
}

func (w *world) dial(from, address string) redis.UniversalClient {
	return redisstore.Dial(redisstore.DialConfig{Addrs: []string{address}, Timeout: time.Second, Dialer: w.net.Dialer(from)})
}

// sortedStatuses are counts as text, for the run's line.
func sortedStatuses(counts map[int]int) string {
	var out []byte
	keys := make([]int, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = fmt.Appendf(out, " %d=%d", k, counts[k])
	}
	return string(out)
}
