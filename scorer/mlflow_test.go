package scorer_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/schemas"
	"verdict/scorer"
)

// mlmodel is what MLflow writes of a LightGBM booster that was logged with a signature.
const mlmodel = `artifact_path: model
flavors:
  lightgbm:
    code: null
    data: model.lgb
    lgb_version: 4.6.0
    model_class: lightgbm.basic.Booster
  python_function:
    data: model.lgb
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.lightgbm
    python_version: 3.12.3
is_signature_from_type_hint: false
mlflow_version: 3.1.0
model_id: null
model_size_bytes: 4119
model_uuid: 6f0c1e1d9f6c4a3a8d5e0d6f0b8c2a11
prompts: null
run_id: 0a1b2c
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}, {"type": "long", "name": "count_1d", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-11-20 10:11:12.131415'
`

// engines are loaders of all formats, that note which was asked, and for which inputs.
func engines(asked *[]string) map[string]scorer.Loader {
	all := make(map[string]scorer.Loader)
	for _, name := range []string{"lightgbm", "xgboost", "xgboost" + scorer.RoundsBest} {
		all[name] = func(path string, inputs []string) (scorer.Engine, error) {
			*asked = append(*asked, name+" "+filepath.Base(path)+" "+strings.Join(inputs, ","))
			switch {
			case strings.HasSuffix(name, scorer.RoundsBest) && strings.Contains(path, "all"):
				return nil, fmt.Errorf("best_iteration is missing: %w", scorer.ErrNoBestRound)
			case strings.HasSuffix(name, scorer.RoundsBest) && strings.Contains(path, "torn"):
				return nil, errors.New("best_iteration is 7, which is beyond the model's 3 trees")
			}
			if inputs == nil {
				inputs = []string{"own_a", "own_b"}
			}
			return &linear{names: inputs}, nil
		}
	}
	return all
}

func TestAnMLflowFolderIsABundle(t *testing.T) {
	xgboost := strings.NewReplacer("  lightgbm:", "  xgboost:", "model.lgb", "model.xgb", "lightgbm.basic.Booster", "xgboost.core.Booster").Replace(mlmodel)
	sklearn := strings.Replace(xgboost, "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", 1)
	unsigned, _, _ := strings.Cut(mlmodel, "signature:")
	named := mlmodel + "metadata:\n  owner: x\n  verdict: {name: card, version: 7, features: card@1}\n"
	for name, c := range map[string]struct {
		files          map[string]string
		folder         string
		asked, version string
		features       string
		inputs         string
	}{
		"signature":       {map[string]string{"MLmodel": mlmodel}, "model", "lightgbm model.lgb amount,count_1d", "model@HASH", "", "amount,count_1d"},
		"own names":       {map[string]string{"MLmodel": unsigned}, "model", "lightgbm model.lgb ", "model@HASH", "", "own_a,own_b"},
		"path":            {map[string]string{"MLmodel": mlmodel}, "card/12", "lightgbm model.lgb amount,count_1d", "card@12", "", "amount,count_1d"},
		"registry":        {map[string]string{"MLmodel": mlmodel, "registered_model_meta": "model_name: fraud\nmodel_version: '5'\n"}, "model", "lightgbm model.lgb amount,count_1d", "fraud@5", "", "amount,count_1d"},
		"metadata":        {map[string]string{"MLmodel": named, "registered_model_meta": "model_name: fraud\nmodel_version: '5'\n"}, "model", "lightgbm model.lgb amount,count_1d", "card@7", "card@1", "amount,count_1d"},
		"xgboost":         {map[string]string{"MLmodel": xgboost}, "model", "xgboost model.xgb amount,count_1d", "model@HASH", "", "amount,count_1d"},
		"xgboost sklearn": {map[string]string{"MLmodel": sklearn}, "model", "xgboost/best model.xgb amount,count_1d", "model@HASH", "", "amount,count_1d"},
		"xgboost sklearn without early stopping": {
			map[string]string{"MLmodel": strings.ReplaceAll(sklearn, "model.xgb", "all.ubj")},
			"model",
			"xgboost/best all.ubj amount,count_1d; xgboost all.ubj amount,count_1d", "model@HASH", "", "amount,count_1d",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), c.folder)
			write(t, dir, map[string]string{"model.lgb": "m", "model.xgb": "m", "all.ubj": "m"})
			write(t, dir, c.files)
			var asked []string
			b, err := scorer.LoadBundle(dir, engines(&asked))
			if err != nil {
				t.Fatal(err)
			}
			version := strings.Replace(c.version, "HASH", b.Version().Hash[:8], 1)
			got := []string{strings.Join(asked, "; "), b.Version().String(), b.FeatureSet(), strings.Join(b.Layout().Names, ",")}
			if diff := cmp.Diff([]string{c.asked, version, c.features, c.inputs}, got); diff != "" {
				t.Error(diff)
			}
			notes := strings.Join(b.Notes(), "\n")
			if !strings.Contains(notes, "without golden.csv") || strings.Contains(notes, "any is taken") != (c.features == "") {
				t.Errorf("notes:\n%s", notes)
			}
			if g, err := b.CheckGolden(dir); err != nil || len(g.Scores) != 0 {
				t.Errorf("golden rows that are not there: %+v, %v", g, err)
			}
		})
	}
}

func TestAnMLflowFolderScoresVectorsOfAnySetThatHasItsInputs(t *testing.T) {
	dir := folder(t, map[string]string{"MLmodel": mlmodel, "model.lgb": "m", "golden.csv": "amount,count_1d,score\n1,2,1.5\n"})
	var asked []string
	b, err := scorer.LoadBundle(dir, engines(&asked))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(b.Notes(), "\n"); strings.Contains(notes, "golden") {
		t.Errorf("it has golden rows, and the notes are:\n%s", notes)
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: "other", Version: "9"}, []string{"count_1d", "x", "amount"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scorer.New(scorer.Config{Layout: layout, Champion: b})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]schemas.Decision, 1)
	if err := s.Decide(make([]schemas.Order, 1), []schemas.FeatureVector{{Layout: layout, Values: []float64{1, 100, 3}}}, got); err != nil || got[0].Score != 2 {
		t.Errorf("score %v, %v", got[0].Score, err)
	}
	if _, err := scorer.New(scorer.Config{Layout: layoutOf(t, "amount"), Champion: b}); err == nil || !strings.Contains(err.Error(), "reads count_1d") {
		t.Errorf("a set without an input: %v", err)
	}
	write(t, dir, map[string]string{"golden.csv": "amount,count_1d,score\n1,2,9\n"})
	if _, err := scorer.LoadBundle(dir, engines(&asked)); err == nil || !strings.Contains(err.Error(), "golden.csv:2: the model scores this row 1.5") {
		t.Errorf("golden rows that are off: %v", err)
	}
}

func TestAnMLflowFolderWhoseBestRoundCannotBeToldIsRefused(t *testing.T) {
	sklearn := strings.NewReplacer("  lightgbm:", "  xgboost:", "model.lgb", "torn.ubj", "lightgbm.basic.Booster", "xgboost.sklearn.XGBClassifier").Replace(mlmodel)
	var asked []string
	_, err := scorer.LoadBundle(folder(t, map[string]string{"MLmodel": sklearn, "torn.ubj": "m"}), engines(&asked))
	if err == nil || !strings.Contains(err.Error(), "best_iteration is 7, which is beyond") || len(asked) != 1 {
		t.Errorf("it was taken with all its rounds, or refused without saying why: asked %v, %v", asked, err)
	}
}

func TestMLflowFoldersThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ from, into, want string }{
		"pickle":     {"    data: model.lgb\n    lgb", "    data: model.pkl\n    lgb", "MLmodel:5: lightgbm: data: model.pkl holds Python objects, which are never opened"},
		"sklearn":    {"lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "MLmodel:5: lightgbm: data: model.lgb holds Python objects"},
		"flavor":     {"  lightgbm:", "  pytorch:", "MLmodel:3: flavors: neither lightgbm nor xgboost"},
		"no flavors": {"flavors:", "flavours:", "MLmodel:1: flavors is missing"},
		"no data":    {"    data: model.lgb\n    lgb", "    lgb", "MLmodel:4: lightgbm: data is missing"},
		"outside":    {"    data: model.lgb\n    lgb", "    data: ../model.lgb\n    lgb", `MLmodel:5: file: "../model.lgb" lies outside of the bundle's folder`},
		"gone":       {"    data: model.lgb\n    lgb", "    data: nowhere.lgb\n    lgb", "MLmodel:5: file: there is no nowhere.lgb"},
		"signature":  {`[{"type": "double"`, `[{"type": `, "MLmodel:21: signature: inputs: a JSON list of columns is wanted"},
		"half named": {`"name": "amount", `, ``, "MLmodel:21: signature: inputs: some of the columns have names"},
		"metadata":   {"run_id: 0a1b2c", "metadata: {verdict: {feature: card@1}}", "MLmodel:19: metadata: verdict: unknown key feature; did you mean features?"},
		"feature set": {
			"run_id: 0a1b2c", "metadata: {verdict: {features: card}}", "MLmodel:19: metadata: verdict: features: the feature set is wanted as name@version",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(mlmodel, c.from, c.into, 1)
			if text == mlmodel {
				t.Fatal("nothing was changed")
			}
			var asked []string
			_, err := scorer.LoadBundle(folder(t, map[string]string{"MLmodel": text, "model.lgb": "m", "model.pkl": "m"}), engines(&asked))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	nameless := map[string]scorer.Loader{"lightgbm": func(string, []string) (scorer.Engine, error) {
		return &linear{names: []string{"Column_0", "Column_1"}}, nil
	}}
	unsigned, _, _ := strings.Cut(mlmodel, "signature:")
	if _, err := scorer.LoadBundle(folder(t, map[string]string{"MLmodel": unsigned, "model.lgb": "m"}), nameless); err == nil || !strings.Contains(err.Error(), "neither a signature nor the model says") {
		t.Errorf("a model without names: %v", err)
	}
}

func TestRoundsChooseTheLoader(t *testing.T) {
	spec := strings.Replace(goodBundle, "lightgbm", "xgboost", 1)
	for name, c := range map[string]struct{ spec, want string }{
		"unsaid":   {spec, "xgboost model.txt amount,count_1d"},
		"all":      {spec + "rounds: all\n", "xgboost model.txt amount,count_1d"},
		"best":     {spec + "rounds: best\n", "xgboost/best model.txt amount,count_1d"},
		"neither":  {spec + "rounds: bets\n", `bundle.yaml:7: rounds: "bets" is neither all nor best; did you mean best?`},
		"lightgbm": {goodBundle + "rounds: best\n", "bundle.yaml:7: rounds: a file of format lightgbm holds the rounds that it was saved with"},
		"variant":  {strings.Replace(goodBundle, "lightgbm", "xgboos", 1), `format: "xgboos" is not known; did you mean xgboost? (this version has lightgbm, xgboost)`},
	} {
		var asked []string
		_, err := scorer.LoadBundle(folder(t, bundleFiles(c.spec, goodGolden)), engines(&asked))
		got := strings.Join(asked, "; ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
