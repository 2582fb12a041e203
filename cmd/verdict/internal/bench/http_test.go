package bench_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/cmd/verdict/internal/bench"
)

// network is a listener and its connections in memory, which virtual time can pass over.
type network struct {
	incoming chan net.Conn
	closed   chan struct{}
	dialled  atomic.Int64
	once     sync.Once
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.incoming:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.incoming <- there:
		n.dialled.Add(1)
		return here, nil
	case <-n.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve runs a server in a bubble, and returns a target that is it.
func serve(t *testing.T, server *http.Server, address string, timeout time.Duration) (*network, *bench.HTTP) {
	t.Helper()
	n := &network{incoming: make(chan net.Conn), closed: make(chan struct{})}
	go func() { _ = server.Serve(n) }()
	t.Cleanup(func() { _ = server.Close(); time.Sleep(time.Second) }) // virtual: net/http lets its connections linger for half a second
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	target, err := bench.NewHTTP(bench.HTTPConfig{URL: u, Timeout: timeout, Dial: n.dial, Header: http.Header{"Prefer": {"wait=0.05"}}})
	if err != nil {
		t.Fatal(err)
	}
	return n, target
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// The same as with a fake target, through HTTP: a server that answers nobody for a second has made all wait who were due meanwhile.
func TestAStallOfAnHTTPServerIsSeenByAllThatWasDueWithinIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if stall := time.Since(began) - 2*time.Second; stall >= 0 && stall < time.Second {
				time.Sleep(time.Second - stall)
			}
			echo(w, r)
		})}
		n, target := serve(t, server, "http://verdict", 10*time.Second)
		load := bench.New(bench.Config{Target: target, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		r := load.Run(t.Context(), bench.Stage{Rate: 500, Length: 5 * time.Second})
		load.Close()
		if r.Counts[bench.Decided] != 2500 {
			t.Fatalf("%v", r.Counts)
		}
		// One second of five.
		if p79, p90, p99 := r.Quantile(0.79), r.Quantile(0.9), r.Quantile(0.99); p79 > 5*time.Millisecond || p90.Round(10*time.Millisecond) != 500*time.Millisecond || p99.Round(10*time.Millisecond) != 950*time.Millisecond {
			t.Errorf("p79 %v, p90 %v, p99 %v", p79, p90, p99)
		}
		if dialled := n.dialled.Load(); dialled < 500 || dialled > 510 {
			t.Errorf("%d connections for 500 orders at once", dialled)
		}
	})
}

func TestAnswersAreToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    bench.Outcome
	}{
		"the decision": {echo, bench.Decided},
		"in chunks": {func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.(http.Flusher).Flush()
			_, _ = w.Write(body)
		}, bench.Decided},
		"after an interim": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusEarlyHints); echo(w, r) }, bench.Decided},
		"another's":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"order_id":"x"}`) }, bench.Wrong},
		"later":            {status(http.StatusAccepted), bench.Pending},
		"refused":          {status(http.StatusConflict), bench.Refused},
		"too many":         {status(http.StatusTooManyRequests), bench.TooMany},
		"unavailable":      {status(http.StatusServiceUnavailable), bench.Unavailable},
		"internal":         {status(http.StatusInternalServerError), bench.Other},
		"never":            {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, bench.Timeout},
		"broken":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, bench.Failed},
		"broken in between": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "x")
		}, bench.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, target := serve(t, &http.Server{Handler: test.handler}, "http://verdict/", time.Second)
				load := bench.New(bench.Config{Target: target, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
				r := load.Run(t.Context(), bench.Stage{Rate: 2, Length: 5 * time.Second})
				load.Close()
				if diff := cmp.Diff(map[bench.Outcome]int64{test.want: 10}, r.Counts); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestRequestsAreWholeAndConnectionsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.RequestURI != "/fraud/check?x=1" || r.Host != "verdict:81" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Prefer") != "wait=0.05" || !strings.HasPrefix(string(body), `{"order_id":"b`) {
				w.WriteHeader(http.StatusTeapot)
			}
		})}
		n, target := serve(t, server, "http://verdict:81/fraud/check?x=1", time.Second)
		load := bench.New(bench.Config{Target: target, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		for range 2 {
			if r := load.Run(t.Context(), bench.Stage{Rate: 20, Length: 5 * time.Second}); r.Counts[bench.Decided] != 100 { // a path of its own need not answer with the id
				t.Errorf("%v", r.Counts)
			}
		}
		load.Close()
		if n.dialled.Load() != 1 {
			t.Errorf("%d connections, where one is enough", n.dialled.Load())
		}
	})
}

// A server may close a connection that is idle just when an order goes out on it.
func TestAnOrderOnAConnectionThatWasClosedMeanwhileIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, target := serve(t, &http.Server{Handler: http.HandlerFunc(echo), IdleTimeout: time.Second}, "http://verdict", time.Second)
		load := bench.New(bench.Config{Target: target, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		r := load.Run(t.Context(), bench.Stage{Rate: 0.5, Length: 10 * time.Second})
		load.Close()
		if r.Counts[bench.Decided] != 5 || n.dialled.Load() != 5 {
			t.Errorf("%v over %d connections", r.Counts, n.dialled.Load())
		}
	})
}

func TestATargetThatIsNotThereIsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, target := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, "http://verdict", time.Second)
		_ = n.Close()
		if err := target.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "reaching the target") {
			t.Errorf("reached: %v", err)
		}
		load := bench.New(bench.Config{Target: target, Orders: someOrders(t), Arrivals: bench.Even, Sleep: time.Sleep})
		r := load.Run(t.Context(), bench.Stage{Rate: 10, Length: time.Second})
		load.Close()
		if r.Counts[bench.Failed] != 10 || r.Fault() == "" {
			t.Errorf("%v, fault %q", r.Counts, r.Fault())
		}
	})
}
