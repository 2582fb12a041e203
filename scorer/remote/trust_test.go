package remote_test

import (
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verdict/scorer/remote"
)

// guarded serves a model by TLS to who has the token, and returns its URL and the certificate that it shows.
func guarded(t *testing.T, token *string) (url string, certificate []byte) {
	t.Helper()
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+*token:
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodGet:
			_, _ = w.Write([]byte(metadata))
		default:
			_, _ = w.Write([]byte(`{"outputs":[{"name":"p","data":[0.5]}]}`))
		}
	}))
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // clients that do not trust it
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL + "/v2/models/card", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
}

// bundle writes files and returns the path of the model's.
func bundle(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "model.yaml")
}

func TestTheTokenIsSentWithEveryRequestAsTheFileHasItThen(t *testing.T) {
	token := "first.token_0-9~+/="
	url, certificate := guarded(t, &token)
	outside := filepath.Join(t.TempDir(), "token")
	put := func(text string) {
		if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(token + "\n")
	path := bundle(t, map[string]string{"model.yaml": "url: " + url + "\ntimeout: 5s\ntoken_file: " + outside + "\nca_file: ca.pem\n", "ca.pem": string(certificate)})
	e, err := remote.Load(path, []string{"amount", "count"})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error { return e.Predict([]float64{1, 2}, make([]float64, 1)) }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	token = "second"
	if err := ask(); err == nil || err.Error() != "the server answers 401 Unauthorized" {
		t.Errorf("a token that was replaced: %v", err)
	}
	put("second")
	if err := ask(); err != nil {
		t.Errorf("the new token: %v", err)
	}
	for text, want := range map[string]string{
		"":                         "token_file: the file is empty",
		"hunter2 hunter2":          "token_file: what it holds is no token",
		"hunter2\r\nX-Admin: 1":    "token_file: what it holds is no token",
		"hunter2é":                 "token_file: what it holds is no token",
		strings.Repeat("x", 17000): "16384 are the most",
		"hunter2":                  "the server answers 401 Unauthorized",
	} {
		put(text)
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
	if err := os.Remove(outside); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil || !strings.Contains(err.Error(), "reading token_file") {
		t.Errorf("the token is gone: %v", err)
	}
}

func TestAServerIsTrustedThatTheNamedAuthoritySignedFor(t *testing.T) {
	token := "t"
	url, certificate := guarded(t, &token)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	head := "url: " + url + "\ntoken_file: token\n"
	for name, c := range map[string]struct{ spec, want string }{
		"trusted":           {head + "ca_file: ca.pem\n", ""},
		"not known":         {head, "certificate"},
		"no certificate":    {"url: " + url + "\ntoken_file: token\nca_file: other.pem\n", "ca_file: there is no certificate (PEM) in it"},
		"no such file":      {head + "ca_file: nowhere.pem\n", "ca_file: there is no nowhere.pem in the bundle's folder"},
		"above":             {head + "ca_file: ../ca.pem\n", `ca_file: "../ca.pem" lies outside of the bundle's folder`},
		"token above":       {"url: " + url + "\ntoken_file: ../token\nca_file: ca.pem\n", `token_file: "../token" lies outside of the bundle's folder`},
		"token by a link":   {"url: " + url + "\ntoken_file: link\nca_file: ca.pem\n", `token_file: "link" is a link to outside of the bundle's folder`},
		"token not there":   {"url: " + url + "\ntoken_file: /nowhere/token\nca_file: ca.pem\n", "reading token_file: stat /nowhere/token"},
		"token is a folder": {"url: " + url + "\ntoken_file: " + filepath.Dir(outside) + "\nca_file: ca.pem\n", "is not a file"},
		"plain":             {"url: http://h/v2/models/card\nca_file: ca.pem\n", "model.yaml:2: ca_file: the URL is http"},
		"without a token":   {"url: " + url + "\nca_file: ca.pem\n", "the server answers 401 Unauthorized"},
	} {
		path := bundle(t, map[string]string{"model.yaml": c.spec, "token": token, "ca.pem": string(certificate), "other.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
		if err := os.Symlink(outside, filepath.Join(filepath.Dir(path), "link")); err != nil {
			t.Fatal(err)
		}
		_, err := remote.Load(path, []string{"amount", "count"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
