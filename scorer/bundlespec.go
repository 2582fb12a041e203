package scorer

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/expr"
)

// bundleSpec is what bundle.yaml says.
type bundleSpec struct {
	name, version, features string
	file                    string
	fileLine                int
	format                  string
	inputs                  []string
	margin                  bool
	calibration             calibration
}

func parseBundle(file string, text []byte, formats []string) (*bundleSpec, error) {
	d := &document{file: file}
	root := d.root(text)
	if root == nil {
		return nil, d.err()
	}
	found := d.only(root, "bundle", "name", "version", "features", "file", "format", "inputs", "output", "calibration")
	s := &bundleSpec{name: d.required(found, root, "name"), version: d.required(found, root, "version"), features: d.required(found, root, "features")}
	if n := found["features"]; n != nil && !isVersion(s.features) {
		d.fault(n, "features: the feature set that the model was trained on is wanted as name@version, such as card@1, not %q", s.features)
	}
	if s.file = d.required(found, root, "file"); s.file != "" {
		s.fileLine = found["file"].Line
	}
	if s.format = d.required(found, root, "format"); s.format != "" && !slices.Contains(formats, s.format) {
		d.fault(found["format"], "%s", unknownFormat(s.format, formats))
	}
	s.inputs = d.inputs(root, found["inputs"])
	if n := found["output"]; n != nil {
		switch output := d.text(n, "output"); output {
		case "probability", "":
		case "margin":
			s.margin = true
		default:
			d.fault(n, "output: %q is neither probability nor margin%s", output, expr.Meant(output, []string{"probability", "margin"}))
		}
	}
	if n := found["calibration"]; n != nil {
		s.calibration = d.calibration(n)
	}
	return s, d.err()
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
		return fmt.Sprintf("format: %q is not known%s (this version has %s)", format, expr.Meant(format, formats), strings.Join(formats, ", "))
	}
}

func (d *document) inputs(root, n *yaml.Node) []string {
	if n == nil {
		d.fault(root, "inputs is missing: the features that the model reads, in its order")
		return nil
	}
	var names []string
	for _, item := range d.items(n, "inputs") {
		name := d.text(item, "inputs")
		if slices.Contains(names, name) {
			d.fault(item, "inputs: %s stands twice", name)
		}
		names = append(names, name)
	}
	if len(names) == 0 && len(d.faults) == 0 {
		d.fault(n, "inputs: there are none")
	}
	return names
}
