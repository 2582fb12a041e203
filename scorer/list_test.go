package scorer_test

import (
	"math"
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
