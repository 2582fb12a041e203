package httpapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"verdict/sync/httpapi"
)

func TestAdminPortShowsHealthAndMetricsAlone(t *testing.T) {
	var notReady error
	h := httpapi.NewAdmin("", httpapi.AdminConfig{
		Ready: func() error { return notReady }, Live: func() error { return nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("verdict_orders_total 1\n")) }),
	}).Handler
	status := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/v1/decisions/a": 404, "/openapi.json": 404} {
		if got := status(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	notReady = errors.New("stopping")
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("not ready, but %d", got)
	}
}
