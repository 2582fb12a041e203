package httpapi

import (
	"strconv"
	"strings"
	"time"
)

// preferences is what a caller said in Prefer (RFC 7240) that this API knows.
type preferences struct {
	wait    float64 // seconds, not negative; meant only when waitSet
	waitSet bool
	async   bool
}

// patience is how long the caller wants to wait. respond-async alone is not at all; beside a wait it leaves that as it is (RFC 7240, 4.3).
func (a *api) patience(p preferences) time.Duration {
	switch {
	case p.waitSet && p.wait >= a.MaxWait.Seconds():
		return a.MaxWait
	case p.waitSet:
		return time.Duration(p.wait * float64(time.Second))
	case p.async:
		return 0
	default:
		return a.Wait
	}
}

// applied is the Preference-Applied header for a wait of d, "" when nothing was preferred.
func (p preferences) applied(d time.Duration) string {
	var all []string
	if p.async {
		all = append(all, "respond-async")
	}
	if p.waitSet {
		all = append(all, "wait="+strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	}
	return strings.Join(all, ", ")
}

// parsePrefer reads the Prefer header's lines:
//
//	preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ), word = token / quoted-string
//
// Of a preference that is there twice only the first counts. What is unknown or malformed is passed over, as the RFC wants: a preference is never an error.
func parsePrefer(lines []string) preferences {
	var p preferences
	sawWait := false
	for _, line := range lines {
		for rest := line; rest != ""; {
			var element string
			element, rest = cutElement(rest)
			name, value := namedWord(element)
			switch {
			case strings.EqualFold(name, "respond-async"):
				p.async = true
			case strings.EqualFold(name, "wait") && !sawWait:
				sawWait = true
				p.wait, p.waitSet = seconds(value)
			}
		}
	}
	return p
}

// cutElement cuts a list's first element off at the comma after it; commas inside quotes are part of it.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++ // the byte after it is only itself
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// namedWord returns the name and the value of a preference, without its parameters; the name is "" when it is malformed.
func namedWord(element string) (name, value string) {
	name, rest := token(trim(element))
	rest = trim(rest)
	if word, ok := strings.CutPrefix(rest, "="); ok {
		value, rest, ok = parseWord(trim(word))
		if !ok {
			return "", ""
		}
		rest = trim(rest)
	}
	if rest != "" && rest[0] != ';' {
		return "", ""
	}
	return name, value
}

// parseWord returns the token or the content of the quoted string that s begins with.
func parseWord(s string) (word, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		word, rest = token(s)
		return word, rest, word != ""
	}
	var text strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return text.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		text.WriteByte(s[i])
	}
	return "", "", false
}

// token cuts off the token (RFC 9110) that s begins with.
func token(s string) (word, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return false
		default:
			return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
		}
	})
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func trim(s string) string { return strings.Trim(s, " \t") }

// seconds reads digits with at most one point between or behind them. The RFC has whole seconds; a decision takes less than one.
func seconds(s string) (float64, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, false // also what ParseFloat would take: 1e3, 0x1p3, inf, NaN, +1, 1_0
	}
	f, _ := strconv.ParseFloat(s, 64) // its one error left is a number too big, and that gives infinity
	return f, true
}
