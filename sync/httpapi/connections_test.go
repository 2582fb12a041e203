package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"verdict/sync/httpapi"
)

// TestProbesAreAnsweredWhenConnectionsAreNot opens more connections than may be: on the first that is too many orders are refused and probes are not, and
// far beyond there is no answer at all. Each one that closes makes room.
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
		if code, err := probe(client()); err == nil {
			t.Errorf("a connection far too many was answered: %d", code)
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
