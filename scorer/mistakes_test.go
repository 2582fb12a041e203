package scorer_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"verdict/scorer"
)

var rewrite = flag.Bool("rewrite", false, "write what the readers say now into testdata")

// lists are the files that the policies of testdata/policy.txtar name.
func lists() map[string]string {
	return map[string]string{
		"lists/good.txt":   "t-1\n",
		"lists/end.txt":    "# ends\nt-1,2026-12-31T00:00:00Z\nt-2,tomorrow\n",
		"lists/date.txt":   "t-1, 2026-12-31\n",
		"lists/name.txt":   "\nSmith, John\n",
		"lists/quote.txt":  "\"Smith, John\nt-1\n",
		"lists/quotes.txt": "\"Smith, John\" 2026-12-31T00:00:00Z\n",
		"lists/comma.txt":  "t-1\n,2026-12-31T00:00:00Z\n",
	}
}

func TestPolicySaysAllThatIsWrong(t *testing.T) {
	dir := folder(t, lists())
	holdAgainst(t, "policy.txtar", dir, func(file string) error {
		_, err := scorer.LoadPolicy(file, orderSchema(t), layoutOf(t, "count_1d", "amount"))
		return err
	})
}

// holdAgainst reads each NAME.yaml of an archive in testdata, written into dir, and compares what is said of it with NAME.want.
func holdAgainst(t *testing.T, name, dir string, read func(file string) error) {
	t.Helper()
	path := filepath.Join("testdata", name)
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wants := make(map[string]string)
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
			wants[name] = string(f.Data)
		}
	}
	now := txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		write(t, dir, map[string]string{f.Name: string(f.Data)})
		got := "no fault\n"
		if err := read(filepath.Join(dir, f.Name)); err != nil {
			got = strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
		}
		if diff := cmp.Diff(wants[name], got); diff != "" && !*rewrite {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
		now.Files = append(now.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
	}
	if *rewrite {
		if err := os.WriteFile(path, txtar.Format(&now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
