//go:build synctests

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		line := w.live(span)
		if t.Failed() {
			t.Logf("replay with: VERDICT_SEED=%d make virtual\n%s", seed, &w.journal)
		}
		t.Logf("seed=%d %s", seed, line)
	})
	t.Logf("seed=%d real=%s", seed, time.Since(began).Round(time.Millisecond))
}

// signals starts the goroutine that os/signal keeps for ever.
var signals = sync.OnceFunc(func() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	signal.Stop(c)
})

func (w *world) live(span time.Duration) (line string) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	for i := range 1 + w.fate.n(3) {
		w.scorers = append(w.scorers, &host{world: w, name: fmt.Sprint("scorer-", i), role: "scorer"})
	}
	for i := range 1 + w.fate.n(2) {
		w.apis = append(w.apis, &host{world: w, name: fmt.Sprint("api-", i), role: "api"})
	}
	if w.fate.chance(0.3) {
		w.cfg.Kafka.GroupInstanceID = "static"
	}
	for _, h := range w.hosts() {
		h.start()
	}
	time.Sleep(15 * time.Second) // topics, groups, the reply partition
	w.watch = newWatcher(w)
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	go w.sessions(watching)
	feed, load, busy := newStranger(w), sync.WaitGroup{}, context.Context(nil)
	busy, stop := context.WithTimeout(ctx, span)
	defer stop()
	load.Go(func() { feed.run(busy, 1.5) })
	load.Go(func() { w.call(busy, 0.5) })
	w.plague(busy, 15*time.Second)
	w.heal()
	load.Wait()
	for _, err := range feed.bad {
		w.t.Errorf("the stranger: %v", err)
	}
	pause(ctx, 40*time.Second) // what the API's clients have not written by then they give up
	inputs, err := w.inputs(ctx, feed)
	if err == nil {
		err = w.quiet(ctx, inputs)
	}
	if err != nil {
		w.t.Error(err)
	}
	w.found(ctx)
	counts := w.told(inputs)
	w.end()
	unwatch()
	time.Sleep(time.Minute) // clients' last goroutines
	if err := w.compare(ctx); err != nil {
		w.t.Error(err)
	}
	w.watch.stop()
	<-w.watch.over
	w.cluster().Close()
	w.endRedis()
	time.Sleep(time.Minute)
	report := w.oracle.Report()
	if !report.Green() {
		w.t.Error(&report)
		for _, f := range report.Offenders {
			w.t.Error(f)
		}
	}
	return fmt.Sprintf("%s callers:%s calls: %v virtual=%s", &report, sortedStatuses(counts), w.points.calls, time.Since(w.journal.began).Round(time.Second))
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
