package redisstore_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/schemas"
)

// moving makes the calls of one batch after the other while slots move. A batch is repeated until it goes through, as the worker does, and what it is
// shown then must be what the store in memory shows.
type moving struct {
	store, memory preprocess.Store
	batch         int
	redelivered   *preprocess.Visit // in each batch
	labelled      bool              // it comes with its label
	wrong         string            // the first difference
}

func newMoving(t *testing.T, c *redistest.Cluster, prefix string) *moving {
	t.Helper()
	return &moving{store: redisstore.New(dial(t, clusterConfig(c)), redisstore.Config{Prefix: prefix, Timeout: patient}), memory: memstore.New(memstore.Config{})}
}

// calls returns what a batch asks for. An order sees what lies before it only, so that batches which are made again see the same.
func (m *moving) calls() ([]schemas.Label, []preprocess.Visit) {
	var visits []preprocess.Visit
	first := 3 * m.batch
	for n := first; n < first+3; n++ {
		v := visit(n, int64(n))
		v.Labelled, v.Asks = []string{"hot"}, []preprocess.Ask{points("hot", "x", float64(n)), {Key: "hot", Marks: true, Keep: 1e12}, points("cold"+strconv.Itoa(n%7), "*", 0)}
		if m.batch%5 == 4 { // its key comes to be at some time of a move
			v.Asks = append(v.Asks, points("hot", "late"+strconv.Itoa(m.batch), float64(n)))
		}
		visits = append(visits, v)
	}
	if m.batch > 3 {
		repeat := visit(first-9, int64(first+2))
		repeat.Arrival.Offset += 1_000_000
		repeat.Labelled, repeat.Asks = []string{"hot"}, []preprocess.Ask{points("hot", "x", 1), points("cold0", "*", 0)}
		visits = append(visits, repeat)
	}
	for i := range visits {
		for j := range visits[i].Asks {
			visits[i].Asks[j].To = visits[i].At
		}
	}
	labels := []schemas.Label{label(first+1, 9000, true), label(first-3, 9000, true)} // one that comes before its order, and one after
	if r := m.redelivered; r != nil {
		visits = append([]preprocess.Visit{*r}, visits...) // as the oldest: the others see it whether they come again or not
		if m.labelled {
			labels = append(labels, schemas.Label{ID: r.ID, Fraud: true, KnownAt: time.UnixMicro(r.At)})
		}
	}
	return labels, visits
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
	if err := m.memory.Learn(ctx, labels); err != nil {
		return err
	}
	want, err := look(ctx, m.memory, visits)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" && m.wrong == "" {
		m.wrong = diff
	}
	return nil
}

// slotsMove makes calls after each step of a move.
func slotsMove(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	m := newMoving(t, c, "moves:")
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
	if m.wrong != "" {
		t.Fatalf("what is seen (-in memory +on the cluster):\n%s", m.wrong)
	}
}
