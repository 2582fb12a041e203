package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Survey asks a cluster what an operator wants to know of it, and writes nothing. Each call ends with its context, and may be made while others are.
type Survey struct {
	client *kgo.Client
	admin  *kadm.Client
}

// OpenSurvey connects lazily: that no broker is there is for the first call to say.
func OpenSurvey(c Connection) (*Survey, error) {
	client, err := c.once(time.Second, kgo.RequestRetries(2))
	if err != nil {
		return nil, err
	}
	return &Survey{client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the client. Calls that are under way end with it.
func (s *Survey) Close() { s.client.Close() }

// Brokers is what brokers say of themselves.
type Brokers struct {
	Count    int
	Version  string           // as told by the requests that they know: a release or a range of them
	Features map[string]int16 // :: feature → its finalized level, such as transaction.version
}

// Brokers asks which brokers there are.
func (s *Survey) Brokers(ctx context.Context) (Brokers, error) {
	return answered(ctx, func() (Brokers, error) {
		meta, err := s.admin.BrokerMetadata(ctx)
		if err != nil {
			return Brokers{}, fmt.Errorf("asking for the cluster's metadata: %w", err)
		}
		versions, err := s.admin.ApiVersions(ctx)
		if err != nil {
			return Brokers{}, fmt.Errorf("asking for the brokers' versions: %w", err)
		}
		out := Brokers{Count: len(meta.Brokers), Features: make(map[string]int16)}
		seen := make(map[string]bool)
		for _, v := range versions.Sorted() {
			if v.Err != nil {
				continue
			}
			if guess := v.VersionGuess(); !seen[guess] {
				seen[guess] = true
				out.Version = strings.TrimPrefix(out.Version+", "+guess, ", ")
			}
			for _, f := range v.Raw().FinalizedFeatures {
				out.Features[f.Name] = f.MaxVersionLevel
			}
		}
		return out, nil
	})
}

// TopicState is how a topic stands.
type TopicState struct {
	Partitions int
	Replicas   int               // of the partition that has the fewest
	Leaderless []int32           // partitions that nobody can read or write
	Lagging    []int32           // partitions of which a replica is not in sync
	Settings   map[string]string // as they are in force; nil where the broker does not tell
	Allowed    []string          // what the client may do with it, such as READ; nil where the broker does not tell
	Newest     time.Time         // the latest of the records' own times; zero where there is none, or the broker does not tell
	Err        error             // why nothing else is known
}

// ErrNoTopic is wrapped by a TopicState's Err when there is no such topic, or the client may not see it.
var ErrNoTopic = errors.New("there is no such topic")

// Topics asks how topics stand.
func (s *Survey) Topics(ctx context.Context, names ...string) (map[string]TopicState, error) {
	return answered(ctx, func() (map[string]TopicState, error) {
		meta, err := s.admin.Metadata(kadm.WithAuthorizedOps(ctx), names...)
		if err != nil {
			return nil, fmt.Errorf("asking for topics: %w", err)
		}
		out := make(map[string]TopicState, len(names))
		var there []string
		for _, name := range names {
			out[name] = topicState(meta.Topics, name)
			if out[name].Err == nil {
				there = append(there, name)
			}
		}
		if len(there) == 0 {
			return out, nil
		}
		s.settings(ctx, out, there)
		if newest, err := s.admin.ListMaxTimestampOffsets(ctx, there...); err == nil {
			newest.Each(func(o kadm.ListedOffset) {
				t := out[o.Topic]
				if at := time.UnixMilli(o.Timestamp); o.Err == nil && o.Timestamp > 0 && at.After(t.Newest) {
					t.Newest = at
					out[o.Topic] = t
				}
			})
		}
		return out, nil
	})
}

func topicState(all kadm.TopicDetails, name string) TopicState {
	d, known := all[name]
	switch {
	case !known, errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		return TopicState{Err: ErrNoTopic}
	case d.Err != nil:
		return TopicState{Err: d.Err}
	}
	t := TopicState{Partitions: len(d.Partitions)}
	for i, p := range d.Partitions.Sorted() {
		if i == 0 || len(p.Replicas) < t.Replicas {
			t.Replicas = len(p.Replicas)
		}
		if p.Leader < 0 {
			t.Leaderless = append(t.Leaderless, p.Partition)
		}
		if len(p.ISR) < len(p.Replicas) {
			t.Lagging = append(t.Lagging, p.Partition)
		}
	}
	for _, op := range d.AuthorizedOperations {
		t.Allowed = append(t.Allowed, op.String())
	}
	slices.Sort(t.Allowed)
	return t
}

// settings fills in what the brokers tell of topics' settings, which they may refuse.
func (s *Survey) settings(ctx context.Context, into map[string]TopicState, names []string) {
	all, err := s.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return
	}
	for _, one := range all {
		t, wanted := into[one.Name]
		if one.Err != nil || !wanted {
			continue
		}
		t.Settings = make(map[string]string, len(one.Configs))
		for _, c := range one.Configs {
			t.Settings[c.Key] = c.MaybeValue()
		}
		into[one.Name] = t
	}
}

// GroupState is how a consumer group stands.
type GroupState struct {
	State     string // Stable, Empty, Dead, …
	Members   int
	Committed int   // partitions in which it has committed something
	Lag       int64 // records behind the ends, in all partitions together
	Gaps      []Gap // where it cannot go on
}

// Gap is a place where what a group committed is not in the log.
type Gap struct {
	Topic            string
	Partition        int32
	At               int64 // what comes next for the group
	LogStart, LogEnd int64
}

// ErrNoCoordinator says that no broker coordinates groups: on a new cluster none does before the first is asked for.
var ErrNoCoordinator = errors.New("no broker coordinates groups yet")

// Group asks how a group stands.
func (s *Survey) Group(ctx context.Context, name string) (GroupState, error) {
	return answered(ctx, func() (GroupState, error) {
		all, err := s.admin.Lag(ctx, name)
		one := all[name]
		if err == nil {
			err = one.Error()
		}
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return GroupState{State: "Dead"}, nil
		case errors.Is(err, kerr.CoordinatorNotAvailable):
			return GroupState{}, ErrNoCoordinator
		case err != nil:
			return GroupState{}, fmt.Errorf("asking for group %s: %w", name, err)
		}
		out := GroupState{State: one.State, Members: len(one.Members), Lag: one.Lag.Total()}
		var topics []string
		for topic := range one.Lag {
			topics = append(topics, topic)
		}
		if len(topics) == 0 {
			return out, nil
		}
		starts, err := s.admin.ListStartOffsets(ctx, topics...)
		if err != nil {
			return out, fmt.Errorf("finding the beginning of %v: %w", topics, err)
		}
		for _, l := range one.Lag.Sorted() {
			if l.Commit.At < 0 {
				continue
			}
			out.Committed++
			start, _ := starts.Lookup(l.Topic, l.Partition)
			if l.Commit.At < start.Offset || l.Commit.At > l.End.Offset {
				out.Gaps = append(out.Gaps, Gap{l.Topic, l.Partition, l.Commit.At, start.Offset, l.End.Offset})
			}
		}
		return out, nil
	})
}

// Authorizer says whether the cluster asks who may do what. The error is that it does not say so to this client.
func (s *Survey) Authorizer(ctx context.Context) (bool, error) {
	return answered(ctx, func() (bool, error) {
		everything := kadm.NewACLs().AnyResource().Operations(kadm.OpAny).ResourcePatternType(kadm.ACLPatternAny).Allow().AllowHosts().Deny().DenyHosts()
		results, err := s.admin.DescribeACLs(ctx, everything)
		if err != nil {
			return false, fmt.Errorf("asking for access rules: %w", err)
		}
		for _, r := range results {
			switch {
			case errors.Is(r.Err, kerr.SecurityDisabled):
				return false, nil
			case errors.Is(r.Err, kerr.ClusterAuthorizationFailed):
				return true, nil // it asks, and says no
			case r.Err != nil:
				return false, fmt.Errorf("asking for access rules: %w", r.Err)
			}
		}
		return true, nil
	})
}

// answered waits for a call until ctx ends: the client may take longer to give up, as it waits for its connections' own limits.
func answered[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := call()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("no answer came: %w", ctx.Err())
	}
}
