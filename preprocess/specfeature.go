package preprocess

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// heads are the keys that say what a feature is, each feature having one.
func heads() []string {
	return []string{
		"value", "expr", "count", "sum", "mean", "rate",
		"min", "max", "stddev", "distinct", "last", "since_last", "since_first", "decayed_sum", "decayed_count",
	}
}

// with returns the keys that may stand beside a head.
func with(head string) []string {
	switch head {
	case "value":
		return []string{"encode", "default"}
	case "expr":
		return []string{"default"}
	case "decayed_sum", "decayed_count":
		return append(with("count"), "half_life")
	default:
		return []string{"by", "window", "delay", "default", "exclude_current", "where", "resolution"}
	}
}

// goesWith ends a fault's text with where a key that is known has its place; "" for one that is not.
func goesWith(key string) string {
	switch {
	case slices.Contains(with("value"), key):
		return "; it goes with value"
	case slices.Contains(with("count"), key):
		return "; it goes with aggregates"
	case slices.Contains(with("decayed_sum"), key):
		return "; it goes with decayed_sum and decayed_count"
	default:
		return ""
	}
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
		case k.Name != head.Name && !slices.Contains(with(head.Name), k.Name):
			s.Fault(k.Key, "%s: unknown key %s beside %s%s", what, k.Name, head.Name, cmp.Or(goesWith(k.Name), schemas.Meant(k.Name, with(head.Name))))
		default:
			keys[k.Name] = k.Value
		}
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
		if slices.Contains(with("value"), k.Name) || slices.Contains(with("decayed_count"), k.Name) {
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
	f.expr, depends, f.history = s.compile(what+": expr", at, expr.Scope{Fields: s.schema, Features: s.names})
	if f.expr == nil {
		return nil, nil
	}
	return []string{f.expr.Text()}, depends
}

// compile reads an expression. It returns nil with a fault; else also the hashes of the features that it names, and whether one of them needs the store.
func (s *spec) compile(what string, at *yaml.Node, scope expr.Scope) (p *expr.Program, depends []string, history bool) {
	text, ok := s.String(at, what)
	if !ok {
		return nil, nil, false
	}
	p, err := expr.Compile(text, scope)
	if err != nil {
		if s.circular(what, at, text, scope) {
			return nil, nil, false
		}
		for _, one := range expr.Faults(err) {
			line := at.Line
			if at.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
				line += one.Line // the text starts in the line after | or >
			}
			s.FaultAt(line, "%s: %s", what, one)
		}
		return nil, nil, false
	}
	for _, path := range p.FieldPaths() {
		if line, ok := s.below[path.String()]; ok && s.schema == nil {
			s.Fault(at, "%s: %s is a feature further down, in line %d; an expr sees those above it", what, path, line)
		}
		s.set.fields = append(s.set.fields, schemas.FieldUse{Path: path, Line: at.Line, Names: slices.Clip(s.names)})
	}
	for _, name := range p.Uses() {
		above := slices.Index(s.names, name)
		history = history || s.set.features[above].history
		depends = append(depends, s.hashes[above])
	}
	return p, depends, history
}

// own is the name of the feature that is being read.
func (s *spec) own() string { return s.set.features[len(s.set.features)-1].name }

// circular says whether all that is wrong with an expression is that it names its own feature or such as stand further down, and notes it.
func (s *spec) circular(what string, at *yaml.Node, text string, scope expr.Scope) bool {
	scope.Features = append(slices.Clone(s.names), s.own())
	scope.Features = slices.AppendSeq(scope.Features, maps.Keys(s.below))
	p, err := expr.Compile(text, scope)
	if err != nil {
		return false
	}
	before := s.Faults()
	for _, name := range p.Uses() {
		if line, ok := s.below[name]; ok {
			s.Fault(at, "%s: %s is a feature further down, in line %d; an expr sees those above it", what, name, line)
		}
		if name == s.own() {
			s.Fault(at, "%s: %s is this feature itself; an expr sees those above it", what, name)
		}
	}
	return s.Faults() > before
}
