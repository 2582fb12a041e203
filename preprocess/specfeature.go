package preprocess

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// heads are the keys that say what a feature is, each feature having one. Of aggregates, aggregateOf says which this version knows.
func heads() []string {
	return []string{
		"value", "expr", "count", "sum", "mean", "rate",
		"min", "max", "stddev", "distinct", "last", "since_last", "since_first", "decayed_sum", "decayed_count",
	}
}

// aggregateOf is where an aggregate enters the language: its key, and what stands behind that.
func aggregateOf(head, over string) (aggregate, bool) {
	switch {
	case head == "count":
		return count, true
	case head == "sum" && over == "fraud":
		return frauds, true
	case head == "sum":
		return sum, true
	case head == "mean":
		return mean, true
	case head == "rate":
		return fraudRate, true
	default:
		return 0, false
	}
}

// with returns the keys that may stand beside a head.
func with(head string) []string {
	switch head {
	case "value":
		return []string{"encode", "default"}
	case "expr":
		return []string{"default"}
	default:
		return []string{"by", "window", "delay", "default", "exclude_current", "where", "resolution", "half_life"}
	}
}

// later are the keys of the feature language that this version does not know yet.
func later(key string) bool {
	if slices.Contains([]string{"where", "resolution", "half_life"}, key) {
		return true
	}
	_, known := aggregateOf(key, "")
	return slices.Contains(heads()[2:], key) && !known
}

func (s *spec) readFeatures(n *yaml.Node) {
	all := s.Entries(n, "features")
	if len(all) == 0 && n.Kind == yaml.MappingNode {
		s.Fault(n, "features: at least one is wanted")
	}
	if len(all) > maxFeatures {
		s.Fault(n, "features: %d are more than %d", len(all), maxFeatures)
		return
	}
	s.below = make(map[string]int, len(all))
	for _, e := range all {
		s.below[e.Name] = e.Key.Line
	}
	for _, e := range all {
		delete(s.below, e.Name)
		before := s.Faults()
		s.set.features = append(s.set.features, feature{name: e.Name, fallback: math.NaN()})
		s.hashes = append(s.hashes, "")
		f := &s.set.features[len(s.set.features)-1]
		s.featureName(e)
		s.readFeature(e, f)
		s.names = append(s.names, e.Name)
		s.sound = append(s.sound, s.Faults() == before)
	}
}

func (s *spec) featureName(e strictyaml.Entry) {
	switch {
	case !identifier.MatchString(e.Name):
		s.Fault(e.Key, "feature %s: a name is a letter or _ and then letters, digits and _", e.Name)
	case slices.Contains([]string{"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}, e.Name):
		s.Fault(e.Key, "feature %s: expressions could not name it, the word is CEL's", e.Name)
	case e.Name == "score" || e.Name == "fraud":
		s.Fault(e.Key, "feature %s: the word has a meaning of its own (the model's score, the label)", e.Name)
	}
}

// readFeature reads one feature into f.
func (s *spec) readFeature(e strictyaml.Entry, f *feature) {
	what := "feature " + e.Name
	var head *strictyaml.Entry
	keys := make(map[string]*yaml.Node)
	all := s.Entries(e.Value, what)
	if e.Value.Kind != yaml.MappingNode {
		return
	}
	for i, k := range all {
		if !slices.Contains(heads(), k.Name) {
			continue
		}
		if head != nil {
			s.Fault(k.Key, "%s: is %s and %s; a feature is one thing", what, head.Name, k.Name)
			return
		}
		head = &all[i]
	}
	if head == nil {
		s.noHead(e, all)
		return
	}
	for _, k := range all {
		switch {
		case later(k.Name):
			s.Fault(k.Key, "%s: %s: not in this version", what, k.Name)
		case k.Name != head.Name && !slices.Contains(with(head.Name), k.Name):
			s.Fault(k.Key, "%s: unknown key %s beside %s%s", what, k.Name, head.Name, schemas.Meant(k.Name, with(head.Name)))
		default:
			keys[k.Name] = k.Value
		}
	}
	if later(head.Name) {
		f.history = true
		return
	}
	if n := keys["default"]; n != nil {
		if v, ok := s.Number(n, what+": default"); ok {
			f.fallback = v
		}
	}
	var words, depends []string
	switch head.Name {
	case "value":
		words = s.readValue(what, head.Value, keys["encode"], f)
	case "expr":
		words, depends = s.readExpr(what, head.Value, f)
	default:
		words, depends = s.readWindow(what, e.Key, *head, keys, f)
	}
	words = append([]string{"feature", e.Name, head.Name}, words...)
	if f.fallback == f.fallback {
		words = append(words, "default", strconv.FormatFloat(f.fallback, 'g', -1, 64))
	}
	s.canon["features"] = append(s.canon["features"], quote(words...))
	s.hashes[len(s.hashes)-1] = digest(append([]string{quote(words[2:]...)}, depends...)...)
}

// noHead tells of a feature that none of the heads stands in: most likely one is misspelt.
func (s *spec) noHead(e strictyaml.Entry, all []strictyaml.Entry) {
	for _, k := range all {
		if slices.Contains(with("value"), k.Name) || slices.Contains(with("count"), k.Name) {
			continue
		}
		meant := schemas.Meant(k.Name, heads())
		if meant == "" {
			meant = "; there are " + strings.Join(heads(), ", ")
		}
		s.Fault(k.Key, "feature %s: unknown aggregate or key %s%s", e.Name, k.Name, meant)
		return
	}
	s.Fault(e.Key, "feature %s: says nothing to compute: one of %s", e.Name, strings.Join(heads(), ", "))
}

// readValue reads {value: field, encode: …}.
func (s *spec) readValue(what string, at, encode *yaml.Node, f *feature) []string {
	kinds, rule := []schemas.Kind{schemas.Int, schemas.Float, schemas.Bool}, "value takes a number or a boolean, and a string with encode"
	if encode != nil {
		kinds, rule = []schemas.Kind{schemas.String, schemas.Int}, "encode takes strings and integers"
	}
	r := &reading{path: s.field(at, what+": value", rule, kinds...), other: math.NaN()}
	f.value = r
	if encode != nil {
		s.readEncode(what+": encode", encode, r)
	} else {
		s.wantsNumber(r.path)
	}
	return []string{r.path.String(), r.coding}
}

func (s *spec) readEncode(what string, n *yaml.Node, r *reading) {
	keys := s.Only(n, what, "map", "other", "hash")
	codes, buckets := keys["map"], keys["hash"]
	switch {
	case n.Kind != yaml.MappingNode:
	case (codes == nil) == (buckets == nil):
		s.Fault(n, "%s: either map or hash is wanted", what)
	case buckets != nil:
		if keys["other"] != nil {
			s.Fault(keys["other"], "%s: other goes with map", what)
		}
		many, ok := s.Number(buckets, what+": hash")
		if ok && (many != math.Trunc(many) || many < 2 || many > 1<<31) {
			s.Fault(buckets, "%s: hash: a whole number of buckets from 2 to %d is wanted, not %s", what, 1<<31, strictyaml.Shape(buckets))
			return
		}
		r.hash, r.coding = uint64(many), quote("hash", strconv.FormatFloat(many, 'f', -1, 64))
	default:
		s.readMap(what, codes, keys["other"], r)
	}
}

func (s *spec) readMap(what string, codes, other *yaml.Node, r *reading) {
	r.codes = make(map[string]float64)
	var words []string
	for _, e := range s.Entries(codes, what+": map") {
		v, _ := s.Number(e.Value, what+": "+e.Name)
		r.codes[e.Name] = v
		words = append(words, quote(e.Name, strconv.FormatFloat(v, 'g', -1, 64)))
	}
	if other != nil {
		r.other, _ = s.Number(other, what+": other")
		words = append(words, strconv.FormatFloat(r.other, 'g', -1, 64))
	}
	slices.Sort(words)
	r.coding = quote(append([]string{"map"}, words...)...)
}

// readExpr reads {expr: text}.
func (s *spec) readExpr(what string, at *yaml.Node, f *feature) (words, depends []string) {
	text, ok := s.String(at, what+": expr")
	if !ok {
		return nil, nil
	}
	p, err := expr.Compile(text, expr.Scope{Fields: s.schema, Features: s.names})
	if err != nil {
		for _, one := range expr.Faults(err) {
			line := at.Line
			if at.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
				line += one.Line // the text starts in the line after | or >
			}
			s.FaultAt(line, "%s: expr: %s", what, one)
		}
		return nil, nil
	}
	f.expr = p
	for _, path := range p.FieldPaths() {
		if line, ok := s.below[path.String()]; ok && s.schema == nil {
			s.Fault(at, "%s: expr: %s is a feature further down, in line %d; an expr sees those above it", what, path, line)
		}
		s.set.fields = append(s.set.fields, schemas.FieldUse{Path: path, Line: at.Line, Names: slices.Clip(s.names)})
	}
	for _, name := range p.Uses() {
		above := slices.Index(s.names, name)
		f.history = f.history || s.set.features[above].history
		depends = append(depends, s.hashes[above])
	}
	return []string{p.Text()}, depends
}

// readWindow reads an aggregate: what it is over, by whom, and how far back.
func (s *spec) readWindow(what string, name *yaml.Node, head strictyaml.Entry, keys map[string]*yaml.Node, f *feature) (words, depends []string) {
	f.history = true
	w := &window{group: -1}
	f.window = w
	over, ok := s.String(head.Value, what+": "+head.Name)
	if !ok {
		return nil, nil
	}
	w.what, _ = aggregateOf(head.Name, over)
	s.readBy(what, name, keys["by"], w)
	s.readTimes(what, name, keys, w)
	if n := keys["exclude_current"]; n != nil {
		w.others, _ = s.Bool(n, what+": exclude_current")
	}
	depends = s.readOver(what, head, over, w)

	words = []string{over, "window", strconv.FormatInt(w.width, 10), "delay", strconv.FormatInt(w.delay, 10), "others", strconv.FormatBool(w.others)}
	if n := keys["by"]; n != nil {
		words = append(words, "by", n.Value)
	}
	return words, depends
}

func (s *spec) readBy(what string, name, by *yaml.Node, w *window) {
	if by == nil {
		s.Fault(name, "%s: by is missing: the entity whose orders are meant, one of %s", what, strings.Join(s.entities, ", "))
		return
	}
	entity, ok := s.String(by, what+": by")
	if !ok {
		return
	}
	group, ok := s.groupOf[entity]
	if !ok {
		s.Fault(by, "%s: unknown entity %s%s", what, entity, schemas.Meant(entity, s.entities))
		return
	}
	w.group = group
}

func (s *spec) readTimes(what string, name *yaml.Node, keys map[string]*yaml.Node, w *window) {
	if n := keys["window"]; n == nil {
		s.Fault(name, "%s: window is missing: how far back, such as 30d", what)
	} else if us, ok := s.duration(n, what+": window"); ok {
		w.width = us
		if us == 0 {
			s.Fault(n, "%s: window: it is empty", what)
		}
	}
	if n := keys["delay"]; n != nil {
		w.delay, _ = s.duration(n, what+": delay")
	}
}

// readOver finds the column that the window is over.
func (s *spec) readOver(what string, head strictyaml.Entry, over string, w *window) (depends []string) {
	what += ": " + head.Name
	me := len(s.set.features) - 1
	switch {
	case w.what == count && over != "*":
		s.Fault(head.Value, `%s: "*" is wanted, all orders, not %s`, what, strictyaml.Shape(head.Value))
		return nil
	case w.what == fraudRate && over != "fraud":
		s.Fault(head.Value, "%s: fraud is wanted, not %s", what, strictyaml.Shape(head.Value))
		return nil
	case w.what == mean && over == "fraud":
		s.Fault(head.Value, "%s: a field is wanted; the mean of the labels is rate: fraud", what)
		return nil
	case w.what == count || w.what == frauds || w.what == fraudRate:
		s.orders = append(s.orders, orderWindow{feature: me, marks: w.what != count})
		return nil
	}

	c := column{name: over, place: -1, span: span{near: math.MaxInt64}}
	if above := slices.Index(s.names, over); above >= 0 {
		f := &s.set.features[above]
		if f.history {
			s.Fault(head.Value, "%s: %s is itself made of earlier orders: not in this version", what, over)
			return nil
		}
		if !s.sound[above] {
			return nil // what is wrong with it has been said
		}
		// A feature that is a field as it stands is kept as that field; any other under the hash of all that it is made of.
		if plain := f.value != nil && f.value.coding == "" && f.fallback != f.fallback; plain {
			c.name, c.path = f.value.path.String(), f.value.path
		} else {
			c.name, c.place = "="+s.hashes[above], above
		}
		depends = []string{s.hashes[above]}
	} else {
		if line, ok := s.below[over]; ok && (s.schema == nil || !s.schema.Has(schemas.ParsePath(over))) {
			s.Fault(head.Value, "%s: %s is a feature further down, in line %d; an aggregate sees those above it", what, over, line)
			return nil
		}
		if c.path = s.aggregated(head.Value, what, over); c.path == nil {
			return nil
		}
		depends = []string{quote("field", over)}
	}
	if w.group < 0 {
		return depends
	}
	g := &s.set.groups[w.group]
	w.ask = slices.IndexFunc(g.columns, func(have column) bool { return have.name == c.name })
	if w.ask < 0 {
		w.ask = len(g.columns)
		g.columns = append(g.columns, c)
	}
	g.columns[w.ask].widen(w.width, w.delay)
	return depends
}

// aggregated reads the field that a sum or a mean is over; in a nearest name the features above count too.
func (s *spec) aggregated(n *yaml.Node, what, over string) schemas.Path {
	if s.schema != nil && over != "*" && !s.schema.Has(schemas.ParsePath(over)) {
		s.Fault(n, "%s: unknown field or feature %s%s", what, over, schemas.Meant(over, append(slices.Clone(s.names), s.schema.Paths()...)))
		return nil
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
