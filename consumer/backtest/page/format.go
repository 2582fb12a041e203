package page

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	missing = "–" // what there is no figure for
	minus   = "−"
	// unitPercent begins with a space that no line breaks at.
	unitPercent = "\u00a0%"
)

// count is a whole number with its thousands apart: 1,234,567.
func count[N int | int64 | uint64](n N) string { return grouped(strconv.FormatInt(int64(n), 10)) }

// fixed is a number with so many decimals, its thousands apart; a missing one is a dash.
func fixed(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return missing
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-")
	}
	return grouped(text)
}

// rate is a figure between 0 and 1 as analysts write it: 0.694.
func rate(v float64) string { return fixed(v, 3) }

// percent is a share: 12.3 %; small ones keep two digits that say something.
func percent(v float64) string {
	decimals := 1
	if a := math.Abs(v); a > 0 && a < 0.000995 {
		decimals = 3
	} else if a > 0 && a < 0.00995 {
		decimals = 2
	}
	text := fixed(v*100, decimals)
	if text == missing {
		return text
	}
	return text + unitPercent
}

// money is an amount in the orders' own currency: whole from 1,000 on, with two decimals below.
func money(v float64) string {
	if v == 0 || math.Abs(v) >= 1000 {
		return fixed(v, 0)
	}
	return fixed(v, 2)
}

// signed is text with its sign in front: +0.021, −0.021.
func signed(v float64, text func(float64) string) string {
	if math.IsNaN(v) {
		return missing
	}
	if out := text(math.Abs(v)); v > 0 && strings.Trim(out, "0."+unitPercent) != "" {
		return "+" + out
	}
	return text(v)
}

// short is a number in few characters, for an axis: 0.25, 1,000, 2.5M.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		size := unit.size
		if unit.name == "k" {
			size = 1e3
		}
		if math.Abs(v) >= unit.size*0.9999 {
			return strings.Replace(strconv.FormatFloat(v/size, 'g', 3, 64), "-", minus, 1) + unit.name
		}
	}
	text := strconv.FormatFloat(v, 'g', 4, 64)
	if math.Abs(v) >= 1000 {
		text = strconv.FormatFloat(v, 'f', 0, 64)
	}
	return grouped(text)
}

// day and month are dates on an axis; stamp is a time in words.
func day(unix float64) string   { return time.Unix(int64(unix), 0).UTC().Format("2 Jan") }
func month(unix float64) string { return time.Unix(int64(unix), 0).UTC().Format("Jan 2006") }

func stamp(t time.Time) string {
	if t.IsZero() {
		return missing
	}
	return t.UTC().Format("2 January 2006 15:04 UTC")
}

// grouped sets commas between thousands and a real minus in front.
func grouped(text string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = minus, rest
	}
	whole, rest, _ := strings.Cut(text, ".")
	if rest != "" {
		rest = "." + rest
	}
	if strings.ContainsAny(whole, "e") {
		return sign + text
	}
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String() + rest
}
