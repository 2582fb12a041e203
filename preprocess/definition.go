package preprocess

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"verdict/schemas"
	"verdict/schemas/expr"
)

// entity is an entity as the file names it.
type entity struct {
	name  string
	group int // which of FeatureSet.groups
}

// said is a key of a definition and what stands behind it, in one spelling for all ways to say the same.
type said struct{ key, value string }

// says returns what a feature is defined as, first what it is: {mean: amount}, then the other keys that are set.
func (s *FeatureSet) says(f *feature) []said {
	var all []said
	switch {
	case f.value != nil:
		all = append(all, said{"value", f.value.path.String()})
		if f.value.coding != "" {
			all = append(all, said{"encode", f.value.encoding()})
		}
	case f.expr != nil:
		all = append(all, said{"expr", f.expr.Text()})
	default:
		all = s.saysWindow(f.window)
	}
	if f.fallback == f.fallback {
		all = append(all, said{"default", number(f.fallback)})
	}
	return all
}

func (s *FeatureSet) saysWindow(w *window) []said {
	g := &s.groups[w.group]
	all := []said{{w.what.head(), s.over(w)}, {"by", s.entityOf(w.group)}, {"window", lasting(w.width)}}
	for _, more := range []struct {
		key    string
		micros int64
	}{{"delay", w.delay}, {"half_life", w.halfLife}, {"resolution", w.resolution}} {
		if more.micros > 0 {
			all = append(all, said{more.key, lasting(more.micros)})
		}
	}
	if w.others && w.what != last && w.what != lastFraud && w.what != sinceLast { // these leave it out without being told
		all = append(all, said{"exclude_current", "true"})
	}
	if where := g.columns[w.ask].where; where != nil {
		all = append(all, said{"where", where.Text()})
	}
	return all
}

// head returns the aggregate's key in the language.
func (a aggregate) head() string {
	return map[aggregate]string{
		count: "count", sum: "sum", mean: "mean", minimum: "min", maximum: "max", stddev: "stddev", distinct: "distinct", last: "last",
		sinceLast: "since_last", sinceFirst: "since_first", decayedSum: "decayed_sum", decayedCount: "decayed_count",
		frauds: "sum", fraudRate: "rate", lastFraud: "last",
	}[a]
}

// over returns what the window is over: a field, a feature, "*" or fraud.
func (s *FeatureSet) over(w *window) string {
	switch c := &s.groups[w.group].columns[w.ask]; {
	case w.what.ofLabels():
		return "fraud"
	case w.what.ofOrders():
		return "*"
	case c.from == fromFeature:
		return s.features[c.place].name
	default:
		return c.path.String()
	}
}

// entityOf returns the name of a group; of several for the same fields the first.
func (s *FeatureSet) entityOf(group int) string {
	at := slices.IndexFunc(s.entities, func(e entity) bool { return e.group == group })
	return s.entities[at].name
}

// names returns the features that f names, in no order.
func (s *FeatureSet) names(f *feature) []string {
	var names []string
	uses := func(p *expr.Program) {
		if p != nil {
			names = append(names, p.Uses()...)
		}
	}
	uses(f.expr)
	if f.window != nil {
		c := &s.groups[f.window.group].columns[f.window.ask]
		uses(c.where)
		if c.from == fromFeature && !f.window.what.ofOrders() {
			names = append(names, s.features[c.place].name)
		}
	}
	return names
}

// Describe says for people what a column is that the set keeps: the fields that make the entity's key, and what is kept of each order.
func (s *FeatureSet) Describe(use ColumnUse) (entity, column string) {
	for i := range s.groups {
		g := &s.groups[i]
		if g.prefix != use.Entity {
			continue
		}
		if use.Column == "" {
			return g.fieldsOf(), "labels"
		}
		for j := range g.columns {
			if g.columns[j].name == use.Column {
				return g.fieldsOf(), s.describe(&g.columns[j])
			}
		}
	}
	return use.Entity, use.Column // of another set
}

// describe says what a column keeps of each order.
func (s *FeatureSet) describe(c *column) string {
	var b strings.Builder
	switch c.from {
	case fromFeature:
		b.WriteString(s.features[c.place].name + ", as it was when the order was scored")
	case fromDigest:
		b.WriteString("which " + c.path.String())
	case fromField:
		b.WriteString(c.path.String())
	default:
		b.WriteString("the order alone")
	}
	if c.where != nil {
		b.WriteString(", where " + c.where.Text())
	}
	if c.merge != nil {
		b.WriteString(", merged in steps of " + lasting(c.merge.Resolution))
		if c.merge.HalfLife > 0 {
			b.WriteString(" for a half-life of " + lasting(c.merge.HalfLife))
		}
	}
	return b.String()
}

// encoding writes an encode as the language has it.
func (r *reading) encoding() string {
	if r.hash > 0 {
		return "{hash: " + strconv.FormatUint(r.hash, 10) + "}"
	}
	codes := make([]string, 0, len(r.codes))
	for _, text := range slices.Sorted(maps.Keys(r.codes)) {
		codes = append(codes, text+": "+number(r.codes[text]))
	}
	all := "{map: {" + strings.Join(codes, ", ") + "}"
	if r.other == r.other {
		all += ", other: " + number(r.other)
	}
	return all + "}"
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// lasting writes a duration as the language has it: 1d12h.
func lasting(micros int64) string {
	seconds := micros / 1_000_000
	var text strings.Builder
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"d", 24 * 3600}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n := seconds / unit.seconds; n > 0 {
			text.WriteString(strconv.FormatInt(n, 10) + unit.name)
			seconds %= unit.seconds
		}
	}
	if text.Len() == 0 {
		return "0s"
	}
	return text.String()
}

// fieldsOf writes the fields that make a group's key.
func (g *group) fieldsOf() string {
	parts := make([]string, len(g.paths))
	for i, p := range g.paths {
		parts[i] = p.String()
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// bindingOf returns what an event section says.
func bindingOf(b schemas.Binding) []said {
	return []said{{"id", b.ID.String()}, {"time", b.Time.String()}}
}
