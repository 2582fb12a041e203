package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// probeWait is how long a probe waits for the brokers: less than the second after which an orchestrator's probe usually gives up.
	probeWait = 800 * time.Millisecond
	// askWait is after when the client is to give an unanswered question up; it may take longer, as it waits for the connection's own limits.
	askWait = 5 * time.Second
)

// Probe asks the brokers whether they are there, for readiness probes: a question at a time, however many probes there are, and however long the client takes to give
// it up, which may be long after its context has ended. It is safe for concurrent use.
type Probe struct {
	ask func(context.Context) error

	mu    sync.Mutex
	asked *question // the one that is under way, or nil; guarded by mu
}

// question is one that the brokers are asked.
type question struct {
	at       time.Time
	answered chan struct{}
	err      error // once it is answered
}

// NewProbe returns a probe that asks by calling ask, which is never called twice at a time.
func NewProbe(ask func(context.Context) error) *Probe { return &Probe{ask: ask} }

// Ready says why the brokers are not there: nil when one has answered. It returns within a second, at once where the last question has been open for that long.
func (p *Probe) Ready(ctx context.Context) error {
	q := p.question() //nolint:contextcheck // it is asked for all who probe, and outlives any of them
	wait := time.NewTimer(max(0, probeWait-time.Since(q.at)))
	defer wait.Stop()
	select {
	case <-q.answered:
	case <-ctx.Done():
	case <-wait.C:
	}
	select {
	case <-q.answered:
		if q.err != nil {
			return fmt.Errorf("asking Kafka: %w", q.err)
		}
		return nil
	default:
		return fmt.Errorf("asking Kafka: no broker has answered for %s", time.Since(q.at).Round(time.Millisecond))
	}
}

// question returns the one that is under way, or a new one.
func (p *Probe) question() *question {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil {
		return p.asked
	}
	q := &question{at: time.Now(), answered: make(chan struct{})}
	p.asked = q
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), askWait)
		defer cancel()
		q.err = p.ask(ctx)
		p.mu.Lock()
		p.asked = nil
		p.mu.Unlock()
		close(q.answered)
	}()
	return q
}
