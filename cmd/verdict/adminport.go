package main

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"verdict/sync/httpapi"
)

// admin returns the server of the admin port.
func (s *service) admin() *http.Server {
	return httpapi.NewAdmin(s.cfg.Admin.Listen, httpapi.AdminConfig{Ready: s.ready, Live: s.loops.Live, Metrics: promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})})
}

// adminBeside serves the admin port beside the API where the config asks for it, until the function that it returns is called.
func (s *service) adminBeside() (stop func(), err error) {
	if !s.answers || !s.cfg.Admin.BesideAPI {
		return func() {}, nil
	}
	listener, err := s.listener(s.cfg.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for admin: %w", err)
	}
	server := s.admin()
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // ends when it is closed; a scrape is not worth more
		close(ended)
	}()
	s.log.Info("admin port", "address", listener.Addr().String())
	return func() { _ = server.Close(); <-ended }, nil
}
