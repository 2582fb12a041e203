package main

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const xgboostModels = "../../scorer/treemodel/testdata/xgb/"

// xgboostRows returns a sample's rows as CSV, and what XGBoost makes of them in a column.
func xgboostRows(t *testing.T, name, column string) (rows string, want []float64) {
	t.Helper()
	f, err := os.Open(xgboostModels + name + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, line := range lines {
		out.WriteString(strings.Join(line[:5], ",") + "\n")
		for c, head := range lines[0] {
			if i == 0 || head != column {
				continue
			}
			v, err := strconv.ParseFloat(line[c], 64)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, v)
		}
	}
	return out.String(), want
}

func TestModelPredictReadsXGBoostModelsByTheirLook(t *testing.T) {
	for _, c := range []struct{ file, column, flag string }{
		{"binary.json", "predicted_0", ""}, {"binary.json", "raw_0", "--raw"}, {"binary_ubj.ubj", "predicted_0", ""}, {"multi_softmax.json", "predicted_0", ""},
	} {
		rows, want := xgboostRows(t, strings.TrimSuffix(c.file, filepath.Ext(c.file)), c.column)
		args := append([]string{"predict", "--model", xgboostModels + c.file, "--rows", "-"}, strings.Fields(c.flag)...)
		got := strings.Fields(mustRunModel(t, rows, args...))
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines for %d rows", c.file, len(got), len(want))
		}
		for i := range got {
			if v, err := strconv.ParseFloat(got[i], 64); err != nil || math.Abs(v-want[i]) > 2e-7 {
				t.Fatalf("%s %s: row %d: %s, XGBoost has %v", c.file, c.flag, i, got[i], want[i])
			}
		}
	}
}

func TestModelInspectAndCheckReadXGBoostModels(t *testing.T) {
	for file, want := range map[string]string{"binary.json": "XGBoost 3.2.0", "binary_ubj.ubj": "XGBoost 3.2.0", "v1.7-binary.json": "XGBoost 1.7.6"} {
		for _, command := range []string{"inspect", "check"} {
			if out := mustRunModel(t, "", command, "--model", xgboostModels+file); !strings.Contains(out, want) {
				t.Errorf("%s %s: %q does not say %q", command, file, out, want)
			}
		}
	}
	if _, err := runModel(t, "", "check", "--model", xgboostModels+"refused_gblinear.json"); err == nil || !strings.Contains(err.Error(), "gblinear") {
		t.Errorf("gblinear: %v", err)
	}
}

// xgboostBundle writes a bundle of a model with the scores of a sample.
func xgboostBundle(t *testing.T, file, sample, more string) string {
	t.Helper()
	dir := t.TempDir()
	model, err := os.ReadFile(xgboostModels + file)
	if err != nil {
		t.Fatal(err)
	}
	rows, want := xgboostRows(t, sample, "predicted_0")
	lines := strings.Split(strings.TrimSpace(rows), "\n")[:21]
	golden := lines[0] + ",score\n"
	for i, line := range lines[1:] {
		golden += line + "," + strconv.FormatFloat(want[i], 'g', -1, 64) + "\n"
	}
	bundle := "name: card\nversion: 7\nfeatures: card@1\nfile: model.json\nformat: xgboost\ninputs: [amount, count_1d, mean_7d, country, gap]\n" + more
	for name, text := range map[string]string{"model.json": string(model), "golden.csv": golden, "bundle.yaml": bundle} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// leaves scores XGBoost files wrong, and so it is not asked.
func TestModelCheckOfAnXGBoostBundle(t *testing.T) {
	out := mustRunModel(t, "", "check", "--model", xgboostBundle(t, "binary.json", "binary", ""))
	for _, want := range []string{"XGBoost 3.2.0", "20 rows score as they should", "leaves): not asked", "bundle card@7"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
}

func TestAnXGBoostBundleSaysWhichRoundsCount(t *testing.T) {
	for _, c := range []struct{ sample, rounds, want string }{
		{"stopped", "", "score as they should"}, {"stopped", "rounds: all\n", "score as they should"}, {"best_stopped", "rounds: best\n", "score as they should"}, {"best_stopped", "", "golden"},
	} {
		out, err := runModel(t, "", "check", "--model", xgboostBundle(t, "stopped.json", c.sample, c.rounds))
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, c.want) {
			t.Errorf("%s, %q: %s", c.sample, c.rounds, out)
		}
	}
	if _, err := runModel(t, "", "check", "--model", xgboostBundle(t, "binary.json", "binary", "rounds: best\n")); err == nil || !strings.Contains(err.Error(), "best_iteration") {
		t.Errorf("a model that does not say its best round: %v", err)
	}
}
