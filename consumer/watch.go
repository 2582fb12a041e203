package consumer

import (
	"fmt"
	"sync"
	"time"
)

// Progress returns when the worker last came to the end of a poll, also of one that brought nothing, or of a try of a step, also of one that failed: an
// outage is waited for, and the worker is alive. It is safe to be called concurrently, and zero before Run.
func (w *Worker) Progress() time.Time {
	nanos := w.progress.Load()
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

func (w *Worker) alive() { w.progress.Store(time.Now().UnixNano()) }

// Watch tells of workers whose loop has died: of one that hangs in a call which never returns, and that only a restart mends. It is safe for concurrent use.
type Watch struct {
	After time.Duration // without progress, after which a worker counts as dead; more than a poll that brings nothing takes (kafka.IdlePoll), and than any step

	mu      sync.Mutex
	workers []*Worker // guarded by mu
}

// Add has a worker watched, from its Run on.
func (w *Watch) Add(worker *Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workers = append(w.workers, worker)
}

// Live says which lane has made no progress for too long; nil when all are alive.
func (w *Watch) Live() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, worker := range w.workers {
		at := worker.Progress()
		if since := time.Since(at); !at.IsZero() && since > w.After {
			return fmt.Errorf("lane %s has made no progress for %s", worker.cfg.Lane, since.Round(time.Second))
		}
	}
	return nil
}
