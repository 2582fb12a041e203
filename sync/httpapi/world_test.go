package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

var errAway = errors.New("the broker is away")

// world stands for all that lies behind the API: Kafka, the scorer and the store. By default the scorer answers at once.
type world struct {
	desk     *await.Desk
	cfg      httpapi.Config
	registry *prometheus.Registry
	log      lockedBuffer
	scorer   func(httpapi.Request) // what happens once Kafka has an order
	submit   func(context.Context) error
	lookup   func(context.Context) error
	learn    error

	mu        sync.Mutex
	submitted []httpapi.Request          // guarded by mu
	kept      map[schemas.OrderID][]byte // guarded by mu
	labels    []schemas.Label            // guarded by mu
	rawLabels []string                   // guarded by mu
}

func newWorld() *world {
	w := &world{registry: prometheus.NewRegistry(), kept: map[schemas.OrderID][]byte{}}
	w.desk = await.New(await.Config{})
	w.scorer = w.decide
	w.submit = func(context.Context) error { return nil }
	w.lookup = w.submit
	orders := schemas.DefaultOrderSchema()
	at := schemas.Binding{ID: schemas.ParsePath("order_id"), Time: schemas.ParsePath("occurred_at")}
	w.cfg = httpapi.Config{
		Decode: func(raw []byte) (schemas.Order, uint64, error) {
			fields, err := orders.DecodeJSON(raw)
			if err != nil {
				return schemas.Order{}, 0, err
			}
			order, err := schemas.NewOrder(fields, at, raw)
			return order, schemas.Digest(fields), err
		},
		Submit: func(ctx context.Context, r httpapi.Request) error {
			if err := w.submit(ctx); err != nil {
				return err
			}
			w.mu.Lock()
			w.submitted = append(w.submitted, r)
			w.mu.Unlock()
			w.scorer(r)
			return nil
		},
		Lookup: func(ctx context.Context, id schemas.OrderID) ([]byte, bool, error) {
			if err := w.lookup(ctx); err != nil {
				return nil, false, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			record, ok := w.kept[id]
			return record, ok, nil
		},
		Learn: func(_ context.Context, labels []schemas.Label, raw [][]byte) error {
			if w.learn != nil {
				return w.learn
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.labels = append(w.labels, labels...)
			for _, r := range raw {
				w.rawLabels = append(w.rawLabels, string(r))
			}
			return nil
		},
		Desk:       w.desk,
		Registerer: w.registry,
		Log:        slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	return w
}

// decision is what the scorer makes of an order; its reason carries the order's id as a number, so that a swapped answer shows.
func decision(r httpapi.Request) *schemas.Decision {
	return &schemas.Decision{
		OrderID: r.Order.ID, Action: schemas.Review, Score: 0.5, OccurredAt: r.Order.At, DecidedAt: r.Order.At.Add(time.Second),
		Content: schemas.Digest(r.Order.Fields),
	}
}

// keep is the scorer's first decision, without a reply.
func (w *world) keep(r httpapi.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[r.Order.ID] = schemas.AppendDecision(nil, decision(r))
}

// decide keeps a decision and replies.
func (w *world) decide(r httpapi.Request) {
	w.keep(r)
	w.desk.Resolve(r.Correlation, await.Reply{OrderID: r.Order.ID, Body: schemas.AppendPublic(nil, decision(r))})
}

func silent(httpapi.Request) {}

func (w *world) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.submitted)
}

// metric sums the samples of a metric over the labels that are not given.
func (w *world) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			text := ""
			for _, l := range m.GetLabel() {
				text += l.GetName() + "=" + l.GetValue() + " "
			}
			match := true
			for _, l := range labels {
				match = match && strings.Contains(text, l+" ")
			}
			if match {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	if !found {
		t.Fatalf("there is no metric %s %v", name, labels)
	}
	return sum
}

func orderJSON(id string, amount any) string {
	return fmt.Sprintf(`{"order_id":%q,"occurred_at":"2026-01-31T12:00:00Z","customer_id":"c1","terminal_id":"t1","amount":%v}`, id, amount)
}

// post asks for a decision without a network.
func post(h http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	return call(h, http.MethodPost, "/v1/decisions", body, headers...)
}

// call sends one request; headers are "Name: value", and a body is application/json unless they say otherwise.
func call(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return callContext(context.Background(), h, method, path, body, headers...)
}

func callContext(ctx context.Context, h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	setHeaders(r.Header, headers)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer
}

func setHeaders(h http.Header, headers []string) {
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if h.Del(name); value != "" {
			h.Add(name, value)
		}
	}
}

type problem struct {
	Title, Detail, Code string
	Status              int
	Errors              []schemas.Fault
}

func problemIn(t *testing.T, answer *httptest.ResponseRecorder) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
		t.Fatalf("status %d is not a problem: %v\n%s", answer.Code, err, answer.Body)
	}
	return p
}

func wantStatus(t *testing.T, answer *httptest.ResponseRecorder, status int) {
	t.Helper()
	if answer.Code != status {
		t.Fatalf("status %d, want %d\n%s", answer.Code, status, answer.Body)
	}
}

func wantNobodyWaiting(t *testing.T, desk *await.Desk) {
	t.Helper()
	if s := desk.Stats(); s.Waiting != 0 || s.Orders != 0 {
		t.Errorf("left at the desk: %+v", s)
	}
}

// network is a listener whose connections are pipes: no ports and no file descriptors, and its waiting is durable in a synctest bubble.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newNetwork() *network { return &network{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// serve runs the API's own server on a network of pipes until the test ends.
func serve(t *testing.T, cfg httpapi.Config) (*network, *http.Client) {
	t.Helper()
	n := newNetwork()
	server := httpapi.NewServer("", cfg)
	over := make(chan error, 1)
	go func() { over <- server.Serve(n) }()
	client := &http.Client{Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 10}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		_ = server.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	return n, client
}

// send posts an order over the network and returns the answer read to its end.
func send(ctx context.Context, client *http.Client, body io.Reader, headers ...string) (*httptest.ResponseRecorder, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://verdict/v1/decisions", body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	setHeaders(r.Header, headers)
	got, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	answer := httptest.NewRecorder()
	answer.Code = got.StatusCode
	maps.Copy(answer.Header(), got.Header)
	_, err = io.Copy(answer.Body, got.Body)
	return answer, err
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
