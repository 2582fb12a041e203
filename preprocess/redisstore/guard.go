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
	Prefix string // as Config.Prefix
	Writer string // names this process among all that write under the prefix; never used twice
	Lost   func() // called when a pipeline finds that something was lost, before anything else can be bound; it is to be quick, and to call nothing of the Guard. Nil is nobody
}

// Guard notices that the servers lost something, in the very pipeline that would otherwise work on what is left. Each pipeline ends with an INCR of a counter of this
// process alone. A server loses the last of what was written to it, or all of it; so while the counter goes up, all is there that was written before it. A
// counter that went back, or is gone, is a loss. It costs one command for a pipeline; nothing else asks a server whether it is still the same.
//
// On a cluster each sixteenth of the slots has its counter, and a pipeline counts in those that its keys lie in. A part of less than a sixteenth that another
// server holds is noticed by the next pipeline that has a key in another part of that server's.
//
// With the counters go the marks (Applied): up to which offset of each partition the store has everything. It is safe for concurrent use.
type Guard struct {
	prefix string
	writer string
	lost   func()

	mu     sync.Mutex
	at     [blocks]count // guarded by mu
	losses uint64        // guarded by mu: how many were noticed, in any part
}

// What the names of a Guard's keys begin with, behind the prefix. None is state: how it is made good stands in the topics.
const (
	counters = "fence:"
	applied  = "at:"
)

// count is what is known of a counter.
type count struct {
	reached int64  // guarded by the Guard's mu, as all of it
	losses  uint64 // how often it went back
}

// NewGuard makes a Guard, for DialConfig.
func NewGuard(cfg GuardConfig) *Guard {
	g := &Guard{prefix: safePrefix(cfg.Prefix), writer: cfg.Writer, lost: cfg.Lost}
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

// key is of the counter of a part of the slots.
func (g *Guard) key(block int) string {
	return g.prefix + counters + "{" + tagOf(block) + "}:" + g.writer
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
		cmds = append(cmds, marks.commands(ctx)...)
		for i := range probes {
			cmds = append(cmds, probes[i].cmd)
		}
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
	block  int
	before count
	cmd    *redis.IntCmd
}

// probe returns the commands that raise counters. It is false when something was lost since the context was bound.
func (g *Guard) probe(ctx context.Context, in [blocks]bool) (probes []probe, current bool) {
	since, bound := ctx.Value(boundKey{}).(uint64)
	g.mu.Lock()
	defer g.mu.Unlock()
	if bound && since != g.losses {
		return nil, false
	}
	probes = make([]probe, 0, 1)
	for block := range in {
		if in[block] {
			probes = append(probes, probe{block, g.at[block], redis.NewIntCmd(ctx, "incr", g.key(block))})
		}
	}
	return probes, true
}

type boundKey struct{}

// Bind returns a context for pipelines that belong together, such as those of a step. Once something was lost they fail with ErrLost before they are sent, whoever has
// noticed it: of two lanes the one that did not is otherwise half way through with what was there before.
func (g *Guard) Bind(ctx context.Context) context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	return context.WithValue(ctx, boundKey{}, g.losses)
}

// unbound returns a context whose pipelines are sent whatever was lost, also when the one that it is made of ends.
func unbound(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), boundKey{}, nil)
}

// judge looks at what the counters were raised to. A counter that went back is taken as it is from then on, so that each loss is noticed once more by those
// pipelines alone which had begun before.
func (g *Guard) judge(probes []probe) (lost bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range probes {
		p, at := &probes[i], &g.at[probes[i].block]
		value := p.cmd.Val()
		switch {
		case value <= p.before.reached:
			lost = true
			if at.losses == p.before.losses {
				*at = count{reached: value, losses: at.losses + 1}
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

// Mark is up to where a partition was applied.
type Mark struct {
	Topic     string
	Partition int32
	Next      int64 // the first offset that is not
	Millis    int64 // when that was, by the clock of who applied it, since 1970
}

// Marking is marks on their way into Redis, behind the commands of a pipeline.
type Marking struct {
	keys  []string
	marks []Mark
	cmds  []*redis.RawCmd
	ttl   any
	sent  bool
	older []Mark // those that stood before
}

type markingKey struct{}

// Marking returns a context with which the next pipeline writes marks too: after its own commands, so that whoever reads a mark reads all that was written before
// it. The pipeline should be the last that a batch needs.
func (g *Guard) Marking(ctx context.Context, marks []Mark, keep time.Duration) (context.Context, *Marking) {
	m := &Marking{marks: marks, ttl: keep.Milliseconds()}
	for i := range marks {
		m.keys = append(m.keys, g.markKey(marks[i].Topic, marks[i].Partition))
	}
	return context.WithValue(ctx, markingKey{}, m), m
}

// Sent says whether the marks were written. They are sent with one pipeline, and once it has failed with the next.
func (m *Marking) Sent() bool { return m.sent }

// Older returns the marks that stood before, when they were written.
func (m *Marking) Older() []Mark { return m.older }

func (g *Guard) markKey(topic string, partition int32) string {
	return g.prefix + applied + "{" + topic + "/" + strconv.Itoa(int(partition)) + "}"
}

func marksOf(ctx context.Context) *Marking {
	if m, ok := ctx.Value(markingKey{}).(*Marking); ok && !m.sent {
		return m
	}
	return nil
}

func (m *Marking) commands(ctx context.Context) []redis.Cmder {
	if m == nil {
		return nil
	}
	m.cmds = m.cmds[:0]
	out := make([]redis.Cmder, len(m.marks))
	for i := range m.marks {
		m.cmds = append(m.cmds, redis.NewRawCmd(ctx, "set", m.keys[i], m.marks[i].text(), "get", "px", m.ttl))
		out[i] = m.cmds[i]
	}
	return out
}

// read takes down what stood there before.
func (m *Marking) read() error {
	if m == nil {
		return nil
	}
	m.sent, m.older = true, m.older[:0]
	for i := range m.marks {
		text, found, err := bulk(m.cmds[i])
		if err != nil {
			return err
		}
		older, ok := parseMark(text, m.marks[i].Topic, m.marks[i].Partition)
		if found && !ok {
			return errMark
		}
		if found {
			m.older = append(m.older, older)
		}
	}
	return nil
}

// text is the mark as it stands in Redis.
func (m *Mark) text() string {
	return strconv.FormatInt(m.Next, 10) + " " + strconv.FormatInt(m.Millis, 10)
}

func parseMark(text, topic string, partition int32) (Mark, bool) {
	next, millis, found := strings.Cut(text, " ")
	n, err1 := strconv.ParseInt(next, 10, 64)
	at, err2 := strconv.ParseInt(millis, 10, 64)
	return Mark{topic, partition, n, at}, found && err1 == nil && err2 == nil
}

// errMark is of a mark that cannot be read.
var errMark = fmt.Errorf("reading up to where partitions were applied: %w", errCorrupt)
