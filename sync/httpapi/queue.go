package httpapi

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// queue knows how many orders wait for their decision and how fast decisions come, and so how long one more would wait (Little: those who are there, divided
// by the rate at which they leave). It is told the time, starts nothing and logs nothing. Safe for concurrent use.
type queue struct {
	long time.Duration // a wait from here on is one of an overload

	mu     sync.Mutex
	in     int       // guarded by mu: orders that wait, but for those that were overtaken
	places list.List // guarded by mu: the *place of each of these, by when they came
	newest time.Time // guarded by mu: when the newest order came that has been answered
	rate   float64   // guarded by mu: answers a second that are to be had; see look
	busy   bool      // guarded by mu: a window is being counted
	since  time.Time // guarded by mu: the window's begin when busy, else since when there is little to do
	left   int       // guarded by mu: answers in the window
	away   float64   // guarded by mu: orders that were refused, each counting half after awayHalf
	awayAt time.Time // guarded by mu
}

const (
	// fewOrders are let in whatever is known: the answers to them are what the next estimate is made of, so there is always a way back. They are as many as one
	// poll answers in a few milliseconds, and half of them is little to do.
	fewOrders = 16
	// firstGuess is what is taken for the rate while nothing is known: a burst of 1,250 is let in at the usual wait of 500 ms. Much more would let the first callers of an
	// overload wait in vain where a scorer does some hundreds a second, much less would refuse bursts for nothing.
	firstGuess = 5000.0
	// rateWindow is how long answers are counted before they say something: answers come by the poll, every few milliseconds, and a pause of a broker takes 10 to 20.
	rateWindow = 50 * time.Millisecond
	// rateHalf is how long it takes the known rate to come half the way to a new one: a window, so that a pause within one is not the end.
	rateHalf = rateWindow
	// awayHalf makes the refusals that count those of the last second or so.
	awayHalf = time.Second
	// leastRate keeps a rate of nothing from being divided by.
	leastRate = 0.1
)

func newQueue(long time.Duration) *queue { return &queue{long: long, rate: firstGuess} }

// place is an order's place in the queue.
type place struct {
	came time.Time
	at   *list.Element // guarded by queue.mu; nil when it does not count any more
}

// enter lets orders in whose turn comes within allowed, and says how long that is estimated to take. Whoever was let in must leave.
func (q *queue) enter(now time.Time, allowed time.Duration) (p *place, wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.look(now)
	wait = q.wait()
	if q.in >= fewOrders && wait > allowed {
		return nil, wait, false
	}
	q.in++
	p = &place{came: now}
	p.at = q.places.PushBack(p)
	if !q.busy && q.in >= fewOrders {
		q.rest(now)
		q.busy, q.since, q.left = true, now, 0
	}
	return p, wait, true
}

// leave says that an order does not wait any more, and whether it was answered.
func (q *queue) leave(p *place, now time.Time, answered bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(p)
	if answered {
		q.overtake(p.came)
		if q.left == 0 && now.Sub(q.since) >= rateWindow {
			q.look(now)
			q.since = now // a pause is over: what comes now says how fast it goes
		}
		q.left++
	}
	q.look(now)
	if q.busy && q.in < fewOrders/2 {
		q.busy, q.since = false, now
	}
}

// remove takes an order out of the count. The caller holds mu.
func (q *queue) remove(p *place) {
	if p.at != nil {
		q.places.Remove(p.at)
		p.at = nil
		q.in--
	}
}

// overtake is told when an order came that has been answered. Orders are answered about as they come: whoever came well before it and still waits stands in a
// queue that does not move, as that of a scorer which has died until its partitions are given to others, and is ahead of nobody. While all stand still nobody
// is overtaken. The caller holds mu.
func (q *queue) overtake(came time.Time) {
	if came.After(q.newest) {
		q.newest = came
	}
	for first := q.places.Front(); first != nil; first = q.places.Front() {
		p := first.Value.(*place)
		if q.newest.Sub(p.came) < q.long/2 {
			return
		}
		q.remove(p)
	}
}

// look learns from a window that is over. While few orders wait, how many are answered says how many came, and nothing of how many could be answered; so only
// windows count in which orders were waiting all the time. Of those, one that shows a lower rate than was known counts only when it is also
// one of long waits: else again fewer came than could be answered. One without any answer may be a pause (of a broker, of a process that has just
// started), and counts when it has become a long wait by itself. The caller holds mu.
func (q *queue) look(now time.Time) {
	took := now.Sub(q.since)
	if !q.busy || took < rateWindow || q.left == 0 && took < 2*q.long {
		return
	}
	seen := float64(q.left) / took.Seconds()
	if seen > q.rate || seconds64(float64(q.in)/max(seen, leastRate)) > q.long {
		q.rate = max(leastRate, seen+(q.rate-seen)*halved(took, rateHalf))
	}
	q.since, q.left = now, 0
}

// rest forgets a rate below the first guess by how long there was little to do: what made it low is over. The caller holds mu.
func (q *queue) rest(now time.Time) {
	if q.rate < firstGuess && !q.since.IsZero() {
		q.rate = firstGuess + (q.rate-firstGuess)*halved(now.Sub(q.since), rateHalf)
	}
}

// wait is the estimate for one more order. The caller holds mu.
func (q *queue) wait() time.Duration {
	if q.in < fewOrders {
		return 0
	}
	return seconds64(float64(q.in) / q.rate)
}

// now returns how long an order would wait that came now.
func (q *queue) now(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.look(now)
	return q.wait()
}

// refused counts an order that was sent away, and returns when it may come again: when all who wait, and all who were sent away in the last second or so, could have
// been answered. So those who come back do not come to the same queue.
func (q *queue) refused(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = 1 + q.away*halved(now.Sub(q.awayAt), awayHalf)
	q.awayAt = now
	return seconds64((float64(q.in) + q.away) / q.rate)
}

// halved is what is left of 1 after d when half of it is left after half.
func halved(d, half time.Duration) float64 { return math.Exp2(-float64(d) / float64(half)) }

// seconds64 makes a duration of seconds, an hour at most.
func seconds64(s float64) time.Duration {
	return time.Duration(min(s, 3600) * float64(time.Second))
}
