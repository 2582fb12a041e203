package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

// What the names of a Bulletin's keys are, or begin with, behind the prefix. None is state.
const (
	wholeKeys  = "whole:"
	repairKey  = "repair"
	workersKey = "workers"
)

// BulletinConfig is what a Bulletin is made of. Client and Writer are required.
type BulletinConfig struct {
	Client  redis.UniversalClient
	Prefix  string        // as Config.Prefix
	Writer  string        // as GuardConfig.Writer
	Keep    time.Duration // how long a store counts as whole that nobody works on: longer than anything in it lives. Zero is DefaultKeep and DefaultLag
	Timeout time.Duration // as Config.Timeout
}

// Bulletin is where the processes that work on one store tell each other whether it is whole, who fills it again when it is not, and how far that is. It is kept
// in the store itself: what is lost with the store, or goes back with it, says by that what it has to say. Plain commands; all keys expire. It is safe for
// concurrent use.
type Bulletin struct {
	client  redis.UniversalClient
	prefix  string
	writer  string
	keep    time.Duration
	timeout time.Duration
	parts   int
}

// NewBulletin makes a Bulletin; nothing is asked of Redis yet.
func NewBulletin(cfg BulletinConfig) *Bulletin {
	b := &Bulletin{client: cfg.Client, prefix: safePrefix(cfg.Prefix), writer: cfg.Writer, keep: keepOf(cfg.Keep), timeout: cfg.Timeout, parts: 1}
	if b.timeout <= 0 {
		b.timeout = DefaultTimeout
	}
	if _, cluster := cfg.Client.(*redis.ClusterClient); cluster {
		b.parts = blocks
	}
	return b
}

// keepOf is how long a store counts as whole that nobody works on, and marks live.
func keepOf(keep time.Duration) time.Duration {
	if keep <= 0 {
		return DefaultKeep + DefaultLag
	}
	return keep
}

// Cluster says whether several servers hold the store, each of which can lose its part alone.
func (b *Bulletin) Cluster() bool { return b.parts > 1 }

// Repair is what who fills the store tells the others.
type Repair struct {
	Leader string `json:"leader"` // the Writer
	Stage  Stage  `json:"stage"`
	Call   string `json:"call"` // names the stage; who has stopped for it says so by it
}

// Stage is how far a repair is.
type Stage string

// The stages of a repair. In all but Features nobody decides.
const (
	Gather    Stage = "gather"    // everybody stops
	Decisions Stage = "decisions" // first decisions are kept again
	Features  Stage = "features"  // orders and labels are applied
	Finish    Stage = "finish"    // everybody stops, and what came meanwhile is applied
)

// Notice is what the store says of itself.
type Notice struct {
	Whole  string  // who made it whole, a name that is never used twice; "" when it is not
	Repair *Repair // under way; nil when nobody is at it
}

// Worker is what a process that works on the store tells of itself.
type Worker struct {
	Writer string `json:"-"`
	Seen   int64  `json:"seen"` // when it told, by the clock of Redis, milliseconds since 1970
	Call   string `json:"call"` // the stage for which it has stopped, once it has
	Marks  []Mark `json:"marks"`
}

// Look reads the bulletin and keeps alive what is to be.
func (b *Bulletin) Look(ctx context.Context) (Notice, error) {
	var p pipeline
	whole := make([]*redis.RawCmd, b.parts)
	for i := range whole {
		p.do(ctx, "pexpire", b.wholeKey(i), b.keep.Milliseconds())
		whole[i] = p.raw(ctx, "get", b.wholeKey(i))
	}
	repair := p.raw(ctx, "get", b.prefix+repairKey)
	if err := b.exec(ctx, &p); err != nil {
		return Notice{}, fmt.Errorf("asking whether the store is whole: %w", err)
	}
	var n Notice
	for i := range whole {
		name, _, err := bulk(whole[i])
		if err != nil {
			return Notice{}, fmt.Errorf("asking whether the store is whole: %w", err)
		}
		if i > 0 && name != n.Whole {
			name = ""
		}
		if n.Whole = name; name == "" {
			break
		}
	}
	text, found, err := bulk(repair)
	if err == nil && found {
		n.Repair = new(Repair)
		err = json.Unmarshal([]byte(text), n.Repair)
	}
	if err != nil {
		return Notice{}, fmt.Errorf("asking who fills the store: %w", err)
	}
	return n, nil
}

// Declare says that the store is whole from now on, under a name that was never used.
func (b *Bulletin) Declare(ctx context.Context, name string) error {
	var p pipeline
	for i := range b.parts {
		p.cmds = append(p.cmds, redis.NewStatusCmd(ctx, "set", b.wholeKey(i), name, "px", b.keep.Milliseconds()))
	}
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("saying that the store is whole: %w", err)
	}
	return nil
}

// Revoke says that the store is not whole.
func (b *Bulletin) Revoke(ctx context.Context) error {
	var p pipeline
	for i := range b.parts {
		p.do(ctx, "del", b.wholeKey(i))
	}
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("saying that the store is not whole: %w", err)
	}
	return nil
}

// Lead takes the repair, or goes on with it, for so long; false when another has it. That two may have it for a moment is harmless: all that they do can be done twice.
func (b *Bulletin) Lead(ctx context.Context, stage Stage, call string, term time.Duration) (bool, error) {
	text, err := json.Marshal(&Repair{Leader: b.writer, Stage: stage, Call: call})
	if err != nil {
		return false, fmt.Errorf("taking the repair of the store: %w", err)
	}
	var p pipeline
	held := p.raw(ctx, "set", b.prefix+repairKey, text, "nx", "get", "px", term.Milliseconds())
	if err := b.exec(ctx, &p); err != nil {
		return false, fmt.Errorf("taking the repair of the store: %w", err)
	}
	by, taken, err := bulk(held)
	if err != nil || !taken {
		return err == nil, err
	}
	var holder Repair
	if err := json.Unmarshal([]byte(by), &holder); err != nil || holder.Leader != b.writer {
		return false, err
	}
	p.next()
	p.cmds = append(p.cmds, redis.NewStatusCmd(ctx, "set", b.prefix+repairKey, text, "px", term.Milliseconds()))
	if err := b.exec(ctx, &p); err != nil {
		return false, fmt.Errorf("going on with the repair of the store: %w", err)
	}
	return true, nil
}

// Leave gives the repair up, done or not. It is called by who has it, or who knows that what the store says of one is of before a loss; that another has just begun
// one anew, and two have it then, is harmless (Lead).
func (b *Bulletin) Leave(ctx context.Context) error {
	var p pipeline
	p.do(ctx, "del", b.prefix+repairKey)
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("giving up the repair of the store: %w", err)
	}
	return nil
}

// workersLive is how long what processes told of themselves is kept once none of them tells anything.
const workersLive = time.Hour

// Tell tells the others of this process.
func (b *Bulletin) Tell(ctx context.Context, w Worker) error {
	now, err := b.now(ctx)
	if err != nil {
		return err
	}
	w.Seen = now
	text, err := json.Marshal(&w)
	if err != nil {
		return fmt.Errorf("telling how far this process is: %w", err)
	}
	var p pipeline
	p.do(ctx, "hset", b.prefix+workersKey, b.writer, text)
	p.do(ctx, "pexpire", b.prefix+workersKey, workersLive.Milliseconds())
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("telling how far this process is: %w", err)
	}
	return nil
}

// now is the time by Redis's clock, milliseconds: one for all processes, whose own may differ. On a cluster that of any of its servers.
func (b *Bulletin) now(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	now, err := b.client.Time(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("asking Redis for the time: %w", err)
	}
	return now.UnixMilli(), nil
}

// Workers returns who works on the store and has told so within a time; who has not for ten times as long is forgotten.
func (b *Bulletin) Workers(ctx context.Context, within time.Duration) ([]Worker, error) {
	now, err := b.now(ctx)
	if err != nil {
		return nil, err
	}
	var p pipeline
	all := p.raw(ctx, "hgetall", b.prefix+workersKey)
	if err := b.exec(ctx, &p); err != nil {
		return nil, fmt.Errorf("asking who works on the store: %w", err)
	}
	pairs, err := readPairs(all)
	if err != nil {
		return nil, fmt.Errorf("asking who works on the store: %w", err)
	}
	p.next()
	var out []Worker
	for writer, text := range pairs {
		w := Worker{Writer: writer}
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			return nil, fmt.Errorf("asking who works on the store: %w", errCorrupt)
		}
		switch age := time.Duration(now-w.Seen) * time.Millisecond; {
		case age <= within:
			out = append(out, w)
		case age > 10*within:
			p.do(ctx, "hdel", b.prefix+workersKey, writer)
		}
	}
	if err := b.exec(ctx, &p); err != nil {
		return nil, fmt.Errorf("forgetting who works on the store no more: %w", err)
	}
	return out, nil
}

// Marks returns the marks of partitions (Mark.Topic and Partition are asked for), of those that have one that counts.
func (b *Bulletin) Marks(ctx context.Context, of []Mark) ([]Mark, error) {
	var p pipeline
	cmds := make([]*redis.RawCmd, len(of))
	for i := range of {
		cmds[i] = p.raw(ctx, "get", markKey(b.prefix, &of[i]))
	}
	if err := b.exec(ctx, &p); err != nil {
		return nil, fmt.Errorf("reading up to where partitions were applied: %w", err)
	}
	var out []Mark
	for i := range of {
		text, found, err := bulk(cmds[i])
		if err != nil {
			return nil, fmt.Errorf("reading up to where partitions were applied: %w", err)
		}
		if !found {
			continue
		}
		m, ok := parseMark(text, of[i].Topic, of[i].Partition)
		if !ok {
			return nil, errMark
		}
		out = append(out, m)
	}
	return b.counting(ctx, out)
}

// counting returns those of marks that count. Their counters are read after them: a counter that a mark counts by does not fall without a loss.
func (b *Bulletin) counting(ctx context.Context, marks []Mark) ([]Mark, error) {
	var p pipeline
	stand := make(map[string]*redis.RawCmd) // :: key of a counter → where it stands
	for i := range marks {
		if key := b.counterOf(&marks[i]); key != "" && stand[key] == nil {
			stand[key] = p.raw(ctx, "get", key)
		}
	}
	if err := b.exec(ctx, &p); err != nil {
		return nil, fmt.Errorf("asking whether marks count: %w", err)
	}
	var out []Mark
	for i := range marks {
		m := &marks[i]
		if key := b.counterOf(m); key != "" {
			text, found, err := bulk(stand[key])
			if err != nil {
				return nil, fmt.Errorf("asking whether marks count: %w", err)
			}
			if at, err := strconv.ParseInt(text, 10, 64); !found || err != nil || at <= m.While.Above {
				continue
			}
		}
		out = append(out, *m)
	}
	return out, nil
}

// counterOf is the key of the counter that a mark counts by: in the same part of the slots; "" for one that always does.
func (b *Bulletin) counterOf(m *Mark) string {
	if m.While.Counter == "" {
		return ""
	}
	block := 0
	if b.Cluster() {
		block = blockOf(markKey(b.prefix, m))
	}
	return counterKey(b.prefix, block, m.While.Counter)
}

// SetMarks writes marks as they are given, whatever stands there. One that counts always is to say no more than is so whatever may have been lost.
func (b *Bulletin) SetMarks(ctx context.Context, marks []Mark) error {
	var p pipeline
	for i := range marks {
		p.cmds = append(p.cmds, redis.NewStatusCmd(ctx, "set", markKey(b.prefix, &marks[i]), marks[i].text(), "px", b.keep.Milliseconds()))
	}
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("writing up to where partitions were applied: %w", err)
	}
	return nil
}

// Carry is a pipeline for marks to go with, when there is no other.
func (b *Bulletin) Carry(ctx context.Context) error {
	var p pipeline
	p.do(ctx, "exists", b.wholeKey(0))
	if err := b.exec(ctx, &p); err != nil {
		return fmt.Errorf("writing up to where partitions were applied: %w", err)
	}
	return nil
}

func (b *Bulletin) wholeKey(part int) string { return b.prefix + wholeKeys + "{" + tagOf(part) + "}" }

// exec runs a pipeline as Store.exec does.
func (b *Bulletin) exec(ctx context.Context, p *pipeline) error {
	if len(p.cmds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout+time.Duration(len(p.cmds))*visitTimeout)
	defer cancel()
	pipe := b.client.Pipeline()
	if err := pipe.BatchProcess(ctx, p.cmds...); err != nil {
		return err
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}
