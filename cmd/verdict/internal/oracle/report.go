package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what an Oracle found.
type Report struct {
	Orders int // inputs

	Lost      int // inputs of which nothing came
	Dup       int // effects too many
	Mismatch  int // cells that differ between live and recomputed
	Missing   int // cells that recomputed has and live lacks
	Extra     int // cells that live has and recomputed lacks
	Ghost     int // outputs without their input
	Fate      int // inputs that became the other thing
	Disorder  int // outputs before one of an earlier input of their key
	Untrue    int // callers told another decision
	State     int // digests that differ
	Again     int // byte-equal copies that were written again: at_least_once allows them
	Flagged   int // cells that differ in decisions which say that they lacked something
	Late      int // cells that differ of inputs that were marked late
	Decisions int // inputs that were decided
	Dead      int // inputs that became dead letters

	StuckMax   time.Duration // the longest that a partition had inputs and no progress
	RecoverP99 time.Duration // from a fault's end to the next decision, of 99 of 100 faults
	RecoverMax time.Duration
	Faults     int

	Offenders []Offender // the first of each kind, by place
}

// Offender is one thing that is wrong.
type Offender struct {
	Kind   string // as in the line: lost, dup, drift, ghost, fate, order, untrue, state
	Place  Place  // of the input; of a ghost without one that of the output
	Detail string
}

// String returns kind, place and detail.
func (f Offender) String() string {
	if f.Place == (Place{}) {
		return f.Kind + " " + f.Detail
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Kind, f.Place, f.Detail))
}

// Drift is all cells that differ and must not.
func (r *Report) Drift() int { return r.Mismatch + r.Missing + r.Extra }

// Green says whether every promise was kept. Times are for the caller to judge: how long is too long is for each fault to say.
func (r *Report) Green() bool {
	return r.Lost+r.Dup+r.Drift()+r.Ghost+r.Fate+r.Disorder+r.Untrue+r.State == 0
}

// String returns the one line. Of what is not in the fixed part it names what there is.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "orders=%d lost=%d dup=%d drift=%d stuck_max=%.1fs recover_p99=%.1fs", r.Orders, r.Lost, r.Dup, r.Drift(), r.StuckMax.Seconds(), r.RecoverP99.Seconds())
	for _, more := range []struct {
		name string
		n    int
	}{
		{"ghost", r.Ghost},
		{"fate", r.Fate},
		{"order", r.Disorder},
		{"untrue", r.Untrue},
		{"state", r.State},
		{"again", r.Again},
		{"flagged", r.Flagged},
		{"late", r.Late},
		{"dead", r.Dead},
		{"faults", r.Faults},
	} {
		if more.n > 0 {
			fmt.Fprintf(&b, " %s=%d", more.name, more.n)
		}
	}
	return b.String()
}

// Report counts what was fed until now. While orders are under way they count as lost.
func (o *Oracle) Report() Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := counter{oracle: o, named: map[string]int{}}
	c.places = make([]*input, 0, len(o.inputs))
	for _, at := range o.inputs {
		c.places = append(c.places, at)
	}
	slices.SortFunc(c.places, func(a, b *input) int { return comparePlaces(a.Place, b.Place) })
	c.fates()
	c.orders()
	c.drift()
	c.disorder()
	c.untrue()
	c.states()
	c.times()
	return c.report
}

func comparePlaces(a, b Place) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// counter makes a report. The oracle's mu is held meanwhile.
type counter struct {
	oracle *Oracle
	report Report
	places []*input       // sorted
	named  map[string]int // :: kind → how many offenders are named
}

// blame names an offender, while few of its kind are named.
func (c *counter) blame(kind string, at Place, detail string) {
	if c.named[kind]++; c.named[kind] <= c.oracle.cfg.Examples {
		c.report.Offenders = append(c.report.Offenders, Offender{kind, at, detail})
	}
}

// fates looks at each place: what was written there, and what came of it.
func (c *counter) fates() {
	for _, at := range c.oracle.alien {
		c.report.Ghost++
		c.blame("ghost", at, "is no decision")
	}
	for _, in := range c.places {
		if !in.known {
			c.report.Ghost += len(in.outputs)
			c.blame("ghost", in.Place, "has an output, and no input lies there")
			continue
		}
		c.report.Orders++
		switch {
		case len(in.outputs) == 0:
			c.report.Lost++
			c.blame("lost", in.Place, "")
		case in.Fate == Decided && in.dead:
			c.report.Fate++
			c.blame("fate", in.Place, "is a dead letter")
		case in.Fate == Dead && in.decided:
			c.report.Fate++
			c.blame("fate", in.Place, "was decided")
		}
		if in.decided {
			c.report.Decisions++
		}
		if in.dead {
			c.report.Dead++
		}
		c.copies(in)
	}
}

// copies looks at what was written of one place: one thing, perhaps again.
func (c *counter) copies(in *input) {
	if in.decided && in.dead {
		c.report.Dup++
		c.blame("dup", in.Place, "has a decision and a dead letter")
	}
	var letters []sum // different ones
	ids := map[string]bool{}
	for i, out := range in.outputs {
		if !out.dead {
			ids[out.id] = true
			if in.ID != "" && out.id != in.ID {
				c.report.Ghost++
				c.blame("ghost", in.Place, "has the decision of another order")
			}
		} else if !slices.Contains(letters, out.sum) {
			letters = append(letters, out.sum)
		}
		if slices.ContainsFunc(in.outputs[:i], func(earlier output) bool { return earlier.dead == out.dead && earlier.sum == out.sum }) {
			c.again(in)
		}
	}
	for _, too := range []int{len(letters), len(ids)} { // two decisions of one id are for orders to count
		if too > 1 {
			c.report.Dup += too - 1
			c.blame("dup", in.Place, fmt.Sprintf("has %d different outputs", too))
		}
	}
}

func (c *counter) again(in *input) {
	if !c.oracle.cfg.ExactlyOnce {
		c.report.Again++
		return
	}
	c.report.Dup++
	c.blame("dup", in.Place, "has its output twice")
}

// orders looks at each order id: it has one decision, wherever its copies lie.
func (c *counter) orders() {
	for _, of := range c.sorted() {
		if n := len(of.others); n > 0 {
			c.report.Dup += n
			c.blame("dup", of.example, fmt.Sprintf("its order has %d different decisions", n+1))
		}
	}
}

// sorted returns all orders that were decided, by where their first decision's input lies.
func (c *counter) sorted() []*order {
	all := make([]*order, 0, len(c.oracle.byID))
	for _, of := range c.oracle.byID {
		all = append(all, of)
	}
	slices.SortFunc(all, func(a, b *order) int { return comparePlaces(a.source, b.source) })
	return all
}

// disorder looks at the outputs of each key, in the order in which they lie: those of one partition are in the order of their inputs. Copies count where the
// first of them lies.
func (c *counter) disorder() {
	type line struct {
		topic     string // of outputs
		partition int32
		key       string
		from      Place // topic and partition of inputs
	}
	type event struct {
		at Place
		in *input
	}
	var events []event
	for _, in := range c.places {
		if in.Key == "" || len(in.outputs) == 0 {
			continue
		}
		first := slices.MinFunc(in.outputs, func(a, b output) int { return comparePlaces(a.place, b.place) })
		events = append(events, event{first.place, in})
	}
	slices.SortFunc(events, func(a, b event) int { return comparePlaces(a.at, b.at) })
	last := map[line]int64{}
	for _, e := range events {
		l := line{e.at.Topic, e.at.Partition, e.in.Key, Place{Topic: e.in.Place.Topic, Partition: e.in.Place.Partition}}
		if was, ok := last[l]; ok && e.in.Place.Offset < was {
			c.report.Disorder++
			c.blame("order", e.in.Place, fmt.Sprintf("its output lies behind that of offset %d of the same key", was))
			continue
		}
		last[l] = e.in.Place.Offset
	}
}

// untrue holds what callers were told against the decisions on the topic.
func (c *counter) untrue() {
	ids := make([]string, 0, len(c.oracle.told))
	for id := range c.oracle.told {
		ids = append(ids, id)
	}
	slices.Sort(ids) // a map has no order
	for _, id := range ids {
		of := c.oracle.byID[id]
		for _, body := range c.oracle.told[id] {
			switch {
			case of == nil:
				c.report.Untrue++
				c.blame("untrue", Place{}, "a caller was told a decision that is not on the topic")
			case of.first.public != body:
				c.report.Untrue++
				c.blame("untrue", of.source, "its caller was told another decision")
			}
		}
	}
}

func (c *counter) states() {
	for _, s := range c.oracle.states {
		if s.live != s.want {
			c.report.State++
			c.blame("state", Place{}, fmt.Sprintf("%s is %s, want %s", s.name, s.live, s.want))
		}
	}
}
