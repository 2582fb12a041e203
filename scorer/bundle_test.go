package scorer_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/scorer"
)

// linear is an engine for tests: the sum of its inputs, missing ones as 0; a row whose first input is negative scores NaN, above 1e6 it fails.
type linear struct {
	names   []string
	outputs int
}

func (l *linear) Inputs() []string { return l.names }
func (l *linear) Outputs() int     { return max(1, l.outputs) }

func (l *linear) Raw(rows, out []float64) error {
	if len(rows) != len(out)*len(l.names) {
		return errors.New("wrong length")
	}
	for i := range out {
		row := rows[i*len(l.names) : (i+1)*len(l.names)]
		out[i] = 0
		for _, x := range row {
			if x == x {
				out[i] += x
			}
		}
		if row[0] < 0 {
			out[i] = math.NaN()
		}
		if row[0] > 1e6 {
			return errors.New("the engine failed")
		}
	}
	return nil
}

// Predict is half of Raw, so that tests see which was asked.
func (l *linear) Predict(rows, out []float64) error {
	if err := l.Raw(rows, out); err != nil {
		return err
	}
	for i := range out {
		out[i] /= 2
	}
	return nil
}

func (l *linear) Contributions(row, out []float64) error {
	copy(out, row)
	out[len(row)] = 0
	return nil
}

func loaders() map[string]scorer.Loader {
	return map[string]scorer.Loader{"lightgbm": func(_ string, inputs []string) (scorer.Engine, error) { return &linear{names: inputs}, nil }}
}

const goodBundle = `name: card
version: 3
features: card@1
file: model.txt
format: lightgbm
inputs: [amount, count_1d]
`

// folder writes files into a new folder; names may have slashes.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func bundleFiles(spec, golden string) map[string]string {
	return map[string]string{"bundle.yaml": spec, "model.txt": "the model", "golden.csv": golden}
}

const goodGolden = "count_1d,amount,score\n1,3,2\n,5,2.5\n"

func TestLoadBundleReadsAndChecks(t *testing.T) {
	b, err := scorer.LoadBundle(folder(t, bundleFiles(goodBundle, goodGolden)), loaders())
	if err != nil {
		t.Fatal(err)
	}
	v := b.Version()
	if v.Name != "card" || v.Version != "3" || len(v.Hash) != 16 || b.FeatureSet() != "card@1" {
		t.Errorf("got %+v for %s", v, b.FeatureSet())
	}
}

func TestBundleHashFollowsEachFile(t *testing.T) {
	hash := func(files map[string]string) string {
		t.Helper()
		b, err := scorer.LoadBundle(folder(t, files), loaders())
		if err != nil {
			t.Fatal(err)
		}
		return b.Version().Hash
	}
	first := hash(bundleFiles(goodBundle, goodGolden))
	if again := hash(bundleFiles(goodBundle, goodGolden)); again != first {
		t.Errorf("the same files in another folder hash to %s and %s", first, again)
	}
	spec, golden, model := bundleFiles(goodBundle+"# comment\n", goodGolden), bundleFiles(goodBundle, goodGolden+"0,0,0\n"), bundleFiles(goodBundle, goodGolden)
	model["model.txt"] = "another model"
	for name, files := range map[string]map[string]string{"bundle.yaml": spec, "golden.csv": golden, "model.txt": model} {
		if hash(files) == first {
			t.Errorf("a change of %s leaves the hash", name)
		}
	}
}

func TestLoadBundleSaysWhatIsWrongAndWhere(t *testing.T) {
	swap := func(from, into string) string { return strings.Replace(goodBundle, from, into, 1) }
	for name, c := range map[string]struct{ spec, golden, want string }{
		"unknown key":      {goodBundle + "fetures: x\n", goodGolden, "bundle.yaml:7: bundle: unknown key fetures; did you mean features?"},
		"missing key":      {swap("name: card\n", ""), goodGolden, "bundle.yaml:1: name is missing"},
		"key twice":        {goodBundle + "name: b\n", goodGolden, "bundle.yaml:7: bundle: name stands twice, first in line 1"},
		"feature set":      {swap("card@1", "card"), goodGolden, "bundle.yaml:3: features: the feature set that the model was trained on is wanted as name@version"},
		"xgboost":          {swap("lightgbm", "xgboost"), goodGolden, "bundle.yaml:5: format: xgboost is not in this version, which has lightgbm"},
		"remote":           {swap("lightgbm", "remote"), goodGolden, "bundle.yaml:5: format: remote is not in this version"},
		"pickle":           {swap("lightgbm", "pickle"), goodGolden, "bundle.yaml:5: format: pickle files are never opened"},
		"format":           {swap("lightgbm", "lihgtgbm"), goodGolden, `bundle.yaml:5: format: "lihgtgbm" is not known; did you mean lightgbm?`},
		"input twice":      {swap("[amount, count_1d]", "[amount, amount]"), goodGolden, "bundle.yaml:6: inputs: amount stands twice"},
		"no inputs":        {swap("[amount, count_1d]", "[]"), goodGolden, "bundle.yaml:6: inputs: there are none"},
		"inputs no list":   {swap("[amount, count_1d]", "amount"), goodGolden, `bundle.yaml:6: inputs: a list is wanted, not "amount"`},
		"output":           {goodBundle + "output: margins\n", goodGolden, `bundle.yaml:7: output: "margins" is neither probability nor margin; did you mean margin?`},
		"calibration":      {goodBundle + "calibration: {}\n", goodGolden, "bundle.yaml:7: calibration: either sigmoid"},
		"sigmoid":          {goodBundle + "calibration: {sigmoid: [1]}\n", goodGolden, "bundle.yaml:7: sigmoid: two numbers are wanted, not 1"},
		"isotonic":         {goodBundle + "calibration:\n  isotonic:\n    - [0, 0]\n    - [0, 1]\n", goodGolden, "bundle.yaml:10: isotonic: [0, 1] after [0, 0]: x must rise"},
		"alias":            {"a: &x 1\nname: *x\n", goodGolden, "anchors and aliases are not taken"},
		"not YAML":         {"name: [card\n", goodGolden, "not YAML"},
		"path up":          {swap("model.txt", "../model.txt"), goodGolden, `bundle.yaml:4: file: "../model.txt" lies outside of the bundle's folder`},
		"path absolute":    {swap("model.txt", "/etc/passwd"), goodGolden, "lies outside of the bundle's folder"},
		"no model":         {swap("model.txt", "modle.txt"), goodGolden, "bundle.yaml:4: file: there is no modle.txt in the bundle's folder"},
		"golden off":       {goodBundle, "amount,count_1d,score\n3,1,2\n3,1,2.00001\n", "golden.csv:3: the model scores this row 2, and the file says 2.00001"},
		"golden empty":     {goodBundle, "", "golden.csv: the file is empty"},
		"golden rows":      {goodBundle, "amount,count_1d,score\n", "golden.csv: there are no rows"},
		"golden column":    {goodBundle, "amount,score\n1,2\n", "golden.csv:1: there is no column count_1d"},
		"golden extra":     {goodBundle, "amount,count_2d,count_1d,score\n1,2,3,4\n", "golden.csv:1: column count_2d is no input of the bundle; did you mean count_1d?"},
		"golden score":     {goodBundle, "amount,count_1d\n1,2\n", "golden.csv:1: there is no column score"},
		"golden NaN score": {goodBundle, "amount,count_1d,score\n1,2,\n", `golden.csv:2: score is "", not a finite number`},
		"golden text":      {goodBundle, "amount,count_1d,score\n1,x,2\n", `golden.csv:2: count_1d: "x" is not a number`},
		"model says NaN":   {goodBundle, "amount,count_1d,score\n-1,0,0\n", "golden.csv:2: the model scores this row NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scorer.LoadBundle(folder(t, bundleFiles(c.spec, c.golden)), loaders())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestLoadBundleTakesGoldenRowsFromASpreadsheet(t *testing.T) {
	if _, err := scorer.LoadBundle(folder(t, bundleFiles(goodBundle, "\ufeff"+goodGolden)), loaders()); err != nil {
		t.Fatalf("golden.csv with a byte order mark: %v", err)
	}
}

func TestLoadBundleWantsGoldenRows(t *testing.T) {
	files := bundleFiles(goodBundle, "")
	delete(files, "golden.csv")
	_, err := scorer.LoadBundle(folder(t, files), loaders())
	if err == nil || !strings.Contains(err.Error(), "golden.csv is missing: write there some rows with the columns amount, count_1d, and score") {
		t.Fatalf("got %v", err)
	}
}

func TestLoadBundleRefusesLinksToOutside(t *testing.T) {
	outside := folder(t, map[string]string{"model.txt": "the model"})
	dir := folder(t, map[string]string{"bundle.yaml": goodBundle, "golden.csv": goodGolden})
	if err := os.Symlink(filepath.Join(outside, "model.txt"), filepath.Join(dir, "model.txt")); err != nil {
		t.Skip(err)
	}
	if _, err := scorer.LoadBundle(dir, loaders()); err == nil || !strings.Contains(err.Error(), "a link to outside") {
		t.Fatalf("got %v", err)
	}
}

func TestLoadBundleRefusesModelsOfSeveralOutputs(t *testing.T) {
	many := map[string]scorer.Loader{"lightgbm": func(_ string, inputs []string) (scorer.Engine, error) { return &linear{names: inputs, outputs: 3}, nil }}
	if _, err := scorer.LoadBundle(folder(t, bundleFiles(goodBundle, goodGolden)), many); err == nil || !strings.Contains(err.Error(), "3 outputs") {
		t.Fatalf("got %v", err)
	}
}

func TestPredictTakesInputsByNameFromAnyLayout(t *testing.T) {
	b, err := scorer.LoadBundle(folder(t, bundleFiles(goodBundle+"output: margin\n", "amount,count_1d,score\n3,1,4\n")), loaders())
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, "count_1d", "other", "amount")
	scores := make([]float64, 2)
	rows := []schemas.FeatureVector{{Layout: layout, Values: []float64{1, 100, 3}}, {Layout: layout, Values: []float64{20, 200, 10}}}
	if err := b.Predict(rows, scores); err != nil {
		t.Fatal(err)
	}
	if scores[0] != 4 || scores[1] != 30 {
		t.Errorf("got %v, want 4 and 30", scores)
	}
	for name, row := range map[string]schemas.FeatureVector{
		"short row":    {Layout: layout, Values: []float64{1, 2}},
		"long row":     {Layout: layout, Values: []float64{1, 2, 3, 4}},
		"no layout":    {Values: []float64{1, 2, 3}},
		"other layout": {Layout: layoutOf(t, "count_1d", "amounts"), Values: []float64{1, 2}},
	} {
		if err := b.Predict([]schemas.FeatureVector{row}, scores[:1]); err == nil {
			t.Errorf("%s: scored %v", name, scores[0])
		}
	}
	if err := b.Predict(rows, scores[:1]); err == nil {
		t.Error("two rows were taken for one score")
	}
}

func TestCalibrationsMapTheScore(t *testing.T) {
	layout := layoutOf(t, "amount", "count_1d")
	for name, c := range map[string]struct {
		spec string
		want map[float64]float64 // :: raw → score
	}{
		"sigmoid":  {"{sigmoid: [-2, 1]}", map[float64]float64{0: 1 / (1 + math.E), 1: 1 / (1 + math.Exp(-1))}},
		"isotonic": {"{isotonic: [[0, 0.1], [2, 0.5], [3, 0.5], [4, 0.9]]}", map[float64]float64{-5: 0.1, 0: 0.1, 1: 0.3, 2: 0.5, 2.5: 0.5, 3.5: 0.7, 4: 0.9, 99: 0.9}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := scorer.OpenBundle(folder(t, bundleFiles(goodBundle+"output: margin\ncalibration: "+c.spec+"\n", "")), loaders())
			if err != nil {
				t.Fatal(err)
			}
			for raw, want := range c.want {
				got := make([]float64, 1)
				if err := b.Predict([]schemas.FeatureVector{{Layout: layout, Values: []float64{0, raw}}}, got); err != nil {
					t.Fatal(err)
				}
				if math.Abs(got[0]-want) > 1e-15 {
					t.Errorf("%v becomes %v, want %v", raw, got[0], want)
				}
			}
		})
	}
}

// layoutOf is the layout of card@1 with these features.
func layoutOf(t testing.TB, names ...string) *schemas.Layout {
	t.Helper()
	l, err := schemas.NewLayout(schemas.Version{Name: "card", Version: "1", Hash: "0123456789abcdef"}, names)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestABundleIsCurrentAsLongAsItsFilesHoldTheSame(t *testing.T) {
	dir := folder(t, bundleFiles(goodBundle, goodGolden))
	b, err := scorer.LoadBundle(dir, loaders())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"model.txt": "the model", "notes.txt": "of no account"})
	if !b.Current() {
		t.Error("the same content is another bundle")
	}
	for _, name := range []string{"bundle.yaml", "model.txt", "golden.csv"} {
		write(t, dir, map[string]string{name: "another"})
		if b.Current() {
			t.Errorf("another %s is the same bundle", name)
		}
		write(t, dir, bundleFiles(goodBundle, goodGolden))
	}
	if err := os.Remove(filepath.Join(dir, "golden.csv")); err != nil || b.Current() {
		t.Errorf("without golden rows it is the same bundle (%v)", err)
	}
}
