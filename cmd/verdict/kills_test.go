package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/schemas"
)

// TestEveryCallerHasOneTrueAnswerWhileProcessesAreKilled kills API processes and scorers in turn (kill -9) under an open load, and starts each again after a
// moment. With static membership a scorer that is back has its partitions at once; without it the group waits until the session of the dead one has ended.
func TestEveryCallerHasOneTrueAnswerWhileProcessesAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	const session = 6 * time.Second // the shortest that a broker takes by default
	for _, test := range []struct {
		name        string
		static      bool
		kills, fake int           // on real brokers, and on the stand-ins
		back        time.Duration // within which a scorer that was started again decides
	}{
		{"static", true, 20, 6, 5 * time.Second},
		{"dynamic", false, 4, 2, session + 5*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			rate, kills := 300, test.kills
			if !s.real() {
				rate, kills = 100, test.fake
			}
			ctx := within(t, 3*time.Minute)
			g := besiege(t, ctx, s, test.static, session)
			g.warm(t, ctx)
			busy, stop := context.WithCancel(ctx)
			var load sync.WaitGroup
			load.Go(func() { g.load(ctx, busy, rate) })
			g.kill(t, ctx, kills)
			stop()
			load.Wait()
			counts := g.judge(t, ctx)
			if test.static && counts[http.StatusOK] < len(g.told)/2 { // without, half of the partitions stand still most of the time
				t.Errorf("of %d callers %d had a decision: this shows little", len(g.told), counts[http.StatusOK])
			}
			if g.back > test.back {
				t.Errorf("a scorer that was started again had its first order decided after %s", g.back)
			}
		})
	}
}

// siege is two processes of the API and two scorers that are killed, what their callers were told, and what the topics hold.
type siege struct {
	site         site
	api, scorers crowd
	configs      [2]string     // of the scorers
	told         []*told       // :: number of an order → what its caller was told; read when all callers are done
	asked        *reader       // of orders.sync
	decided      *reader       // of decisions
	back         time.Duration // the slowest first decision of a scorer that was started again
}

// told is what the caller of one order was told at last.
type told struct {
	code int
	body []byte
	sent int           // how often: again when a connection broke
	took time.Duration // the slowest call
}

// A caller waits so long for its decision, and a call takes so much longer at most.
// Grace is for what the machine itself takes: processes start and are killed on two cores that other tests share.
const patience, grace = 2 * time.Second, 3 * time.Second

func besiege(t *testing.T, ctx context.Context, s site, static bool, session time.Duration) *siege {
	t.Helper()
	g := &siege{site: s}
	for i := range g.configs {
		instance := ""
		if static {
			instance = fmt.Sprint("scorer-", i)
		}
		g.configs[i] = s.config(t, instance, fmt.Sprintf("kafka.session_timeout: %s", session))
		g.scorers.processes = append(g.scorers.processes, start(t, "serve", "--role", "scorer", "-c", g.configs[i]))
		g.api.processes = append(g.api.processes, g.newAPI(t, ctx))
	}
	g.asked, g.decided = s.follow(t, ctx, "orders.sync"), s.follow(t, ctx, "decisions")
	return g
}

func (g *siege) newAPI(t *testing.T, ctx context.Context) *process {
	t.Helper()
	p := start(t, "serve", "--role", "api", "-c", g.site.config(t, "", `api: {listen: "127.0.0.1:0"}`))
	p.ready(ctx)
	return p
}

// warm sends orders one by one until each scorer has its partitions: a broker lets a new group wait for a few seconds.
func (g *siege) warm(t *testing.T, ctx context.Context) {
	t.Helper()
	decides := func(i int) bool { return g.scorers.at(i).metric(ctx, "verdict_decisions_total") > 0 }
	until(t, ctx, func() bool {
		i, of := len(g.told), g.next()
		g.ask(ctx, i, of)
		return decides(0) && decides(1)
	})
}

// load sends orders at a steady rate until busy ends, each at its time whatever became of those before it, and returns when every caller was told.
func (g *siege) load(ctx, busy context.Context, rate int) {
	var callers sync.WaitGroup
	began := time.Now()
	for n := 0; busy.Err() == nil; n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		i, of := len(g.told), g.next()
		callers.Go(func() { g.ask(ctx, i, of) })
	}
	callers.Wait()
}

// next is the place for what the caller of the next order will be told.
func (g *siege) next() *told {
	of := new(told)
	g.told = append(g.told, of)
	return of
}

// ask sends an order, and again to the other process when its connection breaks.
func (g *siege) ask(ctx context.Context, i int, of *told) {
	order := fmt.Sprintf(`{"order_id":%q,"occurred_at":"2026-11-01T10:%02d:%02dZ","customer_id":"%d","terminal_id":"%d","amount":%v}`,
		killID(i), i/60%60, i%60, i%2000, i%1000, killAmount(i))
	for of.code == 0 && ctx.Err() == nil {
		began := time.Now()
		of.code, of.body = g.api.at((i+of.sent)%2).call(ctx, http.MethodPost, "/v1/decisions", order, map[string]string{"Prefer": "wait=" + fmt.Sprint(patience.Seconds())})
		of.sent++
		of.took = max(of.took, time.Since(began))
	}
}

func killID(i int) string { return fmt.Sprint("order-", i) }

// killAmount is another one for each order: a decision that carries it was made from that order.
func killAmount(i int) float64 { return float64(i) + 0.25 }

// at returns the process in a place.
func (c *crowd) at(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[i]
}

// kill kills an API process and a scorer in turn, each after some steady work, and starts it again after a moment.
func (g *siege) kill(t *testing.T, ctx context.Context, kills int) {
	t.Helper()
	for n := range kills {
		i := n / 2 % 2
		work := g.decided.len() + 50 + rand.N(150)
		until(t, ctx, func() bool { return g.decided.len() >= work })
		if n%2 == 0 {
			g.api.at(i).kill()
			time.Sleep(rand.N(300 * time.Millisecond))
			g.api.take(i, g.newAPI(t, ctx))
			continue
		}
		g.scorers.at(i).kill()
		time.Sleep(rand.N(300 * time.Millisecond))
		began := time.Now()
		p := start(t, "serve", "--role", "scorer", "-c", g.configs[i])
		g.scorers.take(i, p)
		until(t, ctx, func() bool { return p.metric(ctx, "verdict_decisions_total") > 0 })
		g.back = max(g.back, time.Since(began))
	}
}

// judge holds what the callers were told against what was decided, and returns how many were told each status.
func (g *siege) judge(t *testing.T, ctx context.Context) (counts map[int]int) {
	t.Helper()
	lost := g.lost(ctx)
	g.asked.toEnd(t, ctx, g.site, "orders.sync")
	g.decided.toEnd(t, ctx, g.site, "decisions")
	counts, again, slowest := make(map[int]int), 0, time.Duration(0)
	faults := map[string][]string{} // :: what is wrong → the orders
	wrong := func(what string, i int) { faults[what] = append(faults[what], killID(i)) }
	for i, of := range g.told {
		counts[of.code]++
		again += of.sent - 1
		slowest = max(slowest, of.took)
		decision := g.decided.first[killID(i)]
		if decision != nil && !madeFrom(decision, i) {
			wrong("was decided with the content of another order", i)
		}
		switch of.code {
		case http.StatusOK:
			if !bytes.Equal(of.body, public(t, decision)) {
				wrong("its caller was told what was not decided", i)
			}
		case http.StatusAccepted:
			if want := fmt.Sprintf(`{"order_id":%q,"status":"pending"}`, killID(i)); string(of.body) != want {
				wrong("its caller was promised another decision: "+string(of.body), i)
			}
		case http.StatusServiceUnavailable:
			switch away := bytes.Contains(of.body, []byte(`"kafka_away"`)); {
			case !away && !bytes.Contains(of.body, []byte(`"overloaded"`)):
				wrong(fmt.Sprintf("its caller was told 503 %s", of.body), i)
			case !away && of.sent == 1 && g.asked.first[killID(i)] != nil:
				wrong("was refused and handed over", i)
			}
		default:
			wrong(fmt.Sprintf("its caller was told %d %s", of.code, of.body), i)
		}
		if decision == nil {
			continue
		}
		if code, text := g.api.at(i%2).get(ctx, "/v1/decisions/"+killID(i)); code != http.StatusOK || !bytes.Equal(text, public(t, decision)) {
			wrong(fmt.Sprintf("GET gives %d and not what was decided", code), i)
		}
	}
	if len(lost) > 0 {
		faults["was acknowledged and not decided"] = lost
	}
	if len(g.decided.differing) > 0 {
		faults["has two decisions"] = g.decided.differing
	}
	for what, orders := range faults {
		t.Errorf("%d orders, first %s: %s", len(orders), orders[0], what)
	}
	if slowest > patience+grace {
		t.Errorf("a call took %s", slowest)
	}
	t.Logf("%s %s: orders=%d 200=%d 202=%d 503=%d sent_again=%d slowest=%dms scorer_back=%dms decisions=%d copies=%d different=%d lost=%d", g.site.name,
		t.Name()[strings.LastIndexByte(t.Name(), '/')+1:], len(g.told), counts[http.StatusOK], counts[http.StatusAccepted], counts[http.StatusServiceUnavailable], again,
		slowest.Milliseconds(), g.back.Milliseconds(), len(g.decided.first), g.decided.records-int64(len(g.decided.first)), len(g.decided.differing), len(lost))
	return counts
}

// lost waits for the decisions of all orders that were acknowledged, and returns those that have none after a while.
func (g *siege) lost(ctx context.Context) (out []string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		out = out[:0]
		for i, of := range g.told {
			if (of.code == http.StatusOK || of.code == http.StatusAccepted) && !g.decided.has(killID(i)) {
				out = append(out, killID(i))
			}
		}
		if len(out) == 0 || ctx.Err() != nil {
			return out
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// public is what callers are shown of a decision; nothing when there is none.
func public(t *testing.T, record []byte) []byte {
	t.Helper()
	if record == nil {
		return nil
	}
	body, err := schemas.PublicDecision(record)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func madeFrom(record []byte, i int) bool {
	var a answer
	if json.Unmarshal(record, &a) != nil {
		return false
	}
	amount := a.Inputs["amount"]
	return amount != nil && *amount == killAmount(i)
}

// reader is what somebody has of a topic who reads its committed records from the first one on, while processes are killed.
type reader struct {
	mu        sync.Mutex
	records   int64             // guarded by mu, as all of it
	first     map[string][]byte // :: order id → its first record's value
	differing []string          // ids of which a later record has another value
}

// follow reads a topic until the test ends.
func (s site) follow(t *testing.T, ctx context.Context, topic string) *reader {
	t.Helper()
	c := s.client(t, kgo.ConsumeTopics(s.topic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	r := &reader{first: map[string][]byte{}}
	go func() {
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(func(record *kgo.Record) { r.add(record.Value) })
		}
	}()
	return r
}

func (r *reader) add(value []byte) {
	var a struct {
		OrderID string `json:"order_id"`
	}
	_ = json.Unmarshal(value, &a) // what is no JSON counts as an order without an id
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records++
	switch first, again := r.first[a.OrderID]; {
	case !again:
		r.first[a.OrderID] = value
	case !bytes.Equal(first, value) && !slices.Contains(r.differing, a.OrderID):
		r.differing = append(r.differing, a.OrderID)
	}
}

func (r *reader) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.first)
}

func (r *reader) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first[id] != nil
}

// toEnd waits until all that the topic holds now was read.
func (r *reader) toEnd(t *testing.T, ctx context.Context, s site, topic string) {
	t.Helper()
	end := s.written(t, ctx, topic, 0)
	until(t, ctx, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.records >= end
	})
}
