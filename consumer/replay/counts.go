package replay

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"verdict/consumer/backtest"
)

// counts is what a replay has done so far. Progress reads it while the replay writes it.
type counts struct {
	orders    atomic.Int64 // read as orders, malformed ones too
	rows      atomic.Int64
	decisions atomic.Int64 // written
	repeats   atomic.Int64
	conflicts atomic.Int64 // of the repeats: with other content
	late      atomic.Int64 // behind an order with a later event time
	tooLate   atomic.Int64 // of the late: by more than the lateness, so that what they ask for may be gone
	latest    atomic.Int64 // of the late: the longest time that one lay behind, in nanoseconds
	after     atomic.Int64 // at --until or later
}

// Summary is what a replay did.
type Summary struct {
	Write  Format // what it was to write, as Config has it
	Decide bool

	Orders      int64 // read, without those at Until or later
	Rows        int64 // written as features
	Decisions   int64 // written
	Repeats     int64 // orders that came before; they have no second row
	Conflicts   int64 // of the repeats, those with another content than the first
	DeadLetters int64 // lines that are no order or no label
	Labels      int64
	Late        int64         // orders that lay behind one with a later event time
	TooLate     int64         // of the late, those that were so by more than the lateness
	Latest      time.Duration // of the late: the longest time that one lay behind
	After       int64         // orders at Until or later: not read
	Elapsed     time.Duration
	Digests     []CandidateDigest // of each candidate's decisions
	Report      *backtest.Report  // nil: none was wanted
	Verified    *Verification     // nil: that was not wanted
	Gate        string            // what the gate says, a line for each condition; "": there was none
}

// CandidateDigest is the digest of a candidate's decisions.
type CandidateDigest struct {
	Name   string `json:"candidate"`
	Digest string `json:"digest"` // see Digest
	Hash   string `json:"hash"`   // of the model and the policy
}

// PerSecond returns how many orders were read a second.
func (s Summary) PerSecond() float64 { return float64(s.Orders) / max(s.Elapsed.Seconds(), 1e-9) }

// String returns the summary as it is printed at the end of a replay.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d orders", s.Orders)
	if s.Write != NoFeatures {
		fmt.Fprintf(&b, ", %d rows", s.Rows)
	}
	if s.Decide {
		fmt.Fprintf(&b, ", %d decisions", s.Decisions)
	}
	fmt.Fprintf(&b, ", %d labels, %d repeats", s.Labels, s.Repeats)
	if s.Conflicts > 0 {
		fmt.Fprintf(&b, " (%d with another content)", s.Conflicts)
	}
	fmt.Fprintf(&b, ", %d dead letters, %d late", s.DeadLetters, s.Late)
	if s.Late > 0 {
		fmt.Fprintf(&b, ", the latest by %s", span(s.Latest))
	}
	if s.TooLate > 0 {
		fmt.Fprintf(&b, " (%d beyond the lateness)", s.TooLate)
	}
	if s.After > 0 {
		fmt.Fprintf(&b, ", %d at --until or later", s.After)
	}
	fmt.Fprintf(&b, "; %.1f s, %.0f orders/s", s.Elapsed.Seconds(), s.PerSecond())
	for _, d := range s.Digests {
		fmt.Fprintf(&b, "\nreplay: digest %s of the decisions by %s", d.Digest, d.Name)
	}
	if s.Verified != nil {
		fmt.Fprintf(&b, "\n%s", s.Verified)
	}
	return b.String()
}

// span writes a length of event time for people: 90 days are no 2160h0m0s.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 2*day {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}
