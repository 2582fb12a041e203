package preprocess

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
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/expr"
)

// Of one feature-set file: how long it may be, in bytes, and how many of its faults are told.
const (
	maxSpec   = 1 << 20
	maxFaults = 100
)

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
	shown := d.faults[:min(len(d.faults), maxFaults)]
	all := make([]error, len(shown), len(shown)+1)
	for i, f := range shown {
		all[i] = fmt.Errorf("%s:%d: %s", d.file, f.line, f.text)
	}
	if more := len(d.faults) - len(shown); more > 0 {
		all = append(all, fmt.Errorf("%s:%d: and %d more", d.file, d.faults[len(shown)].line, more))
	}
	return errors.Join(all...)
}

// root parses the file's one document. Nothing is followed that could make a short file long: anchors, aliases and tags are refused.
func (d *document) root(text []byte) *yaml.Node {
	if len(text) > maxSpec {
		d.faultAt(1, "the file has %d bytes, more than %d", len(text), maxSpec)
		return nil
	}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		d.faultAt(1, "the file is empty")
		return nil
	} else if err != nil {
		d.syntax(err)
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

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func (d *document) syntax(err error) {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = m[2]
	}
	d.faultAt(line, "not YAML: %s", text)
}

// plain notes the first anchor, alias or tag.
func (d *document) plain(n *yaml.Node) {
	switch {
	case len(d.faults) > 0:
		return
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

// entries returns a mapping's entries in their order. Keys are strings and distinct.
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

// only returns the entries of a mapping that may have these keys; others are faults.
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

// shape returns what a node is, as texts say it.
func shape(n *yaml.Node) string {
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

// str returns a scalar that is a string, not empty.
func (d *document) str(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		d.fault(n, "%s: a string is wanted, not %s", what, shape(n))
		return "", false
	}
	return n.Value, true
}

// number returns a scalar that is a finite number.
func (d *document) number(n *yaml.Node, what string) (float64, bool) {
	var f float64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		d.fault(n, "%s: a number is wanted, not %s", what, shape(n))
		return 0, false
	}
	return f, true
}

// boolean returns a scalar that is true or false.
func (d *document) boolean(n *yaml.Node, what string) (bool, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		d.fault(n, "%s: true or false is wanted, not %s", what, shape(n))
		return false, false
	}
	return strings.EqualFold(n.Value, "true"), true
}

// maxDuration is the longest window or delay: 100 years of 365 days. Event times end in 2200, so nothing computed with it leaves 64 bits.
const maxDuration = 36500 * 24 * 3600 * 1_000_000

// duration reads such as 30d or 1d12h, in microseconds.
func (d *document) duration(n *yaml.Node, what string) (int64, bool) {
	us, ok := parseDuration(n)
	switch {
	case !ok:
		d.fault(n, "%s: a duration is wanted, whole numbers of w, d, h, m, s such as 7d or 1d12h, not %s", what, shape(n))
	case us > maxDuration:
		d.fault(n, "%s: %s is more than 36500d", what, n.Value)
		ok = false
	}
	return us, ok
}

func parseDuration(n *yaml.Node) (us int64, ok bool) {
	text := n.Value
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || text == "" {
		return 0, false
	}
	units := "wdhms" // each at most once, from large to small
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		if digits == 0 || digits > 12 || digits == len(text) {
			return 0, false
		}
		unit := strings.IndexByte(units, text[digits])
		if unit < 0 {
			return 0, false
		}
		many, err := strconv.ParseInt(text[:digits], 10, 64)
		if err != nil {
			return 0, false
		}
		second := int64(1_000_000)
		us += min(many, maxDuration/second+1) * map[byte]int64{'w': 7 * 24 * 3600, 'd': 24 * 3600, 'h': 3600, 'm': 60, 's': 1}[units[unit]]
		units, text = units[unit+1:], text[digits+1:]
	}
	return min(us, maxDuration/1_000_000+1) * 1_000_000, true
}
