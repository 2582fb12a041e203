package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/schemas"
)

// moving makes the calls of one batch after the other while slots move. A batch is repeated until it goes through, as the worker does, and what it is
// shown then must be what the store in memory shows. What is left at the end must be what one server has.
type moving struct {
	store, plain *redisstore.Store // on the cluster, and on a server of its own, where nothing moves
	memory       preprocess.Store
	batch        int
	redelivered  *preprocess.Visit // in each batch
	labelled     bool              // it comes with its label
	wrong        string            // the first difference
}

func newMoving(t *testing.T, c *redistest.Cluster, prefix string) *moving {
	t.Helper()
	cfg := redisstore.Config{Prefix: prefix, Timeout: patient}
	return &moving{
		store: redisstore.New(dial(t, clusterConfig(c)), cfg), plain: redisstore.New(dial(t, startRedis(t)), cfg), memory: memstore.New(memstore.Config{}),
	}
}

// calls returns what a batch asks for. An order sees what lies before it only, so that batches which are made again see the same.
func (m *moving) calls() ([]schemas.Label, []preprocess.Visit) {
	var visits []preprocess.Visit
	first := 3 * m.batch
	for n := first; n < first+3; n++ {
		v := visit(n, int64(n))
		v.Arrival.Offset += 10_000
		v.Labelled = []string{"hot"}
		v.Asks = []preprocess.Ask{
			points("hot", "x", float64(n)),
			{Key: "hot", Marks: true, Keep: 1e12},
			points("cold"+strconv.Itoa(n%7), "*", 0),
			merged("hot", float64(n)),
			{Key: "hot", Column: "seen", Adds: preprocess.AddSeen, Keep: 1e12},
		}
		if m.batch%5 == 4 { // its key comes to be at some time of a move
			v.Asks = append(v.Asks, points("hot", "late"+strconv.Itoa(m.batch), float64(n)))
		}
		visits = append(visits, v)
	}
	if m.batch > 3 {
		repeat := visit(first-9, int64(first+2))
		repeat.Arrival.Source = 9
		repeat.Labelled, repeat.Asks = []string{"hot"}, []preprocess.Ask{points("hot", "x", 1), points("cold0", "*", 0), merged("hot", 1)}
		visits = append(visits, repeat)
	}
	labels := []schemas.Label{label(first+1, 9000, true), label(first-3, 9000, true)} // one that comes before its order, and one after
	if r := m.redelivered; r != nil {
		visits = append([]preprocess.Visit{*r}, visits...) // as the oldest: the others see it whether they come again or not
		if m.labelled {
			labels = append(labels, schemas.Label{ID: r.ID, Fraud: true, KnownAt: time.UnixMicro(r.At)})
		}
	}
	upToItself(visits)
	return labels, visits
}

func upToItself(visits []preprocess.Visit) {
	for i := range visits {
		for j := range visits[i].Asks {
			visits[i].Asks[j].To = visits[i].At
		}
	}
}

// before fills the busy entity, so that its merged column has merged points from the beginning.
func (m *moving) before(t *testing.T) {
	t.Helper()
	var visits []preprocess.Visit
	for n := range 500 {
		v := visit(10_000+n, int64(n-1000))
		v.Arrival.Offset = int64(n)
		v.Asks, v.Labelled = []preprocess.Ask{merged("hot", float64(n))}, nil
		visits = append(visits, v)
	}
	upToItself(visits)
	mustLook(t, m.plain, visits...)
	m.compare(mustLook(t, m.memory, visits...), mustLook(t, m.store, visits...), visits)
}

// try makes the calls of the batch once.
func (m *moving) try(ctx context.Context) error {
	labels, visits := m.calls()
	if err := m.store.Learn(ctx, labels); err != nil {
		return err
	}
	got, err := look(ctx, m.store, visits)
	if err != nil {
		return err
	}
	m.batch++
	var want []seen
	for _, s := range []preprocess.Store{m.plain, m.memory} {
		if err := s.Learn(ctx, labels); err != nil {
			return err
		}
		if want, err = look(ctx, s, visits); err != nil {
			return err
		}
	}
	m.compare(want, got, visits)
	return nil
}

// compare notes the first difference. A visit that was there before may find points merged that were not then.
func (m *moving) compare(want, got []seen, visits []preprocess.Visit) {
	for i := range got {
		for j := range got[i].Views {
			if got[i].again && visits[i].Asks[j].Merge != nil {
				got[i].Views[j], want[i].Views[j] = preprocess.View{}, preprocess.View{}
			}
		}
		// A Diff of everything takes minutes, and an Equal is slow for as much as this.
		if m.wrong == "" && !alike(want[i], got[i]) && !cmp.Equal(want[i], got[i], seenAlike()...) {
			m.wrong = fmt.Sprintf("visit %d of %d:\n%s", i, len(visits), cmp.Diff(want[i], got[i], seenAlike()...))
		}
	}
}

// alike says whether two are the same to the bit.
func alike(a, b seen) bool {
	return a.First == b.First && a.Content == b.Content && slices.EqualFunc(a.Views, b.Views, func(a, b preprocess.View) bool {
		return slices.Equal(a.Points, b.Points) && slices.Equal(a.Marks, b.Marks) && slices.Equal(a.Cells, b.Cells) && slices.Equal(a.Sightings, b.Sightings)
	})
}

// end compares all that is left.
func (m *moving) end(t *testing.T) {
	t.Helper()
	probe := visit(20_000, 20_000)
	probe.Asks = []preprocess.Ask{merged("hot", 0), {Key: "hot", Marks: true, Keep: 1e12}}
	columns := []string{"x", "seen"}
	for batch := 4; batch < m.batch; batch += 5 {
		columns = append(columns, "late"+strconv.Itoa(batch))
	}
	for _, column := range columns {
		probe.Asks = append(probe.Asks, points("hot", column, 0))
	}
	for n := range 7 {
		probe.Asks = append(probe.Asks, points("cold"+strconv.Itoa(n), "*", 0))
	}
	for i := range probe.Asks {
		probe.Asks[i].Adds = preprocess.AddNothing
	}
	visits := []preprocess.Visit{probe}
	upToItself(visits)
	m.compare(mustLook(t, m.memory, visits...), mustLook(t, m.store, visits...), visits)
	if m.wrong != "" {
		t.Fatalf("what is seen (-in memory +on the cluster):\n%s", m.wrong)
	}
	mustLook(t, m.plain, visits...)
	want, err := m.plain.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.store.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != want || got.Points == 0 || got.Marks == 0 || got.Merged == 0 {
		t.Errorf("what is left on the cluster is %+v, on one server %+v", got, want)
	}
}

// slotsMove makes calls after each step of a move.
func slotsMove(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	m := newMoving(t, c, "moves:")
	m.before(t)
	for range 6 {
		if err := m.try(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const entity, known, coming = "the slot of an entity", "the slot of an order that is known", "the slot of an order to come"
	for i, what := range []string{entity, known, coming, entity, known, coming} {
		tag, v := "hot", visit(1000+i, int64(3*m.batch))
		v.Asks, v.Labelled = []preprocess.Ask{{Key: "cold1", Column: "*", To: v.At, Keep: 1e12}}, []string{"cold2"}
		m.redelivered, m.labelled = nil, what == known
		if what != entity {
			tag = string(v.ID)
		}
		if what == known {
			m.redelivered = &v
			untilDone(t, func() error { return m.try(t.Context()) })
		}
		slot := c.Slot("{" + tag + "}")
		failed, tries := 0, 0
		c.Move(slot, other(c, slot), func(step string) {
			if what == coming && step == "migrating" {
				m.redelivered = &v
			}
			tries++
			if err := m.try(t.Context()); err != nil {
				t.Logf("%s, %s: %v", what, step, err)
				failed++
			}
		})
		start := time.Now()
		for range 2 {
			n := untilDone(t, func() error { return m.try(t.Context()) })
			failed, tries = failed+n, tries+n+1
		}
		t.Logf("%s: %d of %d calls failed, the last %v after the move", what, failed, tries, time.Since(start))
		if m.wrong != "" {
			t.Fatalf("%s: what is seen (-in memory +on the cluster):\n%s", what, m.wrong)
		}
	}
	m.end(t)
}

// other returns a node that does not hold a slot.
func other(c *redistest.Cluster, slot int) *redistest.Server {
	if owner := c.Owner(slot); owner != c.Nodes[0] {
		return c.Nodes[0]
	}
	return c.Nodes[1]
}

// slotsMoveConcurrently has steps of a move come in the middle of calls too.
func slotsMoveConcurrently(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	m := newMoving(t, c, "concurrent:")
	m.before(t)
	v := visit(1000, -1)
	v.Asks = []preprocess.Ask{{Key: "cold1", Column: "*", To: v.At, Keep: 1e12}}
	m.redelivered, m.labelled = &v, true
	ctx, cancel := context.WithCancel(t.Context())
	done, tried := make(chan struct{}), make(chan bool)
	calls, failed := 0, 0
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := m.try(ctx)
			if calls++; err != nil {
				failed++
			}
			select {
			case tried <- err == nil:
			default:
			}
		}
	}()
	steps := 0
	for range 2 {
		for _, tag := range []string{"hot", "cold0", "cold1", string(v.ID)} {
			slot := c.Slot("{" + tag + "}")
			c.Move(slot, other(c, slot), func(string) {
				if steps++; steps%4 == 0 {
					<-tried
				}
			})
			untilDone(t, func() error {
				if <-tried {
					return nil
				}
				return errors.New("the last call failed")
			})
		}
	}
	cancel()
	<-done
	untilDone(t, func() error { return m.try(t.Context()) })
	t.Logf("%d of %d calls failed while 8 slots moved in %d steps", failed, calls, steps)
	m.end(t)
}
