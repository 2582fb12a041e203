package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/sync/httpapi"
)

// TestProbesAreAnsweredWhenConnectionsAreNot opens more connections than may be: on the first that is too many orders are refused and probes are not, and
// far beyond the longest idle makes room. So does each one that closes.
func TestProbesAreAnsweredWhenConnectionsAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, w := newNetwork(), newWorld()
		server := httpapi.NewServer("", w.cfg)
		over := make(chan error, 1)
		go func() { over <- server.Serve(httpapi.LimitConnections(n, 3)) }()
		var clients []*http.Client
		client := func() *http.Client { // with a connection of its own, which stays open
			c := &http.Client{Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 1}}
			clients = append(clients, c)
			return c
		}
		probe := func(c *http.Client) (int, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://verdict/livez", http.NoBody)
			if err != nil {
				return 0, err
			}
			res, err := c.Do(r)
			if err != nil {
				return 0, err
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			return res.StatusCode, err
		}
		for range 3 {
			if code, err := probe(client()); code != http.StatusOK {
				t.Fatal(code, err)
			}
		}
		surplus := client()
		if code, err := probe(surplus); code != http.StatusOK {
			t.Errorf("a probe on the first connection too many: %d %v", code, err)
		}
		refused, err := send(t.Context(), surplus, strings.NewReader(orderJSON("a", 1)))
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, refused, http.StatusServiceUnavailable)
		if problemIn(t, refused).Code != "overloaded" {
			t.Errorf("%v %s", refused.Header(), refused.Body)
		}
		synctest.Wait()
		for range 100 {
			if code, err := probe(client()); code != http.StatusOK {
				t.Fatal(code, err)
			}
		}
		if code, err := probe(client()); code != http.StatusOK { // for which one that is idle was closed
			t.Errorf("a connection far too many: %d %v", code, err)
		}
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		synctest.Wait()
		taken, err := send(t.Context(), client(), strings.NewReader(orderJSON("a", 1)))
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, taken, http.StatusOK)
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		_ = server.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// crowd is a server of a few connections, and who dials it.
func crowd(t *testing.T, w *world, most int) *network {
	t.Helper()
	n := newNetwork()
	server := httpapi.NewServer("", w.cfg)
	over := make(chan error, 1)
	go func() { over <- server.Serve(httpapi.LimitConnections(n, most)) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return n
}

// ask sends a request on a connection and returns the answer's status, 0 where there is none.
func ask(c net.Conn, request string) int {
	go func() { _, _ = io.WriteString(c, request) }()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

func askFor(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: verdict\r\n\r\n" }

func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	for name, test := range map[string]struct {
		asks bool          // whether those that are idle had a request each
		wait time.Duration // from then on
	}{"kept alive": {true, 5 * time.Second}, "kept alive, at once": {true, 0}, "silent": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := crowd(t, newWorld(), 50)
				dial := func() net.Conn {
					c, err := n.dial(t.Context(), "", "")
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = c.Close() })
					return c
				}
				for i := range 5000 {
					if c := dial(); test.asks && ask(c, askFor("/livez")) != http.StatusOK {
						t.Fatalf("connection %d had no answer", i)
					}
				}
				synctest.Wait()
				time.Sleep(test.wait) // virtual
				order := orderJSON("a", 1)
				if status := ask(dial(), fmt.Sprintf("POST /v1/decisions HTTP/1.1\r\nHost: verdict\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(order), order)); test.wait > 0 && status != http.StatusOK {
					t.Errorf("an order: %d", status)
				}
				for range 200 {
					for _, path := range []string{"/livez", "/readyz"} {
						if status := ask(dial(), askFor(path)); status != http.StatusOK {
							t.Fatalf("%s: %d", path, status)
						}
					}
				}
			})
		})
	}
}

// Connections that wait for answers are not closed for others.
func TestBusyConnectionsAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		n := crowd(t, w, 3)
		statuses := make(chan int)
		for i := range 3 {
			c, err := n.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			order := orderJSON("o"+strconv.Itoa(i), 1)
			go func() {
				defer c.Close()
				statuses <- ask(c, fmt.Sprintf("POST /v1/decisions HTTP/1.1\r\nHost: verdict\r\nContent-Type: application/json\r\nPrefer: wait=5\r\nContent-Length: %d\r\n\r\n%s", len(order), order))
			}()
		}
		synctest.Wait()
		for range 300 { // of which each that is beyond the surplus takes the place of an idle one
			c, err := n.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			if status := ask(c, askFor("/livez")); status != http.StatusOK {
				t.Fatalf("a probe: %d", status)
			}
			synctest.Wait()
		}
		for range 3 {
			if status := <-statuses; status != http.StatusAccepted {
				t.Errorf("a caller who waited: %d", status)
			}
		}
	})
}
