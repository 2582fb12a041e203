package strictyaml

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
)

// Entry is one key of a mapping and what stands under it.
type Entry struct {
	Name       string
	Key, Value *yaml.Node
}

// Entries returns a mapping's entries in their order, their names distinct. In faults the mapping is called what; "" is the file as a whole.
func (d *Document) Entries(n *yaml.Node, what string) []Entry {
	what = in(what)
	if n.Kind != yaml.MappingNode {
		d.Fault(n, "%sa mapping is wanted, not %s", what, Shape(n))
		return nil
	}
	var all []Entry
	lines := make(map[string]int) // :: name → where it stands
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!null" || key.Tag == "!!merge" {
			d.Fault(key, "%sa key is a plain name", what)
			continue
		}
		if first, twice := lines[key.Value]; twice {
			d.Fault(key, "%s%s stands twice, first in line %d", what, key.Value, first)
			continue
		}
		lines[key.Value] = key.Line
		all = append(all, Entry{Name: key.Value, Key: key, Value: value})
	}
	return all
}

// Only returns the values of a mapping that may have these keys; others are faults.
func (d *Document) Only(n *yaml.Node, what string, keys ...string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	for _, e := range d.Entries(n, what) {
		if !slices.Contains(keys, e.Name) {
			d.Fault(e.Key, "%sunknown key %s%s", in(what), e.Name, schemas.Meant(e.Name, keys))
			continue
		}
		found[e.Name] = e.Value
	}
	return found
}

// Need says whether all these keys were found in the mapping n; each that was not is a fault.
func (d *Document) Need(n *yaml.Node, what string, found map[string]*yaml.Node, keys ...string) bool {
	all := true
	for _, key := range keys {
		if found[key] != nil {
			continue
		}
		all = false
		if n.Kind == yaml.MappingNode { // else the fault is that it is none, which Only has said
			d.Fault(n, "%s%s is missing", in(what), key)
		}
	}
	return all
}

// Required returns the Text of a key that must have been found in the mapping n.
func (d *Document) Required(n *yaml.Node, found map[string]*yaml.Node, key string) string {
	if !d.Need(n, "", found, key) {
		return ""
	}
	return d.Text(found[key], key)
}

// Items returns a list's elements.
func (d *Document) Items(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		d.Fault(n, "%s: a list is wanted, not %s", what, Shape(n))
		return nil
	}
	return n.Content
}

// String returns a scalar that is a string, not empty.
func (d *Document) String(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		d.Fault(n, "%s: a string is wanted, not %s", what, Shape(n))
		return "", false
	}
	return n.Value, true
}

// Text returns a scalar of any kind as it is written, so that version 1 and "1" are one version; "" when nothing is.
func (d *Document) Text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		d.Fault(n, "%s: a text is wanted, not %s", what, Shape(n))
		return ""
	}
	return n.Value
}

// Number returns a scalar that is a finite number; NaN otherwise, which is above and below nothing, so that no second fault follows from it.
func (d *Document) Number(n *yaml.Node, what string) (float64, bool) {
	var f float64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		d.Fault(n, "%s: a number is wanted, not %s", what, Shape(n))
		return math.NaN(), false
	}
	return f, true
}

// Bool returns a scalar that is true or false.
func (d *Document) Bool(n *yaml.Node, what string) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		d.Fault(n, "%s: true or false is wanted, not %s", what, Shape(n))
		return false, false
	}
	return strings.EqualFold(n.Value, "true"), true
}

// in begins a fault's text with where it is.
func in(what string) string {
	if what == "" {
		return ""
	}
	return what + ": "
}

// Shape returns what a node is, as faults say it.
func Shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!str":
		return strconv.Quote(n.Value)
	default:
		return n.Value
	}
}
