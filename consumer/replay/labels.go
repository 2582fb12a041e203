package replay

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"verdict/consumer"
	"verdict/schemas"
)

// history is all labels of a replay, by when they became known. They are held in memory: there is one for an order at most, and most orders have none.
type history struct {
	labels []schemas.Label
	next   int
}

// readLabels reads all labels and sorts them by known_at; of those known at one time the order in which they lie stays.
func readLabels(ctx context.Context, from *source, letters *deadLetters) (history, error) {
	var h history
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
				h.labels = append(h.labels, items[i].label)
				continue
			}
			letter, ok := letterOf(from.at, &items[i])
			if !ok {
				return history{}, items[i].bad
			}
			if err := letters.add(letter); err != nil {
				return history{}, err
			}
		}
	}
	slices.SortStableFunc(h.labels, func(a, b schemas.Label) int { return a.KnownAt.Compare(b.KnownAt) })
	return h, nil
}

// known returns the next label that is known at t, as a record of the stream.
func (h *history) known(t time.Time) (consumer.Record, bool) {
	if h.next == len(h.labels) || h.labels[h.next].KnownAt.After(t) {
		return consumer.Record{}, false
	}
	l := h.labels[h.next]
	h.next++
	return consumer.Record{Stream: consumer.Labels, Time: epoch, Fields: schemas.Record{
		{Name: "order_id", Value: schemas.StringValue(string(l.ID))},
		{Name: "fraud", Value: schemas.BoolValue(l.Fraud)},
		{Name: "known_at", Value: schemas.TimeValue(l.KnownAt)},
	}}, true
}
