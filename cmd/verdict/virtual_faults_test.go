//go:build synctests

package main_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/cmd/verdict/internal/virtual"
)

// A fault is one of the table: it begins, lasts, and is over when it returns. It draws what it needs from the world's fate.
type fault struct {
	name   string
	weight int
	strike func(w *world, ctx context.Context)
	alone  bool // it is made only where VERDICT_FAULT asks for it
}

// longest is how long a fault lasts at most. What the features of terminals do not look at yet is longer ago than a few of them on end.
const longest = 30 * time.Second

// table is what goes wrong, by the ids of docs/reliability.md. VERDICT_FAULT=F23 has that go wrong alone, VERDICT_FAULT=F01,F24 those two.
func table() []fault {
	only := strings.FieldsFunc(os.Getenv("VERDICT_FAULT"), func(r rune) bool { return r == ',' })
	return slices.DeleteFunc([]fault{
		{"F01 crash of a scorer", 6, func(w *world, ctx context.Context) { w.bounce(ctx, w.aScorer(), true) }, false},
		{"F04 stop of a scorer", 3, func(w *world, ctx context.Context) { w.bounce(ctx, w.aScorer(), false) }, false},
		{"F03 crash of an API process", 3, func(w *world, ctx context.Context) { w.bounce(ctx, w.anAPI(), true) }, false},
		{"F04 stop of an API process", 2, func(w *world, ctx context.Context) { w.bounce(ctx, w.anAPI(), false) }, false},
		{"F02 a lane's call", 16, (*world).strikeCall, false},
		{"F05 a process stands still", 3, func(w *world, ctx context.Context) {
			if r := w.aScorer().process(); r != nil {
				w.holding(ctx, r, w.fate.between(time.Second, longest))
			}
		}, false},
		{"F07 rebalances", 3, (*world).rebalances, false},
		{"F09 brokers restart", 2, (*world).restartBrokers, false},
		{"F10 a broker's answer", 12, (*world).misanswer, false},
		{"F14 leaders and coordinators move", 3, (*world).moveLeaders, false},
		{"F15 a right is taken away", 1, (*world).takeRight, false},
		{"F18 a network is cut", 4, (*world).cutNetwork, false},
		{"F18 connections break in the middle", 6, (*world).breakLinks, false},
		{"F18 a slow network", 2, (*world).slowNetwork, false},
		{"F19 Redis refuses", 2, func(w *world, ctx context.Context) { w.ruled(ctx, &virtual.Rule{On: toRedis, Refuse: true}, true) }, false},
		{"F20 Redis is silent", 3, func(w *world, ctx context.Context) { w.ruled(ctx, &virtual.Rule{On: toRedis, Hold: true}, false) }, false},
		{"F20 Redis hears and does not answer", 2, func(w *world, ctx context.Context) { w.ruled(ctx, &virtual.Rule{On: toRedis, Deaf: true}, false) }, false},
		{"F21 replies of Redis are lost", 4, (*world).loseReplies, false},
		{"F22 a reply of Redis that nobody asked for", 2, (*world).misplaceReplies, false},
		{"F23 Redis is emptied", 1, (*world).emptyRedis, false},
		{"F24 Redis loses the last of what was written", 2, (*world).failOver, false},
		{"F25 F26 Redis says no", 5, (*world).redisSays, false},
		{"F34 a process's clock steps", 2, (*world).stepClock, false},
	}, func(f fault) bool {
		if len(only) == 0 {
			return f.alone
		}
		return !slices.ContainsFunc(only, func(id string) bool { return strings.HasPrefix(f.name, id) })
	})
}

func toRedis(l virtual.Link) bool  { return l.To == redisAddress }
func toBroker(l virtual.Link) bool { return !toRedis(l) && l.From != "caller" }

// ours says whether a link is that of one of our processes; strangers' links are left alone.
func ours(l virtual.Link) bool {
	return l.From != "feeder" && l.From != "oracle" && l.From != "caller" && l.From != "judge"
}

// plague makes faults until ctx ends, now and then two at a time, and returns when the last is over.
func (w *world) plague(ctx context.Context, every time.Duration) {
	faults, total := table(), 0
	for i := range faults {
		total += faults[i].weight
	}
	two := make(chan struct{}, 2)
	for {
		select {
		case <-ctx.Done():
			for range cap(two) { // those that are under way
				two <- struct{}{}
			}
			return
		case <-time.After(w.fate.between(0, 2*every)):
		}
		for w.progress.rests.Load() && ctx.Err() == nil {
			pause(ctx, time.Second)
		}
		draw := w.fate.n(total)
		at := 0
		for draw >= faults[at].weight {
			draw -= faults[at].weight
			at++
		}
		two <- struct{}{}
		go func() {
			began := time.Now()
			w.journal.note("%s", faults[at].name)
			faults[at].strike(w, ctx)
			w.journal.note("%s: over", faults[at].name)
			w.oracle.Fault(began, time.Now())
			<-two
		}()
	}
}

func (w *world) aScorer() *host { return w.scorers[w.fate.n(len(w.scorers))] }
func (w *world) anAPI() *host   { return w.apis[w.fate.n(len(w.apis))] }

// pause waits, or until the plague is over.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// bounce ends a process and starts it again.
func (w *world) bounce(ctx context.Context, h *host, crash bool) {
	if h.kept || !h.busy.TryLock() {
		return
	}
	defer h.busy.Unlock()
	if crash {
		h.crash()
	} else if err := h.stop(); errors.Is(err, errEndless) { // that it could not commit, or leave its group, is the other faults' doing
		w.t.Error(err)
	}
	pause(ctx, w.fate.between(0, 15*time.Second))
	h.start()
}

// strikeCall has one call of a lane's worker on its ends fail, do it and report failure, crash before or after it, or be late.
func (w *world) strikeCall(ctx context.Context) {
	points := []string{"poll", "learn", "exchange", "first", "publish", "commit"}
	kinds := []string{"refused", "crash before", "crash after", "paused", "done and reported failed"}
	s := &strike{point: points[w.fate.n(len(points))], kind: kinds[w.fate.n(len(kinds))], pause: w.fate.between(time.Second, longest/2), skip: w.fate.n(5)}
	if s.point == "poll" && s.kind == "done and reported failed" {
		s.kind = "refused" // a batch that was polled and not given is lost: that would be the campaign's doing
	}
	w.points.arm(s)
	pause(ctx, 20*time.Second)
	w.points.disarm(s) // or it would crash a process that nobody starts again
	for _, h := range w.scorers {
		if h.busy.TryLock() {
			if h.process() == nil {
				h.start()
			}
			h.busy.Unlock()
		}
	}
}

// hold stops a process for all that others can see; what it returns is to be removed.
func (w *world) hold(r *running) *virtual.Rule {
	rule := &virtual.Rule{On: func(l virtual.Link) bool { return l.From == r.name || l.To == r.address }, Hold: true}
	w.net.Add(rule)
	return rule
}

func (w *world) holding(ctx context.Context, r *running, d time.Duration) {
	w.journal.note("%s stands still for %s", r.name, d)
	rule := w.hold(r)
	pause(ctx, d)
	w.net.Remove(rule)
}

// rebalances has a stranger join and leave the groups, again and again.
func (w *world) rebalances(ctx context.Context) {
	for range 1 + w.fate.n(4) {
		h := w.aScorer()
		w.bounce(ctx, h, false)
		pause(ctx, w.fate.between(500*time.Millisecond, 3*time.Second))
	}
}

// restartBrokers ends the cluster and starts it over the same folder.
func (w *world) restartBrokers(ctx context.Context) {
	if !w.restarting.TryLock() {
		return
	}
	defer w.restarting.Unlock()
	w.cluster().Close()
	pause(ctx, w.fate.between(0, 15*time.Second))
	w.startBrokers()
}

// misanswer has brokers answer some requests with an error; some of them do what was asked all the same.
func (w *world) misanswer(ctx context.Context) {
	t := w.cfg.Kafka.Topics
	outputs := []string{t.Decisions, t.DeadLetters, t.Replies}
	output := outputs[w.fate.n(len(outputs))]
	input := []string{t.Orders, t.Sync, t.Labels}[w.fate.n(3)]
	group := w.cfg.Kafka.Group + []string{".sync", ""}[w.fate.n(2)]
	faults := []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.NotLeaderForPartition},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.NotEnoughReplicas},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.NotEnoughReplicasAfterAppend},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.RequestTimedOut},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.UnknownServerError},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.OutOfOrderSequenceNumber},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.UnknownProducerID},
		{Keys: []kmsg.Key{kmsg.Produce}, Topic: output, Err: kerr.InvalidProducerEpoch},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: input, Err: kerr.NotLeaderForPartition},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: input, Err: kerr.UnknownServerError},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: input, Err: kerr.OffsetNotAvailable},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.NotCoordinator},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.CoordinatorLoadInProgress},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.RequestTimedOut},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.RebalanceInProgress},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.IllegalGeneration},
		{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: group, Err: kerr.NotCoordinator},
		{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: group, Err: kerr.UnstableOffsetCommit},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.UnknownMemberID, TopLevel: true},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.NotCoordinator, TopLevel: true},
		{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: group, Err: kerr.CoordinatorNotAvailable, TopLevel: true},
		{Keys: []kmsg.Key{kmsg.SyncGroup}, Group: group, Err: kerr.RebalanceInProgress, TopLevel: true},
		{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: group, Err: kerr.CoordinatorNotAvailable},
		{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorLoadInProgress, TopLevel: true},
		{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: input, Err: kerr.LeaderNotAvailable},
		{Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Topic: input, Err: kerr.UnknownLeaderEpoch},
	}
	f := faults[w.fate.n(len(faults))]
	f.Count = 1 + w.fate.n(6)
	if w.fate.chance(0.2) {
		f.Count = -1
	}
	w.journal.note("%v of %s%s: %v, %d times", f.Keys[0].Name(), f.Topic, f.Group, f.Err, f.Count)
	h := w.cluster().Fault(f)
	pause(ctx, w.fate.between(time.Second, longest))
	h.Remove()
}

// moveLeaders gives partitions, and then groups, other brokers.
func (w *world) moveLeaders(ctx context.Context) {
	if !w.restarting.TryLock() { // a cluster that was ended answers nothing
		return
	}
	defer w.restarting.Unlock()
	for range 1 + w.fate.n(3) {
		if w.fate.chance(0.5) {
			w.cluster().ShufflePartitionLeaders()
		} else {
			w.cluster().RehashCoordinators()
		}
		pause(ctx, w.fate.between(0, 5*time.Second))
	}
}

// takeRight refuses the right to write decisions or to read orders, and gives it back.
func (w *world) takeRight(ctx context.Context) {
	t := w.cfg.Kafka.Topics
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: t.Decisions, Err: kerr.TopicAuthorizationFailed, Count: -1}
	if w.fate.chance(0.5) {
		f.Keys, f.Topic = []kmsg.Key{kmsg.Fetch}, t.Orders
	}
	h := w.cluster().Fault(f)
	pause(ctx, w.fate.between(time.Second, longest))
	h.Remove()
}

// cutNetwork cuts one process off the brokers, in one direction or both, or breaks its connections.
func (w *world) cutNetwork(ctx context.Context) {
	r := w.hosts()[w.fate.n(len(w.hosts()))].process()
	if r == nil {
		return
	}
	on := func(l virtual.Link) bool { return l.From == r.name && toBroker(l) }
	switch w.fate.n(4) {
	case 0:
		w.net.Cut(on)
	case 1:
		w.ruled(ctx, &virtual.Rule{On: on, Hold: true}, false)
	case 2:
		w.ruled(ctx, &virtual.Rule{On: on, Deaf: true}, false)
	default:
		w.ruled(ctx, &virtual.Rule{On: on, Mute: true}, false)
	}
}

// ruled keeps a rule for a while; cut breaks what is open at first.
func (w *world) ruled(ctx context.Context, r *virtual.Rule, cut bool) {
	w.net.Add(r)
	if cut {
		w.net.Cut(r.On)
	}
	pause(ctx, w.fate.between(100*time.Millisecond, longest))
	w.net.Remove(r)
}

// breakLinks breaks connections in the middle of a write, of a request or of its answer.
func (w *world) breakLinks(ctx context.Context) {
	on := toBroker
	if w.fate.chance(0.5) {
		on = toRedis
	}
	odds := []float64{0.3, 0.05, 0.005}[w.fate.n(3)]
	w.ruled(ctx, &virtual.Rule{On: func(l virtual.Link) bool { return ours(l) && on(l) }, Break: func(_ bool, size int) (int, bool) {
		return w.fate.n(size + 1), w.fate.chance(odds)
	}}, false)
}

// loseReplies breaks connections to Redis when an answer is on its way: what was asked is done.
func (w *world) loseReplies(ctx context.Context) {
	w.ruled(ctx, &virtual.Rule{On: toRedis, Break: func(reply bool, size int) (int, bool) {
		return 0, reply && w.fate.chance(0.05)
	}}, false)
}

// misplaceReplies has Redis answer now and then what nobody asked for, so that each later answer on the connection is that to another question. It stands before the
// answers of a pipeline.
func (w *world) misplaceReplies(ctx context.Context) {
	odds := []float64{0.2, 0.01}[w.fate.n(2)]
	w.ailing.babble(func() bool { return w.fate.chance(odds) })
	pause(ctx, w.fate.between(time.Second, longest))
	w.ailing.babble(nil)
}

// emptyRedis takes all that Redis has, under load.
func (w *world) emptyRedis(context.Context) { w.redis.FlushAll() }

// failOver has another server take the place of Redis, which has not heard the last of what was written: once, or again and again while the store is filled.
func (w *world) failOver(ctx context.Context) {
	if !w.failing.TryLock() {
		return
	}
	defer w.failing.Unlock()
	for range 1 + w.fate.n(5) {
		heard := w.backup()
		pause(ctx, w.fate.between(0, 3*time.Second))
		w.restore(heard)
		pause(ctx, w.fate.between(0, 5*time.Second))
	}
}

// stepClock has the clock of a scorer's lanes be up to an hour off for a while.
func (w *world) stepClock(ctx context.Context) {
	r := w.aScorer().process()
	if r == nil {
		return
	}
	by := w.fate.between(-time.Hour, time.Hour)
	w.journal.note("that of %s by %s", r.name, by.Round(time.Second))
	r.skew.Store(int64(by))
	pause(ctx, w.fate.between(time.Second, longest))
	r.skew.Store(0)
}

// slowNetwork makes every way longer for a while.
func (w *world) slowNetwork(ctx context.Context) {
	slow := w.fate.between(time.Millisecond, 200*time.Millisecond)
	w.journal.note("%s a way", slow)
	w.slow.Store(int64(slow))
	pause(ctx, w.fate.between(time.Second, longest))
	w.slow.Store(0)
}

// redisSays has Redis refuse commands in words.
func (w *world) redisSays(ctx context.Context) {
	odds := []float64{1, 0.2, 0.01}[w.fate.n(3)]
	says := []struct {
		text  string
		write bool
	}{
		{"READONLY You can't write against a read only replica.", true},
		{"LOADING Redis is loading the dataset in memory", false},
		{"OOM command not allowed when used memory > 'maxmemory'.", true},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", false},
		{"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", false},
		{"MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.", true},
	}[w.fate.n(6)]
	w.journal.note("%s (%g)", says.text, odds)
	w.ailing.fall(says.text, says.write, func() bool { return w.fate.chance(odds) })
	pause(ctx, w.fate.between(100*time.Millisecond, longest))
	w.ailing.well()
}
