package scorer

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// defaultPatience is how long challengers may take beyond the decision without challenger_wait: several times what a tree model takes for a whole poll.
const defaultPatience = 5 * time.Millisecond

// maxPatience bounds challenger_wait: every order waits that long for a challenger that hangs.
const maxPatience = time.Second

// maxRoutes is how many champions, and how many challengers, a routing may have.
const maxRoutes = 64

// Routing says which bundle decides which orders, and which challenge it. It is immutable.
type Routing struct {
	champions   []route
	challengers []route
	patience    time.Duration
	files       []string
}

// Challenged returns a routing in which the bundles challenge the champion on all orders.
func Challenged(by ...*Bundle) *Routing {
	r := &Routing{}
	for _, b := range by {
		r.challengers = append(r.challengers, route{bundle: b, name: b.version.Name})
	}
	return r
}

// Patience returns what the routing says of how much longer a decision may take for the challengers.
func (r *Routing) Patience() time.Duration { return r.patience }

// RoutingConfig is what a routing is read with.
type RoutingConfig struct {
	// File has the routing, under Key or, when that is "", as a whole. Paths in it are relative to it.
	File, Key string
	Layout    *schemas.Layout           // of the vectors
	Fields    *schemas.Schema           // of the orders; nil: rules may name any field
	Entities  map[string][]schemas.Path // :: entity → its fields; what shares are of. nil: not known, and not checked
	Champion  *Bundle                   // of the orders that no rule takes; nil where it could not be loaded
	Load      func(dir string) (*Bundle, error)
}

// LoadRouting reads a routing and the bundles that it names. The error joins all that is wrong, each with file and line.
func LoadRouting(cfg RoutingConfig) (*Routing, error) {
	text, err := strictyaml.Read(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("reading the routing: %w", err)
	}
	d := &routingReader{Document: strictyaml.Document{File: cfg.File}, cfg: cfg, scope: expr.Scope{Fields: cfg.Fields, Condition: true}}
	root := d.Root(text)
	if root != nil && cfg.Key != "" {
		root = d.under(root, cfg.Key)
	}
	if root == nil {
		return nil, d.Err()
	}
	r := d.routing(root)
	r.files = []string{cfg.File}
	return r, d.Err()
}

// routingReader is a routing being read.
type routingReader struct {
	strictyaml.Document

	cfg   RoutingConfig
	scope expr.Scope
}

// under returns what stands under a key of the file, whose other keys are others' to read.
func (d *routingReader) under(root *yaml.Node, key string) *yaml.Node {
	for _, e := range d.Entries(root, "") {
		if e.Name == key {
			return e.Value
		}
	}
	d.Fault(root, "%s is missing", key)
	return nil
}

func (d *routingReader) routing(n *yaml.Node) *Routing {
	r := &Routing{patience: defaultPatience}
	found := d.Only(n, "routing", "champions", "challengers", "challenger_wait")
	if at := found["champions"]; at != nil {
		r.champions = d.routes(at, "champion")
	}
	if at := found["challengers"]; at != nil {
		r.challengers = d.routes(at, "challenger")
	}
	if at := found["challenger_wait"]; at != nil {
		r.patience = d.patience(at)
	}
	if len(found) == 0 && d.Faults() == 0 {
		d.Fault(n, "routing: champions, challengers or both are wanted")
	}
	d.distinct(r)
	return r
}

func (d *routingReader) patience(n *yaml.Node) time.Duration {
	text := d.Text(n, "challenger_wait")
	wait, err := time.ParseDuration(text)
	if text != "" && (err != nil || wait <= 0 || wait > maxPatience) {
		d.Fault(n, "challenger_wait: %q is no duration above 0 and up to %s, such as 5ms", text, maxPatience)
	}
	return wait
}

// routes reads champions or challengers.
func (d *routingReader) routes(n *yaml.Node, role string) []route {
	var all []route
	items := d.Items(n, role+"s")
	if len(items) > maxRoutes {
		d.Fault(n, "%ss: %d are more than %d", role, len(items), maxRoutes)
		return nil
	}
	for i, item := range items {
		what := fmt.Sprintf("%s %d", role, i+1)
		found := d.Only(item, what, "model", "when", "share", "of")
		if !d.Need(item, what, found, "model") {
			continue
		}
		r := route{line: item.Line, dir: d.Text(found["model"], what+": model")}
		if role == "champion" && found["when"] == nil && found["share"] == nil {
			d.Fault(item, "%s: when or share is wanted: without one it takes every order, as the model beside the routing does for those that are left", what)
		}
		if at := found["when"]; at != nil {
			r.when = d.condition(at, what)
		}
		d.share(&r, what, found)
		r.bundle, r.away = d.bundle(r.dir, found["model"], what, role == "challenger")
		switch {
		case r.bundle != nil:
			r.name = r.bundle.version.Name
		case r.away != nil:
			r.name = r.away.Version.Name
		}
		all = append(all, r)
	}
	return all
}

func (d *routingReader) condition(n *yaml.Node, what string) *expr.Program {
	text := d.Text(n, what+": when")
	if text == "" {
		return nil
	}
	program, err := expr.Compile(text, d.scope)
	for _, f := range expr.Faults(err) {
		if rest, ok := strings.CutPrefix(f.Text, "unknown field or feature "); ok {
			f.Text = "unknown field " + rest + " (routes go by the order's fields alone)"
		}
		d.Fault(n, "%s: when: %v", what, f)
	}
	return program
}

// share reads which part of the entities a route is for.
func (d *routingReader) share(r *route, what string, found map[string]*yaml.Node) {
	share, of := found["share"], found["of"]
	switch {
	case share == nil && of == nil:
		return
	case of == nil:
		d.Fault(share, "%s: share: of is wanted with it: the entity that is shared out, such as of: %s", what, d.anEntity())
		return
	case share == nil:
		d.Fault(of, "%s: of: share is wanted with it: which part of the entities, such as 0.1", what)
		return
	}
	var ok bool
	if r.share, ok = d.Number(share, what+": share"); ok && !(r.share > 0 && r.share <= 1) {
		d.Fault(share, "%s: share: %v is not above 0 and up to 1", what, r.share)
	}
	if r.entity = d.Text(of, what+": of"); r.entity == "" {
		return
	}
	if r.keys, ok = d.cfg.Entities[r.entity]; !ok && d.cfg.Entities != nil {
		known := slices.Sorted(maps.Keys(d.cfg.Entities))
		hint := schemas.Meant(r.entity, known)
		if hint == "" {
			hint = " (it has " + strings.Join(known, ", ") + ")"
		}
		d.Fault(of, "%s: of: the feature set has no entity %s%s", what, r.entity, hint)
	}
}

func (d *routingReader) anEntity() string {
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Entities)) {
		return name
	}
	return "customer"
}

// bundle loads a route's model and checks that it can score the vectors. A challenger may be away.
func (d *routingReader) bundle(dir string, n *yaml.Node, what string, mayBeAway bool) (*Bundle, *AwayError) {
	if dir == "" {
		return nil, nil
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(d.File), dir)
	}
	b, err := d.cfg.Load(dir)
	if away, ok := errors.AsType[*AwayError](err); ok && mayBeAway {
		return nil, away
	}
	if err == nil && d.cfg.Layout != nil {
		err = b.fits(d.cfg.Layout)
	}
	if err != nil {
		d.Fault(n, "%s: model: %v", what, err)
		return nil, nil
	}
	return b, nil
}

// distinct refuses what decisions could not tell apart, and a model that challenges itself.
func (d *routingReader) distinct(r *Routing) {
	known := make(map[string]*Bundle) // :: name@version → the bundle
	if d.cfg.Champion != nil {
		known[d.cfg.Champion.version.String()] = d.cfg.Champion
	}
	for _, one := range slices.Concat(r.champions, r.challengers) {
		if one.bundle == nil {
			continue
		}
		name := one.bundle.version.String()
		if other := known[name]; other != nil && other.version.Hash != one.bundle.version.Hash {
			d.FaultAt(one.line, "model: %s is another %s than one before it: decisions could not tell which", one.dir, name)
		}
		known[name] = one.bundle
	}
	seen := make(map[string]bool)
	for i, one := range r.challengers {
		if one.bundle == nil {
			continue
		}
		name := one.bundle.version.String()
		if seen[name] {
			d.FaultAt(one.line, "challenger %d: %s challenges twice: one entry may say for which orders", i+1, name)
		}
		if len(r.champions) == 0 && d.cfg.Champion != nil && d.cfg.Champion.version == one.bundle.version {
			d.FaultAt(one.line, "challenger %d: %s is the champion of every order and cannot challenge itself", i+1, name)
		}
		seen[name] = true
	}
}
