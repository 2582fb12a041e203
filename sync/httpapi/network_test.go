package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/sync/httpapi"
)

// bubble runs f on virtual time. When it and its cleanups are over, connections that net/http has closed linger for half a second more.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // virtual; registered first, so last
		f(t)
	})
}

func TestASlowBodyIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		_, client := serve(t, w.cfg)
		body, more := io.Pipe()
		defer more.Close()
		go func() { _, _ = io.WriteString(more, `{"order_id":`) }() // and nothing after it
		began := time.Now()
		answer, err := send(t.Context(), client, body)
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, answer, http.StatusRequestTimeout)
		if p := problemIn(t, answer); p.Code != "body_slow" {
			t.Errorf("problem %+v", p)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// net/http reads on while a handler waits. The body's time limit must not end that: it would look as if the caller had gone. That net/http takes the
// limit off by itself is nowhere promised.
func TestAWaitMayBeLongerThanABody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = func(r httpapi.Request) { time.AfterFunc(9*time.Second, func() { w.decide(r) }) }
		_, client := serve(t, w.cfg)
		for range 2 { // also for the next request on the connection
			answer, err := send(t.Context(), client, strings.NewReader(orderJSON("o1", 5)), "Prefer: wait=10")
			if err != nil {
				t.Fatal(err)
			}
			wantOrder(t, answer, "o1")
			clear(w.kept) // so that it is decided anew
		}
	})
}

func TestASlowBodyAndTheLongestWaitAreAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		_, client := serve(t, w.cfg)
		body, more := io.Pipe()
		order := orderJSON("o1", 5)
		go func() {
			_, _ = io.WriteString(more, order[:20])
			time.Sleep(4900 * time.Millisecond) // virtual
			_, _ = io.WriteString(more, order[20:])
			_ = more.Close()
		}()
		answer, err := send(t.Context(), client, body, "Prefer: wait=10")
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, answer, http.StatusAccepted)
	})
}

func TestTheWaiterIsFreedWhenTheCallerGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		w.scorer = silent
		_, client := serve(t, w.cfg)
		ctx, leave := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			_, err := send(ctx, client, strings.NewReader(orderJSON("o1", 5)), "Prefer: wait=10")
			over <- err
		}()
		synctest.Wait()
		if s := w.desk.Stats(); s.Waiting != 1 {
			t.Fatalf("%+v", s)
		}
		leave()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		synctest.Wait() // no virtual time passes
		wantNobodyWaiting(t, w.desk)
		if got := w.metric(t, "verdict_http_waits_total", "outcome=gone"); got != 1 {
			t.Errorf("%v callers have gone", got)
		}
		if got := w.metric(t, "verdict_http_request_seconds", "code=none"); got != 1 {
			t.Errorf("%v requests without an answer", got)
		}
	})
}

func TestBodiesThatLieAboutTheirLength(t *testing.T) {
	order := orderJSON("o1", 5)
	endless := strings.Repeat("ffff\r\n"+strings.Repeat(" ", 0xffff)+"\r\n", 4)
	tests := []struct {
		name, request string
		status        int
		code          string
	}{
		{name: "announced too large", request: "Content-Length: 9999999999\r\n\r\n", status: 413, code: "too_large"},
		{name: "chunks without end", request: "Transfer-Encoding: chunked\r\n\r\n" + endless, status: 413, code: "too_large"},
		{name: "more than announced", request: fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(order)-1, order), status: 400, code: "json_syntax"},
		{name: "broken chunks", request: "Transfer-Encoding: chunked\r\n\r\nzz\r\n", status: 400, code: "body_incomplete"},
		{name: "chunks", request: fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(order), order), status: 200},
		{name: "less than announced", request: "Content-Length: 500\r\n\r\n" + order, status: 408, code: "body_slow"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld()
				n, _ := serve(t, w.cfg)
				conn, err := n.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() {
					_, _ = io.WriteString(conn, "POST /v1/decisions HTTP/1.1\r\nHost: verdict\r\nContent-Type: application/json\r\n"+test.request)
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				body, _ := io.ReadAll(answer.Body)
				if answer.StatusCode != test.status || !strings.Contains(string(body), test.code) {
					t.Errorf("status %d, want %d %s\n%s", answer.StatusCode, test.status, test.code, body)
				}
				if answer.StatusCode == http.StatusRequestEntityTooLarge && !answer.Close {
					t.Error("the connection stays open, and what is left of the body would be the next request")
				}
			})
		})
	}
}

func TestSlowConnectionsAreClosed(t *testing.T) {
	for name, test := range map[string]struct {
		send  string
		after time.Duration
	}{
		"nothing sent":   {send: "", after: 2 * time.Second},
		"half a header":  {send: "POST /v1/decisions HTTP/1.1\r\nHost: ver", after: 2 * time.Second},
		"idle afterward": {send: "GET /livez HTTP/1.1\r\nHost: verdict\r\n\r\n", after: 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, _ := serve(t, newWorld().cfg)
				conn, err := n.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, test.send) }()
				if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Fatal(err)
				}
				if took := time.Since(began); took != test.after {
					t.Errorf("closed after %v, want %v", took, test.after)
				}
			})
		})
	}
}

func TestASlowReaderIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := serve(t, newWorld().cfg)
		conn, err := n.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /openapi.json HTTP/1.1\r\nHost: verdict\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // virtual; the longest wait and what goes with it is 22.1 s
		if got, err := io.ReadAll(conn); err != nil || len(got) != 0 {
			t.Errorf("the answer was still to be had: %d bytes, error %v", len(got), err)
		}
	})
}

func TestHeadersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld()
		_, client := serve(t, w.cfg)
		for size, status := range map[int]int{8 << 10: 200, 32 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			answer, err := send(t.Context(), client, strings.NewReader(orderJSON("o1", 5)), "Tracestate: "+strings.Repeat("x", size))
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, answer, status)
		}
	})
}
