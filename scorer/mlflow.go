package scorer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"verdict/schemas/strictyaml"
)

// The files of an MLflow folder.
const (
	mlflowFile   = "MLmodel"
	mlflowOrigin = "registered_model_meta" // written by MLflow into what was fetched from its registry
)

// noGolden is the note of a bundle without golden rows.
const noGolden = "an MLflow folder without golden.csv: nothing has shown that it is scored here as by the library that trained it"

// mlflowReader is an MLmodel being read. Its keys are MLflow's, which has more of them than are of use here, and adds some with each version.
type mlflowReader struct {
	strictyaml.Document

	root map[string]*yaml.Node
}

// parseMLflow reads the MLmodel of a folder: flavor lightgbm or xgboost, whose inputs are the signature's or else the model's own. Name, version and feature
// set are those of metadata.verdict; without it name and version are the registry's, where the folder was fetched from one, and else those of the path
// (…/name/version where the version is a number), or the folder's name and the beginning of the hash.
func parseMLflow(dir string, text []byte, loaders map[string]Loader) (*bundleSpec, error) {
	d := &mlflowReader{Document: strictyaml.Document{File: filepath.Join(dir, mlflowFile)}}
	root := d.Root(text)
	if root == nil {
		return nil, d.Err()
	}
	d.root = d.mapping(root, "")
	s := &bundleSpec{manifest: mlflowFile, more: []string{mlflowOrigin}, notes: []string{noGolden}}
	if _, err := os.Stat(filepath.Join(dir, goldenFile)); err == nil {
		s.golden, s.notes = true, nil
	}
	d.flavor(root, s, loaders)
	d.signature(s)
	d.names(dir, s)
	return s, d.Err()
}

// mapping returns the values of a mapping by key.
func (d *mlflowReader) mapping(n *yaml.Node, what string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	for _, e := range d.Entries(n, what) {
		found[e.Name] = e.Value
	}
	return found
}

// flavor reads which library the model is of, and where.
func (d *mlflowReader) flavor(root *yaml.Node, s *bundleSpec, loaders map[string]Loader) {
	if d.root["flavors"] == nil {
		d.Fault(root, "flavors is missing: this is no MLmodel")
		return
	}
	flavors := d.mapping(d.root["flavors"], "flavors")
	for _, format := range []string{"lightgbm", "xgboost"} {
		if flavors[format] != nil {
			s.format = format
			break
		}
	}
	n := flavors[s.format]
	switch {
	case n == nil:
		d.Fault(d.root["flavors"], "flavors: neither lightgbm nor xgboost: a model of another flavor is served elsewhere and asked with format: remote")
		return
	case loaders[s.format] == nil:
		d.Fault(n, "%s", unknownFormat(s.format, formatsOf(loaders)))
		return
	}
	keys := d.mapping(n, s.format)
	if !d.Need(n, s.format, keys, "data") {
		return
	}
	s.file, s.fileLine = d.Text(keys["data"], s.format+": data"), keys["data"].Line
	class := ""
	if at := keys["model_class"]; at != nil {
		class = at.Value
	}
	if slices.Contains([]string{".pkl", ".pickle", ".joblib", ".skops"}, filepath.Ext(s.file)) || strings.HasPrefix(class, "lightgbm.sklearn.") {
		d.Fault(keys["data"], "%s: data: %s holds Python objects, which are never opened since they may run code: log the booster itself (mlflow.lightgbm.log_model(model.booster_, …)), "+
			"or save it in its library's own form with a bundle.yaml", s.format, s.file)
	}
	if strings.HasPrefix(class, "xgboost.sklearn.") {
		s.early = true
		s.notes = append(s.notes, "a scikit-learn model of XGBoost: where it was stopped early, the rounds up to the best are scored, as its own predict does")
	}
}

// signature reads the names of the inputs.
func (d *mlflowReader) signature(s *bundleSpec) {
	n := d.root["signature"]
	if n == nil || n.Tag == "!!null" {
		return
	}
	at := d.mapping(n, "signature")["inputs"]
	if at == nil || at.Tag == "!!null" {
		return
	}
	var columns []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(at.Value), &columns); err != nil {
		d.Fault(at, "signature: inputs: a JSON list of columns is wanted")
		return
	}
	var names []string
	for _, c := range columns {
		if c.Name != "" {
			names = append(names, c.Name)
		}
	}
	switch {
	case len(names) == 0: // a tensor: its columns have no names
	case len(names) != len(columns):
		d.Fault(at, "signature: inputs: some of the columns have names and some have not")
	default:
		s.inputs = names
	}
}

// names finds what the bundle is called, and its feature set.
func (d *mlflowReader) names(dir string, s *bundleSpec) {
	s.name, s.version = d.pathNames(dir)
	if name, version, ok := registered(dir); ok {
		s.name, s.version = name, version
	}
	if n := d.root["metadata"]; n != nil && n.Kind == yaml.MappingNode {
		if own := d.mapping(n, "metadata")["verdict"]; own != nil {
			d.metadata(own, s)
		}
	}
	if s.features == "" {
		s.notes = append(s.notes, "it does not say on which feature set it was trained: any is taken that has its inputs, by their names")
	}
}

// metadata reads what the model was logged with: metadata={"verdict": {"name": …, "version": …, "features": …}}.
func (d *mlflowReader) metadata(n *yaml.Node, s *bundleSpec) {
	const what = "metadata: verdict"
	found := d.Only(n, what, "name", "version", "features")
	for _, one := range []struct {
		key  string
		into *string
	}{{"name", &s.name}, {"version", &s.version}, {"features", &s.features}} {
		if found[one.key] != nil {
			*one.into = d.Text(found[one.key], what+": "+one.key)
		}
	}
	if s.features != "" && !isVersion(s.features) {
		d.Fault(found["features"], "%s: features: the feature set is wanted as name@version, such as card@1, not %q", what, s.features)
	}
}

// pathNames takes …/name/version from the path, the version being a number; else the folder's name, and no version.
func (d *mlflowReader) pathNames(dir string) (name, version string) {
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	base, above := filepath.Base(dir), filepath.Base(filepath.Dir(dir))
	if _, err := strconv.ParseUint(base, 10, 32); err == nil && above != string(filepath.Separator) {
		return above, base
	}
	return base, ""
}

// registered returns name and version in the registry that the folder was fetched from.
func registered(dir string) (name, version string, ok bool) {
	text, err := ReadFile(filepath.Join(dir, mlflowOrigin), maxManifest)
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return "", "", false
	}
	var meta struct {
		Name    string `yaml:"model_name"`
		Version string `yaml:"model_version"`
	}
	if yaml.Unmarshal(text, &meta) != nil || meta.Name == "" || meta.Version == "" {
		return "", "", false
	}
	return meta.Name, meta.Version, true
}
