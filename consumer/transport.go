package consumer

import (
	"context"
	"time"

	"verdict/schemas"
)

// Transport is where orders and labels come from and decisions go: Kafka, or the files of a replay.
//
// Poll returns the next records in the order of each partition, none when it has waited for long or when something published before could not be written; io.EOF
// ends a bounded source. Publish sends messages, and may return before they are durable, or with an error, after which any of them may have been written; doing it
// again is harmless. Messages may be none, as after each poll without records: Publish then only makes good what failed before. A reply that cannot be sent is no error: its decision stands, and who asked can read it. Commit tells that everything up
// to and including the batch is done; it takes effect when all that was published before is durable. One goroutine uses a Transport, and the bytes of messages
// only until Publish returns.
type Transport interface {
	Poll(ctx context.Context) (*Batch, error)
	Publish(ctx context.Context, messages []Message) error
	Commit(ctx context.Context, batch *Batch) error
}

// Batch is one poll's records.
type Batch struct {
	Records []Record
	WarmUp  bool // its orders only build state: nothing is decided. A replay's orders before the time that it writes from
	Taken   bool // it has the first records of partitions that were given to the worker: another may have worked on what lies before
	Again   bool // its records, and later ones, may have been worked on before, though the store does not know of it any more: it has lost something
}

// Stream says what a record is, by the topic that it came from.
type Stream uint8

// The streams that a worker reads.
const (
	Orders Stream = iota
	Labels
)

// Record is one record as it came. Key and Value are nil for null.
type Record struct {
	Stream    Stream
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time // of the record, not of the order
	Key       []byte
	Value     []byte
	Headers   []Header

	Ahead *Ahead // what a source that decodes ahead, on other goroutines, has made of Value; nil lets the worker decode
}

// Ahead is a value that was decoded ahead: an order or a label, or why it is neither.
type Ahead struct {
	Order   schemas.Order
	Content uint64 // of the order: schemas.Digest of its fields
	Label   schemas.Label
	Err     error // a *schemas.Malformed
}

// OrderAhead makes an order of the decoded fields of a record whose value is raw. It is safe to be called concurrently.
func OrderAhead(fields schemas.Record, at schemas.Binding, raw []byte) Ahead {
	order, err := schemas.NewOrder(fields, at, raw)
	if err != nil {
		return Ahead{Err: err}
	}
	return Ahead{Order: order, Content: schemas.Digest(fields)}
}

// LabelAhead makes a label of the decoded fields of a record. It is safe to be called concurrently.
func LabelAhead(fields schemas.Record) Ahead {
	label, err := schemas.NewLabel(fields)
	return Ahead{Label: label, Err: err}
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Output says which of the configured topics a message is for.
type Output uint8

// The outputs of a worker.
const (
	Decisions Output = iota
	Replies
	DeadLetters
)

// Message is one record to be written.
type Message struct {
	To        Output
	Topic     string // of a reply, as asked for; "" is the configured topic of To
	Partition int32  // of a reply, as asked for; -1 lets the key decide
	Key       []byte
	Value     []byte
	Headers   []Header
}
