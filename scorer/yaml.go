package scorer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/expr"
)

// maxYAML is the longest bundle.yaml or policy, in bytes. Long lists stand in files of their own.
const maxYAML = 1 << 20

// document is a YAML file that is read strictly, with what is wrong with it so far.
type document struct {
	file   string
	faults []lineFault
}

type lineFault struct {
	line int
	text string
}

// fault notes what is wrong at a node.
func (d *document) fault(at *yaml.Node, format string, args ...any) {
	d.faultAt(at.Line, format, args...)
}

func (d *document) faultAt(line int, format string, args ...any) {
	d.faults = append(d.faults, lineFault{line: line, text: fmt.Sprintf(format, args...)})
}

// err returns all that is wrong, in the order of the lines, each as file:line: text.
func (d *document) err() error {
	slices.SortStableFunc(d.faults, func(a, b lineFault) int { return cmp.Compare(a.line, b.line) })
	all := make([]error, len(d.faults))
	for i, f := range d.faults {
		all[i] = fmt.Errorf("%s:%d: %s", d.file, f.line, f.text)
	}
	return errors.Join(all...)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// root parses the file's one document. Anchors, aliases and tags are refused: nothing makes a short file long.
func (d *document) root(text []byte) *yaml.Node {
	if len(text) > maxYAML {
		d.faultAt(1, "the file has %d bytes, more than %d", len(text), maxYAML)
		return nil
	}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		d.faultAt(1, "the file is empty")
		return nil
	} else if err != nil {
		line, said := 1, yamlLine.FindStringSubmatch(err.Error())
		if said == nil {
			said = []string{"", "", err.Error()}
		}
		if n, err := strconv.Atoi(said[1]); err == nil {
			line = n
		}
		d.faultAt(line, "not YAML: %s", said[2])
		return nil
	}
	if err := in.Decode(&more); !errors.Is(err, io.EOF) {
		d.faultAt(max(1, more.Line), "one document only: this file has a second")
		return nil
	}
	if d.plain(&doc); len(d.faults) > 0 {
		return nil
	}
	return doc.Content[0]
}

func (d *document) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fault(n, "alias *%s: write it out, aliases are not taken", n.Value)
		return
	case n.Anchor != "":
		d.fault(n, "anchor &%s: anchors and aliases are not taken", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(n, "tag %s: tags are not taken", n.Tag)
	}
	for _, c := range n.Content {
		d.plain(c)
	}
}

// entry is one key of a mapping and what stands under it.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns a mapping's entries in their order. Keys are distinct.
func (d *document) entries(n *yaml.Node, what string) []entry {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s: a mapping is wanted, not %s", what, shape(n))
		return nil
	}
	var all []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!null" || key.Tag == "!!merge" {
			d.fault(key, "%s: a key is a plain name", what)
			continue
		}
		if first := slices.IndexFunc(all, func(e entry) bool { return e.name == key.Value }); first >= 0 {
			d.fault(key, "%s: %s stands twice, first in line %d", what, key.Value, all[first].key.Line)
			continue
		}
		all = append(all, entry{name: key.Value, key: key, value: value})
	}
	return all
}

// only returns the values of a mapping that may have these keys; others are faults.
func (d *document) only(n *yaml.Node, what string, keys ...string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	for _, e := range d.entries(n, what) {
		if !slices.Contains(keys, e.name) {
			d.fault(e.key, "%s: unknown key %s%s", what, e.name, expr.Meant(e.name, keys))
			continue
		}
		found[e.name] = e.value
	}
	return found
}

// items returns a list's elements.
func (d *document) items(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, "%s: a list is wanted, not %s", what, shape(n))
		return nil
	}
	return n.Content
}

// text returns a scalar as it is written, so that version 1 and "1" are one version. Nothing written is a fault.
func (d *document) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		d.fault(n, "%s: a text is wanted, not %s", what, shape(n))
		return ""
	}
	return n.Value
}

// required is text of a key that must be there.
func (d *document) required(found map[string]*yaml.Node, at *yaml.Node, key string) string {
	if found[key] == nil {
		d.fault(at, "%s is missing", key)
		return ""
	}
	return d.text(found[key], key)
}

// number returns a scalar that is a finite number, else NaN.
func (d *document) number(n *yaml.Node, what string) float64 {
	var f float64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		d.fault(n, "%s: a number is wanted, not %s", what, shape(n))
		return math.NaN()
	}
	return f
}

// shape returns what a node is, as texts say it.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return strconv.Quote(n.Value)
	}
}
