package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"verdict/consumer"
)

// epoch is the time of every record: a file has none of its own, and all of its records come from one source, where the offset orders them.
var epoch = time.UnixMilli(0)

// transport is a replay's consumer.Transport: orders and the labels known by then come from files, decisions and dead letters go to files.
// One goroutine uses it, as the contract says.
type transport struct {
	orders  feed
	from    Location // of orders
	labels  history
	ahead   []item // read and not yet polled
	batch   int    // orders a poll
	since   time.Time
	until   time.Time // zero is for ever
	newest  time.Time // latest event time so far
	through time.Time // newest, when the last step was done
	done    int64     // orders read by then
	skip    int64     // orders that an earlier run has written, and that only build state
	was     *partial  // of that run; nil: there was none
	ended   bool      // all was read
	polled  consumer.Batch

	contents     uint64 // of all orders and labels polled so far, in their order; see follow
	doneContents uint64 // contents, when the last step was done

	pace        *rate.Limiter // nil: as fast as it goes
	lateness    time.Duration
	differences *output
	rows        rowWriter // nil: not wanted
	pen         *pen[rows]
	letters     deadLetters
	judges      []*judge // the first one's decisions are the worker's
	step        step
	failed      error     // of the judges, or of what is told of their decisions
	report      *reporter // nil: not wanted
	verify      *verifier // nil: not wanted
	live        *live     // nil: nothing is known of what was decided live
	counts      counts
}

// Poll returns the next orders, each behind the labels that are known at its event time. Whether these are read in the batch of their order or in an
// earlier one changes nothing: which label counts is decided by time.
func (t *transport) Poll(ctx context.Context) (*consumer.Batch, error) {
	b := &t.polled // the worker is done with the one before
	b.Records, b.WarmUp = b.Records[:0], false
	orders := 0
	for orders < t.batch {
		if len(t.ahead) == 0 {
			err := t.read(ctx)
			if errors.Is(err, io.EOF) && orders > 0 {
				break // the next poll tells
			}
			if err != nil {
				if t.ended = errors.Is(err, io.EOF); t.ended {
					err = cmp.Or(t.enough(), err)
				}
				return nil, err
			}
		}
		it := &t.ahead[0]
		warmUp := it.bad == nil && it.at.Before(t.since) || t.counts.orders.Load() < t.skip
		if orders > 0 && warmUp != b.WarmUp {
			break // a batch is all of one kind
		}
		t.ahead = t.ahead[1:]
		if t.admit(it) {
			b.Records, b.WarmUp = t.append(b.Records, it), warmUp
			if err := t.same(); err != nil {
				return nil, err
			}
			orders++
		}
	}
	if t.pace == nil {
		return b, nil
	}
	return b, t.pace.WaitN(ctx, orders) // the one place where a replay lets time pass
}

// read gets the next items from the source.
func (t *transport) read(ctx context.Context) error {
	items, err := t.orders.next(ctx)
	t.ahead = items
	return err
}

// admit says whether an order is read at all: what lies at --until or later is not. A malformed record is always admitted, and becomes a dead letter.
func (t *transport) admit(it *item) bool {
	if it.bad != nil {
		return true
	}
	if !t.until.IsZero() && !it.at.Before(t.until) {
		t.counts.after.Add(1)
		return false
	}
	if it.at.Before(t.newest) {
		by := t.newest.Sub(it.at)
		t.counts.late.Add(1)
		t.counts.latest.Store(max(t.counts.latest.Load(), int64(by)))
		if by > t.lateness {
			t.counts.tooLate.Add(1)
		}
	} else {
		t.newest = it.at
	}
	return true
}

func (t *transport) append(records []consumer.Record, it *item) []consumer.Record {
	t.counts.orders.Add(1)
	for label, ok := t.labels.known(it.at); ok; label, ok = t.labels.known(it.at) {
		records = append(records, label)
		t.contents = follow(t.contents, contentOf(&label.Ahead.Label))
	}
	t.contents = follow(t.contents, it.ahead.Content)
	if it.record != nil { // it keeps its place and its time, so that orders of one event time count as they did live
		r := *it.record
		r.Ahead = it.sorted()
		return append(records, r)
	}
	return append(records, consumer.Record{
		Stream: consumer.Orders, Topic: t.from.file(it.file).Base(), Partition: it.file, Offset: it.offset, Time: epoch, Value: it.raw, Ahead: it.sorted(),
	})
}

// Publish writes dead letters, which is all that the worker publishes here: the judges write the decisions.
func (t *transport) Publish(_ context.Context, messages []consumer.Message) error {
	for i := range messages {
		if err := t.bury(&messages[i]); err != nil {
			return err
		}
	}
	return nil
}

// bury writes a dead letter, whose headers say where its record lay and what is wrong with it.
func (t *transport) bury(m *consumer.Message) error {
	letter := deadLetter{File: t.from.String()}
	for _, h := range m.Headers {
		switch h.Key {
		case consumer.HeaderErrorCode:
			letter.Code = string(h.Value)
		case consumer.HeaderErrorDetail:
			letter.Detail = string(h.Value)
		case consumer.HeaderOrderSource:
			place, text := cutLast(string(h.Value), "/")
			offset, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("reading the offset of a dead letter: %w", err)
			}
			if letter.Line = offset; t.from.InTopics() {
				letter.File = place
				break
			}
			_, text = cutLast(place, "/")
			number, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return fmt.Errorf("reading the file of a dead letter: %w", err)
			}
			letter.File, letter.Line = t.from.file(int32(number)).String(), offset+1 // lines count from 1
		}
	}
	return t.letters.add(letter)
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return s, ""
}

// Commit notes how far the replay is, and tells whether the rows so far could be written.
func (t *transport) Commit(context.Context, *consumer.Batch) error {
	t.through, t.done, t.doneContents = t.newest, t.counts.orders.Load(), t.contents
	return errors.Join(t.failed, t.unwritten())
}

// far is how far the replay is.
func (t *transport) far() Far {
	read, total, of := t.orders.far()
	return Far{Orders: t.counts.orders.Load(), Done: read, Total: total, Of: of}
}
