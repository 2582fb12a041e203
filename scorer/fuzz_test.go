package scorer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/schemas"
	"verdict/scorer"
)

// inFile writes a text under a name in a folder of its own.
func inFile(t testing.TB, dir, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// placed says whether an error names the file that it is about.
func placed(t *testing.T, err error, name string) {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), name) {
		t.Fatalf("%v does not say where", err)
	}
}

func FuzzPolicy(f *testing.F) {
	for _, text := range []string{
		goodPolicy, "name: a\nversion: 1\ncost: {chargeback: \"amount + 15\", review: 3, lost_sale: \"amount * 0.2\"}\n", "name: a\nversion: 1\nrules: [{id: x, when: \"long.all(a, long.all(b, a + b >= 0))\", then: review}]\n",
		"lists: {a: nowhere, b: .}\nname: [", "name: a\nversion: 1\nthresholds: {review: .inf, reject: 1e999}\n",
	} {
		f.Add([]byte(text))
	}
	dir, layout := f.TempDir(), layoutOf(f, "amount", "count_1d")
	f.Fuzz(func(t *testing.T, text []byte) {
		file := inFile(t, dir, "policy.yaml", text)
		p, err := scorer.LoadPolicy(file, nil, layout)
		placed(t, err, "policy.yaml")
		if err == nil && (p.Version().Name == "" || len(p.Version().Hash) != 16) {
			t.Fatalf("%q is taken as %v", text, p.Version())
		}
		placed(t, scorer.CheckPolicy(file), "policy.yaml")
	})
}

func FuzzRouting(f *testing.F) {
	f.Add([]byte("champions: [{when: 'market == \"DE\"', model: a}]\nchallengers: [{model: b, share: 0.1, of: customer}]\nchallenger_wait: 5ms\n"))
	f.Add([]byte("challengers: [{model: ../b, share: 1e400}]\nchampions: {}\n"))
	f.Add([]byte("- a\n"))
	dir, fields, layout := f.TempDir(), market(f), layoutOf(f, "amount", "count_1d")
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := scorer.LoadRouting(scorer.RoutingConfig{
			File: inFile(t, dir, "routing.yaml", text), Layout: layout, Fields: fields, Entities: map[string][]schemas.Path{"customer": {{"customer_id"}}},
			Load: func(string) (*scorer.Bundle, error) { return nil, errors.New("there is none") },
		})
		placed(t, err, "routing.yaml")
	})
}

func FuzzBundleFile(f *testing.F) {
	f.Add([]byte(goodBundle))
	f.Add([]byte(goodBundle + "calibration: {isotonic: [[0, 0], [.nan, 1]]}\noutput: margin\n"))
	f.Add([]byte("file: ../../etc/passwd\ninputs: [[]]\nrounds: best\n"))
	f.Fuzz(func(t *testing.T, text []byte) { placed(t, scorer.ParseBundle(text, loaders()), "bundle.yaml:") })
}

func FuzzMLmodel(f *testing.F) {
	f.Add([]byte(mlmodel))
	f.Add([]byte("flavors: {xgboost: {data: m.xgb, model_class: xgboost.sklearn.XGBClassifier}}\nsignature: {inputs: '[{}]'}\n"))
	f.Add([]byte("flavors: {lightgbm: {data: ../m.pkl}}\nmetadata: {verdict: {features: 1}}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) { placed(t, scorer.ParseMLmodel(dir, text, loaders()), "MLmodel") })
}
