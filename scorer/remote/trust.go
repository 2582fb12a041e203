package remote

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"

	"verdict/scorer"
)

const (
	// maxToken is the longest token in bytes: servers refuse headers not much longer.
	maxToken = 16 << 10
	// maxModelFile is the longest model file in bytes: it holds a URL and a few words.
	maxModelFile = 64 << 10
	// maxAuthorities is the longest file of certificates, in bytes; all that a system trusts is below it.
	maxAuthorities = 1 << 20
)

// locate finds the files that the model file in dir names.
func (s *spec) locate(dir string) error {
	for _, one := range []struct {
		key  string
		path *string
	}{{"token_file", &s.tokenFile}, {"ca_file", &s.caFile}} {
		if *one.path == "" || filepath.IsAbs(*one.path) { // a secret is not kept beside what it opens
			continue
		}
		path, err := scorer.Within(dir, *one.path)
		if err != nil {
			return fmt.Errorf("%s: %w", one.key, err)
		}
		*one.path = path
	}
	return nil
}

// trust returns whom the client believes: those who signed for ca_file's certificates and nobody else, or nil, whom the system does.
func (s *spec) trust() (*tls.Config, error) {
	if s.caFile == "" {
		return nil, nil
	}
	text, err := scorer.ReadFile(s.caFile, maxAuthorities)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("ca_file: there is no certificate (PEM) in it")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// authorization returns the header that says who asks; "" without token_file. The file is read for each request, since tokens are renewed while the
// process runs. Errors never quote what it holds.
func (s *spec) authorization() (string, error) {
	if s.tokenFile == "" {
		return "", nil
	}
	text, err := scorer.ReadFile(s.tokenFile, maxToken)
	if err != nil {
		return "", fmt.Errorf("reading token_file: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) == 0 {
		return "", errors.New("token_file: the file is empty")
	}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return "", errors.New("token_file: what it holds is no token, which is one word of ASCII")
		}
	}
	return "Bearer " + string(token), nil
}
