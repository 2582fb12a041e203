package redisstore_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/storetest"
	"verdict/schemas"
)

// staleConn gives, when armed, the answers of the pipeline before once more, ahead of those which were asked for: what a connection does that has lost count.
type staleConn struct {
	net.Conn
	line *staleLine
}

type staleLine struct {
	mu            sync.Mutex
	armed         bool
	dials         int
	last, pending []byte
}

func (c staleConn) Read(p []byte) (int, error) {
	c.line.mu.Lock()
	if c.line.armed {
		c.line.armed, c.line.pending = false, c.line.last
	}
	if n := copy(p, c.line.pending); n > 0 {
		c.line.pending = c.line.pending[n:]
		c.line.mu.Unlock()
		return n, nil
	}
	c.line.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.line.last = append([]byte(nil), p[:n]...)
	return n, err
}

// TestRepliesToAnotherPipelineAreRefused: they would show one customer's orders to another's. The connection is not used again.
func TestRepliesToAnotherPipelineAreRefused(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			cfg, line := server.start(t), &staleLine{}
			cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				line.mu.Lock()
				defer line.mu.Unlock()
				line.dials++
				return staleConn{conn, line}, err
			}
			s := redisstore.New(dial(t, cfg), redisstore.Config{Timeout: patient})
			of := func(n int, customer string) preprocess.Visit {
				return preprocess.Visit{
					ID: schemas.OrderID(customer), At: t0 + int64(n), Arrival: preprocess.Arrival{Offset: int64(n)},
					Asks: []preprocess.Ask{points(customer, "*", 0)},
				}
			}
			mustExchange(t, s, of(1, "a")) // two of one shape: nothing but the token tells their replies apart
			mustExchange(t, s, of(2, "b"))
			line.mu.Lock()
			line.armed = true
			dials := line.dials
			line.mu.Unlock()
			if _, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{of(3, "c")}); err == nil {
				t.Fatal("replies to another pipeline are taken")
			}
			found, err := storetest.Exchange(t.Context(), s, []preprocess.Visit{of(3, "c")})
			if err != nil {
				t.Fatal(err)
			}
			if got := found[0].Views[0].Points; len(got) != 1 || got[0].ID != "c" {
				t.Errorf("c sees %v", got)
			}
			line.mu.Lock()
			defer line.mu.Unlock()
			if line.dials == dials {
				t.Error("the connection was used again")
			}
		})
	}
}
