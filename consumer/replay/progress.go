package replay

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// How often progress is told: a bar is redrawn, a line is written.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
)

// progress tells on stderr how far a replay is, on a goroutine of its own.
type progress struct {
	to     io.Writer
	in     *stream
	counts *counts
	began  time.Time
	stop   chan struct{}
	over   sync.WaitGroup
}

// startProgress starts to tell: by a bar on a terminal, by a line now and then elsewhere.
func startProgress(to io.Writer, terminal, color bool, in *stream, c *counts) *progress {
	p := &progress{to: to, in: in, counts: c, began: time.Now(), stop: make(chan struct{})}
	if terminal {
		p.over.Go(func() { p.bar(color) })
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

func (p *progress) bar(color bool) {
	total := p.in.size
	if total == 0 {
		total = -1 // a spinner
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.to), progressbar.OptionEnableColorCodes(color), progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionShowBytes(false),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else a spinner redraws itself for ever, on a goroutine that nobody ends
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			_ = bar.Clear()
			return
		case <-tick.C:
			orders := p.counts.orders.Load()
			bar.Describe(fmt.Sprintf("%d orders, %.0f/s", orders, p.rate(orders)))
			_ = bar.Set64(min(p.in.read(), max(p.in.size-1, 0))) // the end is ours to tell
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
			orders := p.counts.orders.Load()
			if p.in.size > 0 {
				_, _ = fmt.Fprintf(p.to, "replay: %d orders, %.0f %% of %s, %.0f orders/s\n", orders, 100*float64(p.in.read())/float64(p.in.size), p.in.of, p.rate(orders))
			} else {
				_, _ = fmt.Fprintf(p.to, "replay: %d orders, %.0f orders/s\n", orders, p.rate(orders))
			}
		}
	}
}

// overBar writes what is told while a bar is drawn: in the bar's place, which is then drawn again below.
type overBar struct{ to io.Writer }

// Write clears the line and writes.
func (o overBar) Write(text []byte) (int, error) {
	if _, err := io.WriteString(o.to, "\r\x1b[2K"); err != nil {
		return 0, err
	}
	return o.to.Write(text)
}

func (p *progress) rate(orders int64) float64 { return float64(orders) / time.Since(p.began).Seconds() }
