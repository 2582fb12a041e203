package main_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// crowd is processes of the API that come and go behind one address, as a load balancer has them.
type crowd struct {
	mu        sync.Mutex
	processes []*process // guarded by mu
}

func (c *crowd) any() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[rand.N(len(c.processes))]
}

// take puts p in the place of a process, which it returns.
func (c *crowd) take(i int, p *process) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.processes[i]
	c.processes[i] = p
	return old
}

// TestCallersHaveTheirOwnDecisionsWhileProcessesComeAndGo stops and kills five processes with two reply partitions in any order, under load. A caller whose
// process ends, or that was told 503, sends its order again.
func TestCallersHaveTheirOwnDecisionsWhileProcessesComeAndGo(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 3*time.Minute)
	config := s.config(t, "", "kafka.reply_partitions: 2\napi: {listen: \"127.0.0.1:0\", grace: 50ms}")
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", "kafka.reply_partitions: 2")).ready(ctx)
	var all crowd
	for range 5 {
		p := start(t, "serve", "--role", "api", "-c", config)
		p.ready(ctx)
		all.processes = append(all.processes, p)
	}
	const wait = time.Second
	var orders, decided, later, again atomic.Int64
	var slowest atomic.Int64
	busy, stop := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for i := range 10 {
		callers.Go(func() {
			for n := 0; busy.Err() == nil; n++ {
				id := fmt.Sprintf("order-%d-%d", i, n)
				orders.Add(1)
				for {
					began := time.Now()
					code, text := all.any().call(ctx, http.MethodPost, "/v1/decisions", orderJSON(id, i, float64(n)), map[string]string{"Prefer": "wait=1"})
					if took := int64(time.Since(began)); took > slowest.Load() {
						slowest.Store(took)
					}
					if code == 0 || code == http.StatusServiceUnavailable {
						again.Add(1)
						if ctx.Err() != nil {
							t.Errorf("%s: no process takes it: %s", id, text)
							return
						}
						continue
					}
					switch {
					case code == http.StatusAccepted:
						later.Add(1)
					case code != http.StatusOK:
						t.Errorf("%s: %d %s", id, code, text)
						return
					case decode(t, text).OrderID != id:
						t.Errorf("the caller of %s got %s", id, text)
						return
					default:
						decided.Add(1)
					}
					break
				}
			}
		})
	}
	kills := 10
	if testing.Short() {
		kills = 4
	}
	for n := range kills {
		i := rand.N(5)
		if n%2 == 0 {
			all.take(i, start(t, "serve", "--role", "api", "-c", config)).kill()
			continue
		}
		old := all.take(i, start(t, "serve", "--role", "api", "-c", config)) // a rolling restart: the new one is there before the old one goes
		if err := old.interrupt(); err != nil {
			t.Errorf("a process that was asked to stop ended with %v", err)
		}
	}
	stop()
	callers.Wait()
	t.Logf("%s: %d orders: %d answered, %d told 202, %d sent again; the slowest answer after %s", s.name, orders.Load(), decided.Load(), later.Load(), again.Load(),
		time.Duration(slowest.Load()).Round(time.Millisecond))
	// The wait, the second that Kafka may take to acknowledge, and what a busy machine takes.
	if took := time.Duration(slowest.Load()); took > wait+time.Second+5*time.Second {
		t.Errorf("a caller waited for %s", took)
	}
	s.decisions(t, ctx, int(orders.Load())) // each order has one, all copies equal

	// Five on two partitions.
	until(t, ctx, func() bool { return all.any().metric(ctx, "verdict_reply_partition_sharers") >= 2 })
}

// TestARepeatAtAnotherProcessHasTheOneDecision kills a process while its caller waits.
func TestARepeatAtAnotherProcessHasTheOneDecision(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 20s, max_wait: 30s}`)
	first, second := start(t, "serve", "--role", "api", "-c", config), start(t, "serve", "--role", "api", "-c", config)
	first.ready(ctx)
	second.ready(ctx)
	ended := make(chan int, 1)
	go func() {
		code, _ := first.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("mine", 1, 10), nil)
		ended <- code
	}()
	until(t, ctx, func() bool { return first.metric(ctx, "verdict_http_waits_in_flight") == 1 })
	if n := s.written(t, ctx, "orders.sync", 1); n != 1 {
		t.Fatalf("%d orders in Kafka", n)
	}
	first.kill()
	if code := <-ended; code != 0 {
		t.Fatalf("the caller of a killed process got %d", code)
	}
	start(t, "serve", "--role", "scorer", "-c", s.config(t, "", ""))
	code, text := second.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("mine", 1, 10), nil)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	stands := decode(t, text)
	if got := s.decisions(t, ctx, 1)["mine"]; got.Score != stands.Score || got.Action != stands.Action {
		t.Errorf("the repeat got %+v, decided was %+v", stands, got)
	}
}

// written waits until a topic has n records, and returns how many it has.
func (s site) written(t *testing.T, ctx context.Context, topic string, n int64) (all int64) {
	t.Helper()
	admin := kadm.NewClient(s.client(t))
	until(t, ctx, func() bool {
		ends, err := admin.ListEndOffsets(ctx, s.topic(topic))
		if err != nil {
			t.Fatal(err)
		}
		all = 0
		ends.Each(func(o kadm.ListedOffset) { all += o.Offset })
		return all >= n
	})
	return all
}

func TestAProcessThatStopsTellsItsCallersThatTheirDecisionsComeLater(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	p := start(t, "serve", "--role", "api", "-c", s.config(t, "", `api: {listen: "127.0.0.1:0", wait: 1s}`))
	p.ready(ctx)
	type result struct {
		code int
		text []byte
	}
	const callers = 20
	results := make(chan result, callers)
	for i := range callers {
		go func() {
			code, text := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON(fmt.Sprint("o", i), i, 10), nil)
			results <- result{code, text}
		}()
	}
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_http_waits_in_flight") == callers })
	if err := p.interrupt(); err != nil {
		t.Errorf("ended with %v", err)
	}
	for range callers {
		if r := <-results; r.code != http.StatusAccepted {
			t.Errorf("%d %s", r.code, r.text)
		}
	}
	if n := s.written(t, ctx, "orders.sync", callers); n != callers {
		t.Errorf("%d orders in Kafka, %d were promised", n, callers)
	}
}

// TestStrangersHeadersStopNoLane sends what any client may send: what can be answered is, what cannot holds up nobody.
func TestStrangersHeadersStopNoLane(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	c := s.client(t)
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 3, 1, nil, s.topic("own")); err != nil {
		t.Fatal(err)
	}
	topics := fmt.Sprintf("kafka.reply_partitions: 2\nkafka.reply_topics: [%q, %q]", s.topic("own"), s.topic("missing"))
	p := start(t, "serve", "--role", "scorer", "-c", s.config(t, "", topics))
	p.ready(ctx)
	h := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	to := func(topic string, more ...kgo.RecordHeader) []kgo.RecordHeader {
		return append([]kgo.RecordHeader{h("kafka_replyTopic", s.topic(topic))}, more...)
	}
	partition := func(n uint32) kgo.RecordHeader {
		return h("kafka_replyPartition", string(binary.BigEndian.AppendUint32(nil, n)))
	}
	id := func(value string) kgo.RecordHeader { return h("kafka_correlationId", value) }
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var crowded []kgo.RecordHeader
	for i := range 10_000 {
		crowded = append(crowded, h(fmt.Sprint("x-", i), "y"))
	}
	future, past := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()), fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli())
	const nothing, anywhere = int32(-2), int32(-1)
	cases := map[string]struct {
		headers []kgo.RecordHeader
		at      int32 // where the reply lies; nothing, or anywhere
		echoed  string
		trace   string
	}{
		"empty-id":      {to("own", id(""), partition(2)), 2, "", ""},
		"raw-id":        {to("own", id("\x00\xff\x01\xfe 0123456789a"), partition(1)), 1, "\x00\xff\x01\xfe 0123456789a", ""},
		"text-id":       {to("replies", id("order 17"), partition(1)), 1, "order 17", ""},
		"long-id":       {to("own", id(strings.Repeat("i", 1024)), partition(0)), 0, strings.Repeat("i", 1024), ""},
		"too-long-id":   {to("own", id(strings.Repeat("i", 1025)), partition(0)), nothing, "", ""},
		"no-id":         {to("own", partition(0)), 0, "", ""},
		"no-partition":  {to("own", id("a")), anywhere, "a", ""},
		"partition-3b":  {to("own", id("b"), h("kafka_replyPartition", "\x00\x00\x01")), anywhere, "b", ""},
		"partition-999": {to("own", id("c"), partition(999)), anywhere, "c", ""},
		"partition-max": {to("replies", id("d"), partition(1<<32-1)), anywhere, "d", ""},
		"not-allowed":   {to("orders.dlq", id("e"), partition(0)), nothing, "", ""},
		"missing-topic": {to("missing", id("f"), partition(0)), nothing, "", ""},
		"crowded":       {append(crowded, to("own", id("g"), partition(2))...), 2, "g", ""},
		"traced":        {to("own", id("h"), partition(2), h("traceparent", trace)), 2, "h", trace},
		"bad-trace":     {to("own", id("i"), partition(2), h("traceparent", "00-zz")), 2, "i", ""},
		"zero-trace":    {to("own", id("j"), partition(2), h("traceparent", strings.Replace(trace, "4bf92f3577b34da6a3ce929d0e0e4736", strings.Repeat("0", 32), 1))), 2, "j", ""},
		"late":          {to("own", id("k"), partition(2), h("verdict.deadline", past)), nothing, "", ""},
		"in-time":       {to("own", id("l"), partition(2), h("verdict.deadline", future)), 2, "l", ""},
		"odd-deadline":  {to("own", id("m"), partition(2), h("verdict.deadline", "soon")), 2, "m", ""},
	}
	want := 0
	for name, test := range cases {
		if test.at != nothing {
			want++
		}
		s.produce(t, ctx, c, "orders.sync", []byte(orderJSON(name, 1, 10)), test.headers...)
	}
	if got := s.decisions(t, ctx, len(cases)); len(got) != len(cases) {
		t.Fatalf("%d of %d were decided", len(got), len(cases))
	}
	replies := s.client(t, kgo.ConsumeTopics(s.topic("own"), s.topic("replies")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for range want {
		r := s.next(t, ctx, replies)
		name := decode(t, r.Value).OrderID
		test := cases[name]
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		if test.at == nothing || test.at != anywhere && r.Partition != test.at || headers["kafka_correlationId"] != test.echoed || headers["traceparent"] != test.trace {
			t.Errorf("%s: on %s/%d with %q", name, r.Topic, r.Partition, headers)
		}
		if _, echoed := headers["kafka_correlationId"]; echoed != (name != "no-id") {
			t.Errorf("%s: a correlation id %v", name, echoed)
		}
	}
	if refused, skipped := p.metric(ctx, "verdict_replies_refused_total"), p.metric(ctx, "verdict_replies_skipped_total"); refused != 2 || skipped != 1 {
		t.Errorf("%v refused, %v skipped", refused, skipped)
	}
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_replies_lost_total") == 1 })
}
