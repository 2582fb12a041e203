package oracle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"verdict/schemas"
)

// Place is where a record lies.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String returns topic/partition/offset, as the header verdict.source has it.
func (p Place) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// ParsePlace reads what String wrote: the header verdict.source.
func ParsePlace(text string) (Place, error) {
	rest, offset, found := cutLast(text)
	topic, partition, both := cutLast(rest)
	p := Place{Topic: topic}
	n, err := strconv.ParseInt(partition, 10, 32)
	if err == nil {
		p.Partition = int32(n)
		p.Offset, err = strconv.ParseInt(offset, 10, 64)
	}
	if !found || !both || err != nil {
		return Place{}, fmt.Errorf("%q is not topic/partition/offset", text)
	}
	return p, nil
}

func cutLast(s string) (before, after string, found bool) {
	at := strings.LastIndexByte(s, '/')
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+1:], true
}

// Fate is what must become of an input.
type Fate uint8

// What must become of an input.
const (
	Either  Fate = iota // a decision or a dead letter
	Decided             // a decision
	Dead                // a dead letter
)

// Input is a record of the input log of which something must come: not a tombstone, nor a label.
type Input struct {
	Place Place
	ID    string    // of the order; "" when it is not known
	Key   string    // of the record: outputs of one key keep the order of their inputs; "" keeps none
	Time  time.Time // when it was written
	Fate  Fate
	Late  bool // it came later than the state keeps what it would have needed: its cells may differ, and are counted apart
}

// Output is a record on the topic of decisions, or of dead letters.
type Output struct {
	Place  Place     // of this record
	Source Place     // of the input that it is of
	Value  []byte    // of a decision the JSON that schemas.AppendDecision wrote; of a dead letter what makes it another one: its code
	Seen   time.Time // when the reader had it, by the clock of Input.Time
}

// Config says what is promised. The zero value is the promise of at_least_once.
type Config struct {
	ExactlyOnce bool // byte-equal copies of an output count as dup
	Examples    int  // how many offenders of each kind are named; 0 is 5
}

// Oracle takes what was seen of a run and tells what is wrong with it. Safe for concurrent use. It keeps about 300 bytes for each order, and 8 for each feature.
type Oracle struct {
	cfg Config

	mu         sync.Mutex
	inputs     map[Place]*input       // guarded by mu, as all of it
	seen       map[Place]struct{}     // :: where an output lies → it was fed; both topics
	byID       map[string]*order      // :: order id → what was decided of it
	recomputed map[string]*recomputed // :: order id → its decision by the replay
	layouts    map[string]*layout     // :: feature names, joined → the one slice of them
	faults     []fault
	states     []state
	alien      []Place          // outputs that are no decisions
	told       map[string][]sum // :: order id → digests of what its callers were told
	written    int              // inputs
	open       int              // of them, those without an output
}

// sum tells values apart.
type sum [16]byte

func sumOf(value []byte) sum {
	all := sha256.Sum256(value)
	return sum(all[:16])
}

// input is a place: what was written there (nil Input when only outputs know of it), and what came of it.
type input struct {
	Input

	known     bool
	outputs   []output // in the order in which they were fed
	decided   bool
	dead      bool
	firstSeen time.Time
}

// output is one record that is of an input.
type output struct {
	place Place
	sum   sum
	dead  bool
	id    string
}

// order is what was decided of an order id.
type order struct {
	first   *decision
	others  []sum // digests of decisions that differ from the first
	source  Place // of the first decision's input, as the decision says
	example Place // of an input that has one of the others
}

// decision is what of a decision is compared.
type decision struct {
	sum      sum
	public   sum
	layout   *layout
	values   []float64
	score    float64
	action   schemas.Action
	degraded bool
}

// layout is the names of features, shared by the decisions that have them.
type layout struct{ names []string }

// recomputed is a decision of the replay.
type recomputed struct {
	decision

	source Place
}

type fault struct{ began, ended time.Time }

type state struct{ name, live, want string }

// New returns an oracle that knows nothing.
func New(cfg Config) *Oracle {
	if cfg.Examples == 0 {
		cfg.Examples = 5
	}
	return &Oracle{
		cfg: cfg, inputs: map[Place]*input{}, seen: map[Place]struct{}{}, byID: map[string]*order{}, recomputed: map[string]*recomputed{},
		layouts: map[string]*layout{}, told: map[string][]sum{},
	}
}

// Input takes a record of the input log. Fed again it says the same.
func (o *Oracle) Input(in Input) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.at(in.Place)
	if !at.known {
		o.written++
		if len(at.outputs) == 0 {
			o.open++
		}
	}
	at.Input, at.known = in, true
}

// Open returns how many inputs there are, and how many of them have no output yet: what a feeder waits for.
func (o *Oracle) Open() (inputs, open int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written, o.open
}

// at returns what is known of a place. The caller holds mu.
func (o *Oracle) at(p Place) *input {
	at := o.inputs[p]
	if at == nil {
		at = &input{Input: Input{Place: p}}
		o.inputs[p] = at
	}
	return at
}

// Decision takes a record of the topic of decisions.
func (o *Oracle) Decision(out Output) {
	d, id, source, err := o.read(out.Value)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.fresh(out.Place) {
		return
	}
	if err != nil {
		o.alien = append(o.alien, out.Place)
		return
	}
	at := o.take(&out, output{place: out.Place, sum: d.sum, id: id})
	at.decided = true
	known := o.byID[id]
	switch {
	case known == nil:
		d.layout = o.shared(d.layout)
		o.byID[id] = &order{first: d, source: source}
	case known.first.sum != d.sum && !slices.Contains(known.others, d.sum):
		known.others = append(known.others, d.sum)
		known.example = out.Source
	}
}

// DeadLetter takes a record of the topic of dead letters.
func (o *Oracle) DeadLetter(out Output) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fresh(out.Place) {
		o.take(&out, output{place: out.Place, sum: sumOf(out.Value), dead: true}).dead = true
	}
}

// fresh says whether an output is fed for the first time. The caller holds mu.
func (o *Oracle) fresh(p Place) bool {
	if _, again := o.seen[p]; again {
		return false
	}
	o.seen[p] = struct{}{}
	return true
}

// take notes an output with its input. The caller holds mu.
func (o *Oracle) take(out *Output, of output) *input {
	at := o.at(out.Source)
	if at.known && len(at.outputs) == 0 {
		o.open--
	}
	at.outputs = append(at.outputs, of)
	if at.firstSeen.IsZero() || out.Seen.Before(at.firstSeen) {
		at.firstSeen = out.Seen
	}
	return at
}

// Recomputed takes a decision of a second computation of the same log (a line of the replay's decisions.jsonl). Of one order the first counts.
func (o *Oracle) Recomputed(record []byte) error {
	d, id, source, err := o.read(record)
	if err != nil {
		return fmt.Errorf("reading a decision of the replay: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.recomputed[id] == nil {
		d.layout = o.shared(d.layout)
		o.recomputed[id] = &recomputed{*d, source}
	}
	return nil
}

// Told takes what a caller of the JSON API had with a 200: it must be the decision on the topic.
func (o *Oracle) Told(id string, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told[id] = append(o.told[id], sumOf(body))
}

// Fault takes a fault that was made. Of a kill both times are the kill's.
func (o *Oracle) Fault(began, ended time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, fault{began, ended})
}

// State takes a digest of state, and what it must be.
func (o *Oracle) State(name, live, want string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.states = append(o.states, state{name, live, want})
}

// read takes a record of a decision apart. It needs no lock.
func (o *Oracle) read(record []byte) (*decision, string, Place, error) {
	d, err := schemas.DecodeDecision(record)
	if err != nil {
		return nil, "", Place{}, err
	}
	public, err := schemas.PublicDecision(record)
	if err != nil {
		return nil, "", Place{}, err
	}
	if d.Inputs.Layout == nil {
		return nil, "", Place{}, errors.New("a decision without inputs")
	}
	return &decision{
		sum: sumOf(record), public: sumOf(public), layout: &layout{d.Inputs.Layout.Names}, values: d.Inputs.Values, score: d.Score, action: d.Action, degraded: len(d.Degraded) > 0,
	}, string(d.OrderID), Place{d.Source.Topic, d.Source.Partition, d.Source.Offset}, nil
}

// shared returns the one layout of these names, so that each decision need not keep its own. The caller holds mu.
func (o *Oracle) shared(l *layout) *layout {
	key := strings.Join(l.names, "\x00")
	if o.layouts[key] == nil {
		o.layouts[key] = l
	}
	return o.layouts[key]
}

// same says whether two numbers are the same bits, but that all NaN are one.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}
