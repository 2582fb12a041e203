//go:build synctests

package main_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	main "verdict/cmd/verdict"
	"verdict/consumer"
	"verdict/preprocess"
	"verdict/schemas"
)

// points are the calls of the lanes' workers on their ends, where a fault may strike: one waits at most, and the next call that it fits has it.
type points struct {
	mu    sync.Mutex
	armed *strike        // guarded by mu
	calls map[string]int // guarded by mu :: point → its calls, which say how much work there was
}

// strike is a fault at a call.
type strike struct {
	point string // "poll", "learn", "exchange", "first", "publish", "commit"
	kind  string // "refused", "done and reported failed", "crash before", "crash after", "paused"
	pause time.Duration
	skip  int // calls that it lets pass
}

var errStruck = errors.New("the fault campaign's failure")

// arm makes a strike wait for its call. It replaces the one that waits.
func (p *points) arm(s *strike) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = s
}

// disarm has a strike that still waits for its call wait no more.
func (p *points) disarm(s *strike) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed == s {
		p.armed = nil
	}
}

// take returns the strike for a call, if one waits for it.
func (p *points) take(point string) *strike {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[point]++
	s := p.armed
	if s == nil || s.point != point {
		return nil
	}
	if s.skip--; s.skip >= 0 {
		return nil
	}
	p.armed = nil
	return s
}

// rig puts the points between a process's lanes and their ends.
func (p *points) rig(h *host, r *running) main.Rig {
	return func(of *consumer.Config, extract func(preprocess.Store) *preprocess.Extractor) {
		at := &pointed{points: p, host: h, running: r, lane: of.Lane}
		of.Transport = &pointedTransport{at, of.Transport}
		of.Store = &pointedStore{at, of.Store}
		of.Extractor = extract(of.Store)
		of.Ledger = &pointedLedger{at, of.Ledger}
		of.Now = func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }
	}
}

// pointed is one lane's points.
type pointed struct {
	points  *points
	host    *host
	running *running
	lane    string
}

// through makes a call, or has a fault strike it.
func (p *pointed) through(ctx context.Context, point string, call func() error) error {
	s := p.points.take(point)
	if s == nil {
		return call()
	}
	p.host.world.journal.note("%s %s: %s at %s", p.running.name, p.lane, s.kind, point)
	if p.host.kept && strings.HasPrefix(s.kind, "crash") { // a batch that was polled and not given would be lost, where nothing ends
		s.kind = "refused"
	}
	switch s.kind {
	case "refused":
		return errStruck
	case "paused": // as a process that was stopped: what it had read before is old when it goes on
		p.host.world.freeze(p.running, s.pause)
		return call()
	case "crash before":
		p.host.crash()
		return errStruck
	}
	if err := call(); err != nil {
		return err
	}
	if s.kind == "crash after" {
		p.host.crash()
	}
	return errStruck
}

type pointedTransport struct {
	*pointed

	next consumer.Transport
}

func (t *pointedTransport) Poll(ctx context.Context) (batch *consumer.Batch, err error) {
	err = t.through(ctx, "poll", func() error {
		batch, err = t.next.Poll(ctx)
		return err
	})
	if errors.Is(err, errStruck) { // a failed poll ends a lane: what a lane may meet is a poll that is late, or that came to nothing
		return &consumer.Batch{}, nil
	}
	return batch, err
}

func (t *pointedTransport) Publish(ctx context.Context, messages []consumer.Message) error {
	return t.through(ctx, "publish", func() error { return t.next.Publish(ctx, messages) })
}

func (t *pointedTransport) Commit(ctx context.Context, batch *consumer.Batch) error {
	return t.through(ctx, "commit", func() error { return t.next.Commit(ctx, batch) })
}

type pointedStore struct {
	*pointed

	next preprocess.Store
}

func (s *pointedStore) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	return s.through(ctx, "exchange", func() error { return s.next.Exchange(ctx, visits, see) })
}

func (s *pointedStore) Learn(ctx context.Context, labels []schemas.Label) error {
	return s.through(ctx, "learn", func() error { return s.next.Learn(ctx, labels) })
}

type pointedLedger struct {
	*pointed

	next consumer.Ledger
}

func (l *pointedLedger) First(ctx context.Context, records []consumer.Kept) (out [][]byte, err error) {
	err = l.through(ctx, "first", func() error {
		out, err = l.next.First(ctx, records)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *pointedLedger) Find(ctx context.Context, id schemas.OrderID) ([]byte, bool, error) {
	return l.next.Find(ctx, id)
}

// ailment is what Redis says instead of obeying.
type ailment struct {
	mu    sync.Mutex
	says  string      // guarded by mu; "" is nothing
	write bool        // guarded by mu: of commands that write alone
	of    func() bool // guarded by mu: of which of them
	said  int         // guarded by mu

	babbles func() bool // guarded by mu: before which pipelines it answers what nobody asked for
}

// fall makes Redis ail until it is made well.
func (a *ailment) fall(says string, write bool, of func() bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.says, a.write, a.of = says, write, of
}

func (a *ailment) well() { a.fall("", false, nil) }

// babble makes Redis answer what nobody asked for, until of is nil.
func (a *ailment) babble(of func() bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.babbles = of
}

// reads are the commands that a Redis without room, or one that is a replica, obeys all the same.
const reads = " GET GETRANGE MGET HGET HGETALL HMGET HSCAN ZRANGE ZRANGEBYSCORE ZREVRANGE ZCOUNT ZCARD ZSCORE SMEMBERS SCAN TYPE TTL PTTL EXISTS PING TIME INFO HELLO AUTH SELECT CLIENT DBSIZE ECHO "

func (a *ailment) hook(c *server.Peer, command string, _ ...string) bool {
	a.mu.Lock()
	if command == "ECHO" && a.babbles != nil && a.babbles() {
		c.WriteBulk("of another")
	}
	says := a.says
	if says == "" || a.write && strings.Contains(reads, " "+command+" ") || !a.of() {
		a.mu.Unlock()
		return false
	}
	a.said++
	a.mu.Unlock()
	c.WriteError(says)
	return true
}

// freeze stops a process for a while, for all that others can see: nothing of it gets through, and its lanes stand still.
func (w *world) freeze(r *running, d time.Duration) {
	rule := w.hold(r)
	time.Sleep(d)
	w.net.Remove(rule)
}
