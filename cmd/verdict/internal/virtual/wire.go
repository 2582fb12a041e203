package virtual

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// window is how many bytes may be on their way, or wait to be read, before who writes has to wait: what two kernels would hold.
const window = 1 << 20

// pair is one connection: a wire in each direction.
type pair struct {
	network     *Network
	link        Link
	local       place // of who dialled
	there, back *wire // to who was dialled, and back
	left        atomic.Int32
}

func newPair(n *Network, link Link, port int) *pair {
	p := &pair{network: n, link: link, local: place("127.0.0.1:" + strconv.Itoa(30_000+port%30_000))}
	p.there, p.back = &wire{pair: p, stirred: make(chan struct{})}, &wire{pair: p, reply: true, stirred: make(chan struct{})}
	n.mu.Lock()
	n.conns[p] = true
	n.mu.Unlock()
	return p
}

// end returns one end of the connection: that of who was dialled, or of who dialled.
func (p *pair) end(dialled bool) *end {
	if dialled {
		return &end{pair: p, in: p.there, out: p.back, local: place(p.link.To), remote: p.local}
	}
	return &end{pair: p, in: p.back, out: p.there, local: p.local, remote: place(p.link.To)}
}

// reset breaks the connection.
func (p *pair) reset() {
	p.there.end(syscall.ECONNRESET, true)
	p.back.end(syscall.ECONNRESET, true)
}

// leave forgets the connection when both ends have left it.
func (p *pair) leave(ends int32) {
	if p.left.Add(ends) < 2 {
		return
	}
	p.network.mu.Lock()
	delete(p.network.conns, p)
	p.network.mu.Unlock()
}

// wire is one direction of a connection.
type wire struct {
	pair  *pair
	reply bool // from who was dialled

	mu      sync.Mutex
	chunks  []chunk       // guarded by mu: what is on its way, or has arrived, and was not read
	size    int           // guarded by mu: its bytes
	over    error         // guarded by mu: why nothing more is written; io.EOF when it was closed
	unread  bool          // guarded by mu: who read has closed
	stirred chan struct{} // guarded by mu: closed, and replaced, when something has changed
}

// chunk is what one write wrote.
type chunk struct {
	data []byte
	at   time.Time // when it arrives
}

// stir has who waits at either end look again.
func (w *wire) stir() {
	w.mu.Lock()
	w.stirLocked()
	w.mu.Unlock()
}

func (w *wire) stirLocked() {
	close(w.stirred)
	w.stirred = make(chan struct{})
}

// end says that nothing more is written; what is on its way is lost or arrives.
func (w *wire) end(why error, lose bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over == nil || lose {
		w.over = why
	}
	if lose {
		w.chunks, w.size = nil, 0
	}
	w.stirLocked()
}

// close says that nobody reads any more.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unread = true
	w.chunks, w.size = nil, 0
	w.stirLocked()
}

// take reads what has arrived. Without anything it returns what to wait for: a change, and until when (zero: for the change alone).
func (w *wire) take(b []byte) (n int, err error, changed <-chan struct{}, at time.Time) { //nolint:revive,staticcheck // the error belongs to n; the rest says how to go on
	w.mu.Lock()
	changed = w.stirred // taken before the rules are looked at: who changes them stirs afterwards
	w.mu.Unlock()
	held := w.pair.network.held(w.pair.link, w.reply)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.unread:
		return 0, net.ErrClosed, nil, at
	case held:
	case len(w.chunks) > 0:
		if at = w.chunks[0].at; at.After(time.Now()) {
			break
		}
		n = copy(b, w.chunks[0].data)
		if w.chunks[0].data = w.chunks[0].data[n:]; len(w.chunks[0].data) == 0 {
			w.chunks = w.chunks[1:]
		}
		if w.size >= window {
			w.stirLocked() // there is room again
		}
		w.size -= n
		return n, nil, nil, at
	case w.over != nil:
		return 0, w.over, nil, at
	}
	if w.over == syscall.ECONNRESET { //nolint:errorlint // it is this value and never wrapped
		return 0, w.over, nil, at
	}
	return 0, nil, changed, at
}

// put writes b as a whole, to arrive after the latency; or returns what to wait for when there is no room.
func (w *wire) put(b []byte, latency time.Duration) (err error, changed <-chan struct{}) { //nolint:revive,staticcheck // as above
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over == io.EOF: //nolint:errorlint // it is this value and never wrapped
		return net.ErrClosed, nil
	case w.over != nil:
		return w.over, nil
	case w.unread:
		return syscall.EPIPE, nil
	case w.size >= window:
		return nil, w.stirred
	}
	at := time.Now().Add(latency)
	if last := len(w.chunks) - 1; last >= 0 && w.chunks[last].at.After(at) {
		at = w.chunks[last].at // a stream keeps its order
	}
	w.chunks = append(w.chunks, chunk{append([]byte(nil), b...), at})
	w.size += len(b)
	w.stirLocked()
	return nil, nil
}

// end is one end of a connection.
type end struct {
	pair          *pair
	in, out       *wire
	local, remote place
	closed        sync.Once

	mu          sync.Mutex
	read, write time.Time // guarded by mu: the deadlines
}

// Read is net.Conn's.
func (e *end) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err, changed, at := e.in.take(b)
		if n > 0 || err != nil {
			return n, e.failed("read", err)
		}
		if err := e.wait(changed, at, &e.read); err != nil {
			return 0, e.failed("read", err)
		}
	}
}

// Write is net.Conn's.
func (e *end) Write(b []byte) (int, error) {
	n := e.pair.network
	if part, breaks := n.broken(e.pair.link, e.out.reply, len(b)); breaks {
		_, _ = e.out.put(b[:part], 0)
		e.out.end(io.EOF, false) // what was written before, and this part, arrives
		e.in.end(syscall.ECONNRESET, true)
		return 0, e.failed("write", syscall.ECONNRESET)
	}
	latency := time.Duration(0)
	if n.Latency != nil {
		latency = n.Latency(e.pair.link)
	}
	for {
		err, changed := e.out.put(b, latency)
		if err != nil {
			return 0, e.failed("write", err)
		}
		if changed == nil {
			return len(b), nil
		}
		if err := e.wait(changed, time.Time{}, &e.write); err != nil {
			return 0, e.failed("write", err)
		}
	}
}

// failed is an error as the net package's, which clients take apart.
func (e *end) failed(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // it is this value and never wrapped
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: e.local, Addr: e.remote, Err: err}
}

// wait waits for a change, for the time at (zero is never), or for the deadline, whichever is first.
func (e *end) wait(changed <-chan struct{}, at time.Time, deadline *time.Time) error {
	e.mu.Lock()
	until := *deadline
	e.mu.Unlock()
	now := time.Now()
	if !until.IsZero() && !until.After(now) {
		return os.ErrDeadlineExceeded
	}
	if at.IsZero() || !until.IsZero() && until.Before(at) {
		at = until
	}
	if at.IsZero() {
		<-changed
		return nil
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// Close is net.Conn's: what was written arrives.
func (e *end) Close() error {
	e.out.end(io.EOF, false)
	e.in.close()
	e.closed.Do(func() { e.pair.leave(1) })
	return nil
}

// LocalAddr is net.Conn's.
func (e *end) LocalAddr() net.Addr { return e.local }

// RemoteAddr is net.Conn's.
func (e *end) RemoteAddr() net.Addr { return e.remote }

// SetDeadline is net.Conn's.
func (e *end) SetDeadline(t time.Time) error {
	e.set(t, &e.read, &e.write)
	return nil
}

// SetReadDeadline is net.Conn's.
func (e *end) SetReadDeadline(t time.Time) error {
	e.set(t, &e.read)
	return nil
}

// SetWriteDeadline is net.Conn's.
func (e *end) SetWriteDeadline(t time.Time) error {
	e.set(t, &e.write)
	return nil
}

func (e *end) set(t time.Time, deadlines ...*time.Time) {
	e.mu.Lock()
	for _, d := range deadlines {
		*d = t
	}
	e.mu.Unlock()
	e.in.stir()
	e.out.stir()
}
