package scorer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// Policy makes an action of a score: the first rule that matches decides, else the thresholds or the costs. It is immutable and safe for concurrent use.
type Policy struct {
	version    schemas.Version
	file       string
	files      []string // all that it was read from: its own, and its lists
	fields     []schemas.FieldUse
	scored     []int    // lines of the rules that read the score
	features   []string // in the order in which the rules read them
	rules      []rule
	review     float64 // scores at or above are reviewed; +Inf when there is no such threshold
	reject     float64 // scores at or above are rejected; +Inf when there is no such threshold
	thresholds bool
	levels     []level        // the thresholds as the file has them
	cost       *costs         // nil: thresholds decide
	degraded   schemas.Action // of orders without a score; never approve
}

// level is a threshold as the file has it.
type level struct {
	key  string
	at   float64
	line int
}

// rule is one line of rules.
type rule struct {
	id   string
	when *expr.Program
	then schemas.Action
}

// Version returns the policy's name, version, and the hash of its file and lists.
func (p *Policy) Version() schemas.Version { return p.version }

// File returns where the policy was read from, as it was named.
func (p *Policy) File() string { return p.file }

// Fields returns every field of the order that the rules name, in their order.
func (p *Policy) Fields() []schemas.FieldUse { return p.fields }

// Files returns every file that the policy was read from.
func (p *Policy) Files() []string { return p.files }

// LoadPolicy reads a policy and its lists, whose paths are relative to it. fields may be nil: then rules may name any field. The error joins all that
// is wrong, each with file and line.
func LoadPolicy(file string, fields *schemas.Schema, layout *schemas.Layout) (*Policy, error) {
	d := newPolicyReader(file)
	d.scope.Fields, d.scope.Features, d.names = fields, layout.Names, append(slices.Clone(layout.Names), "score")
	p, err := d.read()
	if err != nil {
		return nil, err
	}
	p.features = layout.Names
	return p, nil
}

// CheckPolicy says what is wrong with a policy and its lists as far as that can be told without a feature set: all but what its expressions name.
func CheckPolicy(file string) error {
	d := newPolicyReader(file)
	d.blind = true
	_, err := d.read()
	return err
}

func newPolicyReader(file string) *policyReader {
	return &policyReader{Document: strictyaml.Document{File: file}, scope: expr.Scope{Score: true, Lists: make(map[string]expr.List)}, sum: sha256.New()}
}

func (d *policyReader) read() (*Policy, error) {
	text, err := strictyaml.Read(d.File)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	fmt.Fprintf(d.sum, "policy %d\n", len(text))
	d.sum.Write(text)
	p := d.policy(d.Root(text))
	if err := d.Err(); err != nil {
		return nil, err
	}
	p.file, p.files, p.fields, p.scored = d.File, append([]string{d.File}, d.files...), d.fields, d.scored
	p.version.Hash = hex.EncodeToString(d.sum.Sum(nil))[:16]
	return p, nil
}

// policyReader is a policy file being read.
type policyReader struct {
	strictyaml.Document

	blind  bool // it is not known what expressions may name
	scope  expr.Scope
	sum    hash.Hash // of the file and its lists
	names  []string  // what a rule may name beside fields
	fields []schemas.FieldUse
	files  []string // of lists
	scored []int    // lines of the rules that read the score
}

func (d *policyReader) policy(root *yaml.Node) *Policy {
	if root == nil {
		return nil
	}
	p := &Policy{review: math.Inf(1), reject: math.Inf(1), degraded: schemas.Review}
	found := d.Only(root, "policy", "name", "version", "lists", "rules", "thresholds", "cost", "on_degraded")
	p.version.Name, p.version.Version = d.Required(root, found, "name"), d.Required(root, found, "version")
	if n := found["lists"]; n != nil {
		d.lists(n)
	}
	if n := found["rules"]; n != nil {
		p.rules = d.rules(n)
	}
	if n := found["thresholds"]; n != nil {
		d.thresholds(n, p)
	}
	if n := found["cost"]; n != nil {
		p.cost = d.costs(n)
		if found["thresholds"] != nil {
			d.Fault(n, "cost and thresholds would both say what is done with a score: one of them is wanted")
		}
	}
	if found["rules"] == nil && found["thresholds"] == nil && found["cost"] == nil {
		d.Fault(root, "a policy has rules, thresholds or cost; this one would approve every order")
	}
	if n := found["on_degraded"]; n != nil {
		if p.degraded = d.action(n, "on_degraded"); p.degraded == schemas.Approve {
			d.Fault(n, "on_degraded: approve is not taken: an order that could not be scored is reviewed or rejected")
		}
	}
	return p
}

func (d *policyReader) lists(n *yaml.Node) {
	for _, e := range d.Entries(n, "lists") {
		named := d.Text(e.Value, "lists: "+e.Name)
		if named == "" {
			continue
		}
		path := named
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(d.File), path)
		}
		// A list that cannot be read is known all the same, so that rules which use it are not faulted too.
		d.scope.Lists[e.Name] = list(nil)
		d.files = append(d.files, path)
		text, err := readList(path)
		if err != nil {
			d.Fault(e.Value, "lists: %s: %v", e.Name, err)
			continue
		}
		l, err := parseList(named, text)
		if err != nil {
			d.Fault(e.Value, "lists: %s: %v", e.Name, err)
			continue
		}
		d.scope.Lists[e.Name] = l
		fmt.Fprintf(d.sum, "list %s %d\n", e.Name, len(text))
		if _, err := io.Copy(d.sum, struct{ io.Reader }{strings.NewReader(text)}); err != nil { // in pieces: its WriteTo would copy the whole text
			d.Fault(e.Value, "lists: %s: %v", e.Name, err) // unreachable: neither end gives an error
		}
	}
}

func (d *policyReader) rules(n *yaml.Node) []rule {
	var rules []rule
	for i, item := range d.Items(n, "rules") {
		what := fmt.Sprintf("rule %d", i+1)
		found := d.Only(item, what, "id", "when", "then")
		if !d.Need(item, what, found, "id", "when", "then") {
			continue
		}
		r := rule{id: d.Text(found["id"], what), then: d.action(found["then"], what+": then")}
		if slices.ContainsFunc(rules, func(other rule) bool { return other.id == r.id }) {
			d.Fault(found["id"], "rule %s stands twice", r.id)
		}
		r.when = d.condition(found["when"], r.id)
		rules = append(rules, r)
	}
	return rules
}

// condition compiles a rule's expression. Its faults have the line of the rule and the column within the expression.
func (d *policyReader) condition(n *yaml.Node, id string) *expr.Program {
	text := d.Text(n, "rule "+id+": when")
	if text == "" {
		return nil
	}
	d.scope.Condition = true
	program := d.compile(n, "rule "+id+": when", text)
	d.scope.Condition = false
	if program != nil && program.UsesScore() {
		d.scored = append(d.scored, n.Line)
	}
	return program
}

// compile reads an expression of the policy; nil, with its faults, when it is wrong.
func (d *policyReader) compile(n *yaml.Node, what, text string) *expr.Program {
	var program *expr.Program
	var err error
	if d.blind {
		err = expr.CheckSyntax(text)
	} else {
		program, err = expr.Compile(text, d.scope)
	}
	if err == nil && program != nil {
		for _, path := range program.FieldPaths() {
			d.fields = append(d.fields, schemas.FieldUse{Path: path, Line: n.Line, Names: d.names})
		}
	}
	for _, f := range expr.Faults(err) {
		d.Fault(n, "%s: %v", what, f)
	}
	return program
}

func (d *policyReader) thresholds(n *yaml.Node, p *Policy) {
	found := d.Only(n, "thresholds", "review", "reject")
	for _, one := range []struct {
		key  string
		into *float64
	}{{"review", &p.review}, {"reject", &p.reject}} {
		if found[one.key] == nil {
			continue
		}
		p.thresholds = true
		*one.into, _ = d.Number(found[one.key], "thresholds: "+one.key)
		p.levels = append(p.levels, level{key: one.key, at: *one.into, line: found[one.key].Line})
	}
	if !p.thresholds && n.Kind == yaml.MappingNode {
		d.Fault(n, "thresholds: review, reject or both are wanted")
	}
	if found["review"] != nil && p.review > p.reject {
		d.Fault(found["review"], "thresholds: review (%v) is above reject (%v): no order would be reviewed", p.review, p.reject)
	}
}

func (d *policyReader) action(n *yaml.Node, what string) schemas.Action {
	name := d.Text(n, what)
	known := []string{string(schemas.Approve), string(schemas.Review), string(schemas.Reject)}
	if name != "" && !slices.Contains(known, name) {
		d.Fault(n, "%s: %q is no action: approve, review or reject%s", what, name, schemas.Meant(name, known))
	}
	return schemas.Action(name)
}

// verdict is what a policy says of an order.
type verdict struct {
	action schemas.Action
	rule   string // that decided; "" when thresholds, costs or on_degraded did
	noCost bool   // a cost could not be had, and on_degraded decided

	unsure   error  // why a rule could not be evaluated
	unsureOf string // the first such rule
}

// decide returns the action for an order. One that is degraded, as it has no score, or its features or its model are not the right ones for sure, is never approved: neither by a rule
// nor for want of one. So is one that a rule could not be evaluated on, from there on: that rule might have stopped it. The rules that follow can still do so.
func (p *Policy) decide(in *expr.Input, degraded bool) verdict {
	var said verdict
	for i := range p.rules {
		r := &p.rules[i]
		if degraded && r.then == schemas.Approve {
			continue
		}
		holds, err := r.when.Holds(in)
		switch {
		case holds:
			said.action, said.rule = r.then, r.id
			return said
		case err != nil && said.unsure == nil:
			said.unsure, said.unsureOf, degraded = err, r.id, true
		}
	}
	switch {
	case degraded:
		said.action = p.degraded
	case p.cost != nil:
		action, ok := p.cost.choose(in)
		if !ok {
			action = p.degraded
		}
		said.action, said.noCost = action, !ok
	case in.Score >= p.reject:
		said.action = schemas.Reject
	case in.Score >= p.review:
		said.action = schemas.Review
	default:
		said.action = schemas.Approve
	}
	return said
}

// withoutScore says where the policy reads a score, for when there is no model to give one: such a rule would never match, and such a threshold never be
// reached.
func (p *Policy) withoutScore() error {
	var faults []error
	for _, line := range p.scored {
		faults = append(faults, fmt.Errorf("%s:%d: the rule reads the score, but there is no model to give one", p.file, line))
	}
	if p.thresholds {
		faults = append(faults, fmt.Errorf("%s: policy %s has thresholds, but there is no model to give a score", p.file, p.version))
	}
	if p.cost != nil {
		faults = append(faults, fmt.Errorf("%s: policy %s has costs, but there is no model to give a score", p.file, p.version))
	}
	return errors.Join(faults...)
}
