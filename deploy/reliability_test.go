package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReliabilityNamesTestsThatExist holds docs/reliability.md to the code: a test that is named there is there, and in the package that is named with it.
func TestReliabilityNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testsByFolder(t)
	named := regexp.MustCompile("`(?:([a-z][a-z/]*) )?((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	found := named.FindAllStringSubmatch(string(page), -1)
	for _, m := range found {
		if folder, name := m[1], m[2]; !there[folder+" "+name] {
			t.Errorf("%s %s: there is no such test", folder, name)
		}
	}
	if len(found) < 100 {
		t.Errorf("%d tests are named: the page has another form by now", len(found))
	}
}

// testsByFolder returns each test of the module as "folder name", and as " name".
func testsByFolder(t *testing.T) map[string]bool {
	t.Helper()
	all, declared := make(map[string]bool), regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel("..", filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			all[filepath.ToSlash(folder)+" "+string(m[1])], all[" "+string(m[1])] = true, true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
