package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// How often progress is told: a bar is redrawn, a line is written.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// progress tells on stderr how far a run through a history is, on a goroutine of its own.
type progress struct {
	to   io.Writer
	name string
	far  func() (text string, done, total int64) // safe to call from any goroutine
	stop chan struct{}
	over sync.WaitGroup
}

// tellProgress starts to tell: by a bar on a terminal, by a line now and then elsewhere.
func tellProgress(to io.Writer, name string, far func() (text string, done, total int64)) *progress {
	p := &progress{to: to, name: name, far: far, stop: make(chan struct{})}
	if to == os.Stderr && term.IsTerminal(int(os.Stderr.Fd())) {
		p.over.Go(p.bar)
	} else {
		p.over.Go(p.lines)
	}
	return p
}

// end stops the telling and clears the bar.
func (p *progress) end() {
	close(p.stop)
	p.over.Wait()
}

func (p *progress) bar() {
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(p.to), progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""),
		progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true))
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			_ = bar.Clear()
			return
		case <-tick.C:
			text, done, total := p.far()
			bar.ChangeMax64(max(total, 1))
			bar.Describe(text)
			_ = bar.Set64(min(done, max(total-1, 0))) // the end is ours to tell
		}
	}
}

func (p *progress) lines() {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			text, done, total := p.far()
			if total > 0 {
				text += fmt.Sprintf(", %.0f %% of the history", 100*float64(done)/float64(total))
			}
			_, _ = fmt.Fprintf(p.to, "%s: %s\n", p.name, text)
		}
	}
}
