package schemas

import "strings"

// WellFormedTrace says whether s is a W3C trace context (the value of traceparent) that can be passed on: of a known form, and of a trace and a span that
// are not all zeros. A version above 00 may have more behind the flags, which are the same.
func WellFormedTrace(s string) bool {
	const plain = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(s) < plain || len(s) > 4*plain || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isLowerHex(version) || !isLowerHex(trace) || !isLowerHex(span) || !isLowerHex(flags) || version == "ff" {
		return false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return false
	}
	return len(s) == plain || version != "00" && s[plain] == '-'
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
