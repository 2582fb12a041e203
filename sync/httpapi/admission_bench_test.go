package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"verdict/sync/httpapi"
)

// BenchmarkRefusal is what an order costs that is refused before its body is read: in an overload there are more of these than of any other.
func BenchmarkRefusal(b *testing.B) {
	w := newWorld()
	w.cfg.MaxInFlightBytes = 1 // less than any request counts for
	h := httpapi.New(w.cfg)
	body := orderJSON("a", 1)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/decisions", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if answer.Code != http.StatusServiceUnavailable {
			b.Fatal(answer.Code)
		}
	}
}
