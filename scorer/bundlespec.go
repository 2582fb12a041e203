package scorer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas"
	"verdict/schemas/strictyaml"
)

// bundleSpec is what bundle.yaml says, or the MLmodel of an MLflow folder.
type bundleSpec struct {
	manifest                string // bundle.yaml or MLmodel
	name, version, features string
	file                    string
	fileLine                int
	format                  string
	best                    bool     // rounds: best
	early                   bool     // the rounds up to the best where the file says which that is, else all: XGBoost's scikit-learn classes, of MLflow
	inputs                  []string // nil, of MLflow alone: the model file's own
	margin                  bool
	calibration             calibration
	golden                  bool     // whether golden.csv must be there
	notes                   []string // what who looks at the bundle should know
	more                    []string // files that have a part in the hash too
}

// bundleReader is a bundle.yaml being read.
type bundleReader struct {
	strictyaml.Document
}

func parseBundle(file string, text []byte, loaders map[string]Loader) (*bundleSpec, error) {
	d := &bundleReader{Document: strictyaml.Document{File: file}}
	root := d.Root(text)
	if root == nil {
		return nil, d.Err()
	}
	found := d.Only(root, "bundle", "name", "version", "features", "file", "format", "inputs", "output", "calibration", "rounds")
	s := &bundleSpec{manifest: bundleFile, golden: true, name: d.Required(root, found, "name"), version: d.Required(root, found, "version"), features: d.Required(root, found, "features")}
	if n := found["features"]; n != nil && !isVersion(s.features) {
		d.Fault(n, "features: the feature set that the model was trained on is wanted as name@version, such as card@1, not %q", s.features)
	}
	if s.file = d.Required(root, found, "file"); s.file != "" {
		s.fileLine = found["file"].Line
	}
	if s.format = d.Required(root, found, "format"); s.format != "" && loaders[s.format] == nil {
		d.Fault(found["format"], "%s", unknownFormat(s.format, formatsOf(loaders)))
	}
	if n := found["rounds"]; n != nil {
		d.rounds(n, s, loaders)
	}
	s.inputs = d.inputs(root, found["inputs"])
	if n := found["output"]; n != nil {
		switch output := d.Text(n, "output"); output {
		case "probability", "":
		case "margin":
			s.margin = true
		default:
			d.Fault(n, "output: %q is neither probability nor margin%s", output, schemas.Meant(output, []string{"probability", "margin"}))
		}
	}
	if n := found["calibration"]; n != nil {
		s.calibration = d.calibration(n)
	}
	return s, d.Err()
}

// rounds reads which rounds of a boosted model are scored.
func (d *bundleReader) rounds(n *yaml.Node, s *bundleSpec, loaders map[string]Loader) {
	switch rounds := d.Text(n, "rounds"); {
	case rounds == "":
	case rounds != "all" && rounds != "best":
		d.Fault(n, "rounds: %q is neither all nor best%s", rounds, schemas.Meant(rounds, []string{"all", "best"}))
	case loaders[s.format] != nil && loaders[s.format+RoundsBest] == nil:
		d.Fault(n, "rounds: a file of format %s holds the rounds that it was saved with, and all of them are scored", s.format)
	default:
		s.best = rounds == "best"
	}
}

// formatsOf returns the formats that there are loaders for.
func formatsOf(loaders map[string]Loader) []string {
	var formats []string
	for _, name := range slices.Sorted(maps.Keys(loaders)) {
		if !strings.HasSuffix(name, RoundsBest) {
			formats = append(formats, name)
		}
	}
	return formats
}

// isVersion says whether s is of the form name@version.
func isVersion(s string) bool {
	name, version, ok := strings.Cut(s, "@")
	return ok && name != "" && version != "" && !strings.Contains(version, "@")
}

func unknownFormat(format string, formats []string) string {
	switch format {
	case "xgboost", "remote":
		return fmt.Sprintf("format: %s is not in this version, which has %s", format, strings.Join(formats, ", "))
	case "pickle", "joblib", "onnx":
		return fmt.Sprintf("format: %s files are never opened, they may run code or reach for other files: save the model in its library's own form (%s)", format, strings.Join(formats, ", "))
	default:
		return fmt.Sprintf("format: %q is not known%s (this version has %s)", format, schemas.Meant(format, formats), strings.Join(formats, ", "))
	}
}

func (d *bundleReader) inputs(root, n *yaml.Node) []string {
	if n == nil {
		d.Fault(root, "inputs is missing: the features that the model reads, in its order")
		return nil
	}
	var names []string
	for _, item := range d.Items(n, "inputs") {
		name := d.Text(item, "inputs")
		if slices.Contains(names, name) {
			d.Fault(item, "inputs: %s stands twice", name)
		}
		names = append(names, name)
	}
	if len(names) == 0 && d.Faults() == 0 {
		d.Fault(n, "inputs: there are none")
	}
	return names
}
