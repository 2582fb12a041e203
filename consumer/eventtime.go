package consumer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// EventTimes is how far the event time of an order may lie from the time of its record. Limits that are 0 are none.
//
// What is compared is the record's time, never the clock, so that whoever reads the record again decides the same. A record that has no time of its own (a
// file's, or one of a client that sets none) passes.
type EventTimes struct {
	MaxAge   time.Duration // an order that lies further back is refused
	MaxAhead time.Duration // an order that lies further ahead is refused: it would make all that comes after it late, and stores drop what is old beside the newest
}

// Check returns a *schemas.Malformed for an order of event time at, which stands in field, when its record's time is recorded and the two lie too far apart.
func (e EventTimes) Check(at, recorded time.Time, field schemas.Path) error {
	if recorded.UnixMilli() <= 0 {
		return nil
	}
	var lies string
	switch ahead := at.Sub(recorded); {
	case e.MaxAhead > 0 && ahead > e.MaxAhead:
		lies = "lies more than " + short(e.MaxAhead) + " ahead of its record's time"
	case e.MaxAge > 0 && -ahead > e.MaxAge:
		lies = "lies more than " + short(e.MaxAge) + " before its record's time"
	default:
		return nil
	}
	return &schemas.Malformed{
		Code: "timestamp_range", Detail: "the order's event time " + lies, Faults: []schemas.Fault{{Pointer: field.Pointer(), Detail: lies}},
	}
}

// short writes a duration as people do: 1d, 1h30m, where Go's is 24h0m0s and 1h30m0s.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// inTime refuses an order that lies outside Config.Events, unless it is a copy of one that was decided, or is about to be: that gets its first decision,
// however late it comes.
func (w *Worker) inTime(ctx context.Context, k *work, o *schemas.Order, r *Record) error {
	refused := w.cfg.Events.Check(o.At, r.Time, w.cfg.Binding.Time)
	if refused == nil || w.cfg.Ledger == nil {
		return refused
	}
	if slices.ContainsFunc(k.orders, func(earlier preprocess.Arrived) bool { return earlier.Order.ID == o.ID }) {
		return nil
	}
	_, decided, err := w.cfg.Ledger.Find(ctx, o.ID)
	if err != nil {
		return err
	}
	if decided {
		return nil
	}
	return refused
}
