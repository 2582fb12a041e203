package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"verdict/consumer"
	"verdict/consumer/backtest"
	"verdict/schemas"
)

// history is all labels of a replay, by when they became known. They are held in memory: there is one for an order at most, and most orders have none.
type history struct {
	labels []heard
	next   int
	latest map[schemas.OrderID]int32 // :: order → place of the label that stands at the end; made by find
}

// heard is a label, and when it came.
type heard struct {
	schemas.Label

	at int64 // the time of its record in a topic, microseconds since 1970; unheard in a file, which has no such times
}

const unheard = math.MinInt64

// readLabels reads all labels and sorts them by known_at; of those known at one time the order in which they lie stays.
func readLabels(ctx context.Context, from feed, at Location, letters *deadLetters) (history, error) {
	var h history
	bad := 0
	for {
		items, err := from.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return history{}, err
		}
		for i := range items {
			if items[i].bad == nil {
				h.labels = append(h.labels, heardOf(&items[i]))
				continue
			}
			letter, ok := letterOf(at, &items[i])
			if !ok {
				return history{}, items[i].bad
			}
			bad++
			if err := letters.add(letter); err != nil {
				return history{}, err
			}
		}
	}
	if bad > 0 && len(h.labels) == 0 {
		return history{}, fmt.Errorf("%w: none of the %d records of %s is a label", ErrNothing, bad, at)
	}
	slices.SortStableFunc(h.labels, func(a, b heard) int { return a.KnownAt.Compare(b.KnownAt) })
	return h, nil
}

func heardOf(it *item) heard {
	h := heard{Label: it.ahead.Label, at: unheard}
	if it.record != nil {
		h.at = it.record.Time.UnixMicro()
	}
	return h
}

// find makes it possible to ask for latestOf. Of two labels of one order that became known at the same moment the fraud stands, as in features.
func (h *history) find() {
	h.latest = make(map[schemas.OrderID]int32, len(h.labels))
	for i := range h.labels {
		l := &h.labels[i]
		if at, ok := h.latest[l.ID]; ok && h.labels[at].Fraud && h.labels[at].KnownAt.Equal(l.KnownAt) {
			continue
		}
		h.latest[l.ID] = int32(i)
	}
}

// latestOf returns the last that became known of an order, and when.
func (h *history) latestOf(id schemas.OrderID) (backtest.Label, int64) {
	at, ok := h.latest[id]
	if !ok {
		return backtest.NoLabel, 0
	}
	l := &h.labels[at]
	if l.Fraud {
		return backtest.Fraud, l.KnownAt.UnixMicro()
	}
	return backtest.Honest, l.KnownAt.UnixMicro()
}

// known returns the next label that is known at t, as a record of the stream.
func (h *history) known(t time.Time) (consumer.Record, bool) {
	if h.next == len(h.labels) || h.labels[h.next].KnownAt.After(t) {
		return consumer.Record{}, false
	}
	l := &h.labels[h.next]
	h.next++
	return consumer.Record{Stream: consumer.Labels, Time: epoch, Ahead: &consumer.Ahead{Label: l.Label}}, true
}
