package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TokenConfig says which JSON Web Tokens are taken. Issuer, Audience, Algorithms and Keys must be set.
type TokenConfig struct {
	Issuer      string   // must be the token's iss
	Audience    string   // must be in its aud
	Algorithms  []string // of signatures: asymmetric ones alone (RS256 … ES512, EdDSA), so that a public key can never be taken for a secret
	Keys        *KeySet  // whose signatures count
	ScopeClaim  string   // names with spaces between, or an array of them; unknown ones are passed over; "" is scope
	CallerClaim string   // the caller's name; "" is sub
}

// Tokens checks tokens. It is safe for concurrent use.
type Tokens struct {
	cfg        TokenConfig
	algorithms []jose.SignatureAlgorithm

	mu          sync.Mutex
	young, aged map[[sha256.Size]byte]seenToken // :: digest of a token → whose it is; guarded by mu, bounded as buckets are
}

// seenToken is a token that was good.
type seenToken struct {
	caller Caller
	until  time.Time // when it must be looked at anew
}

const (
	// tokenSeen is how long a token that was good is taken without a look at its signature: so much longer does one live whose key is withdrawn.
	tokenSeen = time.Minute
	// tokenLeeway is how much the clocks of the issuer and of this process may differ.
	tokenLeeway = 30 * time.Second
	// maxTokens bounds a generation of tokens that were good.
	maxTokens = 10_000
	// maxCallerName bounds what a token calls its caller.
	maxCallerName = 256
)

// tokenAlgorithms are the signatures that can be asked for.
func tokenAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// CheckAlgorithms refuses algorithms whose keys are secrets (HS256), none, and what is no algorithm.
func CheckAlgorithms(names []string) error {
	if len(names) == 0 {
		return errors.New("name the algorithms that signatures may have, as RS256 or ES256")
	}
	for _, name := range names {
		if !slices.Contains(tokenAlgorithms(), name) {
			return fmt.Errorf("%q is not one of %s", name, strings.Join(tokenAlgorithms(), ", "))
		}
	}
	return nil
}

// NewTokens returns what checks tokens. An error says what of the configuration is wrong.
func NewTokens(cfg TokenConfig) (*Tokens, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || cfg.Keys == nil {
		return nil, errors.New("tokens need an issuer, an audience and keys")
	}
	if err := CheckAlgorithms(cfg.Algorithms); err != nil {
		return nil, err
	}
	if cfg.ScopeClaim == "" {
		cfg.ScopeClaim = "scope"
	}
	if cfg.CallerClaim == "" {
		cfg.CallerClaim = "sub"
	}
	t := &Tokens{cfg: cfg}
	for _, name := range cfg.Algorithms {
		t.algorithms = append(t.algorithms, jose.SignatureAlgorithm(name))
	}
	return t, nil
}

// known says whose token this is when it was good a moment ago.
func (t *Tokens) known(token string, now time.Time) (Caller, bool) {
	digest := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	seen, ok := t.young[digest]
	if !ok {
		seen, ok = t.aged[digest]
	}
	return seen.caller, ok && now.Before(seen.until)
}

// verify says whose token this is. Its error is errUnknown, or errAway when the key of its signature could not be had.
func (t *Tokens) verify(ctx context.Context, token string, now time.Time) (Caller, error) {
	parsed, err := jwt.ParseSigned(token, t.algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return Caller{}, errUnknown
	}
	keys, err := t.cfg.Keys.find(ctx, parsed.Headers[0].KeyID, parsed.Headers[0].Algorithm)
	if err != nil {
		return Caller{}, err
	}
	var claims jwt.Claims
	var all map[string]any
	if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool { return parsed.Claims(key, &claims, &all) == nil }) {
		return Caller{}, errUnknown
	}
	expected := jwt.Expected{Issuer: t.cfg.Issuer, AnyAudience: jwt.Audience{t.cfg.Audience}, Time: now}
	if claims.Expiry == nil || claims.ValidateWithLeeway(expected, tokenLeeway) != nil { // without exp it would be good for ever
		return Caller{}, errUnknown
	}
	name, _ := all[t.cfg.CallerClaim].(string)
	if name == "" || len(name) > maxCallerName {
		return Caller{}, errUnknown
	}
	caller := Caller{Name: name, Scopes: scopesIn(all[t.cfg.ScopeClaim]), source: byToken}
	t.remember(token, caller, earlier(claims.Expiry.Time().Add(tokenLeeway), now.Add(tokenSeen)))
	return caller, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (t *Tokens) remember(token string, caller Caller, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.young == nil || len(t.young) >= maxTokens {
		t.young, t.aged = make(map[[sha256.Size]byte]seenToken), t.young
	}
	t.young[sha256.Sum256([]byte(token))] = seenToken{caller, until}
}

// scopesIn reads the claim of scopes; what is not a scope of this API is another's.
func scopesIn(claim any) Scope {
	var s Scope
	switch claim := claim.(type) {
	case string:
		for name := range strings.FieldsSeq(claim) {
			s |= scopeNamed(name)
		}
	case []any:
		for _, name := range claim {
			text, _ := name.(string)
			s |= scopeNamed(text)
		}
	}
	return s
}
