package redisstore

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DefaultTimeout is how long Redis may stay silent: it answers within a millisecond or has a problem.
const DefaultTimeout = 50 * time.Millisecond

// maxWait is the client's own limit for one pipeline. A Store sets a shorter one on the context of each pipeline, by its size; this one is for
// calls whose context has no deadline.
const maxWait = 2 * time.Second

// dialTimeout is how long a connection may take: a lost packet and its repeat.
const dialTimeout = time.Second

// poolSize is how many connections a process may hold: a thousand callers who all look their order up at once shared too few of the default (10 a core).
const poolSize = 128

// DialConfig says where Redis is. The zero value is usable: one server on this machine.
type DialConfig struct {
	// Addrs of the servers: one, or several of a cluster. An IP address spares a name look-up each time that a connection is made.
	Addrs              []string
	Cluster            bool // a single address is a cluster's configuration endpoint
	Username, Password string
	DB                 int // not with a cluster
	TLS                *tls.Config
	Timeout            time.Duration                                                     // for one small command; zero is DefaultTimeout
	Dialer             func(ctx context.Context, network, addr string) (net.Conn, error) // nil is the net package's
	Guard              *Guard                                                            // notices when the servers lose what was written; nil notices nothing
}

// Dial makes a client. It does not connect yet.
func Dial(cfg DialConfig) redis.UniversalClient {
	client, tokens := redis.NewUniversalClient(Options(cfg)), tokenHook{last: new(atomic.Uint64)}
	cluster, ok := client.(*redis.ClusterClient)
	if ok {
		cluster.AddHook(movedHook{client: cluster})
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(tokens) }) // a pipeline is one for each node
	} else {
		client.AddHook(tokens)
	}
	if cfg.Guard != nil {
		client.AddHook(cfg.Guard.hook(ok))
	}
	return client
}

// Options are the settings under which a Store is right and quick to fail; each differs from what go-redis does by default.
func Options(cfg DialConfig) *redis.UniversalOptions {
	if len(cfg.Addrs) == 0 {
		cfg.Addrs = []string{"127.0.0.1:6379"}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &redis.UniversalOptions{
		Addrs: cfg.Addrs, IsClusterMode: cfg.Cluster, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, TLSConfig: cfg.TLS, Dialer: cfg.Dialer,
		// The caller repeats, with back-off, and knows that it does. By default a pipeline whose reply is lost is sent again behind its back.
		MaxRetries:         -1,
		DialerRetries:      1,
		DialerRetryTimeout: time.Millisecond,
		// Without this a context that ends after 100 ms waits for the 5 s of the default timeout.
		ContextTimeoutEnabled: true,
		// A call does not wait for longer than its own time, but the connection is made all the same, and the next call finds it. On a machine that is short
		// of processor time one takes longer than Redis may for a command; given up each time, it would never be there.
		DialTimeout:  max(cfg.Timeout, dialTimeout),
		ReadTimeout:  maxWait,
		WriteTimeout: maxWait,
		PoolTimeout:  cfg.Timeout,
		PoolSize:     poolSize,
		// RESP2: no pushes between the replies of a pipeline, and nothing of RESP3 is used. The extras cost a round trip for each new connection.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
