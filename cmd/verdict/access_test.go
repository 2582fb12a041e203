package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/schemas"
	"verdict/sync/await"
	"verdict/sync/httpapi"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// certificate makes one, signed by its authority or, without one, by itself.
func (a *authority) certificate(t *testing.T, name, uri string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: a == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	signer := &authority{template, key}
	if a != nil {
		signer = a
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle is what the watcher does once a file has come to rest.
func (a *access) settle() { a.poll(false); a.poll(false) }

// served runs an API with this access on a real listener, and returns its address.
func served(t *testing.T, a *access) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httpapi.NewServer("", httpapi.Config{
		Decode: func([]byte) (o schemas.Order, c uint64, err error) { return o, c, io.ErrUnexpectedEOF },
		Submit: func(context.Context, httpapi.Request) error { return nil },
		Lookup: func(context.Context, schemas.OrderID) ([]byte, bool, error) { return nil, false, nil },
		Learn:  func(context.Context, []schemas.Label, [][]byte) error { return nil },
		Desk:   await.New(await.Config{}), Access: a.Access, Log: a.log,
	})
	over := make(chan error, 1)
	go func() { over <- a.serve(server, listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	return listener.Addr().String()
}

// ask makes a request on a new connection. It returns the status, and the certificate that the server showed.
func ask(t *testing.T, address string, trust, own *authority) (int, *tls.ConnectionState, error) {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(trust.cert)
	if own != nil {
		show := &tls.Certificate{Certificate: [][]byte{own.cert.Raw}, PrivateKey: own.key}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return show, nil } // whoever the server asks for
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/decisions/o1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	if answer.ProtoMajor != 2 {
		t.Errorf("HTTP/%d", answer.ProtoMajor)
	}
	return answer.StatusCode, answer.TLS, nil
}

func TestCertificatesChangeWhileServing(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var none *authority
	ca, clients := none.certificate(t, "ca", ""), none.certificate(t, "clients", "")
	first, second := ca.certificate(t, "first", ""), ca.certificate(t, "second", "")
	write(t, file("cert"), first.pem())
	write(t, file("key"), first.keyPEM(t))
	write(t, file("clients"), clients.pem())
	write(t, file("keys"), []byte("cert shop cn:shop read\ncert spiffe uri:spiffe://verdict.example/shop read\ncert billing cn:billing label"))
	var log bytes.Buffer
	a, err := loadAccess(&APIConfig{
		Auth: AuthConfig{KeysFile: file("keys")},
		TLS:  TLSConfig{CertFile: file("cert"), KeyFile: file("key"), ClientCAFile: file("clients"), ClientAuth: "request"},
	}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	address := served(t, a)
	want := func(who string, own *authority, status int, server string) {
		t.Helper()
		got, state, err := ask(t, address, ca, own)
		if status == 0 {
			if err == nil {
				t.Errorf("%s: status %d, and should not have been connected", who, got)
			}
			return
		}
		if err != nil || got != status || state.PeerCertificates[0].Subject.CommonName != server {
			t.Errorf("%s: status %d, %v; want %d from %s", who, got, err, status, server)
		}
	}
	shop := clients.certificate(t, "shop", "")
	want("nobody", nil, 401, "first")
	want("shop", shop, 404, "first")
	want("by URI", clients.certificate(t, "x", "spiffe://verdict.example/shop"), 404, "first")
	want("another scope", clients.certificate(t, "billing", ""), 403, "first")
	want("a stranger", clients.certificate(t, "stranger", ""), 401, "first")
	want("signed by another", ca.certificate(t, "shop", ""), 0, "")

	write(t, file("cert"), second.pem()) // and the key not yet
	a.settle()
	want("half changed", shop, 404, "first")
	if a.Stale() != 1 || !strings.Contains(log.String(), "reload refused") {
		t.Errorf("%d stale, and the log has\n%s", a.Stale(), &log)
	}
	write(t, file("key"), second.keyPEM(t))
	a.settle()
	want("changed", shop, 404, "second")
	if a.Stale() != 0 {
		t.Errorf("%d stale", a.Stale())
	}
	write(t, file("clients"), none.certificate(t, "others", "").pem())
	a.settle()
	want("by a CA that was withdrawn", shop, 0, "")
	want("nobody", nil, 401, "second")
}

func TestClientsMustShowACertificateWhereTheyAreRequired(t *testing.T) {
	dir := t.TempDir()
	var none *authority
	ca := none.certificate(t, "ca", "")
	own := ca.certificate(t, "verdict", "")
	cert, key, clients := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")
	write(t, cert, own.pem())
	write(t, key, own.keyPEM(t))
	write(t, clients, ca.pem())
	a, err := loadAccess(&APIConfig{TLS: TLSConfig{CertFile: cert, KeyFile: key, ClientCAFile: clients, ClientAuth: "require"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	address := served(t, a)
	if _, _, err := ask(t, address, ca, nil); err == nil {
		t.Error("without a certificate: connected")
	}
	if status, _, err := ask(t, address, ca, ca.certificate(t, "anyone", "")); err != nil || status != 404 {
		t.Errorf("with a certificate: status %d, %v", status, err)
	}
	old := &tls.Config{RootCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.RootCAs.AddCert(ca.cert)
	if c, err := tls.Dial("tcp", address, old); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestAKeysFileIsLoadedAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write(t, file, []byte("# nobody yet\n"))
	var log bytes.Buffer
	a, err := loadAccess(&APIConfig{Auth: AuthConfig{KeysFile: file}}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	address := served(t, a)
	key := httpapi.NewKey()
	line, err := httpapi.KeyLine(key, "shop", httpapi.ScopeRead, httpapi.Rate{})
	if err != nil {
		t.Fatal(err)
	}
	want := func(status int) {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/v1/decisions/o1", http.NoBody)
		r.Header.Set("X-API-Key", key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("status %d, want %d", answer.StatusCode, status)
		}
	}
	want(401)
	write(t, file, []byte(line))
	a.poll(false) // whoever writes may not have come to an end
	want(401)
	a.poll(false)
	want(404)
	write(t, file, []byte(line+"\nkey another\n"))
	a.settle()
	want(404)
	if a.Stale() != 1 || strings.Count(log.String(), "reload refused") != 1 || strings.Contains(log.String(), strings.Fields(line)[3]) {
		t.Errorf("%d stale, and the log has\n%s", a.Stale(), &log)
	}
	a.settle()
	if strings.Count(log.String(), "reload refused") != 1 {
		t.Errorf("one refusal is told more than once:\n%s", &log)
	}
	write(t, file, nil)
	a.settle()
	want(401)
	if a.Stale() != 0 {
		t.Errorf("%d stale", a.Stale())
	}
}

func TestFilesAreWatchedUntilTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write(t, file, nil)
	synctest.Test(t, func(t *testing.T) {
		a, err := loadAccess(&APIConfig{Auth: AuthConfig{KeysFile: file}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		a.look(ctx, time.Second, nil)
		write(t, file, []byte("what is this"))
		time.Sleep(3 * time.Second) // virtual
		synctest.Wait()
		if a.Stale() != 1 {
			t.Errorf("%d stale", a.Stale())
		}
	})
}

func TestKeysOfTokensAreFetchedFromOnePlaceAlone(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/keys", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, maxKeySet+1))
		case "/slow":
			<-r.Context().Done()
		case "/keys":
			_, _ = w.Write([]byte("{}"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer target.Close()
	for path, ok := range map[string]bool{"/keys": true, "/moved": false, "/large": false, "/none": false, "/slow": false} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := fetchFrom(target.URL + path)(ctx)
		cancel()
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := fetchFrom("http://169.254.169.254/keys")(t.Context()); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("a link-local address: %v", err)
	}
}

func TestAccessThatMakesNoSenseIsRefused(t *testing.T) {
	jwt := func(change func(*JWTConfig)) AuthConfig {
		c := JWTConfig{Issuer: "i", Audience: "a", JWKSURL: "https://i/keys", Algorithms: []string{"RS256"}}
		change(&c)
		return AuthConfig{JWT: c}
	}
	for name, test := range map[string]struct {
		api  APIConfig
		want string
	}{
		"nothing":                {APIConfig{}, ""},
		"tokens":                 {APIConfig{Auth: jwt(func(*JWTConfig) {})}, ""},
		"http on this machine":   {APIConfig{Auth: jwt(func(c *JWTConfig) { c.JWKSURL = "http://127.0.0.1:1/keys" })}, ""},
		"http":                   {APIConfig{Auth: jwt(func(c *JWTConfig) { c.JWKSURL = "http://i/keys" })}, "jwks_url"},
		"link-local":             {APIConfig{Auth: jwt(func(c *JWTConfig) { c.JWKSURL = "https://169.254.169.254/keys" })}, "jwks_url"},
		"no URL":                 {APIConfig{Auth: jwt(func(c *JWTConfig) { c.JWKSURL = "i" })}, "jwks_url"},
		"both":                   {APIConfig{Auth: jwt(func(c *JWTConfig) { c.JWKSFile = "f" })}, "one of jwks_url and jwks_file"},
		"no audience":            {APIConfig{Auth: jwt(func(c *JWTConfig) { c.Audience = "" })}, "audience"},
		"a secret's algorithm":   {APIConfig{Auth: jwt(func(c *JWTConfig) { c.Algorithms = []string{"HS256"} })}, "algorithms"},
		"no algorithm":           {APIConfig{Auth: jwt(func(c *JWTConfig) { c.Algorithms = nil })}, "algorithms"},
		"no issuer":              {APIConfig{Auth: jwt(func(c *JWTConfig) { c.Issuer = "" })}, "issuer"},
		"a negative rate":        {APIConfig{Rate: RateConfig{PerSecond: -1}}, "api.rate"},
		"a burst alone":          {APIConfig{Rate: RateConfig{Burst: 1}}, "api.rate"},
		"a key without its cert": {APIConfig{TLS: TLSConfig{KeyFile: "k"}}, "together"},
		"a CA for nothing":       {APIConfig{TLS: TLSConfig{ClientCAFile: "c"}}, "client_auth is none"},
		"no CA":                  {APIConfig{TLS: TLSConfig{CertFile: "c", KeyFile: "k", ClientAuth: "require"}}, "client_ca_file"},
		"an unknown word":        {APIConfig{TLS: TLSConfig{ClientAuth: "yes"}}, "none, request or require"},
	} {
		if test.api.TLS.ClientAuth == "" {
			test.api.TLS.ClientAuth = "none"
		}
		v := &faults{}
		(&Config{API: test.api}).validateAccess(v)
		err := errors.Join(v.all...)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestTheAdminPortBesideTheAPIIsAnother(t *testing.T) {
	for api, want := range map[string]bool{"127.0.0.1:8080": true, "127.0.0.1:8081": false} {
		cfg, err := loadConfig("", nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.API.Listen, cfg.Admin.Listen, cfg.Admin.BesideAPI = api, "127.0.0.1:8080", true
		v := &faults{}
		cfg.validateAPI(v)
		if err := errors.Join(v.all...); (err != nil) != want {
			t.Errorf("%s: %v", api, err)
		}
	}
}

func TestKeyCommandMakesALineThatIsTaken(t *testing.T) {
	run := func(args ...string) (string, string, error) {
		var out, shown bytes.Buffer
		c := newKeyCommand()
		c.SetArgs(args)
		c.SetOut(&out)
		c.SetErr(&shown)
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.ExecuteContext(t.Context())
		return out.String(), strings.TrimSpace(shown.String()), err
	}
	line, key, err := run("shop", "--scopes", "decide,label", "--rate", "0.5", "--burst", "3")
	if err != nil || !strings.HasSuffix(line, " decide,label rate=0.5/s burst=3\n") || strings.Contains(line, key) {
		t.Fatalf("%q, %v", line, err)
	}
	if keys, err := httpapi.ParseKeys("keys", []byte(line)); err != nil || keys.Len() != 1 {
		t.Error(err)
	}
	for _, args := range [][]string{{"shop", "--scopes", "all"}, {"sh op"}, {"shop", "--rate", "-1"}, {"shop", "--burst", "2"}} {
		if out, _, err := run(args...); !errors.Is(err, errInvalid) || out != "" {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
}
