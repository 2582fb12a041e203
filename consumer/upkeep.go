package consumer

import (
	"context"

	"verdict/preprocess"
)

// Upkeep watches over a store that may lose what it holds and can be filled again from the topics, while workers work on it. All of it is required, and called
// on the worker's goroutine.
//
// While the store lacks something, orders are decided all the same, by what is there (stale), or wait. What is decided then leaves nothing in the store but its first
// decision: that partition's orders and labels are read a second time by who fills the store, in their order, as if the worker had taken them. So features that are
// made of others', and parts that say up to which offset they go, are the same as without the loss.
type Upkeep struct {
	// Enter is called before each try of a step, and waits while nothing is to be decided; it calls alive at least once a second meanwhile. Its error is that ctx
	// has ended. Bound is step for the try; its calls fail once the store loses something. Stale says that the store lacks something already. Taken is the batch's
	// records where its partitions were another's before, whose work the store must have: it is waited for.
	Enter func(ctx, step context.Context, taken []Record, alive func()) (bound context.Context, stale bool, err error)

	// Mark is called in a step that is not stale, before its last call on the store or the ledger: with what it returns that call notes that the batch is applied.
	// Marked is called after it, and notes it by itself if there was no such call. Nothing of the batch is published before.
	Mark func(ctx context.Context, records []Record) (with context.Context, marked func() error)

	// Leave is called after each try: the records are done when done, else the try has failed.
	Leave func(records []Record, done bool)
}

// attended says whether Upkeep has to do with a batch: not with one that only makes good what could not be written before.
func (w *Worker) attended(batch *Batch) bool { return w.cfg.Upkeep != nil && len(batch.Records) > 0 }

// enter waits until the batch may be worked on.
func (w *Worker) enter(ctx, step context.Context, batch *Batch) (bound context.Context, err error) {
	if !w.attended(batch) {
		w.stale = false
		return step, nil
	}
	var taken []Record
	if batch.Taken {
		taken = batch.Records
	}
	bound, w.stale, err = w.cfg.Upkeep.Enter(ctx, step, taken, w.alive)
	return bound, err
}

func (w *Worker) leave(batch *Batch, err error) {
	if w.attended(batch) {
		w.cfg.Upkeep.Leave(batch.Records, err == nil)
	}
}

// keepMarked is keep, and a mark that the batch is in the store.
func (w *Worker) keepMarked(ctx context.Context, k *work, batch *Batch) error {
	if !w.attended(batch) || w.stale {
		return w.keep(ctx, k)
	}
	ctx, marked := w.cfg.Upkeep.Mark(ctx, batch.Records)
	if err := w.keep(ctx, k); err != nil {
		return err
	}
	return marked()
}

// lookOnly gets the feature vectors of the batch's orders as what is left of the store has them, one order after the other, and leaves no trace. Whether an order
// is a copy of another is then for the ledger to say.
func (w *Worker) lookOnly(ctx context.Context, k *work) error {
	k.extracted = make([]preprocess.Extracted, len(k.orders))
	for i := range k.orders {
		vector, err := w.cfg.Extractor.Look(ctx, w.cfg.Looker, &k.orders[i])
		if err != nil {
			return err
		}
		vector.Stale = true
		k.extracted[i].Vector = vector
	}
	return nil
}
