package httpapi

import (
	"net/http"

	"verdict/schemas"
)

// traceparent returns the request's W3C trace context when there is one and it is well formed, else "": a trace is then begun anew behind the API.
func traceparent(h http.Header) string {
	if s := h.Get("Traceparent"); schemas.WellFormedTrace(s) {
		return s
	}
	return ""
}
