package scorer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// Policy makes an action of a score: the first rule that matches decides, else the thresholds. It is immutable and safe for concurrent use.
type Policy struct {
	version    schemas.Version
	file       string
	fields     []schemas.FieldUse
	scored     []int    // lines of the rules that read the score
	features   []string // in the order in which the rules read them
	rules      []rule
	review     float64 // scores at or above are reviewed; +Inf when there is no such threshold
	reject     float64 // scores at or above are rejected; +Inf when there is no such threshold
	thresholds bool
	degraded   schemas.Action // of orders without a score; never approve
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

// LoadPolicy reads a policy and its lists, whose paths are relative to it. fields may be nil: then rules may name any field. The error joins all that
// is wrong, each with file and line.
func LoadPolicy(file string, fields *schemas.Schema, layout *schemas.Layout) (*Policy, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	d := &policyReader{Document: strictyaml.Document{File: file}, scope: expr.Scope{Fields: fields, Features: layout.Names, Score: true, Lists: make(map[string]expr.List)}, sum: sha256.New()}
	d.names = append(slices.Clone(layout.Names), "score")
	fmt.Fprintf(d.sum, "policy %d\n", len(text))
	d.sum.Write(text)
	p := d.policy(d.Root(text))
	if err := d.Err(); err != nil {
		return nil, err
	}
	p.file, p.features, p.fields, p.scored = file, layout.Names, d.fields, d.scored
	p.version.Hash = hex.EncodeToString(d.sum.Sum(nil))[:16]
	return p, nil
}

// policyReader is a policy file being read.
type policyReader struct {
	strictyaml.Document

	scope  expr.Scope
	sum    hash.Hash // of the file and its lists
	names  []string  // what a rule may name beside fields
	fields []schemas.FieldUse
	scored []int // lines of the rules that read the score
}

func (d *policyReader) policy(root *yaml.Node) *Policy {
	if root == nil {
		return nil
	}
	p := &Policy{review: math.Inf(1), reject: math.Inf(1), degraded: schemas.Review}
	found := d.Only(root, "policy", "name", "version", "lists", "rules", "thresholds", "on_degraded")
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
	if found["rules"] == nil && found["thresholds"] == nil {
		d.Fault(root, "a policy has rules, thresholds or both; this one would approve every order")
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
		path := d.Text(e.Value, "lists: "+e.Name)
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(d.File), path)
		}
		// A list that cannot be read is known all the same, so that rules which use it are not faulted too.
		d.scope.Lists[e.Name] = list(nil)
		text, err := readList(path)
		if err != nil {
			d.Fault(e.Value, "lists: %s: %v", e.Name, err)
			continue
		}
		l, err := parseList(text)
		if err != nil {
			d.Fault(e.Value, "lists: %s: %v", e.Name, err)
			continue
		}
		d.scope.Lists[e.Name] = l
		fmt.Fprintf(d.sum, "list %s %d\n", e.Name, len(text))
		d.sum.Write(text)
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
	program, err := expr.Compile(text, d.scope)
	if err == nil {
		d.note(n, program)
		return program
	}
	faults := expr.Faults(err)
	if len(faults) == 0 {
		d.Fault(n, "rule %s: when: %v", id, err)
	}
	for _, f := range faults {
		d.Fault(n, "rule %s: when: %v", id, f)
	}
	return nil
}

// note keeps what a rule reads.
func (d *policyReader) note(n *yaml.Node, program *expr.Program) {
	for _, path := range program.FieldPaths() {
		d.fields = append(d.fields, schemas.FieldUse{Path: path, Line: n.Line, Names: d.names})
	}
	if program.UsesScore() {
		d.scored = append(d.scored, n.Line)
	}
}

func (d *policyReader) thresholds(n *yaml.Node, p *Policy) {
	found := d.Only(n, "thresholds", "review", "reject")
	for key, into := range map[string]*float64{"review": &p.review, "reject": &p.reject} {
		if found[key] == nil {
			continue
		}
		p.thresholds = true
		*into, _ = d.Number(found[key], "thresholds: "+key)
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

// decide returns the action for an order, and the rule that decided, "" when a threshold did. in.Score is NaN for an order without a score, which is
// never approved: neither by a rule nor for want of one.
func (p *Policy) decide(in *expr.Input, degraded bool) (schemas.Action, string) {
	for i := range p.rules {
		r := &p.rules[i]
		if degraded && r.then == schemas.Approve || !r.when.True(in) {
			continue
		}
		return r.then, r.id
	}
	switch {
	case degraded:
		return p.degraded, ""
	case in.Score >= p.reject:
		return schemas.Reject, ""
	case in.Score >= p.review:
		return schemas.Review, ""
	default:
		return schemas.Approve, ""
	}
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
	return errors.Join(faults...)
}
