package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DecisionsPath is where orders are posted when the target's URL has no path of its own.
const DecisionsPath = "/v1/decisions"

// maxAnswer is how much of an answer is looked at, in bytes.
const maxAnswer = 1 << 20

// HTTPConfig is an HTTP/1.1 target.
type HTTPConfig struct {
	URL     *url.URL      // without a path: of verdict's API, whose decisions are looked at for the order's id
	Header  http.Header   // beside Content-Type
	Timeout time.Duration // an order without an answer for so long is a Timeout
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// HTTP sends orders as POST requests, each worker on a keep-alive connection of its own. It speaks HTTP itself: a request is one write and the answer is read
// on the same goroutine, which costs the machine that is being measured a third of what net/http's client does.
type HTTP struct {
	cfg     HTTPConfig
	address string
	head    []byte // of every request, up to the number of Content-Length
	checks  bool   // that a decision names its order
	request *http.Request
}

// NewHTTP connects to nothing yet.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u := *cfg.URL
	t := &HTTP{cfg: cfg, address: u.Host, request: &http.Request{Method: http.MethodPost}}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	if u.Path == "" || u.Path == "/" {
		u.Path, t.checks = DecisionsPath, true
	}
	if t.cfg.Dial == nil {
		t.cfg.Dial = (&net.Dialer{}).DialContext
	}
	if u.Scheme == "https" {
		plain, config := t.cfg.Dial, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}}
		t.cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := plain(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, config), nil
		}
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: verdict-bench\r\nContent-Type: application/json\r\n", u.RequestURI(), u.Host)
	for name, values := range cfg.Header {
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n") {
				return nil, errors.New("a header holds a line break")
			}
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	head.WriteString("Content-Length: ")
	t.head = head.Bytes()
	return t, nil
}

// Reach says whether the target takes connections.
func (t *HTTP) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	conn, err := t.cfg.Dial(ctx, "tcp", t.address)
	if err != nil {
		return fmt.Errorf("reaching the target: %w", err)
	}
	return conn.Close()
}

// Open returns a line that connects when it first sends.
func (t *HTTP) Open() Line { return &httpLine{target: t} }

// httpLine is one connection, made anew when it breaks.
type httpLine struct {
	target  *HTTP
	conn    net.Conn // nil is none
	in      *bufio.Reader
	release func() bool // the conn's tie to its context
	out     []byte
	answer  bytes.Buffer
}

// Do posts an order.
func (l *httpLine) Do(ctx context.Context, order *Order) Outcome {
	l.out = strconv.AppendInt(append(l.out[:0], l.target.head...), int64(len(order.Body)), 10)
	l.out = append(append(l.out, "\r\n\r\n"...), order.Body...)
	deadline := time.Now().Add(l.target.cfg.Timeout)
	kept := l.conn != nil
	status, err := l.exchange(ctx, deadline)
	if err != nil && kept && errors.Is(err, errUnanswered) && ctx.Err() == nil {
		status, err = l.exchange(ctx, deadline) // the server had closed a connection that was idle: the order goes out on a new one
	}
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case err != nil:
		return Failed
	}
	outcome := ofStatus(status)
	if outcome == Decided && l.target.checks && !bytes.Contains(l.answer.Bytes(), order.ID) {
		return Wrong
	}
	return outcome
}

// errUnanswered says that a connection ended before the first byte of an answer.
var errUnanswered = errors.New("the connection ended without an answer")

// exchange writes the request and reads its answer. The connection stays open when both went well and the server keeps it.
func (l *httpLine) exchange(ctx context.Context, deadline time.Time) (status int, err error) {
	if err := l.connect(ctx, deadline); err != nil {
		return 0, err
	}
	keep := false
	defer func() {
		if !keep {
			l.Close()
		}
	}()
	if err := l.conn.SetDeadline(deadline); err != nil {
		return 0, unanswered(err)
	}
	if ctx.Err() != nil {
		return 0, ctx.Err() // before the deadline above could undo the one of a context that has ended
	}
	if _, err := l.conn.Write(l.out); err != nil {
		return 0, unanswered(err)
	}
	if _, err := l.in.Peek(1); err != nil {
		return 0, unanswered(err)
	}
	response, err := l.readHead()
	if err != nil {
		return 0, fmt.Errorf("reading an answer: %w", err)
	}
	defer response.Body.Close()
	l.answer.Reset()
	if _, err := l.answer.ReadFrom(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return 0, fmt.Errorf("reading an answer: %w", err)
	}
	keep = !response.Close && l.answer.Len() < maxAnswer
	return response.StatusCode, nil
}

// readHead reads up to the body, past interim answers.
func (l *httpLine) readHead() (*http.Response, error) {
	for {
		response, err := http.ReadResponse(l.in, l.target.request)
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
	}
}

func unanswered(err error) error {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return err
	}
	return fmt.Errorf("%w: %w", errUnanswered, err)
}

func (l *httpLine) connect(ctx context.Context, deadline time.Time) error {
	if l.conn != nil {
		return nil
	}
	dialing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := l.target.cfg.Dial(dialing, "tcp", l.target.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	l.conn, l.in = conn, bufio.NewReader(conn)
	l.release = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // whoever reads from it is let go
	return nil
}

// Close ends the connection.
func (l *httpLine) Close() {
	if l.conn == nil {
		return
	}
	l.release()
	_ = l.conn.Close() // nothing is on its way any more
	l.conn = nil
}
