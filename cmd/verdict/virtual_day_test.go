//go:build synctests

package main_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestVirtualDay runs processes for as long as VERDICT_VIRTUAL says (24h), with faults all the while, and looks at what they hold: goroutines and memory must not
// grow with the hours.
func TestVirtualDay(t *testing.T) {
	text := os.Getenv("VERDICT_VIRTUAL")
	if text == "" {
		t.Skip("takes many minutes: VERDICT_VIRTUAL=24h runs it")
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	signals()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.day(span)
		if t.Failed() {
			t.Log(&w.journal)
		}
	})
	t.Logf("%s of virtual time took %s", span, time.Since(began).Round(time.Second))
}

// day has one fleet live for a tenth of the time and another for the rest, and compares what each gives back when it ends. One scorer and one process with the API
// of each fleet live from its beginning to its end; others are ended as in any run.
func (w *world) day(span time.Duration) {
	for i := range 2 {
		w.scorers = append(w.scorers, &host{world: w, name: fmt.Sprint("scorer-", i), role: "scorer", kept: i == 0})
	}
	w.apis = append(w.apis, &host{world: w, name: "api-0", role: "api", kept: true})
	w.open()
	feed := newStranger(w)
	short, _ := w.watched(span/10, feed)
	w.end()
	heldShort := short - heap()
	for _, h := range w.hosts() {
		h.start()
	}
	long, goroutines := w.watched(span-span/10, feed)
	inputs := w.settle(feed)
	counts := w.told(inputs)
	w.end()
	heldLong := long - heap()
	report := w.judge()
	w.close()
	quarter := len(goroutines) / 4
	first, last := slices.Max(goroutines[:quarter+1]), slices.Max(goroutines[len(goroutines)-quarter-1:])
	w.t.Logf("%s callers:%s; processes of %s gave back %.1f MB, of %s %.1f MB; goroutines of the whole world at most %d in the first quarter, %d in the last",
		report, sortedStatuses(counts), span/10, mega(heldShort), span-span/10, mega(heldLong), first, last)
	if last > first*5/4+20 {
		w.t.Errorf("goroutines grow: %v", goroutines)
	}
	if heldLong > 2*heldShort+8<<20 {
		w.t.Errorf("processes that lived %s held %.1f MB, those that lived %s %.1f MB", span/10, mega(heldShort), span-span/10, mega(heldLong))
	}
}

// watched is suffer, with a look at how many goroutines there are every ten minutes. It returns the heap at its end, too.
func (w *world) watched(span time.Duration, feed *stranger) (held int64, goroutines []int) {
	over, looked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Minute):
				goroutines = append(goroutines, runtime.NumGoroutine())
			}
		}
	}()
	w.suffer(span, feed, 0.25, 0.1, 45*time.Second)
	close(over)
	<-looked
	time.Sleep(2 * time.Minute)
	return heap(), goroutines
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what has a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func mega(bytes int64) float64 { return float64(bytes) / (1 << 20) }
