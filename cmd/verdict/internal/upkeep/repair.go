package upkeep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess/redisstore"
)

// repairing is one repair.
type repairing struct {
	*Keeper

	began   time.Time
	records int64
	kept    int64
	gap     gap
	at      kafka.Offsets        // up to where the store has everything
	told    kafka.Offsets        // up to where decisions were kept again
	evicted redisstore.Evictions // before it began
	unsure  bool                 // the marks may say too much
}

// repair fills the store. When it fails, somebody begins again, from the marks that stand by then.
func (k *Keeper) repair(ctx context.Context) {
	r := &repairing{Keeper: k, began: time.Now()}
	bound := k.cfg.Guard.Bind(ctx, k.session)
	name, err := r.run(bound)
	if err == nil && r.evicted != nil {
		err = k.cfg.Bulletin.Accept(bound, r.evicted)
	}
	if err == nil {
		err = k.cfg.Bulletin.Declare(bound, name)
	}
	if resigned := k.resign(context.WithoutCancel(ctx)); resigned != nil && err == nil {
		k.cfg.Log.Debug("giving up the repair", "error", resigned)
	}
	k.cfg.Metrics.Behind.Reset()
	if err != nil {
		if ctx.Err() == nil {
			k.cfg.Log.Warn("the store could not be filled, trying again", "error", err)
		}
		k.set(func() { k.stage, k.call = "", "" })
		return
	}
	k.declared(name)
	if r.records > 0 || r.kept > 0 {
		k.cfg.Metrics.Repairs.Inc()
		k.cfg.Log.Info("the store has everything again", "records", r.records, "decisions", r.kept, "after", time.Since(r.began).Round(time.Millisecond))
	}
}

// enough is so few records that all may stop until they are applied: well within a second.
const enough = 1000

func (r *repairing) run(ctx context.Context) (name string, err error) {
	r.mu.Lock()
	call := r.call
	r.mu.Unlock()
	name = call
	if r.evicted, r.unsure, err = r.cfg.Bulletin.Evictions(ctx); err != nil {
		r.cfg.Log.Debug("filling the store without knowing what was evicted", "error", err)
	}
	r.unsure = r.unsure || r.cfg.Bulletin.Cluster()
	if fresh, err := r.fresh(ctx); err != nil || fresh {
		return name, err
	}
	if err := r.cfg.Bulletin.Revoke(ctx); err != nil {
		return "", err
	}
	reached, err := r.gather(ctx, call)
	if err != nil {
		return "", err
	}
	if err := r.bound(ctx, reached); err != nil || r.gap.records == 0 {
		return name, err
	}
	r.cfg.Log.Info("filling the store from the topics", "records", r.gap.records, "decided_meanwhile", !r.cfg.Wait)
	if _, err := r.enterStage(ctx, redisstore.Decisions); err != nil {
		return "", err
	}
	if err := r.keep(ctx); err != nil {
		return "", err
	}
	if r.gap.records > enough {
		if err := r.fill(ctx); err != nil {
			return "", err
		}
	}
	return name, r.finish(ctx)
}

// fresh says whether nothing was ever decided, and nobody else is about to: the first start of all.
func (r *repairing) fresh(ctx context.Context) (bool, error) {
	ends, err := r.cfg.Committed(ctx)
	if err != nil || len(ends) > 0 {
		return false, err
	}
	workers, err := r.cfg.Bulletin.Workers(ctx, present)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	none := !slices.ContainsFunc(workers, func(w redisstore.Worker) bool { return w.Writer != r.cfg.Writer })
	return none && len(r.reached) == 0, nil
}

// fill applies what there is while the lanes go on, until few records are left. When servers drop keys meanwhile, all of it is applied again after a while: it counts as
// not whole for as long as they do.
func (r *repairing) fill(ctx context.Context) error {
	if _, err := r.enterStage(ctx, redisstore.Features); err != nil {
		return err
	}
	for pass := 0; ; pass++ {
		for r.gap.records > enough {
			if err := r.apply(ctx); err != nil {
				return err
			}
			if err := r.bound(ctx, nil); err != nil {
				return err
			}
		}
		now, more, err := r.cfg.Bulletin.More(ctx, r.evicted)
		if err != nil || !more {
			return nil //nolint:nilerr // not known, as where servers may not be asked
		}
		r.cfg.Log.Error("Redis drops keys while it is filled: set maxmemory-policy noeviction, and give it more memory", "alarm", "store_evicts", "pass", pass+1)
		if err := pause(ctx, min(time.Second<<min(pass, 6), time.Minute)); err != nil {
			return err
		}
		r.evicted, r.unsure, r.at, r.told = now, true, nil, nil
		if err := r.bound(ctx, nil); err != nil {
			return err
		}
	}
}

// finish applies the rest, with everybody stopped.
func (r *repairing) finish(ctx context.Context) error {
	call, err := r.enterStage(ctx, redisstore.Finish)
	if err != nil {
		return err
	}
	reached, err := r.gather(ctx, call)
	if err != nil {
		return err
	}
	if err := r.bound(ctx, reached); err != nil {
		return err
	}
	if err := r.keep(ctx); err != nil {
		return err
	}
	return r.apply(ctx)
}

// gap is what the store has not applied and should have.
type gap struct {
	starts, ends kafka.Offsets // up to where the store has everything, where that is known; and up to where it should
	records      int64
	since        int64 // when the oldest of the marks was written behind which something is missing, milliseconds since 1970; 0 is never
	newest       int64 // when the newest of all marks was
}

// find finds the gap between the marks and what the groups have committed, and what workers have done that may not be committed yet.
func (k *Keeper) find(ctx context.Context, reached []redisstore.Mark) (gap, error) {
	g := gap{starts: make(kafka.Offsets), since: math.MaxInt64}
	var err error
	if g.ends, err = k.cfg.Committed(ctx); err != nil {
		return gap{}, err
	}
	for _, m := range reached {
		raise(g.ends, m.Topic, m.Partition, m.Next)
	}
	asked := marksAt(g.ends, 0)
	marks, err := k.cfg.Bulletin.Marks(ctx, asked)
	if err != nil {
		return gap{}, err
	}
	at := make(map[partition]redisstore.Mark, len(marks))
	for _, m := range marks {
		at[partition{m.Topic, m.Partition}] = m
	}
	for _, end := range asked {
		m := at[partition{end.Topic, end.Partition}]
		if m.Next > 0 {
			raise(g.starts, end.Topic, end.Partition, m.Next)
		}
		g.newest = max(g.newest, m.Millis)
		if lacks := end.Next - m.Next; lacks > 0 {
			g.records += lacks
			g.since = min(g.since, m.Millis)
		}
	}
	return g, nil
}

// raise raises one of offsets.
func raise(offsets kafka.Offsets, topic string, number int32, to int64) {
	if offsets[topic] == nil {
		offsets[topic] = make(map[int32]int64)
	}
	offsets[topic][number] = max(offsets[topic][number], to)
}

// bound finds out where the repair begins and ends. Of a cluster's servers one may have lost its part and the others nothing, the marks among them, and a server that
// drops keys for room need not drop marks: so there everything is applied again, at first.
func (r *repairing) bound(ctx context.Context, reached []redisstore.Mark) error {
	g, err := r.find(ctx, reached)
	if err != nil {
		return err
	}
	if r.at == nil && r.unsure && len(g.ends) > 0 {
		none := marksAt(g.ends, 0)
		for i := range none {
			none[i].Next = 0
		}
		if err := r.cfg.Bulletin.SetMarks(ctx, none); err != nil {
			return err
		}
		if g, err = r.find(ctx, reached); err != nil {
			return err
		}
	}
	r.gap = g
	r.at = g.starts
	r.tellBehind()
	return nil
}

// margin is by how much clocks may differ, of those who wrote a mark and of those who wrote a decision.
const margin = time.Minute

// keep keeps first decisions again: at first those of since the oldest mark, later those that came meanwhile.
func (r *repairing) keep(ctx context.Context) error {
	since := r.began.Add(-r.cfg.Decisions)
	if marked := time.UnixMilli(r.gap.since).Add(-margin); r.gap.since > 0 && marked.After(since) {
		since = marked
	}
	return r.again(ctx, "keeping first decisions", func() error {
		ends, kept, err := r.cfg.Keep(ctx, since, r.told)
		if err == nil {
			r.told, r.kept = ends, r.kept+kept
		}
		return err
	})
}

// apply applies what lies between.
func (r *repairing) apply(ctx context.Context) error {
	if r.gap.records == 0 {
		return nil
	}
	err := r.again(ctx, "applying orders and labels", func() error {
		err := r.cfg.Apply(ctx, r.at, r.gap.ends, r.applied)
		if errors.Is(err, consumer.ErrStop) && len(r.at) > 0 {
			r.cfg.Log.Error("some of what the store lacks is not in the topics any more: it is filled with what is there", "error", err)
			r.at = make(kafka.Offsets)
		}
		return err
	})
	if err != nil {
		return err
	}
	// Behind the last record there may be what is no record: the ends of transactions, what compaction took.
	return r.again(ctx, "writing how far the store is", func() error {
		return r.put(ctx, r.gap.ends)
	})
}

// put writes offsets as marks.
func (r *repairing) put(ctx context.Context, offsets kafka.Offsets) error {
	with, m := r.marking(ctx, offsets)
	err := r.carry(with, m)
	if err != nil {
		r.mu.Lock()
		r.survive(m)
		r.mu.Unlock()
	}
	return err
}

// applied notes that records were applied.
func (r *repairing) applied(ctx context.Context, records []consumer.Record) error {
	offsets := make(kafka.Offsets)
	behind(offsets, records)
	if err := r.put(ctx, offsets); err != nil {
		return err
	}
	behind(r.at, records)
	r.records += int64(len(records))
	r.tellBehind()
	return nil
}

// tellBehind tells how far each partition is behind.
func (r *repairing) tellBehind() {
	for topic, partitions := range r.gap.ends {
		for number, end := range partitions {
			r.cfg.Metrics.Behind.WithLabelValues(topic, strconv.Itoa(int(number))).Set(float64(max(0, end-r.at[topic][number])))
		}
	}
}

// again does what may fail for a while until it succeeds. Once something is lost on the way, or this process leads no more, it ends.
func (r *repairing) again(ctx context.Context, what string, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, redisstore.ErrLost) {
			return fmt.Errorf("%s: %w", what, err)
		}
		r.cfg.Log.Warn("filling the store, trying again", "at", what, "try", try+1, "error", err)
		if err := pause(ctx, min(50*time.Millisecond<<min(try, 6), 2*time.Second)); err != nil {
			return err
		}
	}
}
