//go:build synctests

package main_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"verdict/cmd/verdict/internal/oracle"
)

// standstill is after how long a partition that has work and does none has the faults rest: several of them one behind the other are as good as one that lasts, and
// what the features of terminals do not look at yet is not longer ago than four minutes.
const standstill = time.Minute

// longestStand is how long a partition may stand still once faults rest: those that are at work end, sessions and transactions do, a group waits for a member that does
// not come back (a minute), and a Redis that was away is asked again.
const longestStand = 2*time.Minute + 30*time.Second

// progress looks after how far each partition of orders is.
type progress struct {
	done  map[oracle.Place]int64 // :: topic and partition → up to where something came of its inputs
	since map[oracle.Place]time.Time
	told  map[oracle.Place]bool
	rests atomic.Bool // no fault is to begin
	from  time.Time   // since when they rest
}

func newProgress() *progress {
	return &progress{done: map[oracle.Place]int64{}, since: map[oracle.Place]time.Time{}, told: map[oracle.Place]bool{}}
}

// look has faults rest while a partition stands still, and fails the run where one does so all the same.
func (p *progress) look(ctx context.Context, w *world, admin *kadm.Client) {
	t := w.cfg.Kafka.Topics
	ends, err := admin.ListEndOffsets(ctx, t.Orders, t.Sync)
	if err != nil {
		return
	}
	done := w.watch.perPartition()
	longest := time.Duration(0)
	ends.Each(func(end kadm.ListedOffset) {
		at := oracle.Place{Topic: end.Topic, Partition: end.Partition}
		if end.Err != nil || done[at] >= end.Offset || done[at] > p.done[at] || p.since[at].IsZero() {
			p.done[at], p.since[at], p.told[at] = done[at], time.Now(), false
			return
		}
		stands := time.Since(p.since[at])
		longest = max(longest, stands)
		if !p.rests.Load() || time.Since(p.from) < longestStand || p.told[at] {
			return
		}
		p.told[at] = true
		group := w.cfg.Kafka.Group
		if at.Topic == t.Sync {
			group += ".sync"
		}
		w.journal.note("%s/%d: %d of %d are decided and nothing since %s; %s", at.Topic, at.Partition, done[at], end.Offset, stands.Round(time.Second), describe(ctx, admin, group))
		w.journal.keep()
		w.errorf("%s/%d stands still, and no fault is at work", at.Topic, at.Partition)
		stacks(w)
	})
	switch {
	case longest > standstill && !p.rests.Load():
		p.from = time.Now()
		p.rests.Store(true)
		w.journal.note("a partition stands still: faults rest")
	case longest <= standstill && p.rests.Load():
		p.rests.Store(false)
		w.journal.note("it goes on: faults may begin")
	}
}

// stacks writes what all goroutines do to the file that VERDICT_STACKS names.
func stacks(w *world) {
	file := os.Getenv("VERDICT_STACKS")
	if file == "" {
		return
	}
	buf := make([]byte, 16<<20)
	name := fmt.Sprintf("%s.%d.%.0f", file, w.seed, time.Since(w.journal.began).Seconds())
	if err := os.WriteFile(name, buf[:runtime.Stack(buf, true)], 0o600); err != nil {
		w.t.Log(err)
	}
}

// describe is a group in a line.
func describe(ctx context.Context, admin *kadm.Client, group string) string {
	groups, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return err.Error()
	}
	g := groups[group]
	members := make([]string, 0, len(g.Members))
	for _, m := range g.Members {
		text := m.ClientID
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range a.Topics {
				text += fmt.Sprint(" ", topic.Topic, topic.Partitions)
			}
		}
		members = append(members, text)
	}
	slices.Sort(members)
	return fmt.Sprintf("%s is %s: %s", group, g.State, strings.Join(members, "; "))
}
