package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/schemas"
	"verdict/schemas/strictyaml"
)

// Config is verdict.yaml, and this struct is its manual. Every key may also be set in the environment: kafka.bootstrap_servers is
// VERDICT_KAFKA_BOOTSTRAP_SERVERS (lists with commas), which wins over the file. A key marked secret may be given as KEY_file instead, the path of a file
// that holds it. File paths are relative to verdict.yaml. Durations are 500ms, 10s, 5m, 1h, 7d, 2w, or 0. An unknown key is an error.
type Config struct {
	Features string `koanf:"features"` // the feature set (YAML)
	Model    string `koanf:"model"`    // the champion's bundle (a folder)
	Policy   string `koanf:"policy"`   // the policy (YAML)
	// Routing says which other bundles decide some of the orders, and which challenge the champion. It is keys and values here, or the path of a file of its
	// own (docs/models.md has the keys):
	//
	//	routing:
	//	  champions: [{when: 'market == "DE"', model: models/card-de/3}]   # first match wins; `model` decides the rest
	//	  challengers: [{model: models/card/2, share: 0.1, of: customer}]
	//
	// Model, policy and routing, and all files that they name, are loaded anew when they change; everything else here counts from the next start on.
	Routing string `koanf:"routing"`

	// Delivery is at_least_once, or exactly_once: then what a step publishes and the offsets of its orders are one Kafka transaction, so that who reads decisions
	// with isolation.level read_committed finds exactly one record for each order's record. It needs Kafka 2.5, and 4.0 with transaction.version 2 for the full
	// defence; docs/reliability.md says what it costs. Everybody else can go by order_id and verdict.source: a copy is equal to the byte.
	Delivery string `koanf:"delivery"`

	Orders   OrdersConfig   `koanf:"orders"`
	Events   EventsConfig   `koanf:"events"`
	Kafka    KafkaConfig    `koanf:"kafka"`
	Registry RegistryConfig `koanf:"registry"`
	Redis    RedisConfig    `koanf:"redis"`
	State    StateConfig    `koanf:"state"`
	Reload   ReloadConfig   `koanf:"reload"`
	Lanes    LanesConfig    `koanf:"lanes"`
	API      APIConfig      `koanf:"api"`
	Sync     SyncConfig     `koanf:"sync"`
	Admin    AdminConfig    `koanf:"admin"`
	Log      LogConfig      `koanf:"log"`
}

// OrdersConfig says what an order looks like.
type OrdersConfig struct {
	Schema   string `koanf:"schema"`    // .avsc or JSON Schema of the orders; empty is verdict's own order.avsc; "any" takes every JSON object
	MaxBytes int    `koanf:"max_bytes"` // largest order, in bytes
	Key      string `koanf:"key"`       // field that orders sent by the API are keyed by; empty is the first field of the feature set's first entity
}

// EventsConfig says how far an order's event time may lie from its record's time, which is the producer's (or the broker's, on a topic of LogAppendTime). An
// order that lies further off is a dead letter, timestamp_range, and 422 on the API.
type EventsConfig struct {
	MaxAge time.Duration `koanf:"max_age"` // before the record's time; 0 is no limit, since a history that is produced today is old
	// MaxAhead is after the record's time; 0 is no limit. The default passes local times that were written as UTC (up to 14 h ahead), and clocks that differ.
	// Keep it below state.lateness: the newest order of an entity says which points are old enough to be dropped, so one of next year would empty its windows.
	MaxAhead time.Duration `koanf:"max_ahead"`
}

// times returns the limits as the worker takes them.
func (c EventsConfig) times() consumer.EventTimes {
	return consumer.EventTimes{MaxAge: c.MaxAge, MaxAhead: c.MaxAhead}
}

// KafkaConfig is the connection (its keys are Kafka's own names, see kafka.Connection) and what verdict does with it.
type KafkaConfig struct {
	kafka.Connection `koanf:",squash"`

	Topics          kafka.Topics  `koanf:"topics"`
	Group           string        `koanf:"group_id"`           // consumer group; the sync lane's is this + ".sync"
	GroupInstanceID string        `koanf:"group_instance_id"`  // static membership: a restart keeps its partitions. Must differ between processes
	TransactionalID string        `koanf:"transactional_id"`   // of delivery: exactly_once; each lane adds its name. Must differ between processes. Empty is group_id and group_instance_id, or something random without one
	SessionTimeout  time.Duration `koanf:"session_timeout"`    // how long a silent member keeps its partitions
	MaxPollRecords  int           `koanf:"max_poll_records"`   // records a step
	CommitInterval  time.Duration `koanf:"commit_interval"`    // how often offsets of finished steps are sent
	CreateTopics    bool          `koanf:"create_topics"`      // create missing topics on start; existing ones are never altered
	Partitions      int32         `koanf:"partitions"`         // of topics that are created
	ReplyPartitions int32         `koanf:"reply_partitions"`   // of topics.replies when it is created: each process with the API reads one of its own while there are enough
	Replication     int16         `koanf:"replication_factor"` // of topics that are created; 0 is the broker's default
	ReplyTopics     []string      `koanf:"reply_topics"`       // more topics that a client may ask its reply on, beside topics.replies
}

// RegistryConfig is the schema registry; without urls, orders are JSON.
type RegistryConfig struct {
	ClientTLS `koanf:",squash"` // of https://

	URLs     []string `koanf:"urls"`
	User     string   `koanf:"user"`
	Password string   `koanf:"password" secret:"true"`

	Client *http.Client `koanf:"-"` // nil is a plain one; for a network in memory
}

// RedisConfig is where state and first decisions are kept.
type RedisConfig struct {
	ClientTLS `koanf:",squash"` // of tls: true

	Addresses []string      `koanf:"addresses"` // host:port; several are a cluster
	Username  string        `koanf:"username"`
	Password  string        `koanf:"password" secret:"true"`
	DB        int           `koanf:"db"`
	TLS       bool          `koanf:"tls"`
	Prefix    string        `koanf:"prefix"`  // of every key
	Timeout   time.Duration `koanf:"timeout"` // of one reply; a poll's pipeline is given more
	// OnLoss says what becomes of orders while Redis lacks something that it had (it was emptied, or a failover lost the last of it), until it is filled again from the
	// topics: flag decides them by what is there (degraded: features_stale; never approved), wait lets them wait.
	OnLoss string `koanf:"on_loss"`

	Dial func(ctx context.Context, network, address string) (net.Conn, error) `koanf:"-"` // nil dials TCP; for a network in memory
}

// StateConfig says how long what is kept.
type StateConfig struct {
	Store     string        `koanf:"store"`     // redis, or memory: one process, nothing survives it
	Lateness  time.Duration `koanf:"lateness"`  // an order that is later than this may miss some of its windows
	Decisions time.Duration `koanf:"decisions"` // an order id that comes again within this gets its first decision; GET /v1/decisions finds it
}

// LanesConfig says what the lane of orders and labels gives up while orders of waiting callers come in (and for a second after the last of them).
type LanesConfig struct {
	AsyncShare float64 `koanf:"async_share"` // of its time that it works then; above 0, so that it never stands still. 1 gives nothing up
	AsyncBatch int     `koanf:"async_batch"` // records a step then; kafka.max_poll_records otherwise
}

// APIConfig is the synchronous JSON API.
type APIConfig struct {
	Listen         string        `koanf:"listen"`
	Grace          time.Duration `koanf:"grace"`           // how long a process that stops still takes requests after /readyz has said no: what a load balancer needs to see it
	Wait           time.Duration `koanf:"wait"`            // a caller without Prefer: wait gets 202 after this
	MaxWait        time.Duration `koanf:"max_wait"`        // the longest that a caller may prefer
	MaxWaiting     int           `koanf:"max_waiting"`     // callers at once; more are refused with 503
	MaxBatch       int           `koanf:"max_batch"`       // orders in one batch
	MaxBatchBytes  int           `koanf:"max_batch_bytes"` // of a batch's body; each of its orders may have orders.max_bytes
	MaxQueue       time.Duration `koanf:"max_queue"`       // an order is refused with 503 when its decision is expected to take longer than this, or than half of what its caller waits
	MaxConnections int           `koanf:"max_connections"` // at once; on more, all but probes and metrics is refused
	ReplyPartition int32         `koanf:"reply_partition"` // of topics.replies; -1 takes one that no other process reads, else the least shared (sharing is safe, only wasteful)

	Auth AuthConfig `koanf:"auth"`
	Rate RateConfig `koanf:"rate"`
	TLS  TLSConfig  `koanf:"tls"`
}

// AuthConfig says who may call the API. Without any of it everyone may who reaches the address. docs/api.md has the whole of it.
type AuthConfig struct {
	// KeysFile has a line for each API key and each client certificate, with a name, scopes and a rate; `verdict key` writes such lines. It is loaded anew when
	// it changes, as the files of api.tls and api.auth.jwt.jwks_file are.
	KeysFile string    `koanf:"keys_file"`
	JWT      JWTConfig `koanf:"jwt"`
}

// JWTConfig says which JSON Web Tokens are taken; without an issuer none is.
type JWTConfig struct {
	Issuer      string   `koanf:"issuer"`       // the token's iss
	Audience    string   `koanf:"audience"`     // must be in its aud
	JWKSURL     string   `koanf:"jwks_url"`     // where the issuer's keys are: https, or http on this machine; no redirect is followed
	JWKSFile    string   `koanf:"jwks_file"`    // or a file that holds them
	Algorithms  []string `koanf:"algorithms"`   // of signatures: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA
	ScopeClaim  string   `koanf:"scope_claim"`  // decide, read, preview, label, admin, as a text with spaces or an array
	CallerClaim string   `koanf:"caller_claim"` // the name that rates are kept by
}

// RateConfig is how often one caller may call: who has said who he is, else one address (of IPv6 a /64). A keys file may say another rate for a name.
type RateConfig struct {
	PerSecond float64 `koanf:"per_second"` // 0 is no limit
	Burst     int     `koanf:"burst"`      // calls at once; 0 is per_second rounded up
}

// TLSConfig is the API's own TLS (1.2 and above); without a cert_file it speaks plain HTTP, as behind a proxy.
type TLSConfig struct {
	CertFile     string `koanf:"cert_file"`      // PEM, with the chain
	KeyFile      string `koanf:"key_file"`       // PEM
	ClientCAFile string `koanf:"client_ca_file"` // PEM: who signs client certificates
	ClientAuth   string `koanf:"client_auth"`    // none, request (who shows a certificate shows a good one), require
}

// SyncConfig maps JSON APIs that callers use already onto this one.
type SyncConfig struct {
	// Routes are a list here, or the path of a file that is that list (docs/api.md has the keys):
	//
	//	sync:
	//	  routes: [{path: /fraud/check, order: body.transaction, answer: {body: '{"result": action == "reject" ? "DENY" : "OK"}'}}]
	Routes string `koanf:"routes"`
}

// AdminConfig is the port of /livez, /readyz and /metrics of a process without the API.
type AdminConfig struct {
	Listen    string        `koanf:"listen"`
	BesideAPI bool          `koanf:"beside_api"` // also of a process with the API, which then shows no /metrics: for probes and scrapes that have no key or certificate
	Stalled   time.Duration `koanf:"stalled"`    // /livez, of a process with the API too, says no once a lane has made no progress for so long. A lane that waits for an outage tries, and that is progress
}

// LogConfig is the log, on stderr.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// ReloadConfig says how changed files are found. SIGHUP loads them at once.
type ReloadConfig struct {
	Interval time.Duration `koanf:"interval"` // between looks at the files; what has changed is loaded at the second look that finds it alike. 0 looks never
}

// defaultConfig returns the values of keys that are not set.
func defaultConfig() Config {
	return Config{
		Delivery: deliverAtLeastOnce,

		Orders: OrdersConfig{MaxBytes: 64 << 10},
		Events: EventsConfig{MaxAhead: 24 * time.Hour},
		Kafka: KafkaConfig{
			Topics: kafka.Topics{Orders: "orders", Sync: "orders.sync", Labels: "labels", Decisions: "decisions", Replies: "replies", DeadLetters: "orders.dlq"},
			Group:  "verdict", SessionTimeout: 10 * time.Second, MaxPollRecords: 500, CommitInterval: 100 * time.Millisecond, CreateTopics: true, Partitions: 4, ReplyPartitions: 16,
		},
		Redis:  RedisConfig{Prefix: "verdict:", Timeout: 50 * time.Millisecond, OnLoss: onLossFlag},
		State:  StateConfig{Store: "redis", Lateness: 7 * 24 * time.Hour, Decisions: 30 * 24 * time.Hour},
		Reload: ReloadConfig{Interval: 2 * time.Second},
		Lanes:  LanesConfig{AsyncShare: 0.1, AsyncBatch: 25},
		API: APIConfig{
			Listen: ":8080", Grace: 500 * time.Millisecond, Wait: 500 * time.Millisecond, MaxWait: 10 * time.Second, MaxWaiting: 10_000, MaxQueue: time.Second, MaxConnections: 4096, MaxBatch: 500, MaxBatchBytes: 4 << 20, ReplyPartition: -1,
			Auth: AuthConfig{JWT: JWTConfig{ScopeClaim: "scope", CallerClaim: "sub"}}, TLS: TLSConfig{ClientAuth: "none"},
		},
		Admin: AdminConfig{Listen: ":9464", Stalled: 5 * time.Minute},
		Log:   LogConfig{Level: "info", Format: "text"},
	}
}

// loadConfig reads file (an empty name: the environment alone) over the defaults. Its errors name file, line and the nearest right key; with them comes what could
// be read, so that check can go on. What the values are worth is for validate to say.
func loadConfig(file string, environ []string) (Config, error) {
	keys, secrets := configKeys(reflect.TypeFor[Config](), "")
	k := koanf.New(".")
	var bad error
	if file != "" {
		text, err := strictyaml.Read(file)
		if err != nil {
			return Config{}, fmt.Errorf("reading the config: %w: %w", errInvalid, err)
		}
		values, err := configFile(file, text, keys)
		if err != nil {
			bad = fmt.Errorf("%w: %w", errInvalid, err)
		}
		if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
			return Config{}, fmt.Errorf("reading %s: %w: %w", file, errInvalid, err)
		}
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: envKey(keys), EnvironFunc: func() []string { return environ }}), nil); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w: %w", errInvalid, err)
	}
	for _, key := range secrets {
		if err := secretFile(k, file, key); err != nil {
			return Config{}, err
		}
	}
	cfg := defaultConfig()
	err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &cfg, TagName: "koanf", WeaklyTypedInput: true, Squash: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(durationHook, wholeHook, mapstructure.StringToSliceHookFunc(",")),
	}})
	if err != nil {
		bad = errors.Join(bad, fmt.Errorf("reading the config: %w: %w", errInvalid, err))
	}
	if cfg.Routing == inlineRouting {
		cfg.Routing = filepath.Base(file) + inlineRouting
	}
	if cfg.Sync.Routes == inlineRoutes {
		cfg.Sync.Routes = filepath.Base(file) + inlineRoutes
	}
	for _, path := range []*string{
		&cfg.Features, &cfg.Model, &cfg.Policy, &cfg.Routing, &cfg.Sync.Routes, &cfg.Orders.Schema,
		&cfg.Redis.CAFile, &cfg.Redis.CertFile, &cfg.Redis.KeyFile, &cfg.Registry.CAFile, &cfg.Registry.CertFile, &cfg.Registry.KeyFile,
		&cfg.API.Auth.KeysFile, &cfg.API.Auth.JWT.JWKSFile, &cfg.API.TLS.CertFile, &cfg.API.TLS.KeyFile, &cfg.API.TLS.ClientCAFile,
	} {
		if *path != "" && *path != anySchema && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(file), *path)
		}
	}
	for section, files := range map[string]*ClientTLS{"redis": &cfg.Redis.ClientTLS, "registry": &cfg.Registry.ClientTLS} {
		if err := files.read(section); err != nil {
			bad = errors.Join(bad, fmt.Errorf("reading the config: %w: %w", errInvalid, err))
		}
	}
	return cfg, bad
}

const (
	envPrefix = "VERDICT_"
	anySchema = "any"

	routingKey    = "routing"
	inlineRouting = "#" + routingKey // ends the path of a routing that stands in verdict.yaml

	routesKey    = "sync.routes"
	inlineRoutes = "#" + routesKey // the same of routes
)

// configKeys returns the dotted keys of a config struct, and those of them that are secrets.
func configKeys(t reflect.Type, prefix string) (keys, secrets []string) {
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		switch {
		case tag == "-":
		case f.Anonymous:
			k, s := configKeys(f.Type, prefix)
			keys, secrets = append(keys, k...), append(secrets, s...)
		case f.Type.Kind() == reflect.Struct:
			k, s := configKeys(f.Type, prefix+tag+".")
			keys, secrets = append(keys, k...), append(secrets, s...)
		default:
			keys = append(keys, prefix+tag)
			if f.Tag.Get("secret") != "" {
				keys, secrets = append(keys, prefix+tag+"_file"), append(secrets, prefix+tag)
			}
		}
	}
	return keys, secrets
}

// configFile reads verdict.yaml into a flat map, and refuses unknown and double keys with their lines.
func configFile(file string, text []byte, keys []string) (map[string]any, error) {
	d := &strictyaml.Document{File: file}
	values := make(map[string]any)
	durations := durationKeys(reflect.TypeFor[Config](), "")
	var walk func(n *yaml.Node, section string)
	walk = func(n *yaml.Node, section string) {
		for _, e := range d.Entries(n, section) {
			key := strings.TrimPrefix(section+"."+e.Name, ".")
			_, twice := values[key]
			switch kind := keyKind(key, keys); {
			case kind == "":
				d.Fault(e.Key, "unknown key %s%s", key, schemas.Meant(key, keys))
			case key == routingKey && e.Value.Kind == yaml.MappingNode:
				values[key] = inlineRouting // read where it stands, by scorer.LoadRouting
			case key == routesKey && e.Value.Kind == yaml.SequenceNode:
				values[key] = inlineRoutes // read where it stands, by httpapi.LoadLegacy
			case kind == "section" && e.Value.Kind != yaml.MappingNode: // what stands there may be an address with its password
				d.Fault(e.Value, "%s must be keys and values", key)
			case kind == "section":
				walk(e.Value, key)
			case twice: // as a.b and as b below a
				d.Fault(e.Key, "%s stands twice", key)
			default:
				var v any
				if err := e.Value.Decode(&v); err != nil {
					d.Fault(e.Value, "%s: %v", key, err)
				} else if _, err := parseDuration(v); durations[key] && v != nil && err != nil {
					d.Fault(e.Value, "%s: %v", key, err)
					v = nil
				}
				values[key] = v
			}
		}
	}
	if root := d.Root(text); root != nil {
		walk(root, "")
	}
	return values, d.Err()
}

// keyKind says whether key is a key, a section of keys, or neither.
func keyKind(key string, keys []string) string {
	for _, k := range keys {
		if k == key {
			return "key"
		}
		if strings.HasPrefix(k, key+".") {
			return "section"
		}
	}
	return ""
}

// envKey maps VERDICT_KAFKA_GROUP_ID to kafka.group_id. Variables that name no key are passed over, as a cluster sets some by itself
// (VERDICT_SERVICE_HOST for a service called verdict).
func envKey(keys []string) func(string, string) (string, any) {
	byEnv := make(map[string]string, len(keys)) // :: variable without prefix → key
	for _, k := range keys {
		byEnv[strings.ToUpper(strings.ReplaceAll(k, ".", "_"))] = k
	}
	return func(name, value string) (string, any) {
		if value == "" { // a variable that is empty is as good as none
			return "", nil
		}
		return byEnv[strings.TrimPrefix(name, envPrefix)], value
	}
}

// secretFile puts the content of the file that KEY_file names in the place of KEY.
func secretFile(k *koanf.Koanf, config, key string) error {
	path := k.String(key + "_file")
	if path == "" {
		return nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(config), path)
	}
	secret, err := readAtMost(path, maxSecretFile)
	if err != nil {
		return fmt.Errorf("reading %s_file: %w: %w", key, errInvalid, err)
	}
	if err := k.Set(key, strings.TrimRight(string(secret), "\r\n")); err != nil {
		return fmt.Errorf("setting %s: %w", key, err)
	}
	k.Delete(key + "_file")
	return nil
}

// configFileOr returns the file that was named, else ./verdict.yaml if there is one, else none.
func configFileOr(named string) string {
	if named != "" {
		return named
	}
	if _, err := os.Stat("verdict.yaml"); err != nil {
		return ""
	}
	return "verdict.yaml"
}
