// Package strictyaml reads the YAML files that people write for verdict (feature set, bundle, policy, configuration) so that every mistake is told
// with file, line and what was probably meant, all of a file at once. What could make a short file long or one text mean two things is refused:
// anchors, aliases, tags, merge keys, keys that stand twice, a second document.
package strictyaml

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Of one file: how long it may be, in bytes, and how many of its faults are told. What is longer (lists, models) stands in files of its own.
const (
	maxBytes  = 1 << 20
	maxFaults = 100
)

// Document is a YAML file that is being read, with what is wrong with it so far. Its readers note a fault and go on, so that one run tells them all.
type Document struct {
	File string // as errors name it

	faults []fault
}

type fault struct {
	line int
	text string
}

// Fault notes what is wrong at a node.
func (d *Document) Fault(at *yaml.Node, format string, args ...any) {
	d.FaultAt(at.Line, format, args...)
}

// FaultAt notes what is wrong in a line.
func (d *Document) FaultAt(line int, format string, args ...any) {
	d.faults = append(d.faults, fault{line: line, text: fmt.Sprintf(format, args...)})
}

// Faults returns how many faults have been noted.
func (d *Document) Faults() int { return len(d.faults) }

// Err returns all that is wrong, in the order of the lines, each as file:line: text; nil when nothing is.
func (d *Document) Err() error {
	slices.SortStableFunc(d.faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	shown := d.faults[:min(len(d.faults), maxFaults)]
	all := make([]error, len(shown), len(shown)+1)
	for i, f := range shown {
		all[i] = fmt.Errorf("%s:%d: %s", d.File, f.line, f.text)
	}
	if more := len(d.faults) - len(shown); more > 0 {
		all = append(all, fmt.Errorf("%s:%d: and %d more", d.File, d.faults[len(shown)].line, more))
	}
	return errors.Join(all...)
}

// Read reads a file up to a byte more than Root takes, so that a wrong path does not eat the memory.
func Read(file string) ([]byte, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, maxBytes+1))
}

// Root parses the file's one document and returns its top node; nil, with a fault, when there is none that could be read on.
func (d *Document) Root(text []byte) *yaml.Node {
	if len(text) > maxBytes {
		d.FaultAt(1, "the file has %d bytes, more than %d", len(text), maxBytes)
		return nil
	}
	var doc, more yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		d.FaultAt(1, "the file is empty")
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := in.Decode(&more); !errors.Is(err, io.EOF) {
		d.FaultAt(max(1, more.Line), "one document only: this file has a second")
		return nil
	}
	if !d.plain(&doc) {
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntax notes the parser's error, under the line that it names.
func (d *Document) syntax(err error) {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = m[2]
	}
	d.FaultAt(line, "not YAML: %s", text)
}

// plain says whether a node and all below it are without anchors, aliases and tags, and notes the first that is not. An alias is not followed.
func (d *Document) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.Fault(n, "alias *%s: write it out, aliases are not taken", n.Value)
		return false
	case n.Anchor != "":
		d.Fault(n, "anchor &%s: anchors and aliases are not taken", n.Anchor)
		return false
	case n.Style&yaml.TaggedStyle != 0:
		d.Fault(n, "tag %s: tags are not taken", n.Tag)
		return false
	}
	return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !d.plain(c) })
}
