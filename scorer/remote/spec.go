package remote

import (
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/strictyaml"
)

const (
	// defaultTimeout is what a request may take without a timeout of its own: callers that wait have a few hundred milliseconds for all of it.
	defaultTimeout = 100 * time.Millisecond
	maxTimeout     = 10 * time.Second
)

// spec is a bundle's model file: the URL of a model, or a mapping that says more.
type spec struct {
	url           string
	timeout       time.Duration
	input, output string // names of tensors; "": what the server's metadata say
	column        int    // of the output's
	chosen        bool   // column was given
	fill          bool   // missing values are sent, as missing
	missing       float64
	tokenFile     string // what says who asks is in it; "": nobody
	caFile        string // certificates of those who sign for the server; "": the system's
}

// parseSpec reads a model file:
//
//	http://models:8000/v2/models/card/versions/3
//
// or
//
//	url: http://models:8000/v2/models/card/versions/3
//	timeout: 100ms
//	missing: -1        # sent in place of a missing value; without it a row that lacks a value is not scored
//	input: features    # the tensors; needed where the model has several
//	output: probabilities
//	column: 1          # of the output, where it has several a row
//	token_file: /run/secrets/models   # what is sent as Authorization: Bearer
//	ca_file: ca.pem    # who signs for the server, instead of whom the system trusts
func parseSpec(file string, text []byte) (*spec, error) {
	d := &strictyaml.Document{File: file}
	s := &spec{timeout: defaultTimeout}
	root := d.Root(text)
	switch {
	case root == nil:
	case root.Kind == yaml.ScalarNode:
		s.setURL(d, root)
	default:
		s.read(d, root)
	}
	return s, d.Err()
}

func (s *spec) read(d *strictyaml.Document, root *yaml.Node) {
	found := d.Only(root, "", "url", "timeout", "missing", "input", "output", "column", "token_file", "ca_file")
	if d.Need(root, "", found, "url") {
		s.setURL(d, found["url"])
	}
	if n := found["timeout"]; n != nil {
		text := d.Text(n, "timeout")
		var err error
		if s.timeout, err = time.ParseDuration(text); text != "" && (err != nil || s.timeout <= 0 || s.timeout > maxTimeout) {
			d.Fault(n, "timeout: %q is no duration above 0 and up to %s, such as 100ms", text, maxTimeout)
		}
	}
	if n := found["missing"]; n != nil {
		s.missing, s.fill = d.Number(n, "missing")
	}
	if n := found["input"]; n != nil {
		s.input, _ = d.String(n, "input")
	}
	if n := found["output"]; n != nil {
		s.output, _ = d.String(n, "output")
	}
	for key, into := range map[string]*string{"token_file": &s.tokenFile, "ca_file": &s.caFile} {
		if n := found[key]; n != nil {
			*into = d.Text(n, key)
		}
	}
	if s.caFile != "" && strings.HasPrefix(s.url, "http:") {
		d.Fault(found["ca_file"], "ca_file: the URL is http, and nobody signs for such a server")
	}
	if n := found["column"]; n != nil {
		column, ok := d.Number(n, "column")
		if s.column, s.chosen = int(column), true; ok && (column != float64(s.column) || s.column < 0) {
			d.Fault(n, "column: %v is no place, counted from 0", column)
		}
	}
}

// setURL takes the URL of a model. Its texts do not show the URL, which may hold a password.
func (s *spec) setURL(d *strictyaml.Document, n *yaml.Node) {
	text := d.Text(n, "url")
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		d.Fault(n, "url: what stands there is no URL of a model, such as http://models:8000/v2/models/card")
	case u.User != nil:
		d.Fault(n, "url: it has a user or a password, and this file is no place for a secret")
	case u.RawQuery != "" || u.Fragment != "":
		d.Fault(n, "url: it has a query or a fragment, which a model's URL has not")
	case !strings.Contains(u.Path, "/v2/models/") || strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/infer"):
		d.Fault(n, "url: %s is not the path of a model, which is /v2/models/NAME or /v2/models/NAME/versions/VERSION", u.Path)
	default:
		s.url = strings.TrimSuffix(text, "/")
	}
}
