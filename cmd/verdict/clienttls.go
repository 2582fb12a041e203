package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"verdict/schemas"
)

// ClientTLS says whom verdict believes as a client of a server, and as whom it shows itself. The files are read at the start.
type ClientTLS struct {
	CAFile   string `koanf:"ca_file"`   // PEM; empty trusts whom the system does
	CertFile string `koanf:"cert_file"` // PEM, with the chain: a client certificate, where the server asks for one
	KeyFile  string `koanf:"key_file"`  // PEM

	ca, cert, key []byte // what the files hold: configs are equal when these are
}

// read reads the files.
func (c *ClientTLS) read(section string) error {
	var faults []error
	for _, one := range []struct {
		key, file string
		text      *[]byte
	}{{"ca_file", c.CAFile, &c.ca}, {"cert_file", c.CertFile, &c.cert}, {"key_file", c.KeyFile, &c.key}} {
		if one.file == "" {
			continue
		}
		text, err := readAtMost(one.file, maxPEMFile)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s.%s: %w", section, one.key, err))
		}
		*one.text = text
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	if c.ca != nil {
		if _, err := poolOf(c.ca); err != nil {
			return fmt.Errorf("%s.ca_file: %w", section, err)
		}
	}
	if (c.cert == nil) != (c.key == nil) {
		return fmt.Errorf("%s: cert_file and key_file are named together or not at all", section)
	}
	if c.cert != nil {
		if _, err := tls.X509KeyPair(c.cert, c.key); err != nil {
			return fmt.Errorf("%s.cert_file and key_file: %w", section, err)
		}
	}
	return nil
}

// named says whether any file is.
func (c *ClientTLS) named() bool { return c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" }

// config returns what a connection is made with. The files were found good when they were read.
func (c *ClientTLS) config() *tls.Config {
	made := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != nil {
		made.RootCAs = x509.NewCertPool()
		made.RootCAs.AppendCertsFromPEM(c.ca)
	}
	if c.cert != nil {
		if pair, err := tls.X509KeyPair(c.cert, c.key); err == nil {
			made.Certificates = []tls.Certificate{pair}
		}
	}
	return made
}

// registry returns the client's configuration.
func (c *RegistryConfig) registry() schemas.RegistryConfig {
	out := schemas.RegistryConfig{URLs: c.URLs, User: c.User, Password: c.Password, Client: c.Client}
	if c.named() {
		out.TLS = c.config()
	}
	return out
}
