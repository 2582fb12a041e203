//go:build unix

package main_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// links are the networks between verdict's processes and what they work on. The campaign's own clients do not use them.
type links struct{ kafka, redis *link }

// heal ends all faults of the networks.
func (l *links) heal() {
	for _, of := range []*link{l.kafka, l.redis} {
		if of != nil {
			of.set(weather{})
		}
	}
}

// weather is how a link is. The zero value is fair.
type weather struct {
	cut     bool          // connections are broken, and none is taken
	mute    bool          // what the server says does not arrive: a cut one way
	silent  bool          // nothing arrives either way, and nobody is told
	delayed time.Duration // by which each piece comes later
}

// link passes connections from an address on to another.
type link struct {
	front string

	mu     sync.Mutex
	behind string                // guarded by mu
	is     weather               // guarded by mu
	open   map[net.Conn]struct{} // guarded by mu: both ends of all connections
	again  chan struct{}         // guarded by mu: closed when the weather changes
}

// newLink listens at front until the test ends.
func newLink(t *testing.T, front, behind string) *link {
	t.Helper()
	l := &link{front: front, behind: behind, open: map[net.Conn]struct{}{}, again: make(chan struct{})}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		l.set(weather{cut: true})
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.pass(conn)
		}
	}()
	return l
}

// set changes the weather.
func (l *link) set(w weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.is = w
	close(l.again)
	l.again = make(chan struct{})
	if w.cut {
		for c := range l.open {
			_ = c.Close()
		}
	}
}

// lead has connections that are made from now on lead to another server.
func (l *link) lead(behind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = behind
}

// pass serves one connection.
func (l *link) pass(client net.Conn) {
	defer client.Close()
	l.mu.Lock()
	cut, behind := l.is.cut, l.behind
	l.mu.Unlock()
	if cut {
		return
	}
	server, err := net.DialTimeout("tcp", behind, time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	l.open[client], l.open[server] = struct{}{}, struct{}{}
	l.mu.Unlock()
	done := make(chan struct{}, 2)
	go func() { l.carry(server, client, false); done <- struct{}{} }()
	go func() { l.carry(client, server, true); done <- struct{}{} }()
	<-done
	l.mu.Lock()
	delete(l.open, client)
	delete(l.open, server)
	l.mu.Unlock()
}

// carry copies from one end to the other, as the weather lets it; answers are what comes back from the server.
func (l *link) carry(to, from net.Conn, answers bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !l.arrives(answers) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// arrives waits until what was read may go on. What came while nothing arrives goes on afterwards, as TCP has it, unless the connection was broken meanwhile.
func (l *link) arrives(answers bool) bool {
	l.mu.Lock()
	is, again := l.is, l.again
	l.mu.Unlock()
	for is.silent || is.mute && answers {
		<-again
		l.mu.Lock()
		is, again = l.is, l.again
		l.mu.Unlock()
	}
	if is.delayed > 0 {
		time.Sleep(is.delayed)
	}
	return !is.cut
}
