package strictyaml_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"verdict/schemas/strictyaml"
)

// lines is what Err says, without the file's name.
func lines(d *strictyaml.Document) []string {
	if d.Err() == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(d.Err().Error(), d.File+":", ""), "\n")
}

func TestRootRefusesWhatIsNotOnePlainDocument(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":          {"", "1: the file is empty"},
		"comment only":   {"# nothing\n", "1: the file is empty"},
		"syntax":         {"a: 1\nb: [\n", "2: not YAML: did not find expected node content"},
		"control":        {"\x01", "1: not YAML: control characters are not allowed"},
		"second":         {"a: 1\n---\nb: 1\n", "2: one document only: this file has a second"},
		"broken second":  {"a: 1\n---\n[", "1: one document only: this file has a second"},
		"anchor":         {"a: 1\nb: &x 1\nc: *x\n", "2: anchor &x: anchors and aliases are not taken"},
		"alias as a key": {"&x a: 1\n*x : 2\n", "1: anchor &x: anchors and aliases are not taken"},
		"tag":            {"a: !!binary YQ==\nb: !c d\n", "1: tag !!binary: tags are not taken"},
		"too long":       {strings.Repeat("#", 1<<20) + "\n", "1: the file has 1048577 bytes, more than 1048576"},
	} {
		d := &strictyaml.Document{File: "f.yaml"}
		if root := d.Root([]byte(test.text)); root != nil {
			t.Errorf("%s: was taken", name)
		}
		if diff := cmp.Diff([]string{test.want}, lines(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// parse returns the top node of a text without faults.
func parse(t *testing.T, d *strictyaml.Document, text string) *yaml.Node {
	t.Helper()
	root := d.Root([]byte(text))
	if root == nil {
		t.Fatal(d.Err())
	}
	return root
}

func TestMappingsTellEveryWrongKeyWithItsLine(t *testing.T) {
	d := &strictyaml.Document{File: "f.yaml"}
	root := parse(t, d, "title: a\ntitel: b\ntitle: c\n<<: {}\n? [x]\n: y\n~: z\n")
	found := d.Only(root, "thing", "title", "size")
	if d.Need(root, "thing", found, "title", "size") {
		t.Error("size is there")
	}
	if found["title"] == nil || found["title"].Value != "a" || len(found) != 1 {
		t.Errorf("found %v, want the first title alone", found)
	}
	want := []string{
		"1: thing: size is missing",
		"2: thing: unknown key titel; did you mean title?",
		"3: thing: title stands twice, first in line 1",
		"4: thing: a key is a plain name",
		"5: thing: a key is a plain name",
		"7: thing: a key is a plain name",
	}
	if diff := cmp.Diff(want, lines(d)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestTheWholeFileNeedsNoNameInFaults(t *testing.T) {
	d := &strictyaml.Document{File: "f.yaml"}
	root := parse(t, d, "a: 1\na: 2\nother: 3\n")
	found := d.Only(root, "", "a")
	d.Required(root, found, "c")
	if diff := cmp.Diff([]string{"1: c is missing", "2: a stands twice, first in line 1", "3: unknown key other"}, lines(d)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoMappingIsOneFault(t *testing.T) {
	d := &strictyaml.Document{File: "f.yaml"}
	root := parse(t, d, "[a]")
	if d.Need(root, "thing", d.Only(root, "thing", "name"), "name") {
		t.Error("a list has a name")
	}
	if diff := cmp.Diff([]string{"1: thing: a mapping is wanted, not a list"}, lines(d)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestScalarsAreWhatTheySay(t *testing.T) {
	for _, test := range []struct{ yaml, str, text, number, boolean string }{ // "" is a fault
		{"card", "card", "card", "", ""},
		{`"1"`, "1", "1", "", ""},
		{"1", "", "1", "1", ""},
		{"1.50", "", "1.50", "1.5", ""},
		{"0x10", "", "0x10", "16", ""},
		{"-.inf", "", "-.inf", "", ""},
		{".nan", "", ".nan", "", ""},
		{"1e999", "1e999", "1e999", "", ""}, // YAML says that what fits no number is a string
		{"True", "", "True", "", "true"},
		{"false", "", "false", "", "false"},
		{"yes", "yes", "yes", "", ""},
		{"2018-04-01", "", "2018-04-01", "", ""},
		{`""`, "", "", "", ""},
		{"~", "", "", "", ""},
		{"[1]", "", "", "", ""},
		{"{a: 1}", "", "", "", ""},
	} {
		d := &strictyaml.Document{File: "f.yaml"}
		n := parse(t, d, test.yaml)
		faults := 0
		hold := func(what, want string, got any, ok bool) {
			t.Helper()
			if ok != (want != "") || ok && fmt.Sprint(got) != want {
				t.Errorf("%s as a %s is %v, %v, want %q", test.yaml, what, got, ok, want)
			}
			if !ok {
				faults++
			}
			if d.Faults() != faults {
				t.Errorf("%s as a %s: %d faults, want %d", test.yaml, what, d.Faults(), faults)
			}
		}
		str, ok := d.String(n, "x")
		hold("string", test.str, str, ok)
		text := d.Text(n, "x")
		hold("text", test.text, text, text != "")
		number, ok := d.Number(n, "x")
		hold("number", test.number, number, ok)
		if !ok && !math.IsNaN(number) {
			t.Errorf("%s as a number is %v, want NaN", test.yaml, number)
		}
		boolean, ok := d.Bool(n, "x")
		hold("boolean", test.boolean, boolean, ok)
	}
}

func TestErrIsInTheOrderOfLinesAndHasAnEnd(t *testing.T) {
	d := &strictyaml.Document{File: "f.yaml"}
	if d.Err() != nil {
		t.Fatalf("nothing is wrong yet: %v", d.Err())
	}
	for line := 150; line > 0; line-- {
		d.FaultAt(line, "wrong")
	}
	got := lines(d)
	if len(got) != 101 || got[0] != "1: wrong" || got[99] != "100: wrong" || got[100] != "101: and 50 more" {
		t.Errorf("%d faults from %q to %q", len(got), got[0], got[len(got)-1])
	}
}

// Whatever the bytes are, reading ends, and a file without a top node says why.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{"", "a: 1\nb: [x, {c: ~}]\n", "a: &x [*x]", "? {a: b}\n: c\n", "--- |\n x\n", "<<: {a: 1}\n", "a: 1\na: 2\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &strictyaml.Document{File: "f.yaml"}
		root := d.Root(text)
		if (root == nil) != (d.Err() != nil) {
			t.Fatalf("root %v with %v", root, d.Err())
		}
		if root != nil {
			walk(t, d, root)
		}
		if d.Faults() > 0 && !strings.HasPrefix(d.Err().Error(), "f.yaml:") {
			t.Errorf("without file and line: %v", d.Err())
		}
	})
}

// walk reads every node as what it is, and as what it may not be.
func walk(t *testing.T, d *strictyaml.Document, n *yaml.Node) {
	t.Helper()
	before := d.Faults()
	_, isNumber := d.Number(n, "x")
	_, isBool := d.Bool(n, "x")
	_, isString := d.String(n, "x")
	if said := d.Faults() - before; said < 2 || isNumber && isBool || isBool && isString || isString && isNumber {
		t.Fatalf("%s is several things", strictyaml.Shape(n))
	}
	for _, e := range d.Entries(n, "x") {
		walk(t, d, e.Value)
	}
	for _, item := range d.Items(n, "x") {
		walk(t, d, item)
	}
}
