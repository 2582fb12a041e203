package upkeep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"verdict/preprocess/redisstore"
)

// Run looks after the store until ctx ends. It returns then, and waits for nothing else.
func (k *Keeper) Run(ctx context.Context) error {
	told, kept := time.Time{}, time.Time{}
	for ctx.Err() == nil {
		every := lookEvery
		if time.Since(kept) >= keepEvery && k.cfg.Guard.Upkeep(ctx, k.cfg.Bulletin) == nil {
			kept = time.Now()
		}
		if !k.Whole() || time.Since(told) >= tellEvery {
			if err := k.tell(ctx); err != nil && !errors.Is(err, redisstore.ErrLost) {
				k.cfg.Log.Debug("telling others of this process", "error", err)
			} else {
				told = time.Now()
			}
			k.watchEvictions(ctx)
		}
		if err := k.look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, redisstore.ErrLost) {
			k.cfg.Log.Warn("looking after the store", "error", err)
			every = time.Second
		}
		if !k.Whole() {
			every = min(every, busyEvery)
		}
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-time.After(every):
		}
	}
	return nil
}

// tell tells the others how far this process is: also that it has stopped, once nothing is under way. What was written over is put back before.
func (k *Keeper) tell(ctx context.Context) error {
	began := time.Now()
	k.mu.Lock()
	w := redisstore.Worker{Marks: marksAt(k.reached, 0)}
	stopped := k.working == 0 && (k.stage == redisstore.Gather || k.stage == redisstore.Finish)
	if stopped {
		w.Call = k.call
	}
	var back []redisstore.Mark
	if stopped {
		for _, mark := range k.survivors {
			back = append(back, mark)
		}
	}
	k.mu.Unlock()
	if len(back) > 0 {
		if err := k.cfg.Bulletin.SetMarks(ctx, back); err != nil {
			return err
		}
		k.mu.Lock()
		clear(k.survivors) // nothing was added: nothing is under way
		k.mu.Unlock()
	}
	if err := k.cfg.Bulletin.Tell(ctx, w); err != nil {
		return err
	}
	k.set(func() {
		// What was known is of before: it is found out anew, as by a process that has just begun.
		if k.alone() && !k.leads {
			k.whole, k.stage, k.call = "", "", ""
		}
		k.heard = began
	})
	return nil
}

// look finds out how it stands with the store, and does what follows.
func (k *Keeper) look(ctx context.Context) error {
	if k.isBroken() {
		if err := k.cfg.Bulletin.Revoke(ctx); err != nil {
			return err
		}
		// What the store says of a repair may be of before: who decided on by its stage would find first decisions gone that it had kept again.
		if err := k.cfg.Bulletin.Leave(ctx); err != nil {
			return err
		}
		k.cfg.Log.Warn("the store has lost something: it will be filled again from the topics", "decided_meanwhile", !k.cfg.Wait)
		k.set(func() { k.broken = false })
	}
	notice, err := k.cfg.Bulletin.Look(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	known, leads := k.whole, k.leads
	k.mu.Unlock()
	switch repair := notice.Repair; {
	case leads:
		return k.renew(ctx)
	case notice.Whole != "" && notice.Whole == known:
		return nil
	case notice.Whole != "":
		return k.join(ctx, notice.Whole)
	case repair != nil && repair.Leader != k.cfg.Writer:
		k.follow(repair.Stage, repair.Call)
		return nil
	default:
		return k.lead(ctx)
	}
}

func (k *Keeper) isBroken() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.broken
}

// set changes something.
func (k *Keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	k.change()
}

// declared takes the store for whole, unless something was lost since it was so under that name.
func (k *Keeper) declared(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken || slices.Contains(k.void, name) {
		return
	}
	k.whole, k.stage, k.call = name, "", ""
	k.change()
	k.cfg.Metrics.Whole.Set(1)
}

// follow takes part in a repair that another process leads.
func (k *Keeper) follow(stage redisstore.Stage, call string) {
	k.mu.Lock()
	known := k.whole == "" && k.stage == stage && k.call == call
	k.mu.Unlock()
	if known {
		return
	}
	k.cfg.Metrics.Whole.Set(0)
	k.set(func() { k.whole = ""; k.enters(stage, call) })
}

// join takes a store for whole that says so under another name than this process knows: at its first look, or after a repair. It is, unless the groups have committed, or
// this process's lanes have done, more than it has. So it is when the store went back while nobody was there to notice; and when this process was not heard of while
// others ended the repair, which wait for it no longer then: what its lanes did before the loss, or while the store was filled, is applied by nobody else.
// No step begins before that is known, or its mark would lie behind what is missing, and those under way end first.
func (k *Keeper) join(ctx context.Context, name string) error {
	k.mu.Lock()
	first := k.whole == "" && k.stage == ""
	if k.whole != "" || k.stage == redisstore.Features {
		k.whole, k.stage, k.call = "", redisstore.Finish, ""
		k.change()
	}
	busy, void, reached := k.working > 0, slices.Contains(k.void, name), marksAt(k.reached, 0)
	k.mu.Unlock()
	if busy {
		return nil
	}
	if void || first && k.evicted(ctx) {
		return k.cfg.Bulletin.Revoke(ctx)
	}
	gap, err := k.find(ctx, reached)
	if err != nil {
		return err
	}
	if gap.records == 0 {
		if first && gap.newest > 0 {
			if err := k.keepLast(ctx, gap.newest); err != nil {
				return err
			}
		}
		k.declared(name)
		return nil
	}
	k.cfg.Log.Warn("the store has applied less than was done", "records", gap.records)
	return k.cfg.Bulletin.Revoke(ctx)
}

// skew is margin where a process starts, which is not to be held up by a minute of decisions.
const skew = 10 * time.Second

// keepLast keeps the last decisions of the topic again: those of a process that ended before it had committed their orders, in the moment in which the store went back
// behind them. Nothing else tells of that: the marks went back to where the group stands.
func (k *Keeper) keepLast(ctx context.Context, newest int64) error {
	if _, _, err := k.cfg.Keep(ctx, time.UnixMilli(newest).Add(-skew), nil); err != nil {
		return fmt.Errorf("keeping the last decisions: %w", err)
	}
	return nil
}

// watchEvictions looks, while the store counts as whole, whether a server has dropped something of it.
func (k *Keeper) watchEvictions(ctx context.Context) {
	if k.Whole() && k.evicted(ctx) {
		k.Lost()
	}
}

// evicted says whether servers have dropped more than the store was filled after. Where they may not be asked that is said once: the store goes on as it is.
func (k *Keeper) evicted(ctx context.Context) bool {
	_, unmade, err := k.cfg.Bulletin.Evictions(ctx)
	if err != nil && !k.untold && ctx.Err() == nil && !errors.Is(err, redisstore.ErrLost) {
		k.cfg.Log.Warn("whether Redis drops keys for room is not known", "error", err)
	}
	k.untold = err != nil
	if unmade {
		k.cfg.Log.Error("Redis has dropped keys for room: set maxmemory-policy noeviction, and give it more memory", "alarm", "store_evicts")
	}
	return unmade
}

// lead tries to be the one who fills the store.
func (k *Keeper) lead(ctx context.Context) error {
	call := rand.Text()
	leads, err := k.cfg.Bulletin.Lead(ctx, redisstore.Gather, call, term)
	if err != nil || !leads {
		return err
	}
	k.cfg.Metrics.Whole.Set(0)
	ctx, cancel := context.WithCancel(ctx)
	k.set(func() { k.leads, k.stop, k.whole = true, cancel, ""; k.enters(redisstore.Gather, call) })
	go func() {
		defer cancel()
		k.repair(ctx)
	}()
	return nil
}

// holdLease waits until nobody else of this process asks Redis for the leadership, and releaseLease lets the next one. Not a mutex: who waits heeds its context.
func (k *Keeper) holdLease(ctx context.Context) error {
	select {
	case k.lease <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) releaseLease() { <-k.lease }

// renew goes on leading, or stops when another process has taken it over, since this one was not heard of for long.
func (k *Keeper) renew(ctx context.Context) error {
	if err := k.holdLease(ctx); err != nil {
		return err
	}
	defer k.releaseLease()
	k.mu.Lock()
	leads, stage, call, stop := k.leads, k.stage, k.call, k.stop
	k.mu.Unlock()
	if !leads {
		return nil
	}
	still, err := k.cfg.Bulletin.Lead(ctx, stage, call, term)
	if err == nil && !still {
		stop()
	}
	return err
}

// resign stops leading.
func (k *Keeper) resign(ctx context.Context) error {
	if err := k.holdLease(ctx); err != nil {
		return err
	}
	defer k.releaseLease()
	k.set(func() { k.leads = false })
	return k.cfg.Bulletin.Leave(ctx)
}

// enterStage begins a stage of the repair that this process leads, and returns its call.
func (k *Keeper) enterStage(ctx context.Context, stage redisstore.Stage) (call string, err error) {
	call = rand.Text()
	k.set(func() { k.enters(stage, call) })
	return call, k.renew(ctx)
}

// gather waits until every process that works on the store has stopped for a stage, and returns how far they are.
func (k *Keeper) gather(ctx context.Context, call string) ([]redisstore.Mark, error) {
	began := time.Now()
	for {
		if err := pause(ctx, busyEvery); err != nil {
			return nil, err
		}
		workers, err := k.cfg.Bulletin.Workers(ctx, present)
		if err != nil {
			return nil, fmt.Errorf("waiting for everybody to stop: %w", err)
		}
		var marks []redisstore.Mark
		here, waits := false, false
		for i := range workers {
			here = here || workers[i].Writer == k.cfg.Writer
			waits = waits || workers[i].Call != call
			marks = append(marks, workers[i].Marks...)
		}
		// One that has just noticed the loss tells so within a look: what was told of it before may be gone.
		if here && !waits && time.Since(began) > 2*lookEvery {
			return slices.Clip(marks), nil
		}
	}
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
