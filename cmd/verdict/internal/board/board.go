// Package board counts what a demo decides and shows it: a table that is drawn over itself on a terminal, plain lines elsewhere.
package board

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"verdict/schemas"
)

// Sent is what the demo knows of an order when it sends it.
type Sent struct {
	At     time.Time // by the wall clock
	Amount float64
	Fraud  bool
}

// Config is what a Board is made of.
type Config struct {
	Out      io.Writer // the table, and the summary
	Progress io.Writer // a line now and then when Out is no terminal
	Live     bool      // Out is a terminal: draw over what was drawn before
	Width    int       // of the terminal: a line that wraps could not be drawn over
	Color    bool
	API      string // where the JSON API listens
	Began    time.Time
}

// Board is safe for concurrent use.
type Board struct {
	cfg Config

	mu      sync.Mutex // guards all below
	waiting map[schemas.OrderID]Sent
	latency *hdrhistogram.Histogram // microseconds
	actions map[schemas.Action]int
	decided int
	first   time.Duration // from Began to the first decision
	planted int           // frauds decided
	caught  int           // of those, reviewed or rejected
	alarms  int           // genuine orders reviewed or rejected
	last    []string      // the newest that were not approved, newest first
	clock   time.Time     // event time of the newest order
	prev    int           // decided at the last Show
	shown   time.Time
	lines   int // drawn last
}

const keepLast = 6

// New returns an empty board.
func New(cfg Config) *Board {
	return &Board{cfg: cfg, waiting: make(map[schemas.OrderID]Sent), latency: hdrhistogram.New(1, 60_000_000, 3), actions: make(map[schemas.Action]int), shown: cfg.Began}
}

// Sending notes an order that is about to be sent.
func (b *Board) Sending(id schemas.OrderID, s Sent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[id] = s
}

// Decided notes the decision of an order at the time now, and returns how many were decided. Orders that the demo did not send count too, without a latency.
func (b *Board) Decided(d *schemas.Decision, now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent, ours := b.waiting[d.OrderID]
	delete(b.waiting, d.OrderID)
	if ours {
		_ = b.latency.RecordValue(now.Sub(sent.At).Microseconds()) // beyond a minute it is not counted
	}
	if b.decided == 0 {
		b.first = now.Sub(b.cfg.Began)
	}
	b.decided++
	b.actions[d.Action]++
	if d.OccurredAt.After(b.clock) {
		b.clock = d.OccurredAt
	}
	flagged := d.Action != schemas.Approve
	switch {
	case sent.Fraud && flagged:
		b.planted++
		b.caught++
	case sent.Fraud:
		b.planted++
	case flagged && ours:
		b.alarms++
	}
	if flagged {
		b.last = slices.Insert(b.last, 0, line(d, sent, ours))
		b.last = b.last[:min(len(b.last), keepLast)]
	}
	return b.decided
}

// line is one decision for people. Of an order that the demo did not send, the amount is what its vector says, and the truth is not known.
func line(d *schemas.Decision, sent Sent, ours bool) string {
	var why []string
	if d.Policy.Rule != "" {
		why = append(why, "rule "+d.Policy.Rule)
	}
	for _, r := range d.Reasons {
		why = append(why, fmt.Sprintf("%s=%.4g (%+.2f)", r.Feature, r.Value, r.Contribution))
	}
	truth := "genuine"
	switch {
	case !ours:
		truth = "yours"
		if i, has := d.Inputs.Layout.Index("amount"); has {
			sent.Amount = d.Inputs.Values[i]
		}
	case sent.Fraud:
		truth = "fraud"
	}
	return fmt.Sprintf("%-7s %.3f %9.2f  %-7s  %s", d.Action, d.Score, sent.Amount, truth, strings.Join(why, ", "))
}

// Show draws the board at the time now.
func (b *Board) Show(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := float64(b.decided-b.prev) / now.Sub(b.shown).Seconds()
	b.prev, b.shown = b.decided, now
	if !b.cfg.Live {
		fmt.Fprintf(b.cfg.Progress, "%3.0fs  %7d orders  %6.0f/s  %s  %s\n", now.Sub(b.cfg.Began).Seconds(), b.decided, rate, b.times(), b.counts())
		return
	}
	var t strings.Builder
	if b.lines > 0 {
		fmt.Fprintf(&t, "\x1b[%dA\x1b[J", b.lines)
	}
	rows := []string{
		b.bold("verdict demo") + cut(fmt.Sprintf("  %.0f s   shop's time %s   API %s   Ctrl-C ends", now.Sub(b.cfg.Began).Seconds(), b.clock.Format("2006-01-02 15:04"), b.cfg.API), b.cfg.Width-12),
		fmt.Sprintf("  orders   %9d   %6.0f/s   %s", b.decided, rate, b.times()),
		"  actions  " + b.counts(),
		"  frauds   " + b.truth(),
		"",
		b.bold(cut("  action  score    amount  truth    why", b.cfg.Width)),
	}
	for _, l := range b.last {
		rows = append(rows, cut("  "+l, b.cfg.Width))
	}
	for i := range rows {
		if !strings.HasPrefix(rows[i], "\x1b") { // what is bold was cut to fit already
			rows[i] = cut(rows[i], b.cfg.Width)
		}
	}
	t.WriteString(strings.Join(rows, "\n") + "\n")
	b.lines = len(rows)
	_, _ = io.WriteString(b.cfg.Out, t.String()) // a terminal that is gone has nobody to be told
}

// cut shortens a line of ASCII to n characters.
func cut(s string, n int) string {
	if n > 3 && len(s) > n {
		return s[:n-3] + "..."
	}
	return s
}

func (b *Board) bold(s string) string {
	if b.cfg.Color {
		return "\x1b[1m" + s + "\x1b[0m"
	}
	return s
}

func (b *Board) times() string {
	ms := func(q float64) float64 { return float64(b.latency.ValueAtQuantile(q)) / 1000 }
	return fmt.Sprintf("p50 %.1f  p99 %.1f  p99.9 %.1f ms", ms(50), ms(99), ms(99.9))
}

func (b *Board) counts() string {
	return fmt.Sprintf("approve %d  review %d  reject %d", b.actions[schemas.Approve], b.actions[schemas.Review], b.actions[schemas.Reject])
}

func (b *Board) truth() string {
	return fmt.Sprintf("planted %d  caught %d (%.0f %%)  false alarms %d", b.planted, b.caught, 100*float64(b.caught)/max(1, float64(b.planted)), b.alarms)
}

// Summary writes what the demo came to.
func (b *Board) Summary(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := now.Sub(b.cfg.Began)
	fmt.Fprintf(b.cfg.Out, "\n%d orders decided in %.1f s (%.0f/s), first decision %.2f s after the start\n", b.decided, took.Seconds(), float64(b.decided)/took.Seconds(), b.first.Seconds())
	fmt.Fprintf(b.cfg.Out, "latency from sending an order to its decision on the topic: %s\n%s\nfrauds %s\n", b.times(), b.counts(), b.truth())
	if b.cfg.Live {
		return
	}
	for _, l := range b.last {
		fmt.Fprintln(b.cfg.Out, "  "+l)
	}
}
