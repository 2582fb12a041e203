package treemodel

import (
	"bytes"
	"strconv"
	"strings"
)

// header is what stands before the trees.
type header struct {
	version string
	info    Info
	convert transform
	trees   int
	sizes   []int64 // bytes of each tree; nil in v2 files that have none
	sizesAt int     // their line
}

const headerKeys = " version num_class num_tree_per_iteration label_index max_feature_idx objective average_output feature_names feature_infos monotone_constraints tree_sizes "

// header reads up to the first tree.
func (p *parser) header() (*header, error) {
	first, _ := p.next()
	if string(first) != "tree" {
		return nil, p.fault(1, "%s", notLightGBM(first))
	}
	s := &section{line: 1, values: make(map[string]entry)}
	for len(p.rest) > 0 && !bytes.HasPrefix(p.rest, []byte("Tree=")) && !bytes.HasPrefix(p.rest, []byte("end of trees")) {
		line, _ := p.next()
		if len(line) == 0 {
			continue
		}
		if err := p.add(s, line, headerKeys); err != nil {
			return nil, err
		}
	}
	h := &header{}
	for _, step := range []func(*section) error{
		func(s *section) error { return h.readVersion(p, s) },
		func(s *section) error { return h.readFeatures(p, s) },
		func(s *section) error { return h.readSizes(p, s) },
		func(s *section) error { return h.readOutputs(p, s) },
	} {
		if err := step(s); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// notLightGBM says what else a file may be, by its first line.
func notLightGBM(first []byte) string {
	switch {
	case bytes.HasPrefix(first, []byte("\x80")):
		return "is a Python pickle, which is never opened: save the model as text, booster.save_model('model.txt')"
	case bytes.HasPrefix(first, []byte("PK\x03\x04")):
		return "is a zip file (joblib or npz, perhaps), which is never opened: save the model as text, booster.save_model('model.txt')"
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("{")):
		return "is JSON: a LightGBM model is read from its text form, booster.save_model('model.txt')"
	case len(first) == 0:
		return "is empty, or no LightGBM text model: that begins with a line \"tree\""
	default:
		return "is no LightGBM text model: that begins with a line \"tree\", and this with " + quote(first)
	}
}

func (h *header) readVersion(p *parser, s *section) error {
	e, given := s.values["version"]
	h.version = string(e.text)
	switch h.version {
	case "v2", "v3", "v4":
		h.info.Format = "LightGBM " + h.version
		return nil
	}
	if !given {
		return p.fault(1, "version is missing")
	}
	return p.fault(e.line, "version is %s; v2, v3 and v4 are known, and what another means cannot be guessed", quote(e.text))
}

func (h *header) readFeatures(p *parser, s *section) error {
	last, err := p.number(s, "max_feature_idx", 0, p.total)
	if err != nil {
		return err
	}
	names, err := p.list(s, "feature_names", last+1)
	if err != nil {
		return err
	}
	if _, err := p.list(s, "feature_infos", last+1); err != nil {
		return err
	}
	at := make(map[string]int, last+1)
	h.info.Inputs = make([]string, 0, last+1)
	for word := range bytes.FieldsSeq(names.text) {
		name, i := string(word), len(h.info.Inputs)
		if first, twice := at[name]; twice {
			return p.fault(names.line, "feature_names: %s is both feature %d and feature %d", quote(word), first, i)
		}
		at[name] = i
		h.info.Inputs = append(h.info.Inputs, name)
	}
	return nil
}

// readSizes finds how many trees there are. Early v2 files have no sizes: there the trees are counted.
func (h *header) readSizes(p *parser, s *section) error {
	e, given := s.values["tree_sizes"]
	if !given && h.version != "v2" {
		return p.fault(s.line, "tree_sizes is missing")
	}
	if !given {
		h.trees = bytes.Count(p.rest, []byte("\nTree="))
		if bytes.HasPrefix(p.rest, []byte("Tree=")) {
			h.trees++
		}
	} else {
		sizes, line, err := p.ints(s, "tree_sizes", words(e.text), 64)
		if err != nil {
			return err
		}
		h.sizes, h.sizesAt, h.trees = sizes, line, len(sizes)
	}
	if h.trees == 0 {
		return p.fault(max(e.line, s.line), "the model has no trees")
	}
	h.info.Trees = h.trees
	return nil
}

func (h *header) readOutputs(p *parser, s *section) error {
	classes, err := p.number(s, "num_class", 1, h.trees)
	if err != nil {
		return err
	}
	h.info.Outputs = classes
	if e, given := s.values["num_tree_per_iteration"]; given {
		if h.info.Outputs, err = p.number(s, "num_tree_per_iteration", 1, h.trees); err != nil {
			return err
		}
		if h.info.Outputs != classes {
			return p.fault(e.line, "num_tree_per_iteration is %d, but num_class is %d", h.info.Outputs, classes)
		}
	}
	if h.trees%h.info.Outputs != 0 {
		return p.fault(max(h.sizesAt, s.line), "%d trees are no whole number of iterations of %d", h.trees, h.info.Outputs)
	}
	objective := s.values["objective"]
	h.info.Objective = strings.TrimSpace(string(objective.text))
	if h.convert, err = parseObjective(h.info.Objective, h.info.Outputs); err != nil {
		return p.fault(max(objective.line, s.line), "%s", err)
	}
	h.info.Transform = h.convert.name
	if _, h.info.AverageOutput = s.values["average_output"]; h.info.AverageOutput {
		h.convert.divisor = float64(h.trees / h.info.Outputs)
	}
	return nil
}

// tail reads what follows the trees: it must say that they have ended, and what it begins it must finish.
func (p *parser) tail(h *header) error {
	line, more := p.nextFilled()
	text := string(line)
	early := h.version == "v2" && (strings.HasPrefix(text, "feature importances:") || strings.HasPrefix(text, "feature_importances:"))
	switch {
	case strings.HasPrefix(text, "Tree="):
		return p.fault(p.line, "there are more trees than the %d of tree_sizes", h.trees)
	case !more || !early && text != "end of trees" || p.ended:
		return p.fault(p.line, "the file is cut short: \"end of trees\" is missing after tree %d", h.trees-1)
	}
	open := 0 // the line of a "parameters:" that has not ended
	for {
		line, more := p.next()
		if !more {
			break
		}
		switch string(line) {
		case "parameters:":
			open = p.line
		case "end of parameters":
			open = 0
		}
		if p.ended {
			return p.fault(p.line, "the file is cut short: its last line has no end")
		}
	}
	if open > 0 && h.version != "v2" {
		return p.fault(p.line, "the file is cut short: the parameters that begin in line %d have no end", open)
	}
	return nil
}

// nextFilled returns the next line that is not empty.
func (p *parser) nextFilled() ([]byte, bool) {
	for {
		line, more := p.next()
		if !more || len(line) > 0 {
			return line, more
		}
	}
}

// treeNumber reads the line "Tree=7".
func treeNumber(line []byte) (int, bool) {
	digits, is := bytes.CutPrefix(line, []byte("Tree="))
	if !is {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}
