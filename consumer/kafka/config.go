package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kslog"
	"golang.org/x/oauth2/clientcredentials"
)

// Connection is how to reach and prove oneself to a cluster. The names are Kafka's own (bootstrap.servers, security.protocol, …) with _ for the dots.
type Connection struct {
	BootstrapServers []string `koanf:"bootstrap_servers"`
	ClientID         string   `koanf:"client_id"`   // in the brokers' logs and quotas; empty is verdict
	ClientRack       string   `koanf:"client_rack"` // fetch from a replica in this rack (KIP-392)

	// Linger is how long a record waits at the producer for others to go with it. Not at all by default, since a caller waits; from some thousands a second on, 500us can be
	// quicker, as the broker has fewer requests to serve.
	Linger time.Duration `koanf:"linger"`

	SecurityProtocol string `koanf:"security_protocol"` // PLAINTEXT (also empty), SSL, SASL_PLAINTEXT, SASL_SSL
	SSLCA            string `koanf:"ssl_ca_location"`   // PEM file; empty trusts the system's
	SSLCertificate   string `koanf:"ssl_certificate_location"`
	SSLKey           string `koanf:"ssl_key_location"`
	SSLServerName    string `koanf:"ssl_server_name"` // empty is the broker's host name

	SASLMechanism string `koanf:"sasl_mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
	SASLUsername  string `koanf:"sasl_username"`
	SASLPassword  string `koanf:"sasl_password" secret:"true"`

	OAuthTokenFile    string `koanf:"sasl_oauthbearer_token_file"` // read anew at each login, so that it can be rotated
	OAuthTokenURL     string `koanf:"sasl_oauthbearer_token_endpoint_url"`
	OAuthClientID     string `koanf:"sasl_oauthbearer_client_id"`
	OAuthClientSecret string `koanf:"sasl_oauthbearer_client_secret" secret:"true"`
	OAuthScope        string `koanf:"sasl_oauthbearer_scope"`

	Dial     func(ctx context.Context, network, address string) (net.Conn, error) `koanf:"-"` // nil dials TCP; for in-process clusters
	Registry prometheus.Registerer                                                `koanf:"-"` // nil measures nothing
	Log      *slog.Logger                                                         `koanf:"-"` // nil is silent
}

// Check says what of the connection cannot work, without making one.
func (c *Connection) Check() error {
	_, err := c.options()
	return err
}

// options returns what all clients of this connection share.
func (c *Connection) options() ([]kgo.Opt, error) {
	if len(c.BootstrapServers) == 0 {
		return nil, errors.New("kafka.bootstrap_servers is empty")
	}
	id := c.ClientID
	if id == "" {
		id = "verdict"
	}
	if c.Linger < 0 || c.Linger > time.Second {
		return nil, fmt.Errorf("kafka.linger %v is not from 0 to 1s", c.Linger)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.BootstrapServers...), kgo.ClientID(id), kgo.Rack(c.ClientRack), kgo.RetryBackoffFn(backoff),
		kgo.ProducerLinger(c.Linger), // the client's own default of 10 ms costs 6 ms at p50
		// What a leader refused (it has just moved, its replicas are not in sync) is tried again when the metadata were looked up anew. The client's default lets
		// 5 s pass between two looks, and all that time the partition stands still.
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if c.Log != nil {
		opts = append(opts, kgo.WithLogger(kslog.New(c.Log)))
	}
	if c.Registry != nil {
		opts = append(opts, kgo.WithHooks(kprom.NewMetrics("verdict_kafka", kprom.Registerer(c.Registry))))
	}
	protocol := strings.ToUpper(c.SecurityProtocol)
	switch protocol {
	case "", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL":
	default:
		return nil, fmt.Errorf("kafka.security_protocol %q is not PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", c.SecurityProtocol)
	}
	switch {
	case strings.HasSuffix(protocol, "SSL"):
		config, err := c.tls()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	case c.Dial != nil:
		opts = append(opts, kgo.Dialer(c.Dial))
	}
	if strings.HasPrefix(protocol, "SASL") {
		mechanism, err := c.sasl()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	} else if c.SASLMechanism != "" {
		return nil, fmt.Errorf("kafka.sasl_mechanism %s needs kafka.security_protocol SASL_SSL or SASL_PLAINTEXT", c.SASLMechanism)
	}
	return opts, nil
}

// once returns a client for a question or a few, for the caller to close: it has no metrics, as it is not worth a series, and gives up after patience.
func (c *Connection) once(patience time.Duration, more ...kgo.Opt) (*kgo.Client, error) {
	alone := *c
	alone.Registry = nil
	opts, err := alone.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append(opts, kgo.RetryTimeout(patience)), more...)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	return client, nil
}

// backoff is how long a request that failed waits, by how often it has: from 50 ms to 1 s. The library's own grows to 5 s, and a broker that is back
// after 10 s then waits that long for its group.
func backoff(fails int) time.Duration {
	d := min(50*time.Millisecond<<min(fails, 6), time.Second)
	return d - rand.N(d/4) //nolint:gosec // spreads load, keeps no secret
}

func (c *Connection) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.SSLServerName}
	if c.SSLCA != "" {
		pem, err := os.ReadFile(c.SSLCA)
		if err != nil {
			return nil, fmt.Errorf("reading kafka.ssl_ca_location: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.ssl_ca_location %s holds no PEM certificate", c.SSLCA)
		}
	}
	if c.SSLCertificate != "" || c.SSLKey != "" {
		pair, err := tls.LoadX509KeyPair(c.SSLCertificate, c.SSLKey)
		if err != nil {
			return nil, fmt.Errorf("reading kafka.ssl_certificate_location and ssl_key_location: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (c *Connection) sasl() (sasl.Mechanism, error) {
	mechanism := strings.ToUpper(c.SASLMechanism)
	if mechanism != "OAUTHBEARER" && (c.SASLUsername == "" || c.SASLPassword == "") {
		return nil, fmt.Errorf("kafka.sasl_mechanism %s needs kafka.sasl_username and kafka.sasl_password", c.SASLMechanism)
	}
	switch mechanism {
	case "PLAIN":
		return plain.Auth{User: c.SASLUsername, Pass: c.SASLPassword}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: c.SASLUsername, Pass: c.SASLPassword}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: c.SASLUsername, Pass: c.SASLPassword}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		return c.bearer()
	default:
		return nil, fmt.Errorf("kafka.sasl_mechanism %q is not PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", c.SASLMechanism)
	}
}

// bearer gives the token of a file, or of an OAuth endpoint by client credentials (renewed before it ends).
func (c *Connection) bearer() (sasl.Mechanism, error) {
	if c.OAuthTokenFile != "" {
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := os.ReadFile(c.OAuthTokenFile)
			if err != nil {
				return oauth.Auth{}, fmt.Errorf("reading kafka.sasl_oauthbearer_token_file: %w", err)
			}
			return oauth.Auth{Token: strings.TrimSpace(string(token))}, nil
		}), nil
	}
	if c.OAuthTokenURL == "" || c.OAuthClientID == "" {
		return nil, errors.New("kafka.sasl_mechanism OAUTHBEARER needs sasl_oauthbearer_token_file, or _token_endpoint_url and _client_id")
	}
	credentials := clientcredentials.Config{ClientID: c.OAuthClientID, ClientSecret: c.OAuthClientSecret, TokenURL: c.OAuthTokenURL}
	if c.OAuthScope != "" {
		credentials.Scopes = strings.Fields(c.OAuthScope)
	}
	source := credentials.TokenSource(context.Background())
	return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
		token, err := source.Token()
		if err != nil {
			return oauth.Auth{}, fmt.Errorf("asking kafka.sasl_oauthbearer_token_endpoint_url for a token: %w", err)
		}
		return oauth.Auth{Token: token.AccessToken}, nil
	}), nil
}

// producing returns the options of every client of ours that writes.
func producing() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), // with the idempotent producer, which is the default
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		// By default a record is tried for ever. A step that fails is done again anyway, and has said so by then.
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(partitioner)),
	}
}

// partitioner sends a record where it says, if there is such a partition, else where its key says (Kafka's murmur2, so that other clients agree).
func partitioner(topic string) func(*kgo.Record, int) int {
	byKey := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	return func(r *kgo.Record, n int) int {
		if r.Partition >= 0 && int(r.Partition) < n {
			return int(r.Partition)
		}
		return byKey.Partition(r, n)
	}
}
