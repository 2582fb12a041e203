package httpapi

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// LimitConnections returns a listener for a server of this package that takes most connections at once; 0 is 4,096. A few more are taken so that
// probes and metrics are answered whatever else is going on: on those every other request is refused. What comes beyond is closed at once.
func LimitConnections(l net.Listener, most int) net.Listener {
	if most <= 0 {
		most = defaultConnections
	}
	return &limited{Listener: l, most: int64(most)}
}

const (
	// defaultConnections costs 80 MB at most when all are idle, at 20 kB for a connection's goroutine and buffers.
	defaultConnections = 4096
	// surplusConnections are for probes and scrapes, of which there are a handful, and for a refusal instead of silence to who comes a little too much.
	surplusConnections = 100
)

type limited struct {
	net.Listener

	most int64
	open atomic.Int64
}

// Accept returns the next connection that is not one too many.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		n := l.open.Add(1)
		if n <= l.most+surplusConnections {
			return &counted{Conn: c, listener: l, surplus: n > l.most}, nil
		}
		l.open.Add(-1)
		_ = c.Close() // nobody has been told anything on it
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	listener *limited
	surplus  bool
	closing  sync.Once
}

// Close closes the connection, and makes room for another.
func (c *counted) Close() error {
	c.closing.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}

// surplusKey marks the context of a connection that is one too many.
type surplusKey struct{}

// connContext is an http.Server's ConnContext.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*counted); ok && c.surplus {
		return context.WithValue(ctx, surplusKey{}, true)
	}
	return ctx
}

func isSurplus(ctx context.Context) bool { return ctx.Value(surplusKey{}) != nil }
