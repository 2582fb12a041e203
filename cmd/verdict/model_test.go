package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const exampleBundle = "../../deploy/example/models/handbook/1"

// runModel runs "verdict model args" and returns what it prints.
func runModel(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	c := newModelCommand()
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(stdin))
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func mustRunModel(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := runModel(t, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestModelPredictGivesTheGoldenScoresInOrder(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join(exampleBundle, "golden.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(golden)), "\n")
	got := strings.Fields(mustRunModel(t, string(golden), "predict", "--model", exampleBundle, "--rows", "-"))
	if len(got) != len(rows)-1 {
		t.Fatalf("%d lines for %d rows", len(got), len(rows)-1)
	}
	for i, row := range rows[1:] {
		want, err := strconv.ParseFloat(row[strings.LastIndex(row, ",")+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		if score, err := strconv.ParseFloat(got[i], 64); err != nil || score-want > 1e-12 || want-score > 1e-12 {
			t.Fatalf("row %d: got %s, want %v", i, got[i], want)
		}
	}
}

func TestModelPredictMatchesColumns(t *testing.T) {
	model := "../../scorer/treemodel/testdata/binary.txt"
	byName := mustRunModel(t, "amount,count_1d,mean_7d,country,gap\n40,3,,12,NaN\n", "predict", "--model", model, "--rows", "-")
	if byName == "" || strings.Contains(byName, "NaN") {
		t.Fatalf("got %q", byName)
	}
	for name, rows := range map[string]string{
		"any order, more columns": "gap,extra,count_1d,country,mean_7d,amount\nnan,x,3,12,,40\n",
		"by position":             "a,b,c,d,e\n40,3,,12,\n",
		"byte order mark":         "\ufeffamount,count_1d,mean_7d,country,gap\n40,3,,12,\n",
	} {
		if got := mustRunModel(t, rows, "predict", "--model", model, "--rows", "-"); got != byName {
			t.Errorf("%s: %q, not %q", name, got, byName)
		}
	}
	for name, c := range map[string]struct{ rows, want string }{
		"some names":  {"amount,count_1d,mean_7d,country,gpa\n1,2,3,4,5\n", "stdin:1: there is no column gap"},
		"too few":     {"a,b\n1,2\n", "by position 2 columns do not fit 5 inputs"},
		"name twice":  {"amount,count_1d,mean_7d,country,gap,amount\n1,2,3,4,5,6\n", "column amount stands twice"},
		"Go's number": {"a,b,c,d,e\n1,2,3,1_000,5\n", `stdin:2: country: "1_000" is not a number`},
		"text":        {"a,b,c,d,e\n1,2,3,4,5\n1,2,3,x,5\n", `stdin:3: country: "x" is not a number`},
		"short row":   {"a,b,c,d,e\n1,2,3,4\n", "wrong number of fields"},
		"empty":       {"", "stdin is empty"},
	} {
		if _, err := runModel(t, c.rows, "predict", "--model", model, "--rows", "-"); err == nil || !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestModelPredictPrintsSeveralOutputsAndContributions(t *testing.T) {
	model, row := "../../scorer/treemodel/testdata/multiclass.txt", "a,b,c,d,e\n40,3,1,12,5\n"
	for args, want := range map[string]int{"": 3, "--raw": 3, "--contributions": 18} {
		out := mustRunModel(t, row, append([]string{"predict", "--model", model, "--rows", "-"}, strings.Fields(args)...)...)
		if strings.Count(out, "\n") != 1 || strings.Count(out, ",") != want-1 {
			t.Errorf("%s: %q, want %d numbers in a line", args, out, want)
		}
	}
}

func TestModelCheckRunsGoldenRowsByTwoEngines(t *testing.T) {
	out := mustRunModel(t, "", "check", "--model", exampleBundle)
	for _, want := range []string{"sound", "rows score as they should", "leaves): the same raw scores, bit for bit", "bundle handbook@1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
	if out := mustRunModel(t, "", "inspect", "--model", exampleBundle); !strings.Contains(out, "handbook@1") || !strings.Contains(out, "LightGBM v4") {
		t.Errorf("inspect: %q", out)
	}
}

func TestModelCheckRefusesWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(exampleBundle)); err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join(dir, "golden.csv"))
	if err != nil {
		t.Fatal(err)
	}
	golden = append(golden[:bytes.LastIndexByte(golden, ',')+1], "0.5\n"...)
	if err := os.WriteFile(filepath.Join(dir, "golden.csv"), golden, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"golden rows": dir, "no model": "../../scorer/treemodel/testdata/binary.csv", "nothing": filepath.Join(dir, "nothing")} {
		if _, err := runModel(t, "", "check", "--model", path); !errors.Is(err, errInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if out, err := runModel(t, string(golden), "predict", "--model", dir, "--rows", "-"); !errors.Is(err, errInvalid) || out != "" {
		t.Errorf("predict scored with a bundle whose golden rows are off: %v", err)
	}
}

const oneInput = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=0
objective=regression
feature_names=amount
feature_infos=[0:10]
tree_sizes=240

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=5
decision_type=8
left_child=-1
right_child=-2
leaf_value=1 2
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=2
internal_count=2
is_linear=0
shrinkage=1


end of trees

feature_importances:
amount=1

parameters:
[boosting: gbdt]
end of parameters

pandas_categorical:null
`

func TestModelPredictTakesAnEmptyLineOfOneColumnForARow(t *testing.T) {
	model := filepath.Join(t.TempDir(), "one.txt")
	if err := os.WriteFile(model, []byte(oneInput), 0o600); err != nil {
		t.Fatal(err)
	}
	predict := func(rows string) (string, error) {
		return runModel(t, rows, "predict", "--model", model, "--rows", "-")
	}
	missing := mustRunModel(t, "amount\nnan\n", "predict", "--model", model, "--rows", "-")
	for rows, want := range map[string]string{
		"amount\n1\n\n9\n\n":       "1\n" + missing + "2\n" + missing,
		"amount\r\n1\r\n\r\n9\r\n": "1\n" + missing + "2\n",
		"\n\namount\n\n\n9":        missing + missing + "2\n", // lines above the header are none of the rows
		"amount\n\"\"\n1\n":        missing + "1\n",
		"amount\n":                 "",
	} {
		if got, err := predict(rows); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", rows, got, err, want)
		}
	}
	long := strings.Repeat("0", 1<<16) + "9" // longer than what is read at a time
	if got, err := predict("amount\n" + long + "\n\n1\n"); err != nil || got != "2\n"+missing+"1\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := predict("amount\n1\n\nx\n"); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), `stdin:4: amount: "x" is not a number`) {
		t.Errorf("error %v, want one of line 4", err)
	}
	if _, err := predict("amount\n\n1,2\n"); !errors.Is(err, errInvalid) || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("error %v, want one of line 3", err)
	}
}
