package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// KeySetConfig says where the keys of token signatures come from. Fetch or Keys must be set.
type KeySetConfig struct {
	Fetch func(context.Context) ([]byte, error) // returns a JSON Web Key Set; nil: there is none to fetch, and Replace changes the keys
	Log   *slog.Logger                          // tells when the keys cannot be fetched and when they can again; nil: slog.Default()
}

// KeySet is the issuer's public keys. A set that is fetched is fetched anew every few minutes while Run runs, and when a token names a key that is not in
// it; while it cannot be had, the keys that are known go on. It is safe for concurrent use.
type KeySet struct {
	cfg     KeySetConfig
	keys    atomic.Pointer[[]jose.JSONWebKey] // nil until there are any
	failing atomic.Bool                       // the last fetch

	mu     sync.Mutex         // held by whoever fetches
	flight singleflight.Group // of those who wait for one fetch, for a token with an unknown key
	extra  *rate.Limiter      // of such fetches
}

const (
	keysRefresh = 5 * time.Minute  // a withdrawn key is known as such after this
	keysRetry   = 10 * time.Second // after a fetch that failed, and between two for the sake of unknown keys
	keysTimeout = 3 * time.Second  // of a fetch
	maxKeys     = 100              // of a set
	minRSABits  = 2048
)

// NewKeySet returns a set without keys: Refresh or Replace gives it some.
func NewKeySet(cfg KeySetConfig) *KeySet {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &KeySet{cfg: cfg, extra: rate.NewLimiter(rate.Every(keysRetry), 2)}
}

// Replace puts the keys of a JSON Web Key Set to work. On an error those before stay.
func (s *KeySet) Replace(text []byte) error {
	keys, err := parseKeySet(text)
	if err != nil {
		return err
	}
	s.keys.Store(&keys)
	return nil
}

// Run fetches the keys, now and then again, until ctx ends.
func (s *KeySet) Run(ctx context.Context) {
	if s.cfg.Fetch == nil {
		return
	}
	for {
		pause := keysRefresh
		if s.Refresh(ctx) != nil {
			pause = keysRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Refresh fetches the keys.
func (s *KeySet) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	text, err := s.cfg.Fetch(limited)
	if err == nil {
		err = s.Replace(text)
	}
	if err != nil && ctx.Err() != nil {
		return err // who asked has gone: that says nothing of the issuer
	}
	if was := s.failing.Swap(err != nil); was != (err != nil) {
		if err != nil {
			s.cfg.Log.Warn("the keys of tokens cannot be fetched: those that are known go on", "error", err)
		} else {
			s.cfg.Log.Info("the keys of tokens can be fetched again")
		}
	}
	return err
}

// find returns the keys that a token's header may mean. A token without a key id is checked with the one key of a set that has no more: with many, each
// forged token would cost many checks.
func (s *KeySet) find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	keys := s.pick(id, algorithm)
	if len(keys) > 0 {
		return keys, nil
	}
	if s.cfg.Fetch == nil || (id == "" && s.keys.Load() != nil) {
		return nil, errUnknown
	}
	s.refreshFor(ctx)
	if keys = s.pick(id, algorithm); len(keys) > 0 {
		return keys, nil
	}
	if s.failing.Load() || s.keys.Load() == nil {
		return nil, errAway
	}
	return nil, errUnknown
}

// refreshFor fetches for a token whose key is not known, unless that was done too often of late. All who come meanwhile wait for the one fetch, which does
// not end when a caller goes.
func (s *KeySet) refreshFor(ctx context.Context) {
	over := s.flight.DoChan("", func() (any, error) {
		if s.extra.Allow() {
			return nil, s.Refresh(context.WithoutCancel(ctx))
		}
		return nil, nil
	})
	select {
	case <-over:
	case <-ctx.Done():
	}
}

func (s *KeySet) pick(id, algorithm string) []jose.JSONWebKey {
	all := s.keys.Load()
	if all == nil || (id == "" && len(*all) != 1) {
		return nil
	}
	var picked []jose.JSONWebKey
	for _, key := range *all {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == algorithm) && suits(key, algorithm) {
			picked = append(picked, key)
		}
	}
	return picked
}

// suits says whether a key is of the kind that an algorithm needs.
func suits(key jose.JSONWebKey, algorithm string) bool {
	switch key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(algorithm, "ES")
	default:
		return algorithm == "EdDSA"
	}
}

// parseKeySet reads a JSON Web Key Set (RFC 7517). Keys that are not for signatures, not public, too short or of an unknown kind are passed over, as the
// RFC wants; a set in which none is left is an error.
func parseKeySet(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := strict.Unmarshal(text, &set); err != nil {
		return nil, errors.New("reading the key set: it is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("reading the key set: it has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && forSignatures(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("reading the key set: of %d keys none is a public key for signatures", len(set.Keys))
	}
	return keys, nil
}

func forSignatures(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default: // private, or a secret
		return false
	}
}
