package preprocess

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// aggregateOf is where an aggregate enters the language: its key, and what stands behind that. Of labels ("fraud") there are fewer.
func aggregateOf(head, over string) aggregate {
	ofFields := map[string]aggregate{
		"count": count, "sum": sum, "mean": mean, "min": minimum, "max": maximum, "stddev": stddev, "distinct": distinct, "last": last,
		"since_last": sinceLast, "since_first": sinceFirst, "decayed_sum": decayedSum, "decayed_count": decayedCount, "rate": fraudRate,
	}
	ofLabels := map[string]aggregate{"sum": frauds, "rate": fraudRate, "last": lastFraud}
	if what, ok := ofLabels[head]; ok && over == "fraud" {
		return what
	}
	return ofFields[head]
}

// defaultHalfLives is the window of a decayed aggregate that names none: what lies further back weighs less than a millionth.
const defaultHalfLives = 20

// maxHalfLives is how many of them one cell of a merged decayed aggregate may span: 2^100 is far from where doubles end.
const maxHalfLives = 100

// aggregated is a window on its way from the file.
type aggregated struct {
	what    string // "feature x"
	name    *yaml.Node
	head    strictyaml.Entry
	over    string
	keys    map[string]*yaml.Node
	w       *window
	where   *expr.Program
	filter  string // identity of where; "" without
	history bool   // where needs features that need the store
}

// readWindow reads an aggregate: what it is over, by whom, and how far back.
func (s *spec) readWindow(what string, name *yaml.Node, head strictyaml.Entry, keys map[string]*yaml.Node, f *feature) (words, depends []string) {
	f.history = true
	f.window = &window{group: -1, codes: -1}
	over, ok := s.String(head.Value, what+": "+head.Name)
	if !ok {
		return nil, nil
	}
	a := &aggregated{what: what, name: name, head: head, over: over, keys: keys, w: f.window}
	w := a.w
	w.what = aggregateOf(head.Name, over)
	s.readBy(a)
	s.readTimes(a)
	s.readOthers(a)
	if n := keys["where"]; n != nil {
		a.where, depends, a.history = s.compile(what+": where", n, expr.Scope{Fields: s.schema, Features: s.names, Fraud: true})
		if a.where == nil {
			return nil, nil
		}
		a.filter = digest(append([]string{quote("where", a.where.Text())}, depends...)...)
	}
	s.readResolution(a)
	return s.words(a), append(s.readOver(a), depends...)
}

// words are what the window is, in one spelling: its entity by the fields, since another feature set may call it otherwise.
func (s *spec) words(a *aggregated) []string {
	w := a.w
	words := []string{a.over, "window", strconv.FormatInt(w.width, 10), "delay", strconv.FormatInt(w.delay, 10), "others", strconv.FormatBool(w.others)}
	if w.group >= 0 {
		words = append(words, "by", s.set.groups[w.group].prefix)
	}
	if w.resolution > 0 {
		words = append(words, "resolution", strconv.FormatInt(w.resolution, 10))
	}
	if w.halfLife > 0 {
		words = append(words, "half_life", strconv.FormatInt(w.halfLife, 10))
	}
	if a.where != nil {
		words = append(words, "where", a.where.Text())
	}
	return words
}

func (s *spec) readBy(a *aggregated) {
	by := a.keys["by"]
	if by == nil {
		s.Fault(a.name, "%s: by is missing: the entity whose orders are meant%s", a.what, s.oneOfEntities())
		return
	}
	entity, ok := s.String(by, a.what+": by")
	if !ok {
		return
	}
	group, ok := s.groupOf[entity]
	if !ok {
		s.Fault(by, "%s: unknown entity %s%s", a.what, entity, cmp.Or(schemas.Meant(entity, s.entities), s.oneOfEntities()))
		return
	}
	a.w.group = group
}

// oneOfEntities ends a fault's text with what could be meant.
func (s *spec) oneOfEntities() string {
	if len(s.entities) == 0 {
		return "; there are none yet, the section entities names them, such as {customer: [customer_id]}"
	}
	return ", one of " + strings.Join(s.entities, ", ")
}

func (s *spec) readTimes(a *aggregated) {
	w, decayed := a.w, a.w.what == decayedSum || a.w.what == decayedCount
	switch n := a.keys["half_life"]; {
	case n == nil && decayed:
		s.Fault(a.name, "%s: half_life is missing: after how long an order counts half, such as 6h", a.what)
	case n != nil:
		w.halfLife = s.positive(n, a.what+": half_life")
	}
	switch n := a.keys["window"]; {
	case n != nil:
		w.width = s.positive(n, a.what+": window")
	case decayed:
		w.width = min(maxDuration, w.halfLife*defaultHalfLives)
	default:
		s.Fault(a.name, "%s: window is missing: how far back, such as 30d", a.what)
	}
	if n := a.keys["delay"]; n != nil {
		w.delay, _ = s.duration(n, a.what+": delay")
	}
}

// positive reads a duration of more than nothing; 0 with a fault.
func (s *spec) positive(n *yaml.Node, what string) int64 {
	us, ok := s.duration(n, what)
	switch {
	case !ok:
		return 0
	case us == 0:
		s.Fault(n, "%s: more than %s is wanted", what, n.Value)
	}
	return us
}

// readOthers reads whether the current order is left out.
func (s *spec) readOthers(a *aggregated) {
	n := a.keys["exclude_current"]
	if n != nil {
		a.w.others, _ = s.Bool(n, a.what+": exclude_current")
	}
	if a.w.what != last && a.w.what != lastFraud && a.w.what != sinceLast {
		return
	}
	if n != nil && !a.w.others {
		s.Fault(n, "%s: exclude_current: %s always leaves the current order out, so this cannot be false", a.what, a.head.Name)
	}
	a.w.others = true
}

// readResolution reads how exact the far edge is, and refuses what could not be had from merged points.
func (s *spec) readResolution(a *aggregated) {
	n, w := a.keys["resolution"], a.w
	if n == nil {
		return
	}
	what := a.what + ": resolution"
	w.resolution = s.positive(n, what)
	switch {
	case w.resolution == 0:
	case w.width > 0 && w.resolution > w.width:
		s.Fault(n, "%s: %s is longer than the window", what, n.Value)
	case w.what == lastFraud:
		s.Fault(n, "%s: not for last: fraud, since merged orders have no label of their own", what)
	case a.where != nil && a.where.UsesFraud():
		s.Fault(n, "%s: not beside a where over fraud, since merged orders have no label of their own", what)
	case a.where != nil && w.what.ofLabels():
		s.Fault(n, "%s: not for %s: fraud beside a where, since it is not known which of the merged orders that were fraud the where would keep", what, a.head.Name)
	case w.what == distinct && w.delay > 0:
		s.Fault(n, "%s: not for distinct beside a delay, since of a value only the last time is kept", what)
	case w.halfLife > 0 && w.resolution/w.halfLife >= maxHalfLives:
		s.Fault(n, "%s: %s is %d half-lives or more, in which all would have decayed", what, n.Value, maxHalfLives)
	}
}

// readOver finds the column that the window is over.
func (s *spec) readOver(a *aggregated) (depends []string) {
	w, what := a.w, a.what+": "+a.head.Name
	switch wantsOrders := w.what.ofOrders() && !w.what.ofLabels(); {
	case wantsOrders && a.over != "*":
		s.Fault(a.head.Value, `%s: "*" is wanted, all orders, not %s`, what, strictyaml.Shape(a.head.Value))
		return nil
	case w.what == fraudRate && a.over != "fraud":
		s.Fault(a.head.Value, "%s: fraud is wanted, not %s", what, strictyaml.Shape(a.head.Value))
		return nil
	case !w.what.ofOrders() && a.over == "fraud":
		s.Fault(a.head.Value, "%s: a field or a feature above is wanted; of fraud, the label, there are rate, sum and last", what)
		return nil
	case !w.what.ofOrders() && a.over == "*":
		s.Fault(a.head.Value, `%s: a field or a feature above is wanted; "*", all orders, is for count, since_last, since_first and decayed_count`, what)
		return nil
	case w.what.ofOrders() && a.where == nil && w.resolution == 0:
		s.orders = append(s.orders, len(s.set.features)-1)
		s.wantMarks(w)
		return nil
	}
	c := column{name: "*", place: -1}
	if !w.what.ofOrders() {
		var ok bool
		if c, depends, ok = s.valued(a, what); !ok {
			return nil
		}
	}
	if w.group < 0 {
		return depends
	}
	if a.where != nil {
		c.where, c.coded, c.later = a.where, a.where.UsesFraud(), c.later || a.history
		mark := "?"
		if c.coded {
			mark = "!" // more orders are kept than those for which the condition holds
		}
		c.name += mark + a.filter
	}
	if w.resolution > 0 {
		c.merge = &Merging{Resolution: w.resolution, HalfLife: w.halfLife, Distinct: w.what == distinct}
		c.name += "~" + strconv.FormatInt(w.resolution, 10)
		switch {
		case w.halfLife > 0:
			c.name += "@" + strconv.FormatInt(w.halfLife, 10)
		case w.what == distinct:
			c.name += "#"
		}
	}
	w.ask = s.place(w, c)
	if c.coded {
		w.codes = w.ask
		if c.from != fromNothing {
			w.codes = s.place(w, column{name: "*!" + a.filter, place: -1, where: a.where, coded: true, later: a.history})
		}
	}
	s.wantMarks(w)
	return depends
}

// valued is the column of a field or of a feature above.
func (s *spec) valued(a *aggregated, what string) (c column, depends []string, ok bool) {
	above := slices.Index(s.names, a.over)
	if above < 0 {
		if a.over == s.own() && s.schema != nil && !s.schema.Has(schemas.ParsePath(a.over)) {
			s.Fault(a.head.Value, "%s: %s is this feature itself; an aggregate sees those above it", what, a.over)
			return c, nil, false
		}
		if line, ok := s.below[a.over]; ok && (s.schema == nil || !s.schema.Has(schemas.ParsePath(a.over))) {
			s.Fault(a.head.Value, "%s: %s is a feature further down, in line %d; an aggregate sees those above it", what, a.over, line)
			return c, nil, false
		}
		path := s.aggregated(a.head.Value, what, a.over, a.w.what == distinct)
		c = column{name: a.over, from: fromField, path: path, place: -1}
		if a.w.what == distinct {
			c.name, c.from = "#"+a.over, fromDigest
		}
		return c, []string{quote("field", a.over)}, path != nil
	}
	if !s.sound[above] {
		return c, nil, false // what is wrong with it has been said
	}
	f := &s.set.features[above]
	// A feature that is a field as it stands is kept as that field; any other under the hash of all that it is made of.
	if plain := f.value != nil && f.value.coding == "" && f.fallback != f.fallback; plain {
		c = column{name: f.value.path.String(), from: fromField, path: f.value.path, place: -1}
	} else {
		c = column{name: "=" + s.hashes[above], from: fromFeature, place: above, later: f.history}
	}
	return c, []string{s.hashes[above]}, true
}

// place returns where the column is in the window's group, made as wide as the window wants it.
func (s *spec) place(w *window, c column) int {
	g := &s.set.groups[w.group]
	at := slices.IndexFunc(g.columns, func(have column) bool { return have.name == c.name })
	if at < 0 {
		c.near = math.MaxInt64
		at = len(g.columns)
		g.columns = append(g.columns, c)
	}
	g.columns[at].widen(w.width+w.resolution, w.delay)
	return at
}

// wantMarks has the window's entity keep labels, if the window is over them.
func (s *spec) wantMarks(w *window) {
	if w.group < 0 || !w.marks() {
		return
	}
	g := &s.set.groups[w.group]
	if g.marks == nil {
		g.marks = &span{near: math.MaxInt64}
	}
	g.marks.widen(w.width+w.resolution, w.delay)
}

// aggregated reads the field that an aggregate is over; in a nearest name the features above count too.
func (s *spec) aggregated(n *yaml.Node, what, over string, anyKind bool) schemas.Path {
	if s.schema != nil && over != "*" && !s.schema.Has(schemas.ParsePath(over)) {
		s.Fault(n, "%s: unknown field or feature %s%s", what, over, schemas.Meant(over, append(slices.Clone(s.names), s.schema.Paths()...)))
		return nil
	}
	if anyKind {
		path := s.field(n, what, "distinct takes strings, numbers, booleans and times", schemas.String, schemas.Int, schemas.Float, schemas.Bool, schemas.Time)
		if path != nil {
			s.set.fields[len(s.set.fields)-1].Names = slices.Clip(s.names)
		}
		return path
	}
	path := s.field(n, what, "numbers and booleans are aggregated", schemas.Int, schemas.Float, schemas.Bool)
	s.wantsNumber(path, s.names...)
	return path
}

// wantsNumber says of the field just read, unless it was at fault, that only a number is of use there, and which features could have been meant.
func (s *spec) wantsNumber(path schemas.Path, names ...string) {
	if path == nil {
		return
	}
	use := &s.set.fields[len(s.set.fields)-1]
	use.Number, use.Names = true, slices.Clip(names)
}
