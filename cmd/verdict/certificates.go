package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// certificates are the API's own certificate and who signs those of its clients, as the files last had them.
type certificates struct {
	cfg TLSConfig
	at  atomic.Pointer[tls.Config]
}

// load reads the files and puts them to work for connections from now on. On an error those before stay.
func (c *certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("reading api.tls.cert_file and key_file: %w", err)
	}
	next := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.cfg.ClientCAFile != "" {
		if next.ClientCAs, err = readPool(c.cfg.ClientCAFile); err != nil {
			return fmt.Errorf("reading api.tls.client_ca_file: %w", err)
		}
		next.ClientAuth = tls.VerifyClientCertIfGiven
		next.SessionTicketsDisabled = true // a resumed session would pass on who its client was under the CA of before
	}
	if c.cfg.ClientAuth == "require" {
		next.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.at.Store(next)
	return nil
}

// config returns what a server is started with: each connection gets what the files last had.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.at.Load(), nil },
		// ServeTLS wants a certificate to be had without it; no connection gets here.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.at.Load().Certificates[0], nil },
	}
}

func readPool(file string) (*x509.CertPool, error) {
	text, err := readAtMost(file, maxPEMFile)
	if err != nil {
		return nil, err
	}
	return poolOf(text)
}

func poolOf(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return pool, nil
}
