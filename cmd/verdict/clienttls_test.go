package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// TestRedisAndTheRegistryAreBelievedByTheNamedAuthorityAlone asks a Redis and a registry that show certificates and want one, as verdict.yaml says they are.
func TestRedisAndTheRegistryAreBelievedByTheNamedAuthorityAlone(t *testing.T) {
	dir, none := t.TempDir(), (*authority)(nil)
	ca, stranger := none.certificate(t, "ca", ""), none.certificate(t, "stranger", "")
	server, client := ca.certificate(t, "server", ""), ca.certificate(t, "client", "")
	for name, text := range map[string][]byte{"ca.pem": ca.pem(), "stranger.pem": stranger.pem(), "client.pem": client.pem(), "client.key": client.keyPEM(t)} {
		write(t, filepath.Join(dir, name), text)
	}
	pool, err := poolOf(ca.pem())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(server.pem(), server.keyPEM(t))
	if err != nil {
		t.Fatal(err)
	}
	wants := func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	}
	redis, err := miniredis.RunTLS(wants())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	registry := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"subject":"s","version":3,"id":1,"schema":"\"long\""}`)
	}))
	registry.TLS = wants()
	registry.StartTLS()
	t.Cleanup(registry.Close)

	ask := func(files string) (error, error) {
		file := filepath.Join(dir, "verdict.yaml")
		write(t, file, fmt.Appendf(nil, "redis: {addresses: [%q], tls: true, timeout: 10s%s}\nregistry: {urls: [%q]%s}\n", redis.Addr(), files, registry.URL, files))
		cfg, err := loadConfig(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		store := redisstore.Dial(dialConfig(&cfg.Redis))
		defer store.Close()
		r, err := schemas.NewRegistry(cfg.Registry.registry())
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = r.Latest(t.Context(), "s")
		return store.Ping(t.Context()).Err(), err
	}
	const shown = ", cert_file: client.pem, key_file: client.key"
	if store, schema := ask(", ca_file: ca.pem" + shown); store != nil || schema != nil {
		t.Errorf("as it should be: %v, %v", store, schema)
	}
	for name, files := range map[string]string{"the system's authorities": shown, "another authority": ", ca_file: stranger.pem" + shown, "no certificate of ours": ", ca_file: ca.pem"} {
		if store, schema := ask(files); store == nil || schema == nil {
			t.Errorf("%s: %v, %v", name, store, schema)
		}
	}
}

func TestFilesOfTLSThatCannotBeUsedAreRefused(t *testing.T) {
	dir, none := t.TempDir(), (*authority)(nil)
	one, two := none.certificate(t, "one", ""), none.certificate(t, "two", "")
	for name, text := range map[string][]byte{"one.pem": one.pem(), "one.key": one.keyPEM(t), "two.key": two.keyPEM(t), "text.pem": []byte("text")} {
		write(t, filepath.Join(dir, name), text)
	}
	for text, want := range map[string]string{
		"redis: {tls: true, ca_file: none.pem}":                                       "redis.ca_file: open ",
		"redis: {tls: true, ca_file: text.pem}":                                       "redis.ca_file: it holds no certificate in PEM",
		"registry: {cert_file: one.pem}":                                              "registry: cert_file and key_file are named together",
		"registry: {cert_file: one.pem, key_file: two.key}":                           "registry.cert_file and key_file: tls: private key does not match",
		"redis: {ca_file: one.pem}":                                                   "redis.ca_file, cert_file and key_file: need redis.tls: true",
		"registry: {urls: [\"http://a\"], ca_file: one.pem}":                          "and no address in registry.urls is",
		"registry: {urls: [\"https://a\", \"https://b\"], ca_file: one.pem}":          "",
		"redis: {tls: true, ca_file: one.pem, cert_file: one.pem, key_file: one.key}": "",
		"registry: {urls: [\"https://user:hunter2@a\"]}":                              `do not stand in the address "***@a"`,
		"redis: {addresses: [\"redis://:hunter2@localhost:6379\"]}":                   `redis.addresses: "***@localhost:6379" is not host:port`,
		"registry: {urls: [\"htps://user:hunter2@a\"]}":                               `registry.urls: "***@a" is not http://host`,
		"kafka: {sasl_password: [hunter2, 1]}\nredis: {password: {a: hunter2}}\n":     "redis.password",
		"kafka: {sasl_password: \"hunter2\", sasl_password_file: none}":               "reading kafka.sasl_password_file",
	} {
		file := filepath.Join(dir, "verdict.yaml")
		write(t, file, []byte(text))
		cfg, err := loadConfig(file, nil)
		if err == nil {
			err = cfg.validate()
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errInvalid)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if want == "" && (strings.Contains(err.Error(), "_file") || strings.Contains(err.Error(), "registry.")) { // other keys are missing
			t.Errorf("%s: %v", text, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells it: %v", text, err)
		}
	}
}
