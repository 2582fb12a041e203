package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/schemas"
)

// upkeep is an Upkeep that says of each try whether it is stale, and notes what it is told.
type upkeep struct {
	w      *world
	stale  []bool // :: try
	unmark error  // what the first marked returns
	told   []string
}

func (u *upkeep) hooks() *consumer.Upkeep {
	return &consumer.Upkeep{
		Enter: func(_, step context.Context, _ []consumer.Record, alive func()) (context.Context, bool, error) {
			alive()
			stale := len(u.stale) > 0 && u.stale[0]
			u.stale = u.stale[min(1, len(u.stale)):]
			return step, stale, nil
		},
		Mark: func(ctx context.Context, records []consumer.Record) (context.Context, func() error) {
			u.told = append(u.told, fmt.Sprintf("marking %d", records[0].Offset))
			return ctx, func() error {
				err := u.unmark
				u.unmark = nil
				u.told = append(u.told, fmt.Sprintf("marked, %d published", len(u.w.transport.messages)))
				return err
			}
		},
		Leave: func(records []consumer.Record, done bool) {
			u.told = append(u.told, fmt.Sprintf("%d records done: %v", len(records), done))
		},
	}
}

// runWith runs a worker with that upkeep over the world's log.
func (w *world) runWith(u *upkeep) {
	w.t.Helper()
	u.w = w
	cfg := w.workerConfig()
	cfg.Upkeep, cfg.Looker = u.hooks(), w.store.inner.(preprocess.Looker)
	synctest.Test(w.t, func(t *testing.T) {
		worker, err := consumer.New(cfg)
		if err == nil {
			err = worker.Run(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestAStaleStepDecidesByWhatIsThereAndLeavesNothingThere but first decisions: who fills the store applies its orders and labels.
func TestAStaleStepDecidesByWhatIsThereAndLeavesNothingThere(t *testing.T) {
	w := newWorld(t)
	w.transport.size = 2
	w.order("a", "c1", 50, 1)
	w.order("b", "c1", 60, 2)
	w.order("c", "c1", 70, 3) // stale, as all of this batch
	w.label("a", 4)
	w.order("d", "c1", 80, 5)
	w.order("c", "c1", 70, 3) // again
	u := &upkeep{stale: []bool{false, true, false}}
	w.runWith(u)
	want := map[schemas.OrderID]string{
		"a": "[amount orders total frauds] [50 1 50 0]",
		"b": "[amount orders total frauds] [60 2 110 0]",
		"c": "[amount orders total frauds] [70 3 180 0]",
		"d": "[amount orders total frauds] [80 3 190 0]", // neither c nor the label is in the store
	}
	if diff := cmp.Diff(want, w.vectors()); diff != "" {
		t.Error(diff)
	}
	got := w.decisions() // which says that c has one
	if c := got["c"]; c.Action != schemas.Review || !cmp.Equal(c.Degraded, []string{"features_stale"}) || c.Score > 0.5 {
		t.Errorf("a stale order is decided %s with score %v, degraded %v", c.Action, c.Score, c.Degraded)
	}
	if d := got["d"]; d.Action != schemas.Approve || len(d.Degraded) > 0 {
		t.Errorf("an order after that is decided %s, degraded %v", d.Action, d.Degraded)
	}
}

// TestABatchIsMarkedBeforeItIsPublished: else its offsets might be committed without the store saying that it has the batch. A stale one is not marked.
func TestABatchIsMarkedBeforeItIsPublished(t *testing.T) {
	w := newWorld(t)
	w.transport.size = 1
	w.order("a", "c1", 50, 1)
	w.label("a", 4)
	w.order("b", "c1", 60, 2)
	u := &upkeep{stale: []bool{false, false, false, true}, unmark: errors.New("the store lost something")}
	w.runWith(u)
	want := []string{
		"marking 0", "marked, 0 published", "1 records done: false", // and tried again
		"marking 0", "marked, 0 published", "1 records done: true",
		"marking 1", "marked, 1 published", "1 records done: true",
		"1 records done: true",
	}
	if diff := cmp.Diff(want, u.told); diff != "" {
		t.Error(diff)
	}
}

// TestAWorkerThatWaitsForItsStoreEnds when it is asked to, without having begun anything.
func TestAWorkerThatWaitsForItsStoreEnds(t *testing.T) {
	w := newWorld(t)
	w.order("a", "c1", 50, 1)
	cfg := w.workerConfig()
	ctx, stop := context.WithCancel(t.Context())
	cfg.Looker, cfg.Upkeep = w.store.inner.(preprocess.Looker), &consumer.Upkeep{
		Enter: func(ctx, step context.Context, _ []consumer.Record, _ func()) (context.Context, bool, error) {
			stop()
			<-ctx.Done()
			return step, false, ctx.Err()
		},
	}
	worker, err := consumer.New(cfg)
	if err == nil {
		err = worker.Run(ctx)
	}
	if err != nil || w.faults.calls != 0 {
		t.Errorf("it ended with %v after %d calls", err, w.faults.calls)
	}
}
