package scorer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"verdict/schemas"
)

// The files of a bundle that have a name of their own.
const (
	bundleFile = "bundle.yaml"
	goldenFile = "golden.csv"
)

// Bundle is a model with all that belongs to it. It is a Model, immutable, and safe for concurrent use.
type Bundle struct {
	version  schemas.Version
	features string // name@version of the feature set that it was trained on
	layout   *schemas.Layout
	margin   bool // the score is the raw score
	adjust   calibration
	engine   Engine
	files    []string // that it was read from
	golden   bool     // golden.csv must be there
	dir      string
	hashed   []string // the files of dir that its hash is of
	notes    []string
	scratch  sync.Pool // of *scratch
}

// scratch is what one call of Predict works in.
type scratch struct {
	rows []float64
	// places says where in a row of from the inputs stand; it is kept because one scorer always sends rows of one layout.
	from   *schemas.Layout
	places []int
}

// LoadBundle reads the bundle in dir: bundle.yaml, the model by the loader of its format, and golden.csv, whose rows must score as it says.
func LoadBundle(dir string, loaders map[string]Loader) (*Bundle, error) {
	b, err := OpenBundle(dir, loaders)
	if err != nil {
		return nil, err
	}
	if _, err := b.CheckGolden(dir); err != nil {
		return nil, awayFrom(b.version, err)
	}
	return b, nil
}

// awayFrom makes an *AwayError of an error that a server which is away explains.
func awayFrom(v schemas.Version, err error) error {
	if !errors.Is(err, ErrAway) {
		return err
	}
	return &AwayError{Version: schemas.Version{Name: v.Name, Version: v.Version}, Err: err}
}

// OpenBundle reads the bundle in dir without running its golden rows: for the tools that look into a bundle or write these rows. A folder that has no
// bundle.yaml but MLflow's MLmodel is read by that.
func OpenBundle(dir string, loaders map[string]Loader) (*Bundle, error) {
	spec, err := readSpec(dir, loaders)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, spec.manifest)
	model, err := Within(dir, spec.file)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: file: %w", file, spec.fileLine, err)
	}
	engine, err := spec.load(model, loaders)
	if err != nil {
		return nil, awayFrom(schemas.Version{Name: spec.name, Version: spec.version}, fmt.Errorf("loading the model of %s: %w", file, err))
	}
	if engine.Outputs() != 1 {
		return nil, fmt.Errorf("%s: the model has %d outputs, and a bundle's model has one: its score", file, engine.Outputs())
	}
	inputs := spec.inputs
	if inputs == nil {
		if inputs = engine.Inputs(); unnamed(inputs) {
			return nil, fmt.Errorf("%s: neither a signature nor the model says what its features are called: write a bundle.yaml beside it", file)
		}
	}
	hashed := append([]string{spec.manifest, spec.file, goldenFile}, spec.more...)
	hash, err := hashFiles(dir, hashed...)
	if err != nil {
		return nil, fmt.Errorf("hashing the bundle: %w", err)
	}
	version := schemas.Version{Name: spec.name, Version: spec.version, Hash: hash}
	if version.Version == "" {
		version.Version = hash[:8]
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: version.Name, Version: version.Version}, inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: inputs: %w", file, err)
	}
	return &Bundle{
		version: version, features: spec.features,
		layout: layout, margin: spec.margin, adjust: spec.calibration, engine: engine, golden: spec.golden, notes: spec.notes,
		files: []string{file, model, filepath.Join(dir, goldenFile)}, dir: dir, hashed: hashed,
	}, nil
}

// readSpec reads bundle.yaml, or MLmodel where there is none.
func readSpec(dir string, loaders map[string]Loader) (*bundleSpec, error) {
	file := filepath.Join(dir, bundleFile)
	text, err := ReadFile(file, maxManifest)
	if err == nil {
		return parseBundle(file, text, loaders)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if _, missing := os.Stat(dir); missing != nil {
		return nil, fmt.Errorf("reading the bundle: %w", missing)
	}
	manifest, no := ReadFile(filepath.Join(dir, mlflowFile), maxManifest)
	if errors.Is(no, fs.ErrNotExist) {
		no = err // which names bundle.yaml: few bundles are MLflow's
	}
	if no != nil {
		return nil, fmt.Errorf("reading the bundle: %w", no)
	}
	return parseMLflow(dir, manifest, loaders)
}

// load reads the model file.
func (s *bundleSpec) load(file string, loaders map[string]Loader) (Engine, error) {
	best := loaders[s.format+RoundsBest]
	if s.best {
		return best(file, s.inputs)
	}
	if s.early && best != nil {
		if engine, err := best(file, s.inputs); !errors.Is(err, ErrNoBestRound) {
			return engine, err
		}
	}
	return loaders[s.format](file, s.inputs)
}

// unnamed says whether the names are those that LightGBM and XGBoost give to columns without names.
func unnamed(names []string) bool {
	for i, name := range names {
		if name != fmt.Sprintf("Column_%d", i) && name != fmt.Sprintf("f%d", i) {
			return false
		}
	}
	return true
}

// Current says whether the files of the bundle are still those that it was read from, by their content.
func (b *Bundle) Current() bool {
	hash, err := hashFiles(b.dir, b.hashed...)
	return err == nil && hash == b.version.Hash
}

// Version returns the bundle's name, version, and the hash of its files.
func (b *Bundle) Version() schemas.Version { return b.version }

// Notes returns what who looks at the bundle should know, a line each; of most bundles nothing.
func (b *Bundle) Notes() []string { return b.notes }

// FeatureSet returns the feature set that the model was trained on, as name@version; "" when the bundle does not say, as an MLflow folder may not.
func (b *Bundle) FeatureSet() string { return b.features }

// Layout returns the features that the model reads, in its own order.
func (b *Bundle) Layout() *schemas.Layout { return b.layout }

// Calibrated says whether the bundle maps what its model predicts to calibrated scores.
func (b *Bundle) Calibrated() bool { return b.adjust.there() }

// Engine returns what runs the bundle's model.
func (b *Bundle) Engine() Engine { return b.engine }

// Predict writes the score of rows[i] to scores[i]. All rows have one layout.
func (b *Bundle) Predict(rows []schemas.FeatureVector, scores []float64) error {
	if len(rows) != len(scores) {
		return fmt.Errorf("%d rows for %d scores", len(rows), len(scores))
	}
	if len(rows) == 0 {
		return nil
	}
	s := b.borrow()
	defer b.scratch.Put(s)
	if err := b.gather(s, rows); err != nil {
		return err
	}
	return b.scoreFlat(s.rows, scores)
}

// scoreFlat is Predict of flat rows in the order of Layout.
func (b *Bundle) scoreFlat(rows, scores []float64) error {
	run := b.engine.Predict
	if b.margin {
		run = b.engine.Raw
	}
	if err := run(rows, scores); err != nil {
		return fmt.Errorf("running model %s: %w", b.version, err)
	}
	b.adjust.apply(scores)
	return nil
}

func (b *Bundle) borrow() *scratch {
	if s, ok := b.scratch.Get().(*scratch); ok {
		return s
	}
	return &scratch{}
}

// gather puts the inputs of all rows into s.rows, in the model's order.
func (b *Bundle) gather(s *scratch, rows []schemas.FeatureVector) error {
	if err := b.locate(s, rows[0].Layout); err != nil {
		return err
	}
	s.rows = slices.Grow(s.rows[:0], len(rows)*len(s.places))
	for i := range rows {
		if rows[i].Layout != s.from || len(rows[i].Values) != len(s.from.Names) {
			return fmt.Errorf("row %d has %d values, or another layout than the first", i, len(rows[i].Values))
		}
		for _, place := range s.places {
			s.rows = append(s.rows, rows[i].Values[place])
		}
	}
	return nil
}

// locate finds the inputs in a layout.
func (b *Bundle) locate(s *scratch, from *schemas.Layout) error {
	if from == nil {
		return errors.New("a row has no layout")
	}
	if s.from == from {
		return nil
	}
	s.from, s.places = nil, s.places[:0]
	for _, name := range b.layout.Names {
		place, ok := from.Index(name)
		if !ok {
			return fmt.Errorf("model %s reads %s, which feature set %s does not have%s", b.version, name, from.Features, schemas.Meant(name, from.Names))
		}
		s.places = append(s.places, place)
	}
	s.from = from
	return nil
}

// fits says whether vectors of a layout can be scored.
func (b *Bundle) fits(layout *schemas.Layout) error {
	if b.features != "" && b.features != layout.Features.String() {
		return fmt.Errorf("%s: model %s was trained on features %s, not on %s", b.files[0], b.version, b.features, layout.Features)
	}
	return b.locate(&scratch{}, layout)
}

// Within returns the path of a file of a bundle's folder. It may be reached by links, but not lie outside.
func Within(dir, file string) (string, error) {
	if !filepath.IsLocal(file) {
		return "", fmt.Errorf("%q lies outside of the bundle's folder", file)
	}
	base, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("finding the bundle: %w", err)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s in the bundle's folder", file)
	}
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", file, err)
	}
	if rel, err := filepath.Rel(base, path); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%q is a link to outside of the bundle's folder", file)
	}
	_, err = regular(path)
	return path, err
}

// hashFiles returns the first 16 hex digits of the SHA-256 of files, each with its name and length. A file that is missing counts as empty.
func hashFiles(dir string, names ...string) (string, error) {
	sum := sha256.New()
	for _, name := range names {
		if err := hashFile(sum, filepath.Join(dir, name), name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

func hashFile(sum io.Writer, path, name string) error {
	info, err := regular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	defer f.Close()
	fmt.Fprintf(sum, "%s %d\n", name, info.Size())
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}
