package page

import (
	"strconv"
	"strings"
	"unicode"

	"verdict/consumer/backtest"
)

// subject is one of those that the page tells of: a candidate, or what was decided live.
type subject struct {
	Key   string // its index among candidates, or "live"
	Name  string
	Class string // of its colour and dashes
	Live  bool
	F     *backtest.Figures
}

const (
	colours  = 6        // in style.css: s0 to s5
	liveName = "live"   // as comparisons call it
	liveText = "Live"   // as readers see it
	longest  = 160      // runes of a name, an id or a value that are shown
	replaced = '\uFFFD' // stands for what cannot be shown
)

func subjects(r *backtest.Report) []subject {
	var out []subject
	for i := range r.Candidates {
		out = append(out, subject{Key: strconv.Itoa(i), Name: clean(r.Candidates[i].Name), Class: "s" + strconv.Itoa(i%colours), F: &r.Candidates[i]})
	}
	if r.Live != nil {
		out = append(out, subject{Key: liveName, Name: liveText, Class: "live", Live: true, F: r.Live})
	}
	return out
}

// called is the name that readers see of one that a comparison names.
func called(name string) string {
	if name == liveName {
		return liveText
	}
	return clean(name)
}

// keyOf is the key of one that a comparison names.
func keyOf(all []subject, name string) string {
	for i := range all {
		if all[i].Live && name == liveName || !all[i].Live && all[i].F.Name == name {
			return all[i].Key
		}
	}
	return ""
}

// clean is text of an order or a file as it may be shown: without control characters, and without those that turn the direction of what follows; of bounded
// length. What it stands in is isolated too (bdi), and escaped by html/template.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return replaced
		}
		return r
	}, strings.ToValidUTF8(text, string(replaced)))
	n := 0
	for i := range text {
		if n == longest {
			return text[:i] + "…"
		}
		n++
	}
	return text
}
