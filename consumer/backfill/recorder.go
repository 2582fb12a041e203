package backfill

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// RecorderConfig is what a Recorder is made of. Memory and Target are required.
type RecorderConfig struct {
	Memory preprocess.Store // empty, and the recorder's own
	Target preprocess.Store // what is to have the state; it takes the same orders from others meanwhile

	Columns []Column // what Target is to be given
	All     bool     // gives it everything instead, and the claims of orders that have no entity

	// Adopt, when set, makes visits of orders that Target knows already pass for those that it knows: orders that come from elsewhere than they came
	// from when Target saw them (see redisstore.Store.Adopt).
	Adopt func(ctx context.Context, visits []preprocess.Visit) error

	Rate  float64      // orders a second that Target is given at most; 0 is no limit
	After time.Time    // nothing is written before: others who drop points have to know first what is to be kept
	Log   *slog.Logger // nil is silent
}

// Column is a column, or the labels of an entity, that is to be written.
type Column struct {
	preprocess.ColumnUse

	Since time.Time // orders of an earlier event time are too old to be asked for; zero writes all
}

// Recorder is a preprocess.Store that works in memory, as a store does that has had the whole history, and writes what comes of it to another store.
// So what is written are the values which an order would have had, had its features been computed at the time, those of features over features too.
//
// It gives Target each order with the points that are wanted, all of them known by now. Target's own rules make that harmless under live traffic: points
// and labels are kept by order id, the visit that holds an id is the only one that counts, and doing it again changes nothing.
//
// While Target is away it waits, since a call on Memory that is made again would see what came after it. One goroutine uses a Recorder; Counts is for any.
type Recorder struct {
	cfg    RecorderConfig
	wants  map[columnName]int64 // :: what Target is to have → from which event time on, microseconds
	next   time.Time            // when Target may be given more
	visits []preprocess.Visit   // buffers of one call
	asks   []preprocess.Ask
	keys   []string

	orders, points, labels, foreign atomic.Int64
}

var _ preprocess.Store = (*Recorder)(nil)

// columnName tells columns apart: the beginning of the entity's keys, and the column; "" for labels.
type columnName struct{ entity, column string }

// NewRecorder makes a Recorder.
func NewRecorder(cfg RecorderConfig) *Recorder {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Recorder{cfg: cfg, wants: make(map[columnName]int64, len(cfg.Columns)), next: cfg.After}
	for i := range cfg.Columns {
		c := &cfg.Columns[i]
		since := int64(0)
		if !c.Since.IsZero() {
			since = c.Since.UnixMicro()
		}
		r.wants[columnName{c.Entity, c.Column}] = since
		// A key that was too long to be kept does not say whose it is.
		if known, ok := r.wants[columnName{hashed, c.Column}]; !ok || since < known {
			r.wants[columnName{hashed, c.Column}] = since
		}
	}
	return r
}

// hashed is how keys begin that were too long.
const hashed = "#"

// Counts returns how many orders, points and labels Target was given, and how many copies were left out because Target knows their order with another content.
func (r *Recorder) Counts() (orders, points, labels, foreign int64) {
	return r.orders.Load(), r.points.Load(), r.labels.Load(), r.foreign.Load()
}

// maxChunk is how many orders Target is given at once: few, since what is live waits behind them.
const maxChunk = 100

// Exchange is preprocess.Store's: what is seen is what Memory shows.
func (r *Recorder) Exchange(ctx context.Context, visits []preprocess.Visit, see func(int, *preprocess.Found)) error {
	known, err := r.adopt(ctx, visits)
	if err != nil {
		return err
	}
	if err := r.cfg.Memory.Exchange(ctx, visits, see); err != nil {
		return err
	}
	r.visits, r.asks, r.keys = r.visits[:0], r.asks[:0], r.keys[:0]
	for i := range visits {
		if known != nil && !known[i] {
			continue
		}
		r.take(&visits[i])
	}
	for from := 0; from < len(r.visits); from += maxChunk {
		if err := r.write(ctx, r.visits[from:min(len(r.visits), from+maxChunk)]); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes visits pass for those that Target knows. Of an order that Target knows with another content nothing is to be written: the second result is
// false for it.
func (r *Recorder) adopt(ctx context.Context, visits []preprocess.Visit) ([]bool, error) {
	if r.cfg.Adopt == nil {
		return nil, nil
	}
	contents := make([]uint64, len(visits))
	for i := range visits {
		v := &visits[i]
		contents[i] = v.Content
		// An order that nobody knows came from no partition, at its own time.
		v.Arrival = preprocess.Arrival{Millis: v.At / 1000, Source: elsewhere, Offset: v.Arrival.Offset}
	}
	if err := r.again(ctx, "finding the orders that are known", func() error { return r.cfg.Adopt(ctx, visits) }); err != nil {
		return nil, err
	}
	known := make([]bool, len(visits))
	for i := range visits {
		if known[i] = visits[i].Content == contents[i]; !known[i] {
			r.foreign.Add(1)
		}
	}
	return known, nil
}

// elsewhere is the source of orders that come from no topic.
const elsewhere = -1

// take puts a visit on the list for Target, with the points that it is to have.
func (r *Recorder) take(v *preprocess.Visit) {
	asks, keys := len(r.asks), len(r.keys)
	for i := range v.Asks {
		ask := &v.Asks[i]
		if ask.Marks || ask.Adds == preprocess.AddNothing || !r.wanted(ask.Key, ask.Column, v.At) {
			continue
		}
		// Nothing is looked at, and what had to be seen first is known now.
		r.asks = append(r.asks, preprocess.Ask{Key: ask.Key, Column: ask.Column, Merge: ask.Merge, Value: ask.Value, Keep: ask.Keep})
	}
	for _, key := range v.Labelled {
		if r.wanted(key, "", v.At) {
			r.keys = append(r.keys, key)
		}
	}
	if len(r.asks) == asks && len(r.keys) == keys && !r.cfg.All {
		return
	}
	taken := *v
	taken.Asks, taken.Labelled = r.asks[asks:len(r.asks):len(r.asks)], r.keys[keys:len(r.keys):len(r.keys)]
	r.visits = append(r.visits, taken)
}

func (r *Recorder) wanted(key, column string, at int64) bool {
	if r.cfg.All {
		return true
	}
	entity := hashed
	if colon := strings.IndexByte(key, ':'); colon >= 0 {
		entity = key[:colon+1]
	}
	since, ok := r.wants[columnName{entity, column}]
	return ok && at >= since
}

// write gives Target some visits, no faster than it is to be given any.
func (r *Recorder) write(ctx context.Context, visits []preprocess.Visit) error {
	if err := r.pace(ctx, len(visits)); err != nil {
		return err
	}
	err := r.again(ctx, "writing points", func() error {
		return r.cfg.Target.Exchange(ctx, visits, func(int, *preprocess.Found) {})
	})
	if err != nil {
		return err
	}
	r.orders.Add(int64(len(visits)))
	for i := range visits {
		r.points.Add(int64(len(visits[i].Asks)))
	}
	return nil
}

// pace waits until Target may be given so many orders.
func (r *Recorder) pace(ctx context.Context, orders int) error {
	now := time.Now()
	if r.next.After(now) {
		if err := pause(ctx, r.next.Sub(now)); err != nil {
			return err
		}
	} else {
		r.next = now
	}
	if r.cfg.Rate <= 0 {
		return nil
	}
	r.next = r.next.Add(time.Duration(float64(orders) / r.cfg.Rate * float64(time.Second)))
	return nil
}

// Learn is preprocess.Store's.
func (r *Recorder) Learn(ctx context.Context, labels []schemas.Label) error {
	if err := r.cfg.Memory.Learn(ctx, labels); err != nil {
		return err
	}
	if err := r.again(ctx, "writing labels", func() error { return r.cfg.Target.Learn(ctx, labels) }); err != nil {
		return err
	}
	r.labels.Add(int64(len(labels)))
	return nil
}

// again does what may fail for a while until it succeeds or ctx ends.
func (r *Recorder) again(ctx context.Context, what string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		r.cfg.Log.Warn("the store is away, trying again", "at", what, "try", try+1, "error", err)
		if pause(ctx, backoff(try)) != nil {
			return err
		}
	}
}

// backoff doubles from 50 ms to 5 s, with up to half of it left to chance.
func backoff(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try, 7), 5*time.Second)
	return d - rand.N(d/2) //nolint:gosec // spreads load, keeps no secret
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
