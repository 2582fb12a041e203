//go:build synctests

package main_test

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/cmd/verdict/internal/oracle"
	"verdict/cmd/verdict/internal/virtual"
)

// sessions ends the sessions of members that are gone, which a real coordinator does by itself: in kfake a member whose connection broke just when its join was to be
// answered has no timer any more, and each join of another one puts the rebalance's deadline off, so that a group may wait for it for ever. A member is gone when its
// process is, or when its process has another member, for longer than a session.
func (w *world) sessions(ctx context.Context) {
	client := w.client("judge")
	defer client.Close()
	admin := kadm.NewClient(client)
	go w.ends(ctx, admin)
	suspect := map[string]time.Time{} // :: member → since when
	waits := map[string]time.Time{}   // :: group → since when it waits for members to join
	for ctx.Err() == nil {
		pause(ctx, 4*time.Second)
		asking, cancel := context.WithTimeout(ctx, 3*time.Second)
		groups, err := admin.DescribeGroups(asking, w.cfg.Kafka.Group, w.cfg.Kafka.Group+".sync")
		if err == nil {
			for _, group := range groups.Sorted() {
				w.expire(asking, client.Request, &group, suspect)
				w.unlock(asking, client.Request, &group, waits)
			}
		}
		w.progress.look(asking, w, admin)
		cancel()
	}
}

// ends looks whether a log ever ends before where it ended: nothing that is done here can make it. The stand-in does so now and then, when it is restarted or its leaders
// move, and the group then stands behind the end of a log whose next records it will never see. A run with that is told, and says nothing.
func (w *world) ends(ctx context.Context, admin *kadm.Client) {
	t, furthest := w.cfg.Kafka.Topics, map[oracle.Place]int64{}
	for ctx.Err() == nil {
		pause(ctx, 250*time.Millisecond)
		asking, cancel := context.WithTimeout(ctx, 3*time.Second)
		ends, err := admin.ListEndOffsets(asking, t.Orders, t.Sync, t.Labels)
		cancel()
		if err != nil {
			continue
		}
		ends.Each(func(end kadm.ListedOffset) {
			at := oracle.Place{Topic: end.Topic, Partition: end.Partition}
			if end.Err != nil {
				return
			}
			if end.Offset < furthest[at] {
				w.shrank.Store(true)
				w.journal.note("the stand-in's log of %s/%d ends at %d, and ended at %d", at.Topic, at.Partition, end.Offset, furthest[at])
			}
			furthest[at] = max(furthest[at], end.Offset)
		})
	}
}

// errorf fails the run, unless it says nothing.
func (w *world) errorf(format string, args ...any) {
	if w.shrank.Load() {
		w.t.Logf(format, args...)
		return
	}
	w.t.Errorf(format, args...)
}

type request func(context.Context, kmsg.Request) (kmsg.Response, error)

func (w *world) expire(ctx context.Context, ask request, group *kadm.DescribedGroup, suspect map[string]time.Time) {
	of := map[string]int{} // :: process → its members
	for _, m := range group.Members {
		of[m.ClientID]++
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = group.Group
	for _, m := range group.Members {
		since, suspected := suspect[m.MemberID]
		switch gone := !w.alive(m.ClientID) || of[m.ClientID] > 1; {
		case !gone:
			delete(suspect, m.MemberID)
		case !suspected:
			suspect[m.MemberID] = time.Now()
		case time.Since(since) > w.cfg.Kafka.SessionTimeout+2*time.Second:
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = m.MemberID
			leave.Members = append(leave.Members, member)
			delete(suspect, m.MemberID)
		}
	}
	if len(leave.Members) > 0 {
		w.journal.note("%s: %d members whose sessions are over are taken out", group.Group, len(leave.Members))
		_, _ = ask(ctx, leave) // or the next time
	}
}

// rebalanceTimeout is the client's: after it a group goes on without who has not joined.
const rebalanceTimeout = time.Minute

// unlock has a group begin anew that waits for its members longer than a real one ever does. kfake counts those that wait to join, and one that leaves while it waits
// for its assignment is taken off that count (group.removeMember): from then on all of them together are one too few. Its deadline would set that right, but each of
// them that asks again, which it does when its request was not answered for that long, puts it off.
func (w *world) unlock(ctx context.Context, ask request, group *kadm.DescribedGroup, waits map[string]time.Time) {
	since, waited := waits[group.Group]
	switch {
	case group.State != "PreparingRebalance":
		delete(waits, group.Group)
		return
	case !waited:
		waits[group.Group] = time.Now()
		return
	case time.Since(since) < rebalanceTimeout+5*time.Second:
		return
	}
	w.journal.note("%s has waited for its members longer than Kafka does: it begins anew", group.Group)
	delete(waits, group.Group)
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = group.Group
	of := map[string]bool{}
	for _, m := range group.Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		leave.Members, of[m.ClientID] = append(leave.Members, member), true
	}
	_, _ = ask(ctx, leave)                                                    // or the next time
	w.net.Cut(func(l virtual.Link) bool { return of[l.From] && toBroker(l) }) // who waits for an answer asks again
}

// alive says whether a process of this name runs.
func (w *world) alive(name string) bool {
	for _, h := range w.hosts() {
		if r := h.process(); r != nil && r.name == name {
			return true
		}
	}
	return false
}
