package httpapi

import (
	"net/http"
	"time"
)

// AdminConfig is what the port of a process without an API shows.
type AdminConfig struct {
	Ready   func() error // as Config.Ready
	Live    func() error // as Config.Live
	Metrics http.Handler // served at /metrics; nil: not served
}

// NewAdmin returns a server of /livez, /readyz and /metrics alone.
func NewAdmin(addr string, cfg AdminConfig) *http.Server {
	a := &api{Config: Config{Ready: cfg.Ready, Live: cfg.Live}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", a.live)
	mux.HandleFunc("GET /readyz", a.ready)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		mux.ServeHTTP(w, r)
	})
	// Times as in NewServer: a probe and a scrape are short.
	return &http.Server{Addr: addr, Handler: handler, ConnState: connState, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 16 << 10}
}
