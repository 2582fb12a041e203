package consumer

import (
	"context"

	"verdict/schemas"
)

// Ledger keeps the first decision of each order, whatever is redelivered, restarted or retried.
//
// First keeps each record unless its order has one already, and returns for each the record that stands: its own or the earlier one. The first of two
// records of one order within a call stands. An error means that any part may have been kept; the call can be made again. Find returns the record that
// stands for an order. Safe for concurrent use, by several processes over one database. Records stay for a configured time, never less.
type Ledger interface {
	First(ctx context.Context, records []Kept) ([][]byte, error)
	Find(ctx context.Context, id schemas.OrderID) (record []byte, found bool, err error)
}

// Kept is a decision as a Ledger keeps it: the bytes that schemas.AppendDecision wrote.
type Kept struct {
	ID     schemas.OrderID
	Record []byte
}
