package schemas

import "strings"

// Nearest returns the one of known that name was probably meant to be, "" when nothing is near. It is used wherever a file or an order names
// something that is not there; of equally near ones the first is taken, so the same input always gives the same text.
func Nearest(name string, known []string) string {
	if name == "" || len(name) > 128 {
		return ""
	}
	// Half of the letters may be wrong; more, and any short name would do.
	best, least := "", max(1, len(name)/2)+1
	for _, k := range known {
		if strings.EqualFold(k, name) || strings.HasSuffix(k, "."+name) {
			return k
		}
		d := least
		if off := len(k) - len(name); -least < off && off < least {
			d = distance(strings.ToLower(name), strings.ToLower(k))
		}
		if len(name) > 2 && strings.HasPrefix(k, name) {
			d = min(d, 2)
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// Meant returns "; did you mean X?" for the end of an error text, "" when nothing is near.
func Meant(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// distance counts the letters to insert, drop, change or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
