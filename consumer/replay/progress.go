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

// Far is how far a run through a history is.
type Far struct {
	Orders      int64
	Text        string // what else there is to say, such as ", 12 points"
	Done, Total int64  // of what is read, in whatever unit; a Total of 0 is not known
	Of          string // what is read: "the file"
}

// TellConfig is what Tell needs.
type TellConfig struct {
	To    io.Writer
	Name  string // before each line
	Bar   bool   // To is a terminal: a bar, and a line now and then otherwise
	Color bool
	Far   func() Far // called on a goroutine of its own
}

// Telling tells how far a run is, on a goroutine of its own.
type Telling struct {
	TellConfig

	began time.Time
	stop  chan struct{}
	over  sync.WaitGroup
}

// Tell starts to tell how far a run is, until End.
func Tell(cfg TellConfig) *Telling {
	t := &Telling{TellConfig: cfg, began: time.Now(), stop: make(chan struct{})}
	if cfg.Bar {
		t.over.Go(t.bar)
	} else {
		t.over.Go(t.lines)
	}
	return t
}

// End stops the telling and clears the bar.
func (t *Telling) End() {
	close(t.stop)
	t.over.Wait()
}

func (t *Telling) bar() {
	total := t.Far().Total
	if total == 0 {
		total = -1 // a spinner
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(t.To), progressbar.OptionEnableColorCodes(t.Color), progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionShowBytes(false),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else a spinner redraws itself for ever, on a goroutine that nobody ends
	t.every(barEvery, func(far Far) {
		if far.Total > 0 && far.Total != total { // a topic that is followed grows
			total = far.Total
			bar.ChangeMax64(total)
		}
		bar.Describe(fmt.Sprintf("%d orders%s, %.0f/s", far.Orders, far.Text, t.rate(far.Orders)))
		_ = bar.Set64(min(far.Done, max(far.Total-1, 0))) // the end is ours to tell
	})
	_ = bar.Clear()
}

func (t *Telling) lines() {
	t.every(lineEvery, func(far Far) {
		share := ""
		if far.Total > 0 {
			share = fmt.Sprintf(", %.0f %% of %s", 100*float64(far.Done)/float64(far.Total), far.Of)
		}
		_, _ = fmt.Fprintf(t.To, "%s: %d orders%s%s, %.0f orders/s\n", t.Name, far.Orders, far.Text, share, t.rate(far.Orders))
	})
}

// every calls do now and then, until End.
func (t *Telling) every(d time.Duration, do func(Far)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			do(t.Far())
		}
	}
}

func (t *Telling) rate(orders int64) float64 { return float64(orders) / time.Since(t.began).Seconds() }

// overBar writes what is told while a bar is drawn: in the bar's place, which is then drawn again below.
type overBar struct{ to io.Writer }

// Write clears the line and writes.
func (o overBar) Write(text []byte) (int, error) {
	if _, err := io.WriteString(o.to, "\r\x1b[2K"); err != nil {
		return 0, err
	}
	return o.to.Write(text)
}
