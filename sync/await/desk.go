// Package await is the waiting room of the synchronous API: it knows which callers wait for which order, and hands each reply to exactly those.
//
// A reply finds its callers by a correlation id alone: 16 random bytes, drawn for the one submission that they share. So a stray, late or foreign reply
// finds nobody, and no caller can get another's answer. The package keeps no timers and starts no goroutines: the caller owns its deadline and leaves.
//
// An order that Kafka has, and whose callers have all left, is remembered until its reply comes, for a minute at most: until then its id is taken.
package await

import (
	"container/list"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"verdict/schemas"
)

var (
	// ErrConflict says that another order with this id, of other content, is in flight.
	ErrConflict = errors.New("another order with this id is in flight")
	// ErrFull says that as many callers wait as the desk allows.
	ErrFull = errors.New("too many callers wait")
	// errForgotten ends what nobody waits for any more, for those who watch it.
	errForgotten = errors.New("the order is not waited for any more")
)

// DefaultMax is how many callers wait at most when Config does not say: at the API's usual wait of 500 ms, what 20,000 orders/s leave waiting
// when the scorer stops.
const DefaultMax = 10_000

// What is remembered of orders whose callers have left: for longer than the slowest caller waits, and some 50 MB when a scorer stands still.
const (
	rememberFor  = time.Minute
	rememberMost = 100_000
)

// Config is a Desk's configuration; the zero value is usable.
type Config struct {
	Max int // callers that wait at once; 0 is DefaultMax
}

// Reply is the scorer's answer to one order: the decision, or why there is none.
type Reply struct {
	OrderID schemas.OrderID // may be empty with a Code
	Body    []byte          // the decision's public JSON; shared by all callers of the order and not to be changed
	Code    string          // set when the scorer refused the order: order_conflict, …
	Detail  string          // of a refusal, for people
}

// correlation is what goes out with an order and comes back with its reply.
type correlation [16]byte

// Desk holds who waits for what. It is safe for concurrent use.
//
// One mutex guards it: what is done under it is two map operations, so that it is not what bounds a process (see BenchmarkDesk).
type Desk struct {
	max int

	mu            sync.Mutex
	byOrder       map[schemas.OrderID]*flight // guarded by mu :: order → its one submission in flight
	byCorrelation map[correlation]*flight     // guarded by mu :: the same flights by correlation id, and those of deserted
	deserted      map[schemas.OrderID]*flight // guarded by mu :: order → what Kafka has of it, where all callers have left and no reply has come
	leaving       list.List                   // guarded by mu: the flights of deserted, the longest left first
	waiting       int                         // guarded by mu: callers over all flights
	unmatched     uint64                      // guarded by mu
	mismatched    uint64                      // guarded by mu
}

// flight is one submission of an order and all who wait for its reply.
type flight struct {
	order       schemas.OrderID
	content     uint64
	correlation correlation
	joined      int  // guarded by Desk.mu: callers that have not left
	over        bool // guarded by Desk.mu: nobody can join it any more, for whichever reason

	leftAt time.Time     // guarded by Desk.mu, as the next: when the last caller left; meant only in Desk.deserted
	left   *list.Element // nil when it is not in Desk.deserted

	acknowledged chan struct{} // closed once Kafka has the order
	acked        bool          // guarded by Desk.mu: acknowledged is closed
	done         chan struct{} // closed once reply or err is set
	reply        Reply         // written before done is closed
	err          error         // written before done is closed
}

// New returns an empty desk.
func New(cfg Config) *Desk {
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	return &Desk{max: cfg.Max, byOrder: make(map[schemas.OrderID]*flight), byCorrelation: make(map[correlation]*flight), deserted: make(map[schemas.OrderID]*flight)}
}

// Join makes the caller wait for the decision on an order whose content has this digest. The first to join must submit the order with the wait's
// correlation id and then call Acknowledge or Abort; who joins while it is in flight shares that submission (first is false). The error is
// ErrConflict or ErrFull. Whoever joined must Leave. With ErrConflict the wait is that of the other order: it can be watched, and need not be left.
func (d *Desk) Join(id schemas.OrderID, content uint64) (w *Wait, first bool, err error) {
	// Drawn before the lock is taken: it may be a system call. It is wasted on a repeat, which is rare.
	var fresh correlation
	_, _ = rand.Read(fresh[:]) // never fails: crypto/rand ends the process instead

	now := time.Now()

	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	f, inFlight := d.byOrder[id]
	rival, before := f, d.deserted[id]
	if !inFlight {
		rival = before
	}
	if rival != nil && rival.content != content {
		return &Wait{desk: d, flight: rival, left: true}, false, ErrConflict
	}
	if d.waiting >= d.max {
		return nil, false, ErrFull
	}
	if !inFlight {
		if before != nil {
			d.drop(before, Reply{}, errForgotten)
		}
		f = &flight{order: id, content: content, correlation: fresh, acknowledged: make(chan struct{}), done: make(chan struct{})}
		d.byOrder[id], d.byCorrelation[fresh] = f, f
	}
	f.joined++
	d.waiting++
	return &Wait{desk: d, flight: f}, !inFlight, nil
}

// Resolve hands a reply to everyone who waits under this correlation id and says whether there was anyone. A reply for nobody is counted as
// unmatched (its callers have had their 202 and left); one that names another order than was asked for is counted as mismatched and not delivered.
func (d *Desk) Resolve(id []byte, r Reply) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	var f *flight
	if len(id) == len(correlation{}) {
		f = d.byCorrelation[correlation(id)]
	}
	if f == nil {
		d.unmatched++
		return false
	}
	if f.left != nil {
		d.unmatched++
		if f.order == r.OrderID || r.Code != "" {
			d.drop(f, r, nil)
		}
		return false
	}
	refused := r.Code != "" && r.OrderID == "" // a refusal names no order: what was refused may have had no id
	if f.order != r.OrderID && !refused {
		d.mismatched++
		return false
	}
	d.end(f, r, nil)
	return true
}

// Abort ends the wait of everyone who shares w's submission, because it failed. It does nothing once the reply is there.
func (d *Desk) Abort(w *Wait, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !w.flight.over {
		d.end(w.flight, Reply{}, err)
	}
}

// end takes the flight off the desk and lets its callers go. The caller holds mu.
func (d *Desk) end(f *flight, r Reply, err error) {
	d.remove(f)
	d.waiting -= f.joined
	f.reply, f.err = r, err
	close(f.done)
}

func (d *Desk) remove(f *flight) {
	f.over = true
	delete(d.byOrder, f.order)
	delete(d.byCorrelation, f.correlation)
}

// desert takes the flight off the desk when its last caller leaves. What Kafka has is remembered. The caller holds mu.
func (d *Desk) desert(f *flight, now time.Time) {
	d.remove(f)
	if !f.acked {
		f.err = errForgotten
		close(f.done)
		return
	}
	d.byCorrelation[f.correlation], d.deserted[f.order] = f, f
	f.leftAt, f.left = now, d.leaving.PushBack(f)
	d.forget(now)
}

// forget drops what has been remembered for long enough. The caller holds mu.
func (d *Desk) forget(now time.Time) {
	for first := d.leaving.Front(); first != nil; first = d.leaving.Front() {
		f := first.Value.(*flight)
		if d.leaving.Len() <= rememberMost && now.Sub(f.leftAt) < rememberFor {
			return
		}
		d.drop(f, Reply{}, errForgotten)
	}
}

// drop ends what is remembered of an order, and tells those who watch it. The caller holds mu.
func (d *Desk) drop(f *flight, r Reply, err error) {
	d.leaving.Remove(f.left)
	f.left = nil
	delete(d.deserted, f.order)
	delete(d.byCorrelation, f.correlation)
	f.reply, f.err = r, err
	close(f.done)
}

// Stats is what a desk holds and has seen.
type Stats struct {
	Waiting    int    // callers that wait now
	Orders     int    // orders that they wait for
	Unmatched  uint64 // replies that nobody waited for, ever
	Mismatched uint64 // replies that named another order than was asked for, ever
}

// Stats returns the desk's present numbers.
func (d *Desk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Waiting: d.waiting, Orders: len(d.byOrder), Unmatched: d.unmatched, Mismatched: d.mismatched}
}
