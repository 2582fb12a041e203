package schemas

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"
)

// ErrRegistry is in every error that an outage of the schema registry causes. What waits for it may be tried again.
var ErrRegistry = errors.New("schema registry")

// Bounds on what a registry may cost.
const (
	registryTimeout   = 5 * time.Second
	unknownFor        = 10 * time.Second // an id that the registry did not know is asked for again after this long
	maxUnknown        = 4096             // unknown ids that are remembered
	maxRegistryAnswer = 4 * maxSchemaBytes
	maxReferences     = 64 // schemas that one schema is made of
)

// RegistryConfig says where the schema registry is.
type RegistryConfig struct {
	URLs           []string // one or more of one registry; the next is asked when one cannot be reached
	User, Password string
	TLS            *tls.Config
	Client         *http.Client // for transport and timeout; nil is a plain one of 5 s. Redirects are never followed.
}

// Registry reads schemas from a schema registry and keeps them: an id never changes its schema. Safe for concurrent use.
type Registry struct {
	client  *sr.Client
	lookups singleflight.Group // by id: concurrent lookups of one id are one request

	mu      sync.Mutex
	known   map[int]known     // guarded by mu :: id → its schema, for ever
	unknown map[int]time.Time // guarded by mu :: id → when it may be asked for again
}

// known is what became of a schema: ready for reading, or refused for good.
type known struct {
	typ     *avroType
	refused *Malformed
}

// NewRegistry returns a client of the registry. It does not call it.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("a schema registry needs a URL")
	}
	opts := []sr.ClientOpt{sr.URLs(cfg.URLs...), sr.HTTPClient(registryClient(cfg)), sr.UserAgent("verdict")}
	if cfg.User != "" {
		opts = append(opts, sr.BasicAuth(cfg.User, cfg.Password))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("setting up the schema registry's client: %w", err)
	}
	return &Registry{client: client, known: map[int]known{}, unknown: map[int]time.Time{}}, nil
}

// registryClient is the configured client, made to follow no redirect and to read no endless answer.
func registryClient(cfg RegistryConfig) *http.Client {
	client := &http.Client{Timeout: registryTimeout}
	if cfg.Client != nil {
		*client = *cfg.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	if plain, ok := next.(*http.Transport); ok && cfg.TLS != nil {
		plain = plain.Clone()
		plain.TLSClientConfig = cfg.TLS
		next = plain
	}
	client.Transport = limitedTransport{next: next}
	return client
}

// limitedTransport bounds every answer.
type limitedTransport struct{ next http.RoundTripper }

var errAnswerTooLarge = errors.New("the registry's answer is too large")

// RoundTrip does the call.
func (t limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxRegistryAnswer}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int
}

// Read fails when there is more than allowed.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errAnswerTooLarge
	}
	return n, err
}

// writer returns the schema of that id. A *Malformed with code schema_unknown or schema_refused says that there is none to read by; any other error
// is an outage.
func (r *Registry) writer(ctx context.Context, id int) (*avroType, error) {
	if k, ok := r.cached(id); ok {
		return k.result()
	}
	// Who asks first may give up first; the lookup goes on for the others, with a bound of its own.
	lookup := r.lookups.DoChan(strconv.Itoa(id), func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), registryTimeout)
		defer cancel()
		return r.lookup(own, id)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for schema %d: %w", id, ctx.Err())
	case done := <-lookup:
		if done.Err != nil {
			return nil, done.Err
		}
		return done.Val.(known).result() //nolint:forcetypeassert // lookup returns nothing else
	}
}

func (k known) result() (*avroType, error) {
	if k.refused != nil {
		return nil, k.refused
	}
	return k.typ, nil
}

func (r *Registry) cached(id int) (known, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[id]; ok {
		return k, true
	}
	if again, ok := r.unknown[id]; ok && time.Now().Before(again) {
		return known{refused: unknownSchema(id)}, true
	}
	return known{}, false
}

func unknownSchema(id int) *Malformed {
	return &Malformed{Code: "schema_unknown", Detail: fmt.Sprintf("the schema registry does not know schema %d", id)}
}

// lookup asks the registry and keeps its answer, unless it is an outage.
func (r *Registry) lookup(ctx context.Context, id int) (known, error) {
	if k, ok := r.cached(id); ok { // another lookup has just ended
		return k, nil
	}
	typ, err := r.fetch(ctx, id)
	var refused *Malformed
	switch {
	case isUnknown(err):
		r.keepUnknown(id)
		return known{refused: unknownSchema(id)}, nil
	case err != nil && !errors.As(err, &refused):
		return known{}, fmt.Errorf("%w: reading schema %d: %w", ErrRegistry, id, err)
	}
	k := known{typ: typ, refused: refused}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[id] = k
	delete(r.unknown, id)
	return k, nil
}

// isUnknown says whether the registry answered that it has no such schema; any other 404 is a wrong address.
func isUnknown(err error) bool {
	var answer *sr.ResponseError
	return errors.As(err, &answer) && answer.ErrorCode == sr.ErrSchemaNotFound.Code
}

func (r *Registry) keepUnknown(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unknown) >= maxUnknown {
		clear(r.unknown)
	}
	r.unknown[id] = time.Now().Add(unknownFor)
}

// fetch reads a schema and all that it refers to.
func (r *Registry) fetch(ctx context.Context, id int) (*avroType, error) {
	s, err := r.client.SchemaByID(ctx, id)
	if errors.Is(err, errAnswerTooLarge) {
		return nil, refusedSchema(id, err)
	}
	if err != nil {
		return nil, err
	}
	if s.Type != sr.TypeAvro {
		return nil, refusedSchema(id, fmt.Errorf("it is of type %v, not Avro", s.Type))
	}
	left := maxReferences
	names := newAvroNames()
	if err := r.references(ctx, s.References, names, map[sr.SchemaReference]bool{}, &left); err != nil {
		return nil, refuseParse(id, err)
	}
	t, err := parseAvro(s.Schema, names)
	if err != nil {
		return nil, refusedSchema(id, err)
	}
	if t.kind != avroRecord {
		return nil, refusedSchema(id, errors.New("it is not of a record"))
	}
	return t, nil
}

// references parses the schemas that a schema refers to, those that they refer to first. Left counts down what one schema may be made of.
func (r *Registry) references(ctx context.Context, refs []sr.SchemaReference, names *avroNames, done map[sr.SchemaReference]bool, left *int) error {
	for _, ref := range refs {
		ref.Name = "" // the same schema by another name is the same
		if done[ref] {
			continue
		}
		done[ref] = true
		if *left--; *left < 0 {
			return parseError{fmt.Errorf("it refers to more than %d schemas", maxReferences)}
		}
		s, err := r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
		if err != nil {
			return err
		}
		if err := r.references(ctx, s.References, names, done, left); err != nil {
			return err
		}
		if _, err := parseAvro(s.Schema.Schema, names); err != nil {
			return parseError{err}
		}
	}
	return nil
}

// parseError tells a referenced schema that is wrong from one that could not be read.
type parseError struct{ error }

func refuseParse(id int, err error) error {
	var wrong parseError
	if errors.As(err, &wrong) || errors.Is(err, errAnswerTooLarge) {
		return refusedSchema(id, err)
	}
	return err
}

func refusedSchema(id int, err error) *Malformed {
	return &Malformed{Code: "schema_refused", Detail: fmt.Sprintf("schema %d: %v", id, err)}
}

// register registers a schema under a subject, or finds it there, and returns its id. What the registry refuses is no outage: it is not ErrRegistry.
func (r *Registry) register(ctx context.Context, subject, text string) (int, error) {
	id, err := r.client.RegisterSchema(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeAvro}, -1, -1)
	var answer *sr.ResponseError
	switch {
	case err == nil:
		return id, nil
	case errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests:
		return 0, fmt.Errorf("the schema registry refused the subject %s (status %d): %w", subject, answer.StatusCode, err)
	default:
		return 0, fmt.Errorf("%w: registering under %s: %w", ErrRegistry, subject, err)
	}
}
