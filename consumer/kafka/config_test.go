package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer/kafka"
)

func TestConnectionFaultsAreNamedByTheirKeys(t *testing.T) {
	for _, test := range []struct {
		name string
		conn kafka.Connection
		want string
	}{
		{"no servers", kafka.Connection{}, "bootstrap_servers is empty"},
		{"protocol", kafka.Connection{SecurityProtocol: "TLS"}, `security_protocol "TLS" is not PLAINTEXT, SSL`},
		{"mechanism without protocol", kafka.Connection{SASLMechanism: "PLAIN"}, "needs kafka.security_protocol SASL_SSL"},
		{"mechanism", kafka.Connection{SecurityProtocol: "SASL_PLAINTEXT", SASLMechanism: "GSSAPI", SASLUsername: "u", SASLPassword: "p"}, `sasl_mechanism "GSSAPI" is not PLAIN`},
		{"no password", kafka.Connection{SecurityProtocol: "SASL_SSL", SASLMechanism: "PLAIN", SASLUsername: "u"}, "needs kafka.sasl_username and kafka.sasl_password"},
		{"linger", kafka.Connection{Linger: 2 * time.Second}, "kafka.linger 2s is not from 0 to 1s"},
		{"no token", kafka.Connection{SecurityProtocol: "SASL_PLAINTEXT", SASLMechanism: "OAUTHBEARER"}, "needs sasl_oauthbearer_token_file"},
		{"no CA file", kafka.Connection{SecurityProtocol: "SSL", SSLCA: "nowhere.pem"}, "reading kafka.ssl_ca_location"},
		{"no key file", kafka.Connection{SecurityProtocol: "SSL", SSLCertificate: "nowhere.pem"}, "reading kafka.ssl_certificate_location"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name != "no servers" {
				test.conn.BootstrapServers = []string{"127.0.0.1:1"}
			}
			_, err := kafka.NewTransport(kafka.TransportConfig{Connection: test.conn})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want …%s…", err, test.want)
			}
			if err != nil && test.conn.SASLPassword != "" && strings.Contains(err.Error(), test.conn.SASLPassword+" ") {
				t.Fatal("the error tells the password")
			}
		})
	}
}

// ping makes a client of conn and asks the cluster for a sign of life.
func ping(t *testing.T, conn kafka.Connection) error {
	t.Helper()
	tr, err := kafka.NewTransport(kafka.TransportConfig{Connection: conn, Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	defer func() { _ = tr.Close(ctx) }()
	return tr.Ping(ctx)
}

func cluster(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func TestPasswordLoginsAreTakenAndWrongOnesRefused(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			conn := kafka.Connection{
				BootstrapServers: cluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "shop", "right")),
				SecurityProtocol: "SASL_PLAINTEXT", SASLMechanism: mechanism, SASLUsername: "shop", SASLPassword: "right",
			}
			if err := ping(t, conn); err != nil {
				t.Fatalf("the right password: %v", err)
			}
			conn.SASLPassword = "wrong"
			if ping(t, conn) == nil {
				t.Fatal("a wrong password was taken")
			}
		})
	}
}

func TestTLSTrustsOnlyTheConfiguredCA(t *testing.T) {
	certificate, authority := selfSigned(t)
	conn := kafka.Connection{
		BootstrapServers: cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})),
		SecurityProtocol: "SSL", SSLCA: authority,
	}
	if err := ping(t, conn); err != nil {
		t.Fatalf("with the cluster's CA: %v", err)
	}
	conn.SSLCA = ""
	if ping(t, conn) == nil {
		t.Fatal("a certificate of an unknown CA was trusted")
	}
}

func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// bearerCluster is an in-process Kafka whose logins by OAUTHBEARER are taken here, as kfake knows none: it tells what was sent.
func bearerCluster(t *testing.T) (addresses []string, logins chan string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	logins = make(chan string, 10)
	c.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return req.ResponseKind(), nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		logins <- string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		return req.ResponseKind(), nil, true
	})
	return c.ListenAddrs(), logins
}

func TestOAuthBearerSendsTheTokenOfTheEndpoint(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("scope") != "kafka" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"token-of-endpoint","token_type":"bearer","expires_in":300}`))
	}))
	defer endpoint.Close()
	addresses, logins := bearerCluster(t)
	conn := kafka.Connection{
		BootstrapServers: addresses, SecurityProtocol: "SASL_PLAINTEXT", SASLMechanism: "OAUTHBEARER",
		OAuthTokenURL: endpoint.URL, OAuthClientID: "verdict", OAuthClientSecret: "s", OAuthScope: "kafka",
	}
	_ = ping(t, conn) // what follows the login is refused: kfake knows nothing of it
	wantLogin(t, logins, "auth=Bearer token-of-endpoint")
}

func TestOAuthBearerReadsTheTokenFileAtEachLogin(t *testing.T) {
	addresses, logins := bearerCluster(t)
	file := filepath.Join(t.TempDir(), "token")
	conn := kafka.Connection{BootstrapServers: addresses, SecurityProtocol: "SASL_PLAINTEXT", SASLMechanism: "OAUTHBEARER", OAuthTokenFile: file}
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = ping(t, conn)
		wantLogin(t, logins, "auth=Bearer "+token+"\x01")
	}
}

func wantLogin(t *testing.T, logins <-chan string, want string) {
	t.Helper()
	for {
		select {
		case got := <-logins:
			if strings.Contains(got, want) {
				return
			}
		default:
			t.Fatalf("no login with %q", want)
		}
	}
}
