package consumer_test

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/consumer"
)

// measured gives the world metrics, and returns what they then say of late orders: how many there were, and by how many seconds all in all.
func (w *world) measured() func() (late uint64, seconds float64) {
	registry := prometheus.NewRegistry()
	w.metrics = consumer.NewMetrics(registry)
	return func() (late uint64, seconds float64) {
		w.t.Helper()
		families, err := registry.Gather()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "verdict_order_lateness_seconds" {
				continue
			}
			for _, m := range f.GetMetric() {
				late, seconds = late+m.GetHistogram().GetSampleCount(), seconds+m.GetHistogram().GetSampleSum()
			}
		}
		return late, seconds
	}
}

func TestLateOrdersAreMeasuredByHowLateWhateverTheBatchSize(t *testing.T) {
	for _, size := range []int{1, 2, 3, 100} {
		w := newWorld(t)
		told := w.measured()
		w.transport.size = size
		w.order("first", "c1", 1, 10)
		w.order("newer", "c2", 1, 20)
		w.order("late", "c1", 1, 15)
		w.order("equal", "c2", 1, 20)
		w.order("later", "c1", 1, 0)
		w.order("newest", "c1", 1, 21)
		w.run()
		if late, seconds := told(); late != 2 || seconds != 300+1200 {
			t.Errorf("batches of %d: %d late by %g s, want 2 by 1500 s", size, late, seconds)
		}
	}
}

func TestLatenessIsMeasuredWithinAPartition(t *testing.T) {
	w := newWorld(t)
	told := w.measured()
	w.order("a", "c1", 1, 50)
	w.order("b", "c2", 1, 10).Partition = 1
	w.order("c", "c3", 1, 10).Topic = "orders.sync"
	w.order("d", "c2", 1, 9).Partition = 1
	w.run()
	if late, seconds := told(); late != 1 || seconds != 60 {
		t.Errorf("%d late by %g s, want 1 by 60 s", late, seconds)
	}
}

func TestCopiesAndConflictsAreNotLate(t *testing.T) {
	w := newWorld(t)
	told := w.measured()
	w.order("a", "c1", 1, 1)
	w.order("b", "c1", 1, 50)
	w.order("a", "c1", 1, 1)
	w.order("a", "c1", 2, 1)
	w.run()
	if late, seconds := told(); late != 0 {
		t.Errorf("%d late by %g s, want none", late, seconds)
	}
}

func TestRecordsThatComeAgainAreMeasuredOnce(t *testing.T) {
	w := newWorld(t)
	told := w.measured()
	w.order("a", "c1", 1, 1)
	w.order("b", "c1", 1, 50)
	w.order("late", "c1", 1, 40)
	synctest.Test(t, func(t *testing.T) {
		w.faults.at = 4 // the first commit: the step is tried again
		worker := w.worker()
		for range 2 {
			w.transport.read = 0
			if err := worker.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	if w.faults.calls != 4+4+4 {
		t.Fatalf("%d calls: the fault hit something else", w.faults.calls)
	}
	if late, seconds := told(); late != 1 || seconds != 600 {
		t.Errorf("%d late by %g s, want 1 by 600 s", late, seconds)
	}
}
