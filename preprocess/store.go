package preprocess

import (
	"cmp"
	"context"
	"math"

	"verdict/schemas"
)

// Store keeps what features are made of: per entity and per column (what is kept of each order), one point an order; and per entity the labels of its
// orders. It has no notion of windows: it adds points and shows them.
//
// Order of effects: Exchange works through its visits in order, each first adding its points and then looking, so a visit sees those before it.
// Idempotency: all is keyed by order id. The first visit of an id holds it (first by what the store saw, for ever after while it is kept); the
// points of any other arrival of that id are not kept and not seen. Doing a call again, whole or cut short, changes nothing.
// Arrival order: whatever the order of the calls, the same visits and labels leave the same state (but for which arrival holds an id). Columns that are
// merged (Ask.Merge) ask more: the visits of one source come with rising offsets, and one that is not beyond the last of its source was had before. When the last
// call is made again, whole or in parts, cut anywhere, visits see of their own source what they saw, but for points that came after them, which the reader leaves out.
// Durability: whatever the implementation's is; an error means that any part of the call may have been done.
// Concurrency: safe for concurrent use, also by several processes over one database.
type Store interface {
	// Exchange adds the points of each visit and calls see with what it asked for, visit by visit. What is found is valid during that call of see only,
	// and is not to be changed. What see changes in its visit's asks (Value, Adds) counts for those with AddSeen, which are added after it. After an
	// error, see may have been called for some of the visits.
	Exchange(ctx context.Context, visits []Visit, see func(visit int, found *Found)) error

	// Learn keeps labels: each at the event time of its order, under that order's Labelled entities; one that comes before its order waits
	// for it. All versions of a label are kept, and which one counts is decided when read (Mark).
	Learn(ctx context.Context, labels []schemas.Label) error
}

// Looker is a Store that can be looked into without a trace. Both stores of this module are.
type Looker interface {
	// Look shows what Exchange would show if the visit were of an order that came now for the first time, and changes nothing: no point is added, no id
	// claimed, and nothing expires sooner or later. What the store has of an order of the visit's id is not shown. One thing is: what a merged column
	// (Ask.Merge) has merged of such an order, as it cannot be taken out. The visit's point is then not added to it (if it has AddNow), so that the order
	// counts once. What is found is valid during the call of see only, and is not to be changed. Safe for concurrent use.
	Look(ctx context.Context, visit Visit, see func(found *Found)) error
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
	Key    string   // the entity and its key, such as "customer:42"; at most 512 bytes, any bytes
	Column string   // what is kept of an order; "*" keeps the order alone. It tells two columns of an entity apart, also by Merge
	Merge  *Merging // how points that are not new any more are merged; nil keeps each
	Adds   Adds
	Value  float64 // the order's value of the column, NaN when missing
	From   int64   // microseconds: points with From < At <= To are shown. A merged column shows more: see View
	To     int64
	Keep   int64 // microseconds: points of the column older than its newest by more than Keep may be dropped
	Marks  bool  // asks for the entity's marks instead of a column's points; what is to be added is then unused
}

// Adds says when an ask adds its point.
type Adds uint8

// When an ask adds its point.
const (
	AddNow     Adds = iota // before the visit looks, so that it sees its own point
	AddSeen                // after see has returned, with the value that it has put there
	AddNothing             // not at all: the ask only looks
)

// Found is what a visit asked for.
type Found struct {
	First   Arrival // of the visit that holds this id: equal to the visit's own unless it is a repeat
	Content uint64  // of that visit
	Again   bool    // the id was held before this visit: what the visit sees may have come after it
	Views   []View  // :: ask → what it sees
}

// View is what one ask sees.
type View struct {
	Points []Point // ascending by (At, ID)
	Marks  []Mark  // ascending by (At, ID, Known); for asks with Marks alone

	// Of a merged column alone, and whole: what lies outside of the span is for the reader to leave out.
	Cells     []Cell     // ascending by Start; of one start there may be several, of different sources
	Sightings []Sighting // ascending by Value; of one value there may be several, of different sources
}

// Point is one order in a column of an entity. It is small, since windows go through many: which order it is of is kept once for all its columns.
type Point struct { //nolint:recvcheck // Equal is what go-cmp looks for, on values; Before is called in loops
	*Ref // never nil in what a store shows

	At    int64 // event time, microseconds since 1970
	Value float64
}

// Equal says whether p and q are the same point of the same order: with the same bits, but that all NaN are one.
func (p Point) Equal(q Point) bool {
	same := math.Float64bits(p.Value) == math.Float64bits(q.Value) || p.Value != p.Value && q.Value != q.Value
	return same && p.At == q.At && *p.Ref == *q.Ref
}

// Ref tells which order a point is of, and when it came. It is not changed once it is shared.
type Ref struct {
	ID      schemas.OrderID
	Arrival Arrival
}

// Before says whether p comes before q in a column.
func (p *Point) Before(q *Point) bool {
	if p.At != q.At {
		return p.At < q.At
	}
	return p.ID < q.ID
}

// Mark is one version of an order's label at one of its entities. Of several the one that counts at a time t is that with the latest Known at or
// before t; of two with the same Known, the fraud. Versions that say "not fraud" of an order that was never marked fraud need not be kept.
type Mark struct {
	At    int64 // the order's event time
	ID    schemas.OrderID
	Known int64 // microseconds since 1970
	Fraud bool
}

// MarkAfter returns the place of the first mark later than t, in microseconds.
func MarkAfter(marks []Mark, t int64) int {
	low, high := 0, len(marks)
	for low < high {
		if mid := int(uint(low+high) >> 1); marks[mid].At <= t {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// CompareMarks orders marks as a store keeps them: by At, ID and Known, and of the rest the fraud last.
func CompareMarks(a, b Mark) int {
	switch {
	case a.At != b.At:
		return cmp.Compare(a.At, b.At)
	case a.ID != b.ID:
		return cmp.Compare(a.ID, b.ID)
	case a.Known != b.Known:
		return cmp.Compare(a.Known, b.Known)
	case a.Fraud == b.Fraud:
		return 0
	case b.Fraud:
		return -1
	default:
		return 1
	}
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
