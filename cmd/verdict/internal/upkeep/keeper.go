// Package upkeep keeps a store in Redis what it is meant to be: a cache of the log. A Keeper learns that the store has lost something, has the lanes decide by what is
// left (features_stale) or wait, and fills the store again from the topics, together with the Keepers of the other processes: one of them leads.
//
// What is lost, and how it is noticed:
//   - All of it, or the last of what was written (a restart, a failover, a flush): the guard's counter of a process goes back. The first call that reads what is left
//     is refused, in each process.
//   - While no process ran: the store does not say that it is whole, or has applied less than the groups have committed.
//   - By a process that the others have not heard of while they ended a repair: it has done more than the store has applied.
//   - Any keys, dropped by a server that has no room left: servers count them, and are asked each second. Then no mark is believed.
//
// A repair: everybody stops (gather), so that the marks say up to where the store has everything, and the topics' offsets up to where it should have; first decisions
// are kept again from the decisions topic, before anything is decided, or an order might have a second one (decisions); orders and labels are applied from the marks
// on, while the lanes go on, and leave nothing in the store (features); everybody stops again, and what came meanwhile is applied (finish).
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/preprocess/redisstore"
)

// Config is what a Keeper is made of. All but the fields said to be optional are required.
type Config struct {
	Writer   string // as the Guard's and the Bulletin's
	Guard    *redisstore.Guard
	Bulletin *redisstore.Bulletin
	Wait     bool // nothing is decided while the store lacks something; else it is, by what is there

	// Committed returns up to where the workers' groups have committed orders and labels; nothing where they have committed nothing.
	Committed func(ctx context.Context) (kafka.Offsets, error)
	// Apply applies orders and labels between offsets to the store, without deciding, in the order in which they were written, and calls applied with the records of
	// each batch that is. A partition that is not in starts begins where its log does, one that is not in ends is not read.
	Apply func(ctx context.Context, starts, ends kafka.Offsets, applied func(context.Context, []consumer.Record) error) error
	// Keep keeps first decisions again, from starts on, or where that is nil those of since and later. It returns where it ended.
	Keep func(ctx context.Context, since time.Time, starts kafka.Offsets) (ends kafka.Offsets, kept int64, err error)
	// Decisions is how long decisions stand.
	Decisions time.Duration

	Metrics *Metrics     // optional
	Log     *slog.Logger // optional
}

// Keeper is one process's. Run runs on a goroutine; everything else is safe for concurrent use.
type Keeper struct {
	cfg  Config
	wake chan struct{} // something was lost: do not wait for the next look

	untold    bool               // by the servers, what they have evicted; owned by Run
	session   redisstore.Session // of repairs
	lease     chan struct{}      // holds one while the leadership is taken on or given up, which asks Redis
	mu        sync.Mutex
	whole     string                        // guarded by mu, as all of it: the name under which the store is whole; "" while it lacks something or is not known
	stage     redisstore.Stage              // of the repair under way; "" without one
	call      string                        // of that stage
	calls     []string                      // of the last stages that this process has heard of
	void      []string                      // those that it had heard of when something was lost: they are of a repair that is lost too
	leads     bool                          // this process fills the store
	stop      context.CancelFunc            // ends that
	broken    bool                          // the store has lost something, and the others do not know yet
	heard     time.Time                     // when this process last told others of itself; zero is never
	working   int                           // tries of steps under way
	reached   kafka.Offsets                 // behind the last records that this process's lanes have done
	markings  map[*consumer.Record]*marking // :: first record of a batch that is being marked → its marks
	survivors map[partition]redisstore.Mark // marks that stood in the store when something was lost, and were written over by the call that noticed it
	changed   chan struct{}                 // closed when any of this changes
}

// partition names a partition.
type partition struct {
	topic  string
	number int32
}

// How often the bulletin is looked at: nothing that a lane does waits for it while the store is whole, since the guard tells of losses at once.
const (
	lookEvery = 250 * time.Millisecond
	busyEvery = 50 * time.Millisecond // while it is not
	keepEvery = time.Minute           // that what expires after an hour is kept alive, and after a loss is made to expire
	tellEvery = time.Second           // that this process is there, while the store is whole; and that servers are asked for evictions
	term      = 5 * time.Second       // for which a repair has its leader without hearing of him
	present   = 3 * time.Second       // for which a process counts as at work without being heard of
)

// New makes a Keeper. Its lanes wait until Run has found out what the store has.
func New(cfg Config) *Keeper {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		cfg: cfg, session: cfg.Guard.Session(), lease: make(chan struct{}, 1), wake: make(chan struct{}, 1), reached: make(kafka.Offsets),
		survivors: make(map[partition]redisstore.Mark), markings: make(map[*consumer.Record]*marking), changed: make(chan struct{}),
	}
}

// Lost is told by the guard, which holds its own lock: nothing of the guard is to be called with mu held.
func (k *Keeper) Lost() {
	k.mu.Lock()
	k.broken, k.whole, k.void = true, "", slices.Clone(k.calls)
	k.cfg.Metrics.Whole.Set(0)
	k.change()
	k.mu.Unlock()
	k.wakeUp()
}

func (k *Keeper) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// manyCalls is how many calls are remembered: those of some repairs.
const manyCalls = 32

// enters notes the stage of the repair under way. The caller holds mu.
func (k *Keeper) enters(stage redisstore.Stage, call string) {
	k.stage, k.call = stage, call
	k.calls = append(k.calls, call)
	if len(k.calls) > manyCalls {
		k.calls = slices.Clone(k.calls[1:])
	}
}

// change lets those look again who wait. The caller holds mu.
func (k *Keeper) change() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Whole says whether the store has everything, as far as is known.
func (k *Keeper) Whole() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.whole != ""
}

// Upkeep is for a worker of the process. Each has its own.
func (k *Keeper) Upkeep() *consumer.Upkeep {
	session := k.cfg.Guard.Session()
	return &consumer.Upkeep{
		Enter: func(ctx, step context.Context, taken []consumer.Record, alive func()) (context.Context, bool, error) {
			return k.enter(ctx, step, session, taken, alive)
		},
		Mark: k.mark, Leave: k.leave,
	}
}

// aliveEvery is how often a worker that waits says that it is alive.
const aliveEvery = 500 * time.Millisecond

// enter is consumer.Upkeep's.
func (k *Keeper) enter(ctx, step context.Context, session redisstore.Session, taken []consumer.Record, alive func()) (bound context.Context, stale bool, err error) {
	for {
		admitted, stale, changed := k.admit(step, session)
		if admitted != nil && (stale || k.has(admitted, taken)) {
			return admitted, stale, nil
		}
		select {
		case <-ctx.Done():
			return step, false, ctx.Err()
		case <-changed:
		case <-time.After(aliveEvery):
		}
		alive()
	}
}

// has says whether the store has what was done before records by whoever had their partitions. He may be gone and what he did be lost in one moment, so that nobody's
// counter tells. When it has not, or that cannot be known, the try is over.
func (k *Keeper) has(ctx context.Context, taken []consumer.Record) bool {
	if len(taken) == 0 {
		return true
	}
	g, err := k.find(ctx, nil)
	lost := slices.ContainsFunc(taken, func(r consumer.Record) bool { return g.starts[r.Topic][r.Partition] < g.ends[r.Topic][r.Partition] })
	if err == nil && !lost {
		return true
	}
	k.mu.Lock()
	k.working--
	k.mu.Unlock()
	if err != nil {
		k.cfg.Log.Warn("asking what was done before", "error", err)
		return false
	}
	k.cfg.Log.Warn("the store has applied less than was done by whoever had a partition before")
	k.Lost()
	return false
}

// admit lets a try begin, or says what to wait for.
func (k *Keeper) admit(step context.Context, session redisstore.Session) (bound context.Context, stale bool, changed <-chan struct{}) {
	bound = k.cfg.Guard.Bind(step, session) // before it is looked at what there is: a loss in between is one of this try
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.alone() {
		return nil, true, k.changed
	}
	stale = k.whole == ""
	if stale && (k.stage != redisstore.Features || k.broken || slices.Contains(k.void, k.call) || k.cfg.Wait) {
		return nil, true, k.changed
	}
	k.working++
	return bound, stale, nil
}

// alone says whether others may have gone on without this process, which they have not heard of: what it knows of the store is old then. The caller holds mu.
func (k *Keeper) alone() bool { return time.Since(k.heard) > present }

// errAlone is of a batch that was worked on while others may have gone on without this process.
var errAlone = errors.New("others have not heard of this process for too long")

// leave is consumer.Upkeep's.
func (k *Keeper) leave(records []consumer.Record, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.working--
	if done {
		behind(k.reached, records)
	}
	if m := k.markings[&records[0]]; m != nil {
		delete(k.markings, &records[0])
		if !done && k.whole == "" {
			k.survive(m)
		}
	}
	if k.working == 0 && k.stage != "" {
		k.wakeUp() // others wait for it
	}
}

// behind raises offsets to those behind records.
func behind(offsets kafka.Offsets, records []consumer.Record) {
	for i := range records {
		r := &records[i]
		raise(offsets, r.Topic, r.Partition, r.Offset+1)
	}
}

// mark is consumer.Upkeep's.
func (k *Keeper) mark(ctx context.Context, records []consumer.Record) (with context.Context, marked func() error) {
	offsets := make(kafka.Offsets)
	behind(offsets, records)
	with, m := k.marking(ctx, offsets)
	k.mu.Lock()
	k.markings[&records[0]] = m
	k.mu.Unlock()
	return with, func() error {
		if err := k.carry(with, m); err != nil {
			return err
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.alone() { // it stood still, and others may have done the batch meanwhile, and the store have lost that
			return errAlone
		}
		return nil
	}
}

// marking is marks on their way into the store.
type marking struct {
	*redisstore.Marking

	marks []redisstore.Mark
}

func (k *Keeper) marking(ctx context.Context, offsets kafka.Offsets) (context.Context, *marking) {
	m := &marking{marks: marksAt(offsets, time.Now().UnixMilli())}
	ctx, m.Marking = k.cfg.Guard.Marking(ctx, m.marks)
	return ctx, m
}

// carry sends marks that nothing has carried.
func (k *Keeper) carry(with context.Context, m *marking) error {
	if m.Sent() {
		return nil
	}
	return k.cfg.Bulletin.Carry(with)
}

// survive keeps what stood in the store where marks were written that may say too much: nothing, where there was none. The caller holds mu.
func (k *Keeper) survive(m *marking) {
	if !m.Sent() {
		return
	}
	older := make(map[partition]redisstore.Mark, len(m.marks))
	for _, mark := range m.Older() {
		older[partition{mark.Topic, mark.Partition}] = mark
	}
	for _, mark := range m.marks {
		of := partition{mark.Topic, mark.Partition}
		was := older[of]
		was.Topic, was.Partition = mark.Topic, mark.Partition
		if known, ok := k.survivors[of]; !ok || was.Next < known.Next {
			k.survivors[of] = was
		}
	}
}

// marksAt writes offsets as marks.
func marksAt(offsets kafka.Offsets, millis int64) []redisstore.Mark {
	var marks []redisstore.Mark
	for _, topic := range slices.Sorted(maps.Keys(offsets)) {
		for _, number := range slices.Sorted(maps.Keys(offsets[topic])) {
			marks = append(marks, redisstore.Mark{Topic: topic, Partition: number, Next: offsets[topic][number], Millis: millis})
		}
	}
	return marks
}
