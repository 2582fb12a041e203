package preprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// Load reads a feature set from a YAML file. Fields is the schema of the orders; nil takes any field. The error joins all that is wrong with the
// file, each as file:line: text.
func Load(file string, fields *schemas.Schema) (*FeatureSet, error) {
	text, err := strictyaml.Read(file)
	if err != nil {
		return nil, fmt.Errorf("reading the feature set: %w", err)
	}
	return Parse(file, text, fields)
}

// Parse reads a feature set from YAML as Load does; file is for the errors only.
func Parse(file string, text []byte, fields *schemas.Schema) (*FeatureSet, error) {
	s := &spec{Document: strictyaml.Document{File: file}, schema: fields}
	root := s.Root(text)
	if root == nil {
		return nil, s.Err()
	}
	s.read(root)
	if s.Faults() > 0 {
		return nil, s.Err()
	}
	return s.build()
}

// What one feature set may hold.
const (
	maxFeatures   = 4096
	maxEntities   = 64
	maxEntityPath = 8 // fields of one entity
)

// spec is a feature set on its way from the file.
type spec struct {
	strictyaml.Document
	schema *schemas.Schema // nil: any field

	version  schemas.Version
	binding  schemas.Binding
	entities []string       // names, in the order of the file
	groupOf  map[string]int // :: entity → its group; -1 for one that is faulty
	below    map[string]int // :: feature not read yet → its line

	set    FeatureSet
	names  []string            // of the features read, also the faulty ones: later ones may name them without another fault
	sound  []bool              // :: feature → no fault in it
	hashes []string            // :: feature → of all that its value depends on
	orders []int               // features whose windows need the orders of an entity and no column of their own
	canon  map[string][]string // :: section → its canonical lines
}

var (
	setName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

func (s *spec) read(root *yaml.Node) {
	s.canon = make(map[string][]string)
	top := s.Only(root, "feature set", "name", "version", "event", "entities", "features")
	s.Need(root, "feature set", top, "name", "version", "event", "features")
	if n := top["name"]; n != nil {
		s.version.Name = s.title(n, "name", "!!str")
	}
	if n := top["version"]; n != nil {
		s.version.Version = s.title(n, "version", "!!int")
	}
	if n := top["event"]; n != nil {
		s.readEvent(n)
	}
	s.groupOf = make(map[string]int)
	if n := top["entities"]; n != nil {
		s.readEntities(n)
	}
	if n := top["features"]; n != nil {
		s.readFeatures(n)
	}
}

// title reads the set's name or version: a string, or a scalar of that tag.
func (s *spec) title(n *yaml.Node, what, tag string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != tag {
		s.Fault(n, "%s: a name or a whole number is wanted (in quotes if it looks like something else), not %s", what, strictyaml.Shape(n))
		return ""
	}
	if !setName.MatchString(n.Value) {
		s.Fault(n, "%s: 1 to 64 of A-Z a-z 0-9 . _ - are wanted, not %s", what, strictyaml.Shape(n))
		return ""
	}
	return n.Value
}

func (s *spec) readEvent(n *yaml.Node) {
	event := s.Only(n, "event", "id", "time")
	s.Need(n, "event", event, "id", "time")
	if at := event["id"]; at != nil {
		s.binding.ID = s.field(at, "event id", "strings and integers are ids", schemas.String, schemas.Int)
	}
	if at := event["time"]; at != nil {
		s.binding.Time = s.field(at, "event time", "strings, times and milliseconds are times", schemas.String, schemas.Time, schemas.Int, schemas.Float)
	}
}

func (s *spec) readEntities(n *yaml.Node) {
	all := s.Entries(n, "entities")
	if len(all) > maxEntities {
		s.Fault(n, "entities: %d are more than %d", len(all), maxEntities)
		return
	}
	for _, e := range all {
		s.entities = append(s.entities, e.Name)
		s.groupOf[e.Name] = -1
		what := "entity " + e.Name
		if !identifier.MatchString(e.Name) {
			s.Fault(e.Key, "%s: a name is a letter or _ and then letters, digits and _", what)
		}
		if e.Value.Kind != yaml.SequenceNode || len(e.Value.Content) == 0 || len(e.Value.Content) > maxEntityPath {
			s.Fault(e.Value, "%s: a list of 1 to %d fields is wanted, such as [customer_id], not %s", what, maxEntityPath, strictyaml.Shape(e.Value))
			continue
		}
		var paths []schemas.Path
		for _, at := range e.Value.Content {
			path := s.field(at, what, "strings and integers are keys", schemas.String, schemas.Int)
			if slices.ContainsFunc(paths, func(p schemas.Path) bool { return slices.Equal(p, path) }) {
				s.Fault(at, "%s: %s stands twice", what, path)
			}
			paths = append(paths, path)
		}
		s.groupOf[e.Name] = s.group(paths)
	}
}

// group returns the place of the group of these fields. The store knows an entity by its fields and not by its name, so two feature sets share the
// state of an entity exactly when they mean the same by it.
func (s *spec) group(paths []schemas.Path) int {
	escape := strings.NewReplacer("%", "%25", ":", "%3A", ",", "%2C")
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = escape.Replace(p.String())
	}
	prefix := strings.Join(names, ",") + ":"
	if at := slices.IndexFunc(s.set.groups, func(g group) bool { return g.prefix == prefix }); at >= 0 {
		return at
	}
	s.set.groups = append(s.set.groups, group{paths: paths, prefix: prefix})
	return len(s.set.groups) - 1
}

// field reads the path of a field that the orders have, of one of these kinds if the schema knows one; nil with a fault.
func (s *spec) field(n *yaml.Node, what, rule string, kinds ...schemas.Kind) schemas.Path {
	text, ok := s.String(n, what)
	if !ok {
		return nil
	}
	path := schemas.ParsePath(text)
	if len(text) > 256 || slices.Contains(path, "") || strings.HasPrefix(text, "=") || text == "*" {
		s.Fault(n, "%s: %s is no path of a field such as customer_id or payment.card.fingerprint", what, strictyaml.Shape(n))
		return nil
	}
	s.set.fields = append(s.set.fields, schemas.FieldUse{Path: path, Line: n.Line})
	if s.schema == nil {
		if _, err := expr.Compile(text, expr.Scope{}); err == nil && strings.Contains(text, " ") {
			s.Fault(n, "%s: %s is an expression, not a field; a feature of its own computes it, {expr: %s}", what, strictyaml.Shape(n), strconv.Quote(text))
			return nil
		}
		return path
	}
	if !s.schema.Has(path) {
		s.Fault(n, "%s: unknown field %s%s", what, text, schemas.Meant(text, s.schema.Paths()))
		return nil
	}
	if kind, _ := s.schema.Kind(path); kind != schemas.Missing && !slices.Contains(kinds, kind) {
		s.Fault(n, "%s: %s is a field of kind %s; %s", what, text, kind, rule)
		return nil
	}
	return path
}

// build puts together what has been read without a fault.
func (s *spec) build() (*FeatureSet, error) {
	s.placeOrders()
	s.version.Hash = s.hash()
	layout, err := schemas.NewLayout(s.version, s.names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.File, err) // unreachable: Entries refuses a name that stands twice
	}
	set := s.set
	set.layout, set.binding = layout, s.binding
	for _, name := range s.entities {
		set.entities = append(set.entities, entity{name: name, group: s.groupOf[name]})
	}
	for _, f := range set.features {
		if f.window != nil {
			set.keep = max(set.keep, f.window.width+f.window.delay+f.window.resolution)
		}
	}
	slices.SortStableFunc(set.fields, func(a, b schemas.FieldUse) int { return a.Line - b.Line })
	return &set, nil
}

// placeOrders gives the windows over orders a column of their entity: every order is in each column that has no condition, so the one that reaches furthest
// back serves, and an entity needs the column "*" only when it has no other.
func (s *spec) placeOrders() {
	for _, feature := range s.orders {
		w := s.set.features[feature].window
		g := &s.set.groups[w.group]
		w.ask = -1
		for i := range g.columns {
			if c := &g.columns[i]; c.where == nil && c.merge == nil && !c.later && (w.ask < 0 || c.back > g.columns[w.ask].back) {
				w.ask = i
			}
		}
		if w.ask < 0 {
			w.ask = len(g.columns)
			g.columns = append(g.columns, column{name: "*", place: -1, span: span{near: math.MaxInt64}})
		}
	}
	// Only now, so that which column serves does not depend on what it was widened for.
	for _, feature := range s.orders {
		w := s.set.features[feature].window
		s.set.groups[w.group].columns[w.ask].widen(w.width, w.delay)
	}
}

// hash is of the canonical form: one line for each thing that the set says, the entities by name, the features in their order.
func (s *spec) hash() string {
	lines := []string{
		"verdict features 1", quote(s.version.Name, s.version.Version),
		quote("event", s.binding.ID.String(), s.binding.Time.String()),
	}
	for _, name := range slices.Sorted(slices.Values(s.entities)) {
		words := []string{"entity", name}
		for _, p := range s.set.groups[s.groupOf[name]].paths {
			words = append(words, p.String())
		}
		lines = append(lines, quote(words...))
	}
	return digest(append(lines, s.canon["features"]...)...)
}

// quote joins words so that no two lists of words give one text.
func quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, " ")
}

// digest returns the first 16 hex digits of the lines' SHA-256.
func digest(lines ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return hex.EncodeToString(sum[:8])
}
