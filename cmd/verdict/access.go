package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"verdict/sync/httpapi"
)

// access is who may call the API and how: the files that say so, and what is at work of them.
type access struct {
	httpapi.Access

	keys  *httpapi.KeySet // of tokens; nil: no tokens are taken
	tls   *certificates   // nil: plain HTTP
	files []*watched
	stale atomic.Int32 // how many of files were refused when last looked at
	log   *slog.Logger
}

// watched is files that are loaded anew together when one of them changes.
type watched struct {
	what  string // in the log
	names []string
	load  func() error

	seen, tried string // what the files were at the last look, and when they were last loaded
	refused     bool
}

// loadAccess reads every file of access; what they hold is wrong where errInvalid is in the error.
func loadAccess(cfg *APIConfig, log *slog.Logger) (*access, error) {
	a := &access{log: log}
	a.Rate = httpapi.Rate{PerSecond: cfg.Rate.PerSecond, Burst: cfg.Rate.Burst}
	a.Stale = func() int { return int(a.stale.Load()) }
	var faults []error
	if file := cfg.Auth.KeysFile; file != "" {
		a.Keys = httpapi.NewKeyRing(&httpapi.Keys{})
		faults = append(faults, a.add("keys", func() error { return loadKeys(a.Keys, file) }, file))
	}
	if cfg.Auth.JWT.Issuer != "" {
		faults = append(faults, a.addTokens(&cfg.Auth.JWT))
	}
	if cfg.TLS.CertFile != "" {
		a.tls = &certificates{cfg: cfg.TLS}
		faults = append(faults, a.add("certificates", a.tls.load, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.ClientCAFile))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return a, nil
}

// add loads files and has them watched.
func (a *access) add(what string, load func() error, names ...string) error {
	w := &watched{what: what, names: names, load: load}
	w.seen = w.look() // before they are read: what changes meanwhile is seen as a change
	w.tried = w.seen
	a.files = append(a.files, w)
	return load()
}

func (a *access) addTokens(cfg *JWTConfig) error {
	keys := httpapi.KeySetConfig{Log: a.log}
	if cfg.JWKSURL != "" {
		keys.Fetch = fetchFrom(cfg.JWKSURL)
	}
	a.keys = httpapi.NewKeySet(keys)
	var err error
	a.Tokens, err = httpapi.NewTokens(httpapi.TokenConfig{
		Issuer: cfg.Issuer, Audience: cfg.Audience, Algorithms: cfg.Algorithms, Keys: a.keys, ScopeClaim: cfg.ScopeClaim, CallerClaim: cfg.CallerClaim,
	})
	if err != nil {
		return fmt.Errorf("api.auth.jwt: %w", err)
	}
	if cfg.JWKSFile != "" {
		return a.add("token keys", func() error { return loadKeySet(a.keys, cfg.JWKSFile) }, cfg.JWKSFile)
	}
	return nil
}

func loadKeys(ring *httpapi.KeyRing, file string) error {
	text, err := readAtMost(file, maxKeysFile)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	keys, err := httpapi.ParseKeys(file, text)
	if err != nil {
		return err
	}
	ring.Replace(keys)
	return nil
}

func loadKeySet(set *httpapi.KeySet, file string) error {
	text, err := readAtMost(file, maxKeySet)
	if err != nil {
		return fmt.Errorf("reading the keys of tokens: %w", err)
	}
	if err := set.Replace(text); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// parts says what there is, a line each.
func (a *access) parts() []string {
	var all []string
	for _, w := range a.files {
		all = append(all, w.what+" "+w.names[0])
	}
	if a.Tokens != nil {
		all = append(all, "tokens are taken")
	}
	return all
}

// serve serves as the files say. A process without an API has no access, and its admin port plain HTTP.
func (a *access) serve(server *http.Server, listener net.Listener) error {
	if a == nil || a.tls == nil {
		return server.Serve(listener)
	}
	server.TLSConfig = a.tls.config()
	server.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelDebug) // failed handshakes, which scanners make by the thousand
	return server.ServeTLS(listener, "", "")
}

// tellOpen says that the API is open to whoever reaches it, where that is not this machine alone.
func (a *access) tellOpen(address string) {
	if a == nil || a.Keys != nil || a.Tokens != nil {
		return
	}
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		a.log.Warn("whoever reaches the API may call it: api.auth says who may", "address", address)
	}
}

// watches says whether there are files to load anew.
func (a *access) watches() bool { return a != nil && len(a.files) > 0 }

// watch keeps what is at work as the files and the issuer have it, until ctx ends. SIGHUP loads the files whatever they look like.
func (a *access) watch(ctx context.Context, interval time.Duration) {
	if a != nil && a.keys != nil {
		go a.keys.Run(ctx)
	}
	if !a.watches() {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	a.look(ctx, interval, asked)
}

// look looks at the files each interval, and loads them when asked, until ctx ends.
func (a *access) look(ctx context.Context, interval time.Duration, asked chan os.Signal) {
	go func() {
		defer signal.Stop(asked)
		watchFiles(ctx, interval, asked, func() { a.poll(true) }, func() { a.poll(false) })
	}()
}

// poll loads the files that are others than before and were so already at the last look, or all when it must.
func (a *access) poll(must bool) {
	stale := int32(0)
	for _, w := range a.files {
		now := w.look()
		settled := now == w.seen && now != w.tried
		w.seen = now
		if must || settled {
			a.reload(w)
		}
		if w.refused {
			stale++
		}
	}
	a.stale.Store(stale)
}

func (a *access) reload(w *watched) {
	w.tried = w.seen
	err := w.load()
	w.refused = err != nil
	if err != nil {
		a.log.Error("reload refused: what was at work stays", "of", w.what, "error", err)
		return
	}
	a.log.Info("reloaded", "of", w.what)
}

// look returns a text that is another one when the files are.
func (w *watched) look() string {
	var all []string
	for _, name := range w.names {
		if name != "" {
			all = append(all, stamp(name))
		}
	}
	return strings.Join(all, "\n")
}

// maxKeySet bounds the answer of an issuer.
const maxKeySet = 1 << 20

// fetchFrom returns what gets the keys of tokens. It follows no redirect and goes to no link-local address, where clouds tell their secrets.
func fetchFrom(address string) func(context.Context) ([]byte, error) {
	dialer := &net.Dialer{Timeout: 2 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err != nil || at.Addr().Unmap().IsLinkLocalUnicast() {
			return errors.New("the address is link-local")
		}
		return nil
	}}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 2 * time.Second,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, fmt.Errorf("asking for the keys of tokens: %w", err)
		}
		request.Header.Set("Accept", "application/jwk-set+json, application/json")
		answer, err := client.Do(request)
		if err != nil {
			return nil, fmt.Errorf("asking for the keys of tokens: %w", err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("asking for the keys of tokens: the answer is %s", answer.Status)
		}
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxKeySet+1))
		if err == nil && len(text) > maxKeySet {
			err = fmt.Errorf("more than %d bytes", maxKeySet)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the keys of tokens: %w", err)
		}
		return text, nil
	}
}

// validateAccess says what is wrong with api.auth, api.rate and api.tls.
func (c *Config) validateAccess(v *faults) {
	if err := (httpapi.Rate{PerSecond: c.API.Rate.PerSecond, Burst: c.API.Rate.Burst}).Check(); err != nil {
		v.must(false, "api.rate: %w", err)
	}
	t := &c.API.TLS
	v.must((t.CertFile == "") == (t.KeyFile == ""), "api.tls: cert_file and key_file are named together or not at all")
	v.must(t.ClientAuth == "none" || t.ClientAuth == "request" || t.ClientAuth == "require", "api.tls.client_auth: %q is not none, request or require", t.ClientAuth)
	v.must(t.ClientAuth == "none" || (t.CertFile != "" && t.ClientCAFile != ""), "api.tls.client_auth: %s needs cert_file, key_file and client_ca_file", t.ClientAuth)
	v.must(t.ClientAuth != "none" || t.ClientCAFile == "", "api.tls.client_ca_file: nobody is asked for a certificate while client_auth is none")
	j := &c.API.Auth.JWT
	if j.Issuer == "" {
		v.must(j.Audience+j.JWKSURL+j.JWKSFile == "" && len(j.Algorithms) == 0, "api.auth.jwt.issuer: is empty, and without it no token is taken")
		return
	}
	v.must(j.Audience != "", "api.auth.jwt.audience: is empty: a token for another service would be taken")
	v.must((j.JWKSURL == "") != (j.JWKSFile == ""), "api.auth.jwt: name one of jwks_url and jwks_file")
	v.must(j.JWKSURL == "" || keysMayComeFrom(j.JWKSURL), "api.auth.jwt.jwks_url: must be https://…, or http:// on this machine, and not link-local: who can change the keys on their way can make tokens")
	if err := httpapi.CheckAlgorithms(j.Algorithms); err != nil {
		v.must(false, "api.auth.jwt.algorithms: %w", err)
	}
}

// keysMayComeFrom says whether nobody on the way can change what an address answers.
func keysMayComeFrom(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err == nil && ip.Unmap().IsLinkLocalUnicast() {
		return false // no issuer is there, but clouds' metadata, which are not to be asked for
	}
	local := u.Hostname() == "localhost" || (err == nil && ip.IsLoopback())
	return u.Scheme == "https" || (u.Scheme == "http" && local)
}
