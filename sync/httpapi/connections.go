package httpapi

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// LimitConnections returns a listener for a server of this package that takes most connections at once; 0 is 4,096. For one more, that which has been idle for the
// longest is closed, so that connections which nobody uses keep nobody out. Where none is, a few more are taken so that probes and metrics are answered whatever
// else is going on: on those every other request is refused. What comes beyond is closed at once.
func LimitConnections(l net.Listener, most int) net.Listener {
	if most <= 0 {
		most = defaultConnections
	}
	return &limited{Listener: l, most: most}
}

const (
	// defaultConnections costs 80 MB at most when all are idle, at 20 kB for a connection's goroutine and buffers.
	defaultConnections = 4096
	// surplusConnections are for probes and scrapes, of which there are a handful, and for a refusal instead of silence to who comes a little too much.
	surplusConnections = 100
	// shortIdle is for how long a connection may well be between two requests: before it is closed for another, the surplus is used up.
	shortIdle = time.Second
)

type limited struct {
	net.Listener

	most int

	mu   sync.Mutex
	open int       // guarded by mu
	idle list.List // of *counted, those that wait for a request, the longest first; guarded by mu
}

// Accept returns the next connection that is not one too many.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		taken, instead := l.take(c)
		for _, idle := range instead {
			_ = idle.Close() // its client has no request under way
		}
		if taken != nil {
			return taken, nil
		}
		_ = c.Close() // nobody has been told anything on it
	}
}

// take counts a connection, and says which are to be closed for it: mostly one, and those in the surplus once they have been idle. It returns nil for one too many.
func (l *limited) take(c net.Conn) (taken *counted, instead []*counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.most && l.idle.Len() > 0 {
		longest := l.idle.Front().Value.(*counted)
		if l.open < l.most+surplusConnections && time.Since(longest.since) < shortIdle {
			break
		}
		l.leave(longest)
		instead = append(instead, longest)
	}
	if l.open >= l.most+surplusConnections {
		return nil, instead
	}
	l.open++
	return &counted{Conn: c, listener: l, surplus: l.open > l.most}, instead
}

// leave counts a connection no more. The caller holds mu.
func (l *limited) leave(c *counted) {
	if c.left {
		return
	}
	c.left = true
	l.open--
	l.busy(c)
}

// busy takes a connection from those that are idle. The caller holds mu.
func (l *limited) busy(c *counted) {
	if c.place != nil {
		l.idle.Remove(c.place)
		c.place = nil
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	listener *limited
	surplus  bool

	left  bool          // guarded by listener.mu, as what follows
	place *list.Element // in listener.idle; nil: a request is under way
	since time.Time     // it is idle
}

// Close closes the connection, and makes room for another.
func (c *counted) Close() error {
	c.listener.mu.Lock()
	c.listener.leave(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// become notes whether the connection waits for a request.
func (c *counted) become(state http.ConnState) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy(c)
	if !c.left && (state == http.StateNew || state == http.StateIdle) {
		c.since, c.place = time.Now(), l.idle.PushBack(c)
	}
}

// countedIn returns the connection that a listener of LimitConnections gave; nil: another gave it.
func countedIn(c net.Conn) *counted {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	own, _ := c.(*counted)
	return own
}

// connState is an http.Server's ConnState.
func connState(c net.Conn, state http.ConnState) {
	if own := countedIn(c); own != nil {
		own.become(state)
	}
}

// surplusKey marks the context of a connection that is one too many.
type surplusKey struct{}

// connContext is an http.Server's ConnContext.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if own := countedIn(c); own != nil && own.surplus {
		return context.WithValue(ctx, surplusKey{}, true)
	}
	return ctx
}

func isSurplus(ctx context.Context) bool { return ctx.Value(surplusKey{}) != nil }
