package scorer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// What a decision's Degraded names.
const (
	noFeatures = "features"
	stale      = "features_stale" // they were made over a store that lacked some of what came before
	noModel    = "model"
	noCost     = "cost"
	noPolicy   = "policy"  // a rule could not be evaluated
	noRoute    = "routing" // a champion's condition could not be evaluated: the default model has scored
)

// Config is what a Scorer is made of.
type Config struct {
	Layout   *schemas.Layout // of the vectors; required
	Champion *Bundle         // of every order that Routing gives to no other; nil scores nothing: for a policy of rules alone, or a replay
	Policy   *Policy         // nil decides nothing: decisions have scores and no action
	Routing  *Routing        // nil: one champion, and nobody challenges it

	// Patience is how much longer than the rest of it a call of Decide may take for the challengers, which are scored beside the champion. Those that are not
	// done then are left out. 0 waits for all of them, so that a replay gives the same each time.
	Patience time.Duration
	// LeftOut, when set, is told how many orders a challenger was left out of, and why: slow, busy (with earlier ones), failed, no_score, unsure, away. It is called
	// concurrently.
	LeftOut func(challenger schemas.Version, why string, orders int)
	// Failed, when set, is told the error of a model, champion or challenger, that could not score. It is called concurrently, once a call of Decide and model.
	Failed func(model schemas.Version, err error)
	// Unruled, when set, is told of a condition that could not be evaluated on an order: "rule x" or "champion 1", and expr.ErrTooCostly or expr.ErrUnfit. It is
	// called concurrently.
	Unruled func(condition string, err error)
}

// Scorer decides orders. It is safe for concurrent use, and what it decides with can be replaced under way.
type Scorer struct {
	now atomic.Pointer[served]
}

// served is what a Scorer decides with: immutable.
type served struct {
	layout      *schemas.Layout
	champions   []*Bundle // the default first, which may be nil; then those of the routes, in their order
	routes      []route
	challengers []*challenger
	away        []route // challengers that could not be loaded now
	policy      *Policy
	patience    time.Duration
	leftOut     func(challenger schemas.Version, why string, orders int)
	failed      func(model schemas.Version, err error)
	unruled     func(condition string, err error)
	marks       marks
	missing     []float64 // what rules see of features that could not be had
	files       []string
	work        sync.Pool // of *work
}

// marks are the values of Degraded that have one word, shared by all decisions.
type marks struct{ features, stale, model, cost, policy, routing []string }

// work is what one call of Decide works in.
type work struct {
	asked   []asked // :: place in champions → its orders
	by      []int   // :: order → place of its champion
	row     []float64
	shares  []float64
	reasons []schemas.Reason
	in      expr.Input
	key     []byte
	jobs    []*job
}

// asked is what one model is asked in one call.
type asked struct {
	vectors []schemas.FeatureVector // those that can be scored
	places  []int                   // of them in the call
	scores  []float64
	find    scratch // where the model's inputs stand in the vectors, for reasons
}

// New checks that the models read what preprocessing gives.
func New(cfg Config) (*Scorer, error) {
	if cfg.Layout == nil {
		return nil, errors.New("a scorer needs a feature set")
	}
	d := &served{
		layout: cfg.Layout, champions: []*Bundle{cfg.Champion}, policy: cfg.Policy, patience: cfg.Patience, leftOut: cfg.LeftOut, failed: cfg.Failed, unruled: cfg.Unruled,
		marks:   marks{features: []string{noFeatures}, stale: []string{stale}, model: []string{noModel}, cost: []string{noCost}, policy: []string{noPolicy}, routing: []string{noRoute}},
		missing: slices.Repeat([]float64{math.NaN()}, len(cfg.Layout.Names)),
	}
	if r := cfg.Routing; r != nil {
		d.routes = r.champions
		for i := range r.champions {
			d.champions = append(d.champions, r.champions[i].bundle)
		}
		for i := range r.challengers {
			if r.challengers[i].away != nil {
				d.away = append(d.away, r.challengers[i])
				continue
			}
			d.challengers = append(d.challengers, &challenger{route: r.challengers[i], busy: make(chan struct{}, maxBusy)})
		}
		d.files = append(d.files, r.files...)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	d.files = append(d.files, d.read()...)
	s := &Scorer{}
	s.now.Store(d)
	return s, nil
}

// check says whether the parts belong together.
func (d *served) check() error {
	for _, b := range d.bundles() {
		if err := b.fits(d.layout); err != nil {
			return err
		}
		if err := b.fitsCosts(d.policy); err != nil {
			return err
		}
	}
	var faults []error
	for i, b := range d.champions {
		if b != nil && !slices.Contains(d.champions[:i], b) {
			faults = append(faults, b.fitsThresholds(d.policy))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if d.policy != nil && !slices.Equal(d.policy.features, d.layout.Names) {
		return fmt.Errorf("policy %s was read for other features than those of %s", d.policy.Version(), d.layout.Features)
	}
	if d.champions[0] == nil && d.policy != nil {
		return d.policy.withoutScore()
	}
	return nil
}

// bundles returns every model, each once.
func (d *served) bundles() []*Bundle {
	var all []*Bundle
	add := func(b *Bundle) {
		if b != nil && !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	for _, b := range d.champions {
		add(b)
	}
	for _, c := range d.challengers {
		add(c.bundle)
	}
	return all
}

// Replace makes s decide with what next decides with, from its next call of Decide on; calls under way end with what they began with. Both must be of one
// feature set: the very Layout.
func (s *Scorer) Replace(next *Scorer) error {
	d := next.now.Load()
	if was := s.now.Load().layout; d.layout != was {
		return fmt.Errorf("the scorer is of feature set %s, and the vectors are of %s", d.layout.Features, was.Features)
	}
	s.now.Store(d)
	return nil
}

// Policy returns what the scorer decides by; nil when it only scores.
func (s *Scorer) Policy() *Policy { return s.now.Load().policy }

// Decide writes the decision for orders[i], whose features are vectors[i], to decisions[i]: all but OrderID, OccurredAt, DecidedAt, Source and Content,
// which the caller knows. A vector without values says that the features could not be had, one that is stale is scored, and its order degraded all the same. Each model is asked once for all of its orders. What cannot be
// scored, or routed or ruled on for sure, is decided by the rules and on_degraded, and never approved. Its error means a caller's mistake, not an order's.
func (s *Scorer) Decide(orders []schemas.Order, vectors []schemas.FeatureVector, decisions []schemas.Decision) error {
	if len(vectors) != len(orders) || len(decisions) != len(orders) {
		return fmt.Errorf("%d orders, %d vectors and %d decisions: they belong together one by one", len(orders), len(vectors), len(decisions))
	}
	return s.now.Load().decide(orders, vectors, decisions)
}

func (d *served) decide(orders []schemas.Order, vectors []schemas.FeatureVector, decisions []schemas.Decision) error {
	w := d.borrow()
	defer d.release(w)
	if err := d.begin(w, orders, vectors, decisions); err != nil {
		return err
	}
	d.challenge(w, orders, vectors)
	d.score(w, decisions)
	for i := range orders {
		d.settle(w, w.by[i], &orders[i], &vectors[i], &decisions[i])
	}
	d.compare(w, orders, vectors, decisions)
	return nil
}

// settle applies the policy to one order of that champion, and gives the reasons of what is not an approval.
func (d *served) settle(w *work, by int, order *schemas.Order, vector *schemas.FeatureVector, to *schemas.Decision) {
	d.act(w, order, vector, to)
	if to.Action != schemas.Approve {
		to.Reasons = d.reasons(w, by, vector, to)
	}
}

// borrow returns working memory, for release.
func (d *served) borrow() *work {
	if w, ok := d.work.Get().(*work); ok {
		return w
	}
	return &work{asked: make([]asked, len(d.champions))}
}

// release gives the working memory back without what belongs to the caller.
func (d *served) release(w *work) {
	for i := range w.asked {
		clear(w.asked[i].vectors)
	}
	clear(w.jobs)
	w.jobs = w.jobs[:0]
	w.in = expr.Input{}
	d.work.Put(w)
}

// begin fills what does not depend on the score, and gives each vector that can be scored to its champion.
func (d *served) begin(w *work, orders []schemas.Order, vectors []schemas.FeatureVector, decisions []schemas.Decision) error {
	w.by = w.by[:0]
	for i := range w.asked {
		a := &w.asked[i]
		a.vectors, a.places = a.vectors[:0], a.places[:0]
	}
	for i := range vectors {
		v, to := &vectors[i], &decisions[i]
		by, sure := d.championOf(w, &orders[i])
		to.Action, to.Score, to.Model, to.Features = "", math.NaN(), schemas.Version{}, d.layout.Features
		to.Policy, to.Reasons, to.Degraded, to.Challengers = schemas.PolicyVersion{}, nil, nil, nil
		to.Inputs = *v
		if b := d.champions[by]; b != nil {
			to.Model = b.version
		}
		w.by = append(w.by, by)
		if !sure {
			to.Degraded = d.marks.routing
		}
		if v.Values == nil {
			to.Degraded = lacks(to.Degraded, d.marks.features)
			continue
		}
		if v.Stale {
			to.Degraded = lacks(to.Degraded, d.marks.stale)
		}
		if v.Layout != d.layout || len(v.Values) != len(d.layout.Names) {
			return fmt.Errorf("vector %d has %d values, or is not of feature set %s", i, len(v.Values), d.layout.Features)
		}
		a := &w.asked[by]
		a.vectors, a.places = append(a.vectors, *v), append(a.places, i)
	}
	return nil
}

// lacks returns a value of Degraded with one word more. Decisions share those of one word, so they are never appended to.
func lacks(degraded, more []string) []string {
	if len(degraded) == 0 {
		return more
	}
	return slices.Concat(degraded, more)
}

// championOf returns the place of an order's champion: that of the first route that takes it, else the default. It is the default too, and not sure, where a
// condition that comes before could not be evaluated: whose order it is then nobody knows.
func (d *served) championOf(w *work, order *schemas.Order) (place int, sure bool) {
	for i := range d.routes {
		takes, err := d.routes[i].takes(w, order)
		switch {
		case err != nil:
			d.unsure("champion", strconv.Itoa(i+1), err)
			return 0, false
		case takes:
			return i + 1, true
		}
	}
	return 0, true
}

// unsure tells of a condition that could not be evaluated.
func (d *served) unsure(kind, name string, err error) {
	if d.unruled != nil {
		d.unruled(kind+" "+name, err)
	}
}

// score asks the champions. A model that fails, or gives no finite number, leaves its orders degraded.
func (d *served) score(w *work, decisions []schemas.Decision) {
	for i, b := range d.champions {
		a := &w.asked[i]
		if b == nil || len(a.places) == 0 {
			continue
		}
		a.scores = slices.Grow(a.scores[:0], len(a.places))[:len(a.places)]
		err := b.Predict(a.vectors, a.scores)
		if err != nil {
			d.fail(b, err)
		}
		for n, place := range a.places {
			to := &decisions[place]
			if err != nil || !finite(a.scores[n]) {
				to.Degraded = lacks(to.Degraded, d.marks.model)
				continue
			}
			to.Score = a.scores[n]
		}
	}
}

func (d *served) fail(b *Bundle, err error) {
	if d.failed != nil {
		d.failed(b.version, err)
	}
}

// finite says whether x is a number and no infinity.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// act applies the policy to one order.
func (d *served) act(w *work, order *schemas.Order, vector *schemas.FeatureVector, to *schemas.Decision) {
	if d.policy == nil {
		return
	}
	to.Policy.Version = d.policy.version
	said := d.policy.decide(d.input(w, order, vector, to.Score), len(to.Degraded) > 0)
	to.Action, to.Policy.Rule = said.action, said.rule
	if said.noCost {
		to.Degraded = lacks(to.Degraded, d.marks.cost)
	}
	if said.unsure != nil {
		to.Degraded = lacks(to.Degraded, d.marks.policy)
		d.unsure("rule", said.unsureOf, said.unsure)
	}
}

// input returns what rules see of an order.
func (d *served) input(w *work, order *schemas.Order, vector *schemas.FeatureVector, score float64) *expr.Input {
	w.in = expr.Input{Fields: order.Fields, Features: vector.Values, Score: score, At: order.At.UnixMicro()}
	if vector.Values == nil {
		w.in.Features = d.missing
	}
	return &w.in
}
