package httpapi

import (
	"net/http"
	"time"
)

// NewServer returns a server of the API that no caller can hold up by being slow. The caller listens (see LimitConnections), serves and shuts it down.
func NewServer(addr string, cfg Config) *http.Server {
	handler := New(cfg)
	cfg = cfg.withDefaults()
	// A second above the body's own limit, which is to answer 408 first: this one just ends the connection.
	read := cfg.BodyTimeout + time.Second
	return &http.Server{
		Addr:    addr,
		Handler: handler,
		// Of a listener that LimitConnections made.
		ConnContext: connContext,
		ConnState:   connState,
		// Headers come in one packet; two seconds are a lost packet and its repeats. Longer would serve only those who hold connections open (Slowloris).
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       read,
		// From the end of the headers to the last byte of the answer: the body, the longest wait, Kafka, two lookups, and five seconds for a slow reader.
		WriteTimeout: read + cfg.MaxWait + cfg.AckTimeout + 2*cfg.LookupTimeout + 5*time.Second,
		// Above the 60 s of the usual load balancer, so that it is the balancer who closes an idle connection and no request meets a closed one.
		IdleTimeout: 75 * time.Second,
		// Callers send a handful of short headers; the default of 1 MB each for ten thousand callers would be 10 GB.
		MaxHeaderBytes: 16 << 10,
	}
}
