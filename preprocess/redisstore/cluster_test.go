package redisstore_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/schemas"
)

// TestStoreOnACluster shares one cluster of three servers among its parts, each under a prefix of its own: starting one takes 2 s.
func TestStoreOnACluster(t *testing.T) {
	c := redistest.StartCluster(t)
	t.Run("keys of an entity share a slot", func(t *testing.T) { shareASlot(t, c) })
	t.Run("a poll is one pipeline a node", func(t *testing.T) { onePipelineANode(t, c) })
	t.Run("a silent node fails the call near the timeout", func(t *testing.T) { silentNode(t, c) })
	t.Run("slots that move leave nothing wrong", func(t *testing.T) { slotsMove(t, c) })
	t.Run("slots that move under concurrent polls leave nothing wrong", func(t *testing.T) { slotsMoveConcurrently(t, c) })
	t.Run("a node that dies fails the call until it is back", func(t *testing.T) { nodeDies(t, c) })
}

// seen is what a visit was shown.
type seen struct {
	First   preprocess.Arrival
	Content uint64
	Views   []preprocess.View

	again bool
}

// look makes a call. Points that come of what was seen are how many points the first ask saw.
func look(ctx context.Context, s preprocess.Store, visits []preprocess.Visit) ([]seen, error) {
	all := make([]seen, 0, len(visits))
	err := s.Exchange(ctx, visits, func(i int, found *preprocess.Found) {
		one := seen{First: found.First, Content: found.Content, again: found.Again}
		for j, v := range found.Views {
			one.Views = append(one.Views, preprocess.View{
				Points: slices.Clone(v.Points), Marks: slices.Clone(v.Marks), Cells: slices.Clone(v.Cells), Sightings: slices.Clone(v.Sightings),
			})
			if ask := &visits[i].Asks[j]; ask.Adds == preprocess.AddSeen {
				ask.Value = float64(len(found.Views[0].Points))
			}
		}
		all = append(all, one)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func mustLook(t *testing.T, s preprocess.Store, visits ...preprocess.Visit) []seen {
	t.Helper()
	all, err := look(t.Context(), s, visits)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustLearn(t *testing.T, s preprocess.Store, labels ...schemas.Label) {
	t.Helper()
	if err := s.Learn(t.Context(), labels); err != nil {
		t.Fatal(err)
	}
}

func seenAlike() []cmp.Option {
	return []cmp.Option{cmpopts.EquateEmpty(), cmpopts.EquateNaNs(), cmpopts.IgnoreUnexported(seen{})}
}

// same compares what a store showed with what the one in memory shows for the same calls.
func same(t *testing.T, what string, want, got []seen) {
	t.Helper()
	if diff := cmp.Diff(want, got, seenAlike()...); diff != "" {
		t.Fatalf("%s: what is seen (-in memory +on the cluster):\n%s", what, diff)
	}
}

// shareASlot: so a cluster keeps all that belongs to an entity, or to an order, on one node and in the order of the pipeline.
func shareASlot(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	client := dial(t, clusterConfig(c))
	long := strings.Repeat("k", 511)
	for i, prefix := range []string{"", "app{1}:", "{}", "}:", "a{"} {
		for j, entity := range []string{"customer:1", "", "}", "}x", "{", "{}", "a}b{c", "%", "%7D", "\xff\x00", "\r\n", long + "}", "}" + long} {
			s := redisstore.New(client, redisstore.Config{Prefix: prefix, Timeout: patient})
			v := visit(100*i+j, 1)
			v.Labelled = []string{entity}
			v.Asks = []preprocess.Ask{points(entity, "x", 1), points(entity, "}y", 1), points(entity, "", 1), merged(entity, 1), {Key: entity, Column: "seen", Adds: preprocess.AddSeen, Keep: 1e12}}
			mustLook(t, s, v)
			mustLearn(t, s, label(100*i+j, 1, true))
			// Once more under a feature set that asks for the labels of a further entity: what is kept of that belongs to the order.
			v.Labelled = append(v.Labelled, "another")
			mustLook(t, s, v)
			names := keysOf(t, client, "")
			slots := make(map[string]map[int]bool)
			for _, name := range names {
				whose := "the entity"
				if strings.HasSuffix(name, "{"+string(v.ID)+"}") {
					whose = "the order"
				} else if strings.Contains(name, "{another}") {
					whose = "the other entity"
				}
				if slots[whose] == nil {
					slots[whose] = make(map[int]bool)
				}
				slots[whose][c.Slot(name)] = true
			}
			if len(names) != 10 || len(slots["the entity"]) != 1 || len(slots["the order"]) != 1 {
				t.Errorf("under prefix %q the entity %q has its keys %q in slots %v", prefix, entity, names, slots)
			}
			for _, n := range c.Nodes {
				n.Do("flushall")
			}
		}
	}
}

// nodePipelines counts the pipelines, and the commands in them, that one node gets.
type nodePipelines struct{ pipelines, commands *atomic.Int64 }

func (p nodePipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p nodePipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p nodePipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.pipelines.Add(1)
		p.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func onePipelineANode(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	client := dial(t, clusterConfig(c)).(*redis.ClusterClient)
	counts := make(map[string]nodePipelines)
	for _, addr := range c.Addrs() {
		counts[addr] = nodePipelines{new(atomic.Int64), new(atomic.Int64)}
	}
	client.OnNewNode(func(node *redis.Client) { node.AddHook(counts[node.Options().Addr]) })
	s, memory := redisstore.New(client, redisstore.Config{Prefix: "poll:", Timeout: patient}), memstore.New(memstore.Config{})
	early := make([]schemas.Label, 0, poll)
	for n := 0; n < 2*poll; n += 10 {
		early = append(early, schemas.Label{ID: benchVisit(n).ID, Fraud: true, KnownAt: time.UnixMicro(benchVisit(n).At + 1)})
	}
	mustLook(t, s, benchVisits(0, poll)...)
	mustLook(t, memory, benchVisits(0, poll)...)
	mustLearn(t, s, early...)
	mustLearn(t, memory, early...)
	for n := poll; n < 5*poll; n += poll {
		for _, count := range counts {
			count.pipelines.Store(0)
			count.commands.Store(0)
		}
		visits := benchVisits(n, poll)
		if n == 3*poll { // some have come before, elsewhere
			for i := range 5 {
				visits[100*i] = benchVisit(i)
				visits[100*i].Arrival.Offset += 1_000_000
			}
		}
		same(t, "poll of 500", mustLook(t, memory, visits...), mustLook(t, s, visits...))
		for addr, count := range counts {
			want := int64(1)
			if n == poll || n == 3*poll {
				want = 2 // labels were there before these orders, or repeats are taken back
			}
			if pipelines, commands := count.pipelines.Load(), count.commands.Load(); pipelines > want || commands < poll {
				t.Errorf("poll at %d: node %s got %d pipelines of %d commands, want at most %d of several hundred", n, addr, pipelines, commands, want)
			}
		}
	}
}

// silentNode: the client's own limit for reading is 2 s.
func silentNode(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	const timeout, silence = 100 * time.Millisecond, 2 * time.Second
	cfg := clusterConfig(c)
	cfg.Timeout = 0
	s := redisstore.New(dial(t, cfg), redisstore.Config{Prefix: "silent:", Timeout: timeout})
	visits := benchVisits(0, 20) // their keys are on all nodes
	mustLook(t, redisstore.New(dial(t, clusterConfig(c)), redisstore.Config{Prefix: "silent:", Timeout: patient}), visits...)
	c.Nodes[1].Do("client", "pause", silence.Milliseconds())
	for what, call := range map[string]func() error{
		"Exchange": func() error {
			_, err := look(t.Context(), s, visits)
			return err
		},
		"Learn": func() error {
			var labels []schemas.Label
			for _, v := range visits {
				labels = append(labels, schemas.Label{ID: v.ID, Fraud: true, KnownAt: time.UnixMicro(v.At)})
			}
			return s.Learn(t.Context(), labels)
		},
	} {
		start := time.Now()
		err := call()
		if took := time.Since(start); err == nil || took < timeout*9/10 || took > 800*time.Millisecond {
			t.Errorf("%s took %v and reports %v", what, took, err)
		}
	}
	untilDone(t, func() error {
		_, err := look(t.Context(), s, visits)
		return err
	})
}

// untilDone repeats a call as the worker does, and returns how often it failed.
func untilDone(t *testing.T, call func() error) (failed int) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; failed++ {
		err := call()
		if err == nil {
			return failed
		}
		if strings.Contains(err.Error(), "hot") || strings.Contains(err.Error(), "{o") {
			t.Fatalf("the error tells a key: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("it still fails after %v and %d times: %v", patient, failed, err)
		}
		time.Sleep(time.Millisecond) // the worker's back-off
	}
}

// on returns n words that begin so and lie, as keys of entities or orders do, on this node.
func on(c *redistest.Cluster, node *redistest.Server, word string, n int) []string {
	var words []string
	for i := 0; len(words) < n; i++ {
		if w := word + strconv.Itoa(i); c.Owner(c.Slot("{"+w+"}")) == node {
			words = append(words, w)
		}
	}
	return words
}

func withoutMarks(s seen) {
	for i := range s.Views {
		s.Views[i].Marks = nil
	}
}

// nodeDies has a node killed and started again, empty.
func nodeDies(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	const timeout = 200 * time.Millisecond
	client := dial(t, redisstore.DialConfig{Addrs: c.Addrs(), Cluster: true})
	s, memory := redisstore.New(client, redisstore.Config{Prefix: "dies:", Timeout: timeout}), memstore.New(memstore.Config{})
	var ids, entities [][]string // :: node → some that lie on it
	for _, n := range c.Nodes {
		ids, entities = append(ids, on(c, n, "o", 4)), append(entities, on(c, n, "e", 1))
	}
	made := 0
	order := func(nth int, nodes ...int) preprocess.Visit {
		made++
		v := visit(made, int64(made))
		v.ID, v.Labelled, v.Asks = schemas.OrderID(ids[nodes[0]][nth]), nil, nil
		for _, n := range nodes {
			v.Labelled = append(v.Labelled, entities[n][0])
			v.Asks = append(v.Asks, points(entities[n][0], "x", float64(made)), preprocess.Ask{Key: entities[n][0], Marks: true, To: t0 + 1000, Keep: 1e12})
		}
		return v
	}
	before := []preprocess.Visit{order(0, 0, 1, 2), order(0, 1), order(0, 2)}
	untilDone(t, func() error {
		_, err := look(t.Context(), s, before)
		return err
	})
	mustLook(t, memory, before...)

	dead := c.Nodes[1]
	dead.Kill()
	everywhere, elsewhere := []preprocess.Visit{order(1, 0, 1, 2), order(1, 1), order(1, 2)}, []preprocess.Visit{order(2, 0, 2), order(2, 2)}
	for what, call := range map[string]func() error{
		"Exchange": func() error {
			all, err := look(t.Context(), s, everywhere)
			if all != nil {
				t.Errorf("half an answer: %v", all)
			}
			return err
		},
		"Learn": func() error {
			return s.Learn(t.Context(), []schemas.Label{{ID: everywhere[0].ID, Fraud: true}, {ID: everywhere[1].ID, Fraud: true}})
		},
	} {
		start := time.Now()
		err := call()
		if took := time.Since(start); err == nil || took > 1500*time.Millisecond {
			t.Errorf("with a dead node %s took %v and reports %v", what, took, err)
		}
	}
	// What was done of the call that failed stays, as Store says, and what the others know is as it was.
	mustLook(t, memory, everywhere...)
	got := mustLook(t, s, elsewhere...)
	for i := range got { // Learn may have come to the label or not
		withoutMarks(got[i])
	}
	want := mustLook(t, memory, elsewhere...)
	for i := range want {
		withoutMarks(want[i])
	}
	same(t, "orders of the nodes that live", want, got)

	dead.Restart()
	c.AwaitReady()
	var again []seen
	untilDone(t, func() (err error) {
		again, err = look(t.Context(), s, everywhere)
		return err
	})
	for i, v := range everywhere {
		if again[i].First != v.Arrival {
			t.Errorf("order %d of the call made again is held by %v", i, again[i].First)
		}
	}
	if n := len(again[1].Views[0].Points); n != 2 { // everywhere's own two: what was before is gone with the node
		t.Errorf("%d points of an entity whose node came back empty, want 2", n)
	}
	if n := len(again[2].Views[0].Points); n != 6 {
		t.Errorf("%d points of an entity whose node lived, want 6", n)
	}
}
