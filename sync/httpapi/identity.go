package httpapi

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Access says who may call. Its zero value lets in everyone, without a limit.
type Access struct {
	Keys   *KeyRing // keys and client certificates; nil: none is known
	Tokens *Tokens  // JSON Web Tokens; nil: none is taken
	Rate   Rate     // of a caller whose line in the keys file says none, and of an address where nobody has to say who he is
	// Stale tells how many files of access have been changed into something that cannot be used, so that what they were before is at work; nil: none.
	Stale func() int
}

// closed says whether a caller must say who he is.
func (a *Access) closed() bool { return a.Keys != nil || a.Tokens != nil }

func (a *Access) stale() float64 {
	if a.Stale == nil {
		return 0
	}
	return float64(a.Stale())
}

// failedPerSecond is how often an address may come with what lets nobody in. It saves the work of checking signatures; a key cannot be guessed anyway.
const (
	failedPerSecond = 1
	failedAtOnce    = 20
)

// guard stands before the routes.
type guard struct {
	Access
	calls  buckets // of callers
	failed buckets // of addresses that came with what lets nobody in

	unauthenticated, forbidden, rated prometheus.Counter
}

var (
	errNobody  = errors.New("no credentials")
	errUnknown = errors.New("credentials that let nobody in")
	errAway    = errors.New("the keys of tokens cannot be had")
)

// protect puts the guard before a route. A refused request's body is not read.
func (g *guard) protect(need Scope, next http.HandlerFunc) http.HandlerFunc {
	switch {
	case need == 0:
		return next
	case !g.closed() && (g.Rate.PerSecond == 0 || need == ScopeAdmin):
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		caller, ok := g.admit(w, r, need)
		if !ok {
			return
		}
		limit := caller.Rate
		if limit.PerSecond == 0 {
			limit = g.Rate
		}
		if limit.PerSecond == 0 || need == ScopeAdmin {
			next(w, r)
			return
		}
		who := whose{source: caller.source, name: caller.Name}
		if caller.source == byAddress {
			who.from = addressOf(r)
		}
		bucket := g.calls.of(who, limit)
		if wait, ok := take(bucket, time.Now()); !ok {
			g.rated.Inc()
			slowDown(w, wait, "this caller has no call left")
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), bucketKey{}, bucket)))
	}
}

type bucketKey struct{}

// charge makes the caller pay for n calls more than the one that it was let in with, as a batch of n+1 orders must. It is let pass, and pays by waiting
// before its next call.
func charge(ctx context.Context, n int) {
	if bucket, ok := ctx.Value(bucketKey{}).(*rate.Limiter); ok {
		owe(bucket, time.Now(), n)
	}
}

// admit returns who calls, or answers that he may not.
func (g *guard) admit(w http.ResponseWriter, r *http.Request, need Scope) (Caller, bool) {
	if !g.closed() {
		return Caller{}, true
	}
	caller, err := g.identify(r)
	switch {
	case err == nil && caller.Scopes.has(need):
		return caller, true
	case err == nil:
		g.forbidden.Inc()
		w.Header().Set("WWW-Authenticate", `Bearer realm="verdict", error="insufficient_scope", scope="`+need.String()+`"`)
		writeProblem(w, problem{Status: http.StatusForbidden, Code: "forbidden", Detail: "this needs the scope " + need.String()})
		return Caller{}, false
	}
	if wait, ok := take(g.failures(r), time.Now()); !ok {
		g.rated.Inc()
		slowDown(w, wait, "too many calls from here have let nobody in")
		return Caller{}, false
	}
	if errors.Is(err, errAway) {
		writeProblem(w, unavailable("identity_away", "the token cannot be checked at the moment"))
		return Caller{}, false
	}
	g.unauthenticated.Inc()
	challenge, detail := `Bearer realm="verdict"`, "say who calls, in Authorization: Bearer or X-API-Key"
	if !errors.Is(err, errNobody) {
		challenge += `, error="invalid_token"`
		detail = "these credentials let nobody in, or no longer"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeProblem(w, problem{Status: http.StatusUnauthorized, Code: "unauthenticated", Detail: detail})
	return Caller{}, false
}

func (g *guard) failures(r *http.Request) *rate.Limiter {
	return g.failed.of(whose{from: addressOf(r)}, Rate{PerSecond: failedPerSecond, Burst: failedAtOnce})
}

// identify says who calls. What stands in the headers counts before a certificate, and alone: whoever shows what lets nobody in is nobody.
func (g *guard) identify(r *http.Request) (Caller, error) {
	credential, err := credentialIn(r.Header)
	switch {
	case errors.Is(err, errNobody):
		return g.certified(r)
	case err != nil:
		return Caller{}, err
	case strings.HasPrefix(credential, keyPrefix):
		if g.Keys != nil {
			if caller, ok := g.Keys.find(credential); ok {
				return caller, nil
			}
		}
		return Caller{}, errUnknown
	case g.Tokens == nil:
		return Caller{}, errUnknown
	}
	if caller, ok := g.Tokens.known(credential, time.Now()); ok {
		return caller, nil
	}
	// A signature costs a hundred times what a key does: it is not looked at for an address that has had its failures.
	if g.failures(r).TokensAt(time.Now()) < 1 {
		return Caller{}, errUnknown
	}
	return g.Tokens.verify(r.Context(), credential, time.Now())
}

// credentialIn returns the one key or token that the headers have.
func credentialIn(h http.Header) (string, error) {
	bearer, plain := h["Authorization"], h["X-Api-Key"]
	switch {
	case len(bearer)+len(plain) == 0:
		return "", errNobody
	case len(bearer)+len(plain) > 1: // which one a proxy has looked at is open
		return "", errUnknown
	case len(plain) == 1:
		return plain[0], nil
	}
	scheme, credential, _ := strings.Cut(bearer[0], " ")
	if credential = strings.Trim(credential, " "); !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return "", errUnknown
	}
	return credential, nil
}

// certified says whose verified client certificate the connection has.
func (g *guard) certified(r *http.Request) (Caller, error) {
	if g.Keys == nil || r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return Caller{}, errNobody
	}
	leaf := r.TLS.VerifiedChains[0][0]
	if now := time.Now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) { // a connection may outlive what it was opened with
		return Caller{}, errUnknown
	}
	if caller := g.Keys.at.Load().certified(leaf); caller != nil {
		return *caller, nil
	}
	return Caller{}, errUnknown
}

// certified finds a certificate's line: by its URIs, then by its common name.
func (k *Keys) certified(leaf *x509.Certificate) *Caller {
	for _, uri := range leaf.URIs {
		if c := k.certs["uri:"+uri.String()]; c != nil {
			return c
		}
	}
	return k.certs["cn:"+leaf.Subject.CommonName]
}
