package httpapi

import (
	"net/http"
	"strings"
)

// traceparent returns the request's W3C trace context when there is one and it is well formed, else "": a trace is then begun anew behind the API. A
// version above 00 may have more behind the flags, which are the same.
func traceparent(h http.Header) string {
	s := h.Get("Traceparent")
	const plain = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(s) < plain || len(s) > 4*plain || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isHex(version) || !isHex(trace) || !isHex(span) || !isHex(flags) || version == "ff" {
		return ""
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return ""
	}
	if len(s) > plain && (version == "00" || s[plain] != '-') {
		return ""
	}
	return s
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
