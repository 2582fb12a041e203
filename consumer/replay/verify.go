package replay

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json"

	"verdict/consumer/backtest"
	"verdict/preprocess"
	"verdict/schemas"
)

// The kinds of difference between what a replay decides and what was decided live.
const (
	OtherFeatures = "other_features" // live had another feature set
	OtherModel    = "other_model"    // the same features went into another model
	OtherPolicy   = "other_policy"   // the same score came under another policy
	Degraded      = "degraded"       // live, or here, something could not be had
	LateArrival   = "late_arrival"   // live and the history have an order of the same entity on different sides of this one
	LateLabel     = "late_label"     // a label that was known by the order's time came to live when the order was decided
	Concurrent    = "concurrent"     // live decided an order of the same entity at about the same time on another partition
	OtherHistory  = "other_history"  // live had decided orders that this history does not have, or the other way round
	OtherContent  = "other_content"  // live had this order, or one of the same entity before it, with another content
	Missing       = "not_decided"    // live has no decision of the order
	NotReplayed   = "not_replayed"   // the history does not have an order that live decided
	Torn          = "two_decisions"  // live has two decisions of the order, and they are not the same
	Unknown       = "unknown"
)

// kinds are all of them, in the order in which they are told, with whether that is a reason, or itself what is wrong.
var kinds = [...]struct {
	name      string
	explained bool
	means     string
}{
	{LateArrival, true, "live and the history have an order of the same entity on different sides of it"},
	{LateLabel, true, "a label of the same entity had not come to live yet"},
	{Concurrent, true, "live decided an order of the same entity at about the same time, on another partition"},
	{OtherHistory, true, "live had decided orders near it that the history lacks, or the other way round"},
	{OtherContent, true, "live had the order, or one before it of the same entity, with another content"},
	{OtherFeatures, true, "decided with another feature set"},
	{OtherModel, true, "decided with another model"},
	{OtherPolicy, true, "decided with another policy"},
	{Degraded, true, "something could not be had"},
	{Missing, false, "live has no decision of it"},
	{NotReplayed, false, "live decided it, and the history lacks it"},
	{Torn, false, "live has two decisions of it that are not the same"},
	{Unknown, false, "no reason was found"},
}

// Verification is how a replay's decisions compare with those that were made live.
type Verification struct {
	Compared    int64  // orders with both decisions
	Same        int64  // of them, those with the same features, score and action, bit for bit
	Outside     int64  // orders that live had not decided yet, or no longer has the decision of: before its first or behind its last
	Twice       int64  // decisions that were written again, as they may be after a crash
	Alien       int64  // records that are no decisions
	Live        int64  // orders that live decided
	Digest      string // of all of live's decisions: the replay's own when all is equal; see Digest
	Unexplained int64
	Differences []Difference // one for each kind that occurred
}

// Difference is how often one kind of difference occurred.
type Difference struct {
	Kind      string
	Means     string
	Explained bool
	Count     int64
	Example   schemas.OrderID // the first; "" when its id is not known
	Detail    string          // of it
}

// String returns the verification as it is printed.
func (v *Verification) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "verify: %d orders compared with %d live decisions, %d equal bit for bit", v.Compared, v.Live, v.Same)
	if v.Outside > 0 {
		fmt.Fprintf(&b, ", %d orders outside of what live has", v.Outside)
	}
	if v.Twice > 0 {
		fmt.Fprintf(&b, ", %d decisions written again", v.Twice)
	}
	if v.Alien > 0 {
		fmt.Fprintf(&b, ", %d records that are no decisions", v.Alien)
	}
	fmt.Fprintf(&b, "\nverify: digest %s of the live decisions", v.Digest)
	for _, d := range v.Differences {
		fmt.Fprintf(&b, "\nverify: %7d %-14s %s", d.Count, d.Kind, d.Means)
		if d.Example != "" {
			fmt.Fprintf(&b, ", such as %s", d.Example)
		}
		if d.Detail != "" {
			fmt.Fprintf(&b, ": %s", d.Detail)
		}
	}
	return b.String()
}

// verifier compares. What can only be explained when all orders are known is explained at the end (explain.go).
type verifier struct {
	live     *live
	features schemas.Version
	scores   bool // are compared
	actions  bool // are compared
	since    int64
	until    int64
	file     *output // nil: differences are only counted
	found    map[string]*Difference
	result   Verification
	contents int64 // of the compared: those with the same content

	entities []entity
	classes  []class // of features
	classOf  []int   // :: place in the vector → its features' class
	reach    int64   // how far back a feature looks, in microseconds
	seen     table
	open     []unexplained
	values   chunks // of open
	key      []byte
}

// entity is what orders may have in common.
type entity struct {
	name string
	key  []schemas.Path
}

// table has all orders that were replayed, in their order.
type table struct {
	at    []int64  // event times, microseconds since 1970
	id    []uint64 // hashes of the ids
	live  []int32  // places of their live decisions; -1: none
	other []bool   // whether live had the order with another content
	keys  []uint64 // hashes of the entities' keys, one for each entity of each order; 0: none
}

// unexplained is an order with other features.
type unexplained struct {
	id      schemas.OrderID
	row     int32  // in the table
	differs uint64 // a bit for each class with a feature that differs
	left    uint64 // of them, those that no reason was found for
	vector  int64  // of the replay
	score   float64
	action  backtest.Action
	content uint64

	degraded lack // of the replay's decision

	rank   int // how good the reason is; 0: none
	kind   string
	detail string
}

// maxOpen is how many orders with other features are looked into. Where there are more, something is wrong with all of them.
const maxOpen = 100_000

func newVerifier(cfg *Config, decided *live, judges []*judge) *verifier {
	v := &verifier{
		live: decided, features: cfg.Features.Version(), found: make(map[string]*Difference), since: math.MinInt64, until: math.MaxInt64,
	}
	if len(judges) > 0 {
		v.scores, v.actions = judges[0].Model != nil, judges[0].Policy != nil
	}
	if !cfg.Since.IsZero() {
		v.since = cfg.Since.UnixMicro()
	}
	if !cfg.Until.IsZero() {
		v.until = cfg.Until.UnixMicro()
	}
	for name, key := range cfg.Features.Entities() {
		v.entities = append(v.entities, entity{name, key})
	}
	slices.SortFunc(v.entities, func(a, b entity) int { return strings.Compare(a.name, b.name) })
	v.classify(cfg.Features.Influences())
	return v
}

// see notes that an order was replayed, and returns its live decision, nil when there is none.
func (v *verifier) see(o *preprocess.Arrived) *lived {
	was, at := v.live.of(o.Order.ID)
	if was != nil {
		was.seen = true
	}
	t := &v.seen
	t.at, t.live = append(t.at, o.Order.At.UnixMicro()), append(t.live, at)
	t.other = append(t.other, was != nil && was.content != o.Content)
	t.id = append(t.id, xxhash.Sum64String(string(o.Order.ID)))
	for i := range v.entities {
		hash := uint64(0)
		v.key = append(v.key[:0], byte(i))
		if key, ok := appendKey(v.key, o.Order.Fields, v.entities[i].key); ok {
			hash, v.key = max(1, xxhash.Sum64(key)), key
		}
		t.keys = append(t.keys, hash)
	}
	return was
}

// compare compares one order. d is what was decided here; without candidates it has only Inputs.
func (v *verifier) compare(o *preprocess.Arrived, d *schemas.Decision) error {
	was := v.see(o)
	if was == nil {
		return v.missing(o, d)
	}
	v.result.Compared++
	if was.content == o.Content {
		v.contents++
	}
	by := &v.live.kinds[was.kind]
	inputs := v.live.values.at(was.vector, len(by.names))
	action := backtest.ActionOf(d.Action)
	var kind string
	switch {
	case by.features.Hash != v.features.Hash && (!slices.Equal(by.names, d.Inputs.Layout.Names) || !equalBits(inputs, d.Inputs.Values)):
		kind = OtherFeatures
	case len(inputs) != len(d.Inputs.Values):
		kind = v.why(lackFeatures, false, "", was, d)
	case !equalBits(inputs, d.Inputs.Values):
		return v.postpone(o, d, was)
	case v.scores && bitsOf(was.score) != bitsOf(d.Score):
		kind = v.why(lackScore, by.model.Hash != d.Model.Hash, OtherModel, was, d)
	case v.actions && was.action != action:
		kind = v.why(lackAction, by.policy.Hash != d.Policy.Hash, OtherPolicy, was, d)
	default:
		v.result.Same++
		return nil
	}
	return v.tell(&told{id: o.Order.ID, kind: kind, detail: v.versions(kind, by, d), live: was, vector: d.Inputs.Values, score: d.Score, action: action})
}

// why returns the kind of a difference in something: another version made it, or it could not be had.
func (v *verifier) why(what lack, other bool, kind string, was *lived, d *schemas.Decision) string {
	switch {
	case other:
		return kind
	case (was.degraded|lackOf(d.Degraded))&what != 0:
		return Degraded
	default:
		return Unknown
	}
}

// versions says which other version there was.
func (v *verifier) versions(kind string, by *kind, d *schemas.Decision) string {
	pair := func(was, is schemas.Version) string {
		return fmt.Sprintf("live %s (%s), here %s (%s)", nameOf(was), was.Hash, nameOf(is), is.Hash)
	}
	switch kind {
	case OtherFeatures:
		return pair(by.features, v.features)
	case OtherModel:
		return pair(by.model, d.Model)
	case OtherPolicy:
		return pair(by.policy, d.Policy.Version)
	default:
		return ""
	}
}

func nameOf(v schemas.Version) string {
	if v.Name == "" {
		return "none"
	}
	return v.String()
}

// missing takes an order that live has no decision of.
func (v *verifier) missing(o *preprocess.Arrived, d *schemas.Decision) error {
	if v.live.outside(o.Order.At.UnixMicro(), d.Source) {
		v.result.Outside++
		return nil
	}
	return v.tell(&told{id: o.Order.ID, kind: Missing, at: o.Order.At, vector: d.Inputs.Values, score: d.Score, action: backtest.ActionOf(d.Action)})
}

// outside says whether an order lies before the first or behind the last that live decided: by its offset where that is comparable, else by its time.
func (l *live) outside(at int64, source schemas.Source) bool {
	if last, ok := l.last[place{source.Topic, source.Partition}]; ok && source.Offset > last {
		return true
	}
	return at < l.first || at > l.final
}

// postpone keeps an order whose features differ until all orders are known.
func (v *verifier) postpone(o *preprocess.Arrived, d *schemas.Decision, was *lived) error {
	if len(v.open) == maxOpen {
		return v.tell(&told{
			id: o.Order.ID, kind: Unknown, detail: fmt.Sprintf("the first %d orders with other features alone are looked into", maxOpen), live: was,
			vector: d.Inputs.Values, score: d.Score, action: backtest.ActionOf(d.Action),
		})
	}
	u := unexplained{
		id: schemas.OrderID(strings.Clone(string(o.Order.ID))), row: int32(len(v.seen.at) - 1), vector: v.values.add(d.Inputs.Values), score: d.Score, action: backtest.ActionOf(d.Action),
		content: o.Content, degraded: lackOf(d.Degraded),
	}
	for i, x := range v.live.values.at(was.vector, len(d.Inputs.Values)) {
		if bitsOf(x) != bitsOf(d.Inputs.Values[i]) {
			u.differs |= 1 << v.classOf[i]
		}
	}
	u.left = u.differs
	v.open = append(v.open, u)
	return nil
}

// told is a difference as it is told.
type told struct {
	id     schemas.OrderID
	kind   string
	detail string
	at     time.Time // of an order without a live decision
	live   *lived    // nil: there is none
	vector []float64 // of the replay; nil: it was not replayed
	score  float64
	action backtest.Action
}

// differenceLine is a line of differences.jsonl.
type differenceLine struct {
	ID       schemas.OrderID          `json:"order_id"`
	At       time.Time                `json:"occurred_at"`
	Kind     string                   `json:"kind"`
	Detail   string                   `json:"detail,omitempty"`
	Live     *verdictLine             `json:"live"`
	Replayed *verdictLine             `json:"replayed"`
	Features map[string]featureValues `json:"features,omitempty"` // those that differ
}

type verdictLine struct {
	Score    backtest.Number `json:"score"`
	Action   string          `json:"action"`
	Decided  *time.Time      `json:"decided_at,omitempty"`
	Model    string          `json:"model,omitempty"`
	Features string          `json:"features,omitempty"`
	Policy   string          `json:"policy,omitempty"`
	Source   *schemas.Source `json:"source,omitempty"`
}

type featureValues struct {
	Live     backtest.Number `json:"live"`
	Replayed backtest.Number `json:"replayed"`
}

// tell counts a difference and writes its line.
func (v *verifier) tell(t *told) error {
	d := v.found[t.kind]
	if d == nil {
		d = &Difference{Kind: t.kind, Example: schemas.OrderID(strings.Clone(string(t.id))), Detail: t.detail}
		v.found[t.kind] = d
	}
	d.Count++
	if v.file == nil {
		return nil
	}
	line := differenceLine{ID: t.id, At: t.at.UTC(), Kind: t.kind, Detail: t.detail}
	if t.vector != nil {
		line.Replayed = &verdictLine{Score: backtest.Number(t.score), Action: t.action.String()}
	}
	if t.live != nil {
		v.describe(&line, t)
	}
	text, err := json.Marshal(line, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = v.file.Write(append(text, '\n'))
	return err
}

// describe fills what the line has of the live decision.
func (v *verifier) describe(line *differenceLine, t *told) {
	was, by := t.live, &v.live.kinds[t.live.kind]
	decided := time.UnixMicro(was.decided).UTC()
	line.At = time.UnixMicro(was.at).UTC()
	line.Live = &verdictLine{
		Score: backtest.Number(was.score), Action: was.action.String(), Decided: &decided, Model: by.model.String(), Features: by.features.String(), Policy: by.policy.String(),
		Source: &schemas.Source{Topic: v.live.topics[was.topic], Partition: was.partition, Offset: was.offset},
	}
	inputs := v.live.values.at(was.vector, len(by.names))
	if len(inputs) != len(t.vector) || by.features.Hash != v.features.Hash {
		return
	}
	line.Features = make(map[string]featureValues)
	for i, name := range by.names {
		if bitsOf(inputs[i]) != bitsOf(t.vector[i]) {
			line.Features[name] = featureValues{backtest.Number(inputs[i]), backtest.Number(t.vector[i])}
		}
	}
}
