package consumer

import (
	"bytes"
	"context"
	"sync"

	"verdict/schemas"
)

// MemLedger is a Ledger in memory, for one process that needs no durability: the demo and tests. It holds the newest Max orders.
type MemLedger struct {
	max     int
	mu      sync.RWMutex
	records map[schemas.OrderID][]byte // :: order → the record that stands; guarded by mu
	order   []schemas.OrderID          // a ring of the ids by age; guarded by mu
	next    int                        // the ring's oldest place once it is full; guarded by mu
}

// NewMemLedger returns a ledger of the newest limit orders; 0 is a million (about 1 GiB when vectors are long).
func NewMemLedger(limit int) *MemLedger {
	if limit <= 0 {
		limit = 1_000_000
	}
	return &MemLedger{max: limit, records: make(map[schemas.OrderID][]byte)}
}

// First keeps the records of orders that have none, and returns those that stand.
func (l *MemLedger) First(_ context.Context, records []Kept) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([][]byte, len(records))
	for i, r := range records {
		first, has := l.records[r.ID]
		if !has {
			first = bytes.Clone(r.Record)
			l.add(r.ID, first)
		}
		out[i] = first
	}
	return out, nil
}

func (l *MemLedger) add(id schemas.OrderID, record []byte) {
	l.records[id] = record
	if len(l.order) < l.max {
		l.order = append(l.order, id)
		return
	}
	delete(l.records, l.order[l.next])
	l.order[l.next] = id
	l.next = (l.next + 1) % l.max
}

// Find returns the record that stands for an order.
func (l *MemLedger) Find(_ context.Context, id schemas.OrderID) ([]byte, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	record, found := l.records[id]
	return record, found, nil
}
