//go:build synctests

package main_test

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions ends the sessions of members that are gone, which a real coordinator does by itself: in kfake a member whose connection broke just when its join was to be
// answered has no timer any more, and each join of another one puts the rebalance's deadline off, so that a group may wait for it for ever. A member is gone when its
// process is, or when its process has another member, for longer than a session.
func (w *world) sessions(ctx context.Context) {
	client := w.client("judge")
	defer client.Close()
	admin := kadm.NewClient(client)
	suspect := map[string]time.Time{} // :: member → since when
	for ctx.Err() == nil {
		pause(ctx, 4*time.Second)
		asking, cancel := context.WithTimeout(ctx, 3*time.Second)
		groups, err := admin.DescribeGroups(asking, w.cfg.Kafka.Group, w.cfg.Kafka.Group+".sync")
		if err == nil {
			for _, group := range groups.Sorted() {
				w.expire(asking, client.Request, &group, suspect)
			}
		}
		cancel()
	}
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

// alive says whether a process of this name runs.
func (w *world) alive(name string) bool {
	for _, h := range w.hosts() {
		if r := h.process(); r != nil && r.name == name {
			return true
		}
	}
	return false
}
