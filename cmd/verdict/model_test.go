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
		"some names": {"amount,count_1d,mean_7d,country,gpa\n1,2,3,4,5\n", "stdin:1: there is no column gap"},
		"too few":    {"a,b\n1,2\n", "by position 2 columns do not fit 5 inputs"},
		"name twice": {"amount,count_1d,mean_7d,country,gap,amount\n1,2,3,4,5,6\n", "column amount stands twice"},
		"text":       {"a,b,c,d,e\n1,2,3,4,5\n1,2,3,x,5\n", `stdin:3: country: "x" is not a number`},
		"short row":  {"a,b,c,d,e\n1,2,3,4\n", "wrong number of fields"},
		"empty":      {"", "stdin is empty"},
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
	for name, path := range map[string]string{"golden rows": dir, "linear": "../../scorer/treemodel/testdata/refused_linear.txt", "nothing": filepath.Join(dir, "nothing")} {
		if _, err := runModel(t, "", "check", "--model", path); !errors.Is(err, errInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if out, err := runModel(t, string(golden), "predict", "--model", dir, "--rows", "-"); !errors.Is(err, errInvalid) || out != "" {
		t.Errorf("predict scored with a bundle whose golden rows are off: %v", err)
	}
}
