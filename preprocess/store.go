package preprocess

import (
	"context"

	"verdict/schemas"
)

// Store keeps what features are made of: per entity and per column (a field that is aggregated), one point an order; and per entity the labels of its
// orders. It has no notion of windows: it adds points and gives them back.
//
// Order of effects: Exchange works through its visits in order, each first adding its points and then reading, so a visit sees those before it.
// Idempotency: all is keyed by order id. The first visit of an id holds it (first by what the store saw, for ever after while it is kept); the
// points of any other arrival of that id are not kept and not seen. Doing a call again, whole or cut short, changes nothing.
// Arrival order: whatever the order of the calls, the same visits and labels leave the same state (but for which arrival holds an id).
// Durability: whatever the implementation's is; an error means that any part of the call may have been done.
// Concurrency: safe for concurrent use, also by several processes over one database.
type Store interface {
	// Exchange adds the points of each visit and returns what each asked for, in the order of visits. The points are not to be changed, and are
	// valid until the next call.
	Exchange(ctx context.Context, visits []Visit) ([]Found, error)

	// Learn keeps labels: each at the event time of its order, under that order's Labelled entities; one that comes before its order waits
	// for it. All versions of a label are kept, and which one counts is decided when read (Mark).
	Learn(ctx context.Context, labels []schemas.Label) error
}

// Visit is one order's call on the store.
type Visit struct {
	ID       schemas.OrderID
	At       int64 // event time, microseconds since 1970
	Arrival  Arrival
	Content  uint64   // digest of the order's content: two orders of one id and other content are a conflict
	Labelled []string // keys (see Ask.Key) of the entities under which a label of this order is kept; empty when no feature asks for labels
	Asks     []Ask    // at most one per Key and Column
}

// Ask adds one point to a column of one entity and asks for the points of a span of time.
type Ask struct {
	Key    string  // the entity and its key, such as "customer:42"; at most 512 bytes, any bytes
	Column string  // which field is kept, by its path; "*" keeps the order alone. The labels of the entity are asked with Marks instead.
	Value  float64 // the order's value of the column, NaN when missing
	From   int64   // microseconds: points with From < At <= To are returned
	To     int64
	Keep   int64 // microseconds: points of the column older than its newest by more than Keep may be dropped
	Marks  bool  // asks for the entity's marks instead of a column's points; Column and Value are then unused and nothing is added
}

// Found is what a visit asked for.
type Found struct {
	First   Arrival   // of the visit that holds this id: equal to the visit's own unless it is a repeat
	Content uint64    // of that visit
	Points  [][]Point // :: ask → its points, ascending by (At, ID); nil for Marks
	Marks   [][]Mark  // :: ask → its marks, ascending by (At, ID, Known); nil without Marks
}

// Point is one order in a column of an entity.
type Point struct {
	At      int64 // event time, microseconds since 1970
	ID      schemas.OrderID
	Value   float64
	Arrival Arrival
}

// Mark is one version of an order's label at one of its entities. Of several the one that counts at a time t is that with the latest Known at or
// before t; of two with the same Known, the fraud. Versions that say "not fraud" of an order that was never marked fraud need not be kept.
type Mark struct {
	At    int64 // the order's event time
	ID    schemas.OrderID
	Known int64 // microseconds since 1970
	Fraud bool
}

// Arrival says when an order came, to tell which of two orders of one event time was first. Within a source (a partition, a file) the offset tells;
// across sources the millisecond in which it was written to its source.
type Arrival struct {
	Millis int64
	Source int32
	Offset int64
}

// Before says whether a came before b.
func (a Arrival) Before(b Arrival) bool {
	switch {
	case a.Source == b.Source:
		return a.Offset < b.Offset
	case a.Millis != b.Millis:
		return a.Millis < b.Millis
	default:
		return a.Source < b.Source
	}
}
