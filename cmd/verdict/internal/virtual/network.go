// Package virtual is a network in memory, for tests that run whole processes inside a testing/synctest bubble: connections with a latency on the bubble's clock,
// and faults between any two of its hosts. Nothing of it needs a socket, so hours pass in the time that the work in them takes. It is for tests alone.
package virtual

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Network joins hosts by name. The zero value is usable. Safe for concurrent use.
type Network struct {
	// Latency is how long bytes of the link are on their way, asked anew for each write; nil is no time at all. It is called without any lock held.
	Latency func(Link) time.Duration

	mu        sync.Mutex
	listeners map[string]*listener // guarded by mu :: host:port → who listens there
	conns     map[*pair]bool       // guarded by mu: open connections
	rules     []*Rule              // guarded by mu: faults at work
	gone      map[string]bool      // guarded by mu :: name or address of a host that was isolated
	ports     int                  // guarded by mu: the last port that was given to a host that dials
	arrive    int                  // guarded by mu: the last port that was given to a host that asked for any
}

// Link is who dialled whom: a host's name, and the address as it was dialled.
type Link struct{ From, To string }

// Rule is a fault at work between hosts, from Network.Add to Network.Remove. Its fields are not changed meanwhile.
type Rule struct {
	On func(Link) bool // which links

	Refuse bool // connections cannot be made: at once, as by a host without such a port
	Hold   bool // bytes, and connections that are being made, get no further, as behind a cut cable; they arrive when the rule is removed
	Deaf   bool // the same of the bytes from who was dialled to who dialled alone
	Mute   bool // the same of the bytes from who dialled to who was dialled alone

	// Break is asked of each write by the link's end: true breaks the connection instead, after the first part bytes of it have arrived. Reply says which end writes: who
	// was dialled. It is called without any lock held, maybe concurrently.
	Break func(reply bool, size int) (part int, breaks bool)
}

// Add puts a fault to work.
func (n *Network) Add(r *Rule) {
	n.mu.Lock()
	n.rules = append(n.rules, r)
	n.mu.Unlock()
	n.stir()
}

// Remove ends a fault. What it held goes on.
func (n *Network) Remove(r *Rule) {
	n.mu.Lock()
	for i := range n.rules {
		if n.rules[i] == r {
			n.rules = append(n.rules[:i:i], n.rules[i+1:]...)
			break
		}
	}
	n.mu.Unlock()
	n.stir()
}

// Heal ends all faults.
func (n *Network) Heal() {
	n.mu.Lock()
	n.rules = nil
	n.mu.Unlock()
	n.stir()
}

// Cut breaks the open connections of links: both ends are told so at once, and bytes on their way are lost. It returns how many there were.
func (n *Network) Cut(on func(Link) bool) int {
	cut := n.open(on)
	for _, p := range cut {
		p.reset()
	}
	return len(cut)
}

// Isolate takes a host off the network for good, by its name or by an address where it listens: what it had written still arrives, nothing else gets from it or to
// it, and no connection can be made.
func (n *Network) Isolate(host string) {
	n.mu.Lock()
	if n.gone == nil {
		n.gone = make(map[string]bool)
	}
	n.gone[host] = true
	n.mu.Unlock()
	for _, p := range n.open(func(l Link) bool { return l.From == host || l.To == host }) {
		p.there.end(io.EOF, false)
		p.back.end(io.EOF, false)
	}
}

// Open returns how many connections of links are open.
func (n *Network) Open(on func(Link) bool) int { return len(n.open(on)) }

func (n *Network) open(on func(Link) bool) (out []*pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.conns {
		if on(p.link) {
			out = append(out, p)
		}
	}
	return out
}

// stir has all who wait look again.
func (n *Network) stir() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.conns {
		p.there.stir()
		p.back.stir()
	}
}

// held says whether a direction of a link stands still.
func (n *Network) held(link Link, reply bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.rules {
		if (r.Hold || r.Deaf && reply || r.Mute && !reply) && r.On(link) {
			return true
		}
	}
	return false
}

func (n *Network) refused(link Link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone[link.From] || n.gone[link.To] {
		return true
	}
	for _, r := range n.rules {
		if r.Refuse && r.On(link) {
			return true
		}
	}
	return false
}

// broken asks the rules whether a write breaks its connection.
func (n *Network) broken(link Link, reply bool, size int) (int, bool) {
	n.mu.Lock()
	rules := n.rules
	n.mu.Unlock()
	for _, r := range rules {
		if r.Break == nil || !r.On(link) {
			continue
		}
		if part, breaks := r.Break(reply, size); breaks {
			return min(part, size), true
		}
	}
	return 0, false
}

// Listen listens at an address of the network. Port 0 is one that is free.
func (n *Network) Listen(_, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		n.arrive++
		port = strconv.Itoa(20_000 + n.arrive)
	}
	address = net.JoinHostPort(host, port)
	if n.listeners[address] != nil {
		return nil, fmt.Errorf("listening at %s: %w", address, syscall.EADDRINUSE)
	}
	if n.listeners == nil {
		n.listeners, n.conns = make(map[string]*listener), make(map[*pair]bool)
	}
	l := &listener{network: n, address: address, incoming: make(chan *end), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dialer returns what a host dials with.
func (n *Network) Dialer(from string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return n.dial(ctx, Link{from, address})
	}
}

// dialWait is after how long a connection that is being made is given up: a dialler without patience of its own must not wait for ever.
const dialWait = 2 * time.Minute

func (n *Network) dial(ctx context.Context, link Link) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: place(link.To), Err: err} // as the net package's, which clients take apart
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	for n.held(link, true) || n.held(link, false) { // a lost packet is sent again after a second
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(time.Second):
		}
	}
	if n.Latency != nil {
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(n.Latency(link)):
		}
	}
	n.mu.Lock()
	l := n.listeners[link.To]
	n.ports++
	port := n.ports
	n.mu.Unlock()
	if l == nil || n.refused(link) {
		return fail(syscall.ECONNREFUSED)
	}
	p := newPair(n, link, port)
	select {
	case l.incoming <- p.end(true):
		return p.end(false), nil
	case <-l.closed:
		p.leave(2)
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		p.leave(2)
		return fail(ctx.Err())
	}
}

// listener takes connections at one address.
type listener struct {
	network  *Network
	address  string
	incoming chan *end
	once     sync.Once
	closed   chan struct{}
}

// Accept is net.Listener's.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, fmt.Errorf("accepting at %s: %w", l.address, net.ErrClosed)
	}
}

// Close is net.Listener's.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.address)
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

// Addr is net.Listener's.
func (l *listener) Addr() net.Addr { return place(l.address) }

// place is an address of the network.
type place string

// Network is net.Addr's.
func (place) Network() string { return "tcp" }

// String is net.Addr's.
func (p place) String() string { return string(p) }
