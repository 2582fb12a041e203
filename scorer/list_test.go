package scorer_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"verdict/scorer"
)

// FuzzList reads any text; what it gives reads back the same.
func FuzzList(f *testing.F) {
	for _, seed := range []string{"", "a\nb # c\n", "a,2026-12-31T00:00:00Z\n", "\"x, \"\"y\"\"\",2026-12-31T00:00:00+01:00 # z\n", "\ufeff# a\r\n\"", ",", "\"a\"b", "a,b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := scorer.ParseList([]byte(text))
		if err != nil {
			return
		}
		var again strings.Builder
		for value, end := range list {
			if value == "" {
				t.Fatal("an entry without a value")
			}
			again.WriteString(`"` + strings.ReplaceAll(value, `"`, `""`) + `"`)
			if end != math.MaxInt64 {
				again.WriteString("," + time.UnixMicro(end).UTC().Format(time.RFC3339Nano))
			}
			again.WriteByte('\n')
		}
		back, err := scorer.ParseList([]byte(again.String()))
		if err != nil {
			t.Fatalf("%q: %v", again.String(), err)
		}
		for value, end := range list {
			if back[value] != end {
				t.Fatalf("%q ends at %d, and reads back as %d", value, end, back[value])
			}
		}
	})
}

func TestAListThatIsNoTextOfLinesIsRefusedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"UTF-16, little endian":  {"\xff\xfea\x00\n\x00", "list.txt:1: the file is UTF-16: save it as UTF-8"},
		"UTF-16, big endian":     {"\xfe\xff\x00a\x00\n", "list.txt:1: the file is UTF-16: save it as UTF-8"},
		"UTF-16 without its BOM": {"a\x00\n\x00", "list.txt:1: there is a byte of value 0"},
		"a zero byte":            {"a\nb\x00c\n", "list.txt:2: there is a byte of value 0"},
		"Latin-1":                {"a\nb\ncaf\xe9\n", "list.txt:3: it is not UTF-8 text"},
		"CR alone":               {"a\rb\r", "list.txt:1: there is a carriage return inside of the line"},
		"a line too long":        {"a\n" + strings.Repeat("b", 1<<16+1) + "\n", "list.txt:2: the line has 65537 bytes, more than 65536"},
		"BOM, CRLF":              {"\ufeffa\r\nb\r\n", ""},
		"no line end":            {"a\nb", ""},
		"CR at the end":          {"a\nb\r", ""},
		"a long line":            {"a\nb\n" + strings.Repeat("#", 1<<16), ""},
	} {
		l, err := scorer.ParseList([]byte(c.text))
		if c.want == "" && (err != nil || len(l) != 2 || l["a"] == 0 || l["b"] == 0) {
			t.Errorf("%s: %d entries (%v)", name, len(l), err)
		}
		if c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// A list is kept for as long as it is served: its text and a map of it, not a copy for each entry.
func TestALargeListTakesLessThanThreeTimesItsText(t *testing.T) {
	var text strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&text, "v%08d,2027-01-%02dT00:00:00Z\n", i, i%28+1)
	}
	dir := folder(t, map[string]string{"p.yaml": "name: a\nversion: 1\nlists: {l: l.txt}\nrules: [{id: a, when: \"x in list('l')\", then: reject}]\n", "l.txt": text.String()})
	layout := layoutOf(t, "amount")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := scorer.LoadPolicy(dir+"/p.yaml", nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	times := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(text.Len())
	made := float64(after.TotalAlloc-before.TotalAlloc) / float64(text.Len())
	t.Logf("%.2f times its text is kept, %.2f times is allocated", times, made)
	if times > 3 {
		t.Errorf("the list takes %.2f times its text", times)
	}
	runtime.KeepAlive(p)
}
