//go:build synctests

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"verdict/cmd/verdict/internal/oracle"
)

// TestVirtual runs the whole of verdict for ten virtual minutes a seed, with faults everywhere, and holds what came of it against the log of what was asked.
//
// VERDICT_SEEDS=100 runs that many; VERDICT_SEED=n runs the one that failed. What a seed decides is when which fault is made and what is asked; which of two goroutines
// goes first, the order of a map and the choices of a select are the runtime's, so that a seed repeats its faults and not each step of the run.
func TestVirtual(t *testing.T) {
	span := 10 * time.Minute
	first, seeds := uint64(1), 3
	if text := os.Getenv("VERDICT_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	if text := os.Getenv("VERDICT_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = n, 1
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			live(t, seed, span)
		})
	}
}

// live is one world, from its first order to its judgement.
func live(t *testing.T, seed uint64, span time.Duration) {
	t.Helper()
	signals() // outside of the bubble: what it starts never ends
	began := time.Now()
	defer deadline(seed)()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		line := w.live(span)
		if t.Failed() || os.Getenv("VERDICT_SHOW") != "" {
			t.Logf("replay with: VERDICT_SEED=%d make virtual\n%s", seed, &w.journal)
		}
		t.Logf("seed=%d %s", seed, line)
		if w.shrank.Load() && !t.Failed() {
			t.Logf("this run says nothing: the stand-in broker lost the end of a log\n%s", &w.journal)
		}
	})
	t.Logf("seed=%d real=%s", seed, time.Since(began).Round(time.Millisecond))
}

// hang is after how much real time a seed is said to hang: one takes some seconds, on a machine that does nothing else.
const hang = 20 * time.Minute

// deadline ends the process, with all its goroutines, when it is not called off in time: where a lock is held across a wait, or something asks again and again without
// a pause, no time passes in a bubble, and it would never end.
func deadline(seed uint64) (off func()) {
	timer := time.AfterFunc(hang, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d hangs: in %s of real time it has not ended. Replay with: VERDICT_SEED=%d make virtual", seed, hang, seed))
	})
	return func() { timer.Stop() }
}

// signals starts the goroutine that os/signal keeps for ever.
var signals = sync.OnceFunc(func() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	signal.Stop(c)
})

// live is a world's life: a fleet of processes, faults, quiet, judgement.
func (w *world) live(span time.Duration) (line string) {
	w.people()
	if w.fate.chance(0.3) {
		w.cfg.Kafka.GroupInstanceID = "static"
	}
	if w.fate.chance(0.25) {
		w.cfg.Delivery = "exactly_once"
		w.oracle = oracle.New(oracle.Config{ExactlyOnce: true})
	}
	w.open()
	feed := newStranger(w)
	w.suffer(span, feed, 1.5, 0.5, 15*time.Second)
	inputs := w.settle(feed)
	counts := w.told(inputs)
	w.end()
	report := w.judge()
	w.close()
	return w.cfg.Delivery + " " + fmt.Sprintf("%s callers:%s calls: %v virtual=%s", report, sortedStatuses(counts), w.points.calls, time.Since(w.journal.began).Round(time.Second))
}

// people says which processes there are: one to three scorers, one or two with the API.
func (w *world) people() {
	for i := range 1 + w.fate.n(3) {
		w.scorers = append(w.scorers, &host{world: w, name: fmt.Sprint("scorer-", i), role: "scorer"})
	}
	for i := range 1 + w.fate.n(2) {
		w.apis = append(w.apis, &host{world: w, name: fmt.Sprint("api-", i), role: "api"})
	}
}

// open starts the processes, and those who watch.
func (w *world) open() {
	for _, h := range w.hosts() {
		h.start()
	}
	time.Sleep(15 * time.Second) // topics, groups, the reply partition
	w.watch = newWatcher(w)
	var watching context.Context
	watching, w.unwatch = context.WithCancel(context.Background())
	go w.sessions(watching)
}

// suffer has orders written and callers ask while faults are made, and returns when the last caller was answered and no fault is at work.
func (w *world) suffer(span time.Duration, feed *stranger, orders, asks float64, every time.Duration) {
	busy, stop := context.WithTimeout(context.Background(), span)
	defer stop()
	var load sync.WaitGroup
	load.Go(func() { feed.run(busy, orders) })
	load.Go(func() { w.call(busy, asks) })
	load.Go(func() { feed.undo(busy) })
	w.plague(busy, every)
	w.heal()
	load.Wait()
}

// settle waits until all is decided, and returns the log of orders.
func (w *world) settle(feed *stranger) []oracle.Input {
	feed.close()
	for _, err := range feed.bad {
		w.t.Errorf("the feeder: %v", err)
	}
	ctx := context.Background()
	pause(ctx, 40*time.Second) // what the API's clients have not written by then they give up
	inputs, err := w.inputs(ctx, feed)
	if err == nil {
		err = w.quiet(ctx, inputs)
	}
	if err != nil {
		w.errorf("%v", err)
	}
	if !w.shrank.Load() {
		w.found(ctx)
	}
	return inputs
}

// judge decides the log again and says what the oracle says.
func (w *world) judge() *oracle.Report {
	w.unwatch()
	time.Sleep(time.Minute) // clients' last goroutines
	if err := w.compare(context.Background()); err != nil {
		w.errorf("%v", err)
	}
	report := w.oracle.Report()
	if !report.Green() {
		w.errorf("%v", &report)
		for _, f := range report.Offenders {
			w.errorf("%v", f)
		}
	}
	return &report
}

// close ends what is not verdict. The bubble then sees whether a goroutine is left: that ends the test.
func (w *world) close() {
	w.watch.stop()
	<-w.watch.over
	w.cluster().Close()
	w.endRedis()
	time.Sleep(time.Minute)
}

// heal ends all faults and starts what is down.
func (w *world) heal() {
	w.net.Heal()
	w.points.arm(nil)
	w.ailing.well()
	w.slow.Store(0)
	for _, h := range w.hosts() {
		if h.process() == nil {
			h.start()
		}
	}
	w.journal.note("healed")
}

// end stops all processes.
func (w *world) end() {
	for _, h := range w.hosts() {
		if err := h.stop(); err != nil {
			w.t.Errorf("stopping %s: %v", h.name, err)
		}
		if err := h.bury(); err != nil {
			w.t.Error(err)
		}
	}
}
