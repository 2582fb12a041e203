package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrLost is wrapped by the error of a pipeline that found the server without what was written to it before: it was restarted, emptied, or replaced by one that
// had not heard all. What the pipeline read may lack anything, so nothing is to be made of it.
var ErrLost = errors.New("the store has lost what was written to it")

// GuardConfig is what a Guard is made of. Writer is required.
type GuardConfig struct {
	Prefix string        // as Config.Prefix
	Writer string        // names this process among all that write under the prefix, a word; never used twice
	Keep   time.Duration // as BulletinConfig.Keep: how long marks live
	Lost   func()        // called when a pipeline finds that something was lost, before anything else can be bound; it is to be quick, and to call nothing of the Guard. Nil is nobody
}

// Guard notices that the servers lost something, in the very pipeline that would otherwise work on what is left. Each pipeline ends with an INCR of a counter of this
// process alone. A server loses the last of what was written to it, or all of it; so while the counter goes up, all is there that was written before it. A
// counter that went back, or is gone, is a loss. It costs one command for a pipeline; nothing else asks a server whether it is still the same.
//
// Pipelines that are under way at once may make up for one another's losses where they count together. So who does one after the other, as a lane does, has a session,
// with counters of its own. After a loss a session counts in new ones: what the old ones reached stays as it is.
//
// On a cluster each sixteenth of the slots has its counter, and a pipeline counts in those that its keys lie in. A part of less than a sixteenth that another
// server holds is noticed by the next pipeline that has a key in another part of that server's.
//
// With the counters go the marks (Mark): up to which offset of each partition the store has everything. A mark names a counter, and what that had reached before it was
// sent: it counts for as long as the counter stands higher. So one that is written by the very pipeline that notices a loss, or is put back after another, says nothing
// that is not so, whatever becomes of who wrote it. It is safe for concurrent use.
type Guard struct {
	prefix string
	writer string
	keep   time.Duration
	lost   func()

	mu       sync.Mutex
	sessions []*[blocks]count // guarded by mu: what was reached; the first is of all that are bound to none
	losses   uint64           // guarded by mu: how many were noticed, in any part
}

// Session is of pipelines of which one is done after the other. The zero Session is of all others together.
type Session struct{ number int }

// What the names of a Guard's keys begin with, behind the prefix. None is state: how it is made good stands in the topics.
const (
	counters = "fence:"
	applied  = "at:"
)

// count is what is known of a session's counter.
type count struct {
	reached int64  // guarded by the Guard's mu, as all of it
	losses  uint64 // how often it went back, and another took its place
}

// NewGuard makes a Guard, for DialConfig.
func NewGuard(cfg GuardConfig) *Guard {
	g := &Guard{prefix: safePrefix(cfg.Prefix), writer: cfg.Writer, keep: keepOf(cfg.Keep), lost: cfg.Lost, sessions: []*[blocks]count{{}}}
	if g.lost == nil {
		g.lost = func() {}
	}
	return g
}

// safePrefix is a prefix as it is used in keys.
func safePrefix(prefix string) string {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return strings.NewReplacer("{", "(", "}", ")").Replace(prefix)
}

// Session begins one.
func (g *Guard) Session() Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions = append(g.sessions, new([blocks]count))
	return Session{len(g.sessions) - 1}
}

// name is of a session's counters between losses, without the part of the slots: a word.
func (g *Guard) name(session int, losses uint64) string {
	name := g.writer
	if session > 0 {
		name += "+" + strconv.Itoa(session)
	}
	if losses > 0 {
		name += "." + strconv.FormatUint(losses, 10)
	}
	return name
}

// counterKey is of a counter of a part of the slots.
func counterKey(prefix string, block int, name string) string {
	return prefix + counters + "{" + tagOf(block) + "}:" + name
}

func (g *Guard) hook(cluster bool) redis.Hook { return guardHook{guard: g, cluster: cluster} }

// guardHook puts the Guard behind each pipeline.
type guardHook struct {
	ofPipelines

	guard   *Guard
	cluster bool
}

var _ redis.Hook = guardHook{}

// ProcessPipelineHook is redis.Hook's.
func (h guardHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if setsUp(cmds) {
			return next(ctx, cmds)
		}
		marks := marksOf(ctx)
		probes, current := h.guard.probe(ctx, h.blocks(cmds, marks))
		if !current {
			return ErrLost
		}
		for i := range probes {
			cmds = append(cmds, probes[i].cmd)
			if probes[i].before.reached == 0 {
				cmds = append(cmds, redis.NewRawCmd(ctx, "pexpire", probes[i].key, h.guard.countersLive()))
			}
		}
		// Behind the counters: who reads a mark finds the counter risen.
		cmds = append(cmds, marks.commands(ctx, h.cluster, probes)...)
		err := next(ctx, cmds)
		for i := range probes {
			if probes[i].cmd.Err() != nil { // then it is not known how far the server came
				return cmp.Or(err, probes[i].cmd.Err())
			}
		}
		if bad := marks.read(); bad != nil {
			err = cmp.Or(err, bad)
		}
		if h.guard.judge(probes) {
			return ErrLost
		}
		return err // what a command was told, which may be that nothing is there
	}
}

// blocks returns in which parts of the slots keys lie: the first where there is no cluster.
func (h guardHook) blocks(cmds []redis.Cmder, marks *Marking) (in [blocks]bool) {
	if !h.cluster {
		in[0] = true
		return in
	}
	for _, cmd := range cmds {
		if args := cmd.Args(); len(args) > 1 && cmd.Name() != "echo" {
			if key, ok := args[1].(string); ok {
				in[blockOf(key)] = true
			}
		}
	}
	if marks != nil {
		for i := range marks.keys {
			in[blockOf(marks.keys[i])] = true
		}
	}
	return in
}

// probe is a counter that a pipeline raises.
type probe struct {
	session, block int
	before         count
	name, key      string
	cmd            *redis.IntCmd
}

// probe returns the commands that raise counters. It is false when something was lost since the context was bound.
func (g *Guard) probe(ctx context.Context, in [blocks]bool) (probes []probe, current bool) {
	b, bound := ctx.Value(boundKey{}).(binding)
	g.mu.Lock()
	defer g.mu.Unlock()
	if bound && b.losses != g.losses {
		return nil, false
	}
	probes = make([]probe, 0, 1)
	for block := range in {
		if !in[block] {
			continue
		}
		p := probe{session: b.session, block: block, before: g.sessions[b.session][block]}
		p.name = g.name(p.session, p.before.losses)
		p.key = counterKey(g.prefix, block, p.name)
		p.cmd = redis.NewIntCmd(ctx, "incr", p.key)
		probes = append(probes, p)
	}
	return probes, true
}

type boundKey struct{}

// binding is what a bound context knows.
type binding struct {
	session int
	losses  uint64 // that were noticed before
}

// Bind returns a context for pipelines of a session that belong together, such as those of a step. Once something was lost they fail with ErrLost before they are sent,
// whoever has noticed it: of two lanes the one that did not is otherwise half way through with what was there before.
func (g *Guard) Bind(ctx context.Context, s Session) context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	return context.WithValue(ctx, boundKey{}, binding{s.number, g.losses})
}

// unbound returns a context whose pipelines are sent whatever was lost, also when the one that it is made of ends. They carry no marks.
func unbound(ctx context.Context) context.Context {
	return context.WithValue(context.WithValue(context.WithoutCancel(ctx), boundKey{}, nil), markingKey{}, nil)
}

// Lost says whether a call failed since something was lost, and gives a context in which what it has written can be taken back.
func Lost(ctx context.Context, err error) (undo context.Context, lost bool) {
	return unbound(ctx), errors.Is(err, ErrLost)
}

// judge looks at what the counters were raised to. In place of a counter that went back comes another, so that each loss is noticed once more by those pipelines alone
// which had begun before.
func (g *Guard) judge(probes []probe) (lost bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range probes {
		p := &probes[i]
		at, value := &g.sessions[p.session][p.block], p.cmd.Val()
		switch {
		case value <= p.before.reached:
			lost = true
			if at.losses == p.before.losses {
				*at = count{losses: at.losses + 1}
				g.losses++
			}
		case at.losses == p.before.losses:
			at.reached = max(at.reached, value)
		}
	}
	if lost {
		g.lost()
	}
	return lost
}

// countersLive is how long a counter is there after its process has ended: longer than the marks that count by it. In milliseconds.
func (g *Guard) countersLive() int64 { return (g.keep + time.Hour).Milliseconds() }

// Upkeep keeps the counters of the Guard alive. Those of before a loss live on for as long as their marks.
func (g *Guard) Upkeep(ctx context.Context, b *Bulletin) error {
	var p pipeline
	g.mu.Lock()
	for session := range g.sessions {
		for block := range b.parts {
			if at := g.sessions[session][block]; at.reached > 0 {
				p.do(ctx, "pexpire", counterKey(g.prefix, block, g.name(session, at.losses)), g.countersLive())
			}
		}
	}
	g.mu.Unlock()
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("keeping the store's counters alive: %w", err)
	}
	return nil
}
