package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// partitionBits is how much of Arrival.Source names the partition; the topic's place in Config.Topics lies above it.
const partitionBits = 24

// work is what a step makes of its batch. The slices orders, records, formats, extracted, decisions and standing run side by side: one entry an order.
type work struct {
	orders    []preprocess.Arrived
	records   []*Record
	formats   []schemas.Format
	extracted []preprocess.Extracted
	decisions []schemas.Decision
	vectors   []schemas.FeatureVector
	rows      []schemas.Order
	kept      []Kept
	standing  [][]byte // the record that stands for each order
	labels    []schemas.Label
	warmUp    bool      // the batch's WarmUp
	letters   []letter  // records that can never be decided
	messages  []Message // what publish writes
	text      []byte    // the decisions' bytes lie here, one after the other
}

func (k *work) reset() {
	k.orders, k.records, k.formats, k.labels = k.orders[:0], k.records[:0], k.formats[:0], k.labels[:0]
	k.decisions, k.vectors, k.rows, k.kept = k.decisions[:0], k.vectors[:0], k.rows[:0], k.kept[:0]
	k.standing, k.letters, k.messages = k.standing[:0], k.letters[:0], k.messages[:0]
	k.extracted = nil
}

// registryPatience is how long an outage of the schema registry stops a partition. Schemas that are known stay known, so only a record of a new schema
// waits; one that nobody can read must not hold up the others for longer.
const registryPatience = 30 * time.Second

var unavailable = &schemas.Malformed{Code: "schema_unavailable", Detail: "the schema registry has not told the schema of this record for 30 s"}

// decode sorts a batch's records into orders, labels and dead letters. The error is an outage of the schema registry that is not 30 s old yet.
func (w *Worker) decode(ctx context.Context, batch *Batch) (*work, error) {
	k := &w.work
	k.reset()
	k.warmUp = batch.WarmUp
	began, away := time.Now(), false
	w.timings = timings{decodeStage: {began: began}}
	for i := range batch.Records {
		r := &batch.Records[i]
		err := w.decodeRecord(ctx, k, r)
		if errors.Is(err, schemas.ErrRegistry) {
			away = true
			if w.away.IsZero() {
				w.away = began
			}
			if began.Sub(w.away) >= registryPatience {
				err = unavailable
			}
		}
		if bad := (*schemas.Malformed)(nil); errors.As(err, &bad) {
			k.letters = append(k.letters, letter{record: r, stage: "VALUE_CONVERTER", why: bad})
		} else if err != nil {
			return nil, fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	}
	if !away {
		w.away = time.Time{}
	}
	w.done(decodeStage, began)
	return k, nil
}

func (w *Worker) decodeRecord(ctx context.Context, k *work, r *Record) error {
	if r.Value == nil && r.Ahead == nil {
		w.cfg.Metrics.Tombstones.Inc() // a null value is a marker of a compacted topic: there is no order to decide
		return nil
	}
	if r.Stream == Labels {
		return w.decodeLabel(ctx, k, r)
	}
	ahead, format := r.Ahead, schemas.Format{}
	if ahead == nil {
		fields, f, err := w.cfg.Orders.Decode(ctx, r.Value)
		if err != nil {
			return err
		}
		of := OrderAhead(fields, w.cfg.Binding, r.Value)
		ahead, format = &of, f
	}
	err := ahead.Err
	if err == nil {
		err = w.inTime(ctx, k, &ahead.Order, r)
	}
	if err != nil {
		return err
	}
	k.orders = append(k.orders, preprocess.Arrived{
		Order:   ahead.Order,
		Arrival: preprocess.Arrival{Millis: r.Time.UnixMilli(), Source: w.sources[r.Topic] + r.Partition, Offset: r.Offset},
		Content: ahead.Content, Again: w.again,
	})
	k.records = append(k.records, r)
	k.formats = append(k.formats, format)
	return nil
}

func (w *Worker) decodeLabel(ctx context.Context, k *work, r *Record) error {
	ahead := r.Ahead
	if ahead == nil {
		fields, _, err := w.cfg.Labels.Decode(ctx, r.Value)
		if err != nil {
			return err
		}
		of := LabelAhead(fields)
		ahead = &of
	}
	if ahead.Err != nil {
		return ahead.Err
	}
	k.labels = append(k.labels, ahead.Label)
	return nil
}

// learn teaches the store the batch's labels, before its orders. Which label counts for which order is decided by time when it is read, so that a
// label that came early changes nothing.
func (w *Worker) learn(ctx context.Context, k *work) error {
	if len(k.labels) == 0 || w.stale {
		return nil
	}
	defer w.done(learnStage, time.Now())
	return w.cfg.Store.Learn(ctx, k.labels)
}

// extract gets the feature vectors of all orders of the batch, in one exchange with the store.
func (w *Worker) extract(ctx context.Context, k *work) error {
	if len(k.orders) == 0 {
		return nil
	}
	defer w.done(extractStage, time.Now())
	if w.stale {
		return w.lookOnly(ctx, k)
	}
	var err error
	k.extracted, err = w.cfg.Extractor.Extract(ctx, k.orders)
	return err
}

// decide scores the vectors in one batch and applies the policy. A repeat is decided like its first copy and gives the same; which of them stands is
// told by keep.
func (w *Worker) decide(k *work) error {
	if len(k.orders) == 0 {
		return nil
	}
	if w.cfg.Scorer == nil || k.warmUp {
		if w.cfg.Observe != nil {
			w.cfg.Observe(k.orders, k.extracted, nil)
		}
		return nil
	}
	defer w.done(decideStage, time.Now())
	k.decisions = slices.Grow(k.decisions, len(k.orders))[:len(k.orders)]
	for i := range k.orders {
		k.rows = append(k.rows, k.orders[i].Order)
		k.vectors = append(k.vectors, k.extracted[i].Vector)
		k.decisions[i] = schemas.Decision{}
	}
	if err := w.cfg.Scorer.Decide(k.rows, k.vectors, k.decisions); err != nil {
		return err
	}
	for i := range k.decisions {
		w.stamp(&k.decisions[i], &k.orders[i], k.records[i])
	}
	if w.cfg.Observe != nil {
		w.cfg.Observe(k.orders, k.extracted, k.decisions)
	}
	return nil
}

// stamp fills what of a decision does not come from the scorer.
func (w *Worker) stamp(d *schemas.Decision, o *preprocess.Arrived, r *Record) {
	d.OrderID, d.OccurredAt, d.DecidedAt = o.Order.ID, o.Order.At, o.Order.At
	if w.cfg.Now != nil {
		d.DecidedAt = w.cfg.Now().UTC().Truncate(time.Microsecond)
	}
	d.Source = schemas.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	d.Content = o.Content
}

// keep has the ledger tell which decision stands for each order: this one, or that of an earlier copy. An order that came with other content under an
// id that was decided is no copy: it becomes a dead letter.
func (w *Worker) keep(ctx context.Context, k *work) error {
	if len(k.decisions) == 0 || w.cfg.Decisions == nil {
		return nil
	}
	defer w.done(keepStage, time.Now())
	k.text = k.text[:0]
	for i := range k.decisions {
		start := len(k.text)
		k.text = schemas.AppendDecision(k.text, &k.decisions[i])
		k.standing = append(k.standing, k.text[start:len(k.text):len(k.text)])
		if !k.extracted[i].Conflict {
			k.kept = append(k.kept, Kept{ID: k.orders[i].Order.ID, Record: k.standing[i]})
		}
	}
	if w.cfg.Ledger == nil {
		return nil
	}
	first, err := w.cfg.Ledger.First(ctx, k.kept)
	if err != nil {
		return err
	}
	for i, n := 0, 0; i < len(k.standing); i++ {
		if k.extracted[i].Conflict {
			continue
		}
		if err := w.stand(k, i, first[n]); err != nil {
			return err
		}
		n++
	}
	return nil
}

// stand puts the record that stands in the place of the order's own. Whether the order is a repeat, or a conflict, is for the ledger to say: of two copies
// under way at once, the one that the store saw first may be kept second.
func (w *Worker) stand(k *work, i int, first []byte) error {
	k.extracted[i].Repeat = false
	if bytes.Equal(first, k.standing[i]) {
		return nil
	}
	earlier, err := schemas.DecodeDecision(first)
	if err != nil {
		return fmt.Errorf("reading the decision that the ledger kept: %w", err)
	}
	k.standing[i] = first
	k.extracted[i].Conflict = earlier.Content != k.orders[i].Content
	k.extracted[i].Repeat = earlier.Source != k.decisions[i].Source
	k.decisions[i] = earlier
	return nil
}

// publish hands decisions, replies and dead letters to the transport, which need not wait until they are durable: the batch is not done before.
func (w *Worker) publish(ctx context.Context, k *work) error {
	defer w.done(publishStage, time.Now())
	for i := range k.extracted {
		if k.extracted[i].Conflict {
			k.letters = append(k.letters, letter{record: k.records[i], stage: "TRANSFORMATION", why: conflict})
		}
	}
	for i := range k.standing {
		if k.extracted[i].Conflict {
			continue
		}
		if err := w.answer(ctx, k, i); err != nil {
			return err
		}
	}
	for i := range k.letters {
		k.messages = append(k.messages, k.letters[i].message())
		if ask, asked := w.askOf(k.letters[i].record); asked {
			k.messages = append(k.messages, ask.refusal(&k.letters[i]))
		}
	}
	return w.cfg.Transport.Publish(ctx, k.messages)
}

// answer adds an order's decision to the messages, and the same to who asked for it.
func (w *Worker) answer(ctx context.Context, k *work, i int) error {
	value, err := w.cfg.Decisions.Encode(ctx, k.formats[i], k.standing[i])
	if err != nil {
		return fmt.Errorf("encoding a decision: %w", err)
	}
	r := k.records[i]
	repeat := k.extracted[i].Repeat
	k.messages = append(k.messages, Message{To: Decisions, Partition: -1, Key: r.Key, Value: value, Headers: decisionHeaders(r, repeat)})
	if ask, asked := w.askOf(r); asked {
		k.messages = append(k.messages, ask.reply(r, value))
	}
	return nil
}

// commit tells the source that the batch is done.
func (w *Worker) commit(ctx context.Context, batch *Batch) error {
	defer w.done(commitStage, time.Now())
	return w.cfg.Transport.Commit(ctx, batch)
}

var conflict = &schemas.Malformed{Code: "order_conflict", Detail: "this order id came before with another content; its first decision stands"}
