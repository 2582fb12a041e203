package await

import "time"

// Wait is one caller's place at a Desk. Only that caller uses it.
type Wait struct {
	desk   *Desk
	flight *flight
	left   bool // guarded by Desk.mu
}

// Correlation returns the bytes under which the reply must come back. They are not to be changed.
func (w *Wait) Correlation() []byte { return w.flight.correlation[:] }

// Acknowledge says that Kafka has the order: from now on any of its callers may be promised a decision. The first to join calls it.
func (w *Wait) Acknowledge() {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	if !w.flight.acked {
		w.flight.acked = true
		close(w.flight.acknowledged)
	}
}

// Acknowledged returns a channel that is closed once Kafka has the order. It stays open when the submission was aborted.
func (w *Wait) Acknowledged() <-chan struct{} { return w.flight.acknowledged }

// Done returns a channel that is closed once Reply and Err tell how the wait ended.
func (w *Wait) Done() <-chan struct{} { return w.flight.done }

// Reply returns the scorer's answer. It is to be called only after Done is closed, and means nothing when Err is set.
func (w *Wait) Reply() Reply { return w.flight.reply }

// Err returns why the submission failed, nil when it did not; for who watches another order's wait also that the order is not remembered any more. It is to be called only after Done is closed.
func (w *Wait) Err() error { return w.flight.err }

// Leave ends the caller's wait; the last of an order's callers to leave frees its place. Leaving again, or after the reply, does nothing.
func (w *Wait) Leave() {
	d, f := w.desk, w.flight
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.left || f.over {
		return
	}
	w.left = true
	f.joined--
	d.waiting--
	if f.joined == 0 {
		d.desert(f, time.Now())
	}
}
