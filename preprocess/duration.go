package preprocess

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/strictyaml"
)

// maxDuration is the longest window or delay: 100 years of 365 days. Event times end in 2200, so nothing computed with it leaves 64 bits.
const maxDuration = 36500 * 24 * 3600 * 1_000_000

// duration reads such as 30d or 1d12h, in microseconds.
func (s *spec) duration(n *yaml.Node, what string) (int64, bool) {
	us, ok := parseDuration(n)
	switch {
	case !ok:
		s.Fault(n, "%s: a duration is wanted, whole numbers of w, d, h, m, s such as 7d or 1d12h, not %s", what, strictyaml.Shape(n))
	case us > maxDuration:
		s.Fault(n, "%s: %s is more than 36500d", what, n.Value)
		ok = false
	}
	return us, ok
}

func parseDuration(n *yaml.Node) (us int64, ok bool) {
	text := n.Value
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || text == "" {
		return 0, false
	}
	units := "wdhms" // each at most once, from large to small
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		if digits == 0 || digits > 12 || digits == len(text) {
			return 0, false
		}
		unit := strings.IndexByte(units, text[digits])
		if unit < 0 {
			return 0, false
		}
		many, err := strconv.ParseInt(text[:digits], 10, 64)
		if err != nil {
			return 0, false
		}
		second := int64(1_000_000)
		us += min(many, maxDuration/second+1) * map[byte]int64{'w': 7 * 24 * 3600, 'd': 24 * 3600, 'h': 3600, 'm': 60, 's': 1}[units[unit]]
		units, text = units[unit+1:], text[digits+1:]
	}
	return min(us, maxDuration/1_000_000+1) * 1_000_000, true
}
