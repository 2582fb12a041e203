package httpapi_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"verdict/sync/httpapi"
)

// issuer makes tokens, and serves its keys as long as it is not away.
type issuer struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey // guarded by mu
	away    bool              // guarded by mu
	fetches int               // guarded by mu
}

// issuerKeys are made once: RSA keys take long.
var issuerKeys = sync.OnceValue(func() map[string]crypto.Signer {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"rsa": rsaKey, "ec": ecKey, "other": other, "ed": edKey}
})

func newIssuer(names ...string) *issuer {
	i := &issuer{}
	i.publish(names...)
	return i
}

// publish makes these its keys.
func (i *issuer) publish(names ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = nil
	for _, name := range names {
		i.keys = append(i.keys, jose.JSONWebKey{Key: issuerKeys()[name].Public(), KeyID: name, Use: "sig"})
	}
}

func (i *issuer) goAway(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *issuer) fetch(context.Context) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	if i.away {
		return nil, errAway
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: i.keys})
}

// claims are those of a good token; more are set over them, nil takes one away.
func claims(more map[string]any) map[string]any {
	c := map[string]any{"iss": "https://issuer.example", "aud": "verdict", "sub": "shop", "exp": time.Now().Add(time.Hour).Unix(), "scope": "openid decide"}
	for name, value := range more {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func token(t testing.TB, algorithm jose.SignatureAlgorithm, key any, id string, more map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims(more)).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tokensOf takes the tokens of an issuer.
func tokensOf(t testing.TB, set *httpapi.KeySet, change ...func(*httpapi.TokenConfig)) *httpapi.Tokens {
	t.Helper()
	cfg := httpapi.TokenConfig{Issuer: "https://issuer.example", Audience: "verdict", Algorithms: []string{"RS256", "ES256"}, Keys: set}
	for _, c := range change {
		c(&cfg)
	}
	tokens, err := httpapi.NewTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func keySet(w *world, i *issuer) *httpapi.KeySet {
	return httpapi.NewKeySet(httpapi.KeySetConfig{Fetch: i.fetch, Log: w.cfg.Log})
}

// statusOf is what a token gets.
func statusOf(api http.Handler, token string) int {
	return post(api, orderJSON("o1", 5), "Authorization: Bearer "+token).Code
}

func TestTokensThatAreTakenAndNotTaken(t *testing.T) {
	keys := issuerKeys()
	soon, past := time.Now().Add(10*time.Minute).Unix(), time.Now().Add(-time.Minute).Unix()
	pub, _ := x509.MarshalPKIXPublicKey(keys["rsa"].Public())
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}) // the old trick: the public key as the secret of an HMAC
	good := token(t, jose.RS256, keys["rsa"], "rsa", nil)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	tests := map[string]struct {
		token  string
		status int
	}{
		"RS256":                       {good, 200},
		"ES256":                       {token(t, jose.ES256, keys["ec"], "ec", nil), 200},
		"scopes as an array":          {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"scope": []any{"x", "decide", 7}}), 200},
		"aud among others":            {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"aud": []any{"a", "verdict"}}), 200},
		"no scope":                    {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"scope": nil}), 403},
		"another scope":               {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"scope": "read decides xdecide"}), 403},
		"expired":                     {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"exp": past}), 401},
		"without end":                 {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"exp": nil}), 401},
		"not yet":                     {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"nbf": soon}), 401},
		"another audience":            {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"aud": "shop"}), 401},
		"no audience":                 {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"aud": nil}), 401},
		"another issuer":              {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"iss": "https://issuer.example/"}), 401},
		"no issuer":                   {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"iss": nil}), 401},
		"nobody's":                    {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"sub": nil}), 401},
		"a number's":                  {token(t, jose.RS256, keys["rsa"], "rsa", map[string]any{"sub": 7}), 401},
		"another's key":               {token(t, jose.ES256, keys["other"], "ec", nil), 401},
		"an unknown key":              {token(t, jose.ES256, keys["other"], "other", nil), 401},
		"no key id, of several keys":  {token(t, jose.RS256, keys["rsa"], "", nil), 401},
		"an algorithm not asked for":  {token(t, jose.PS256, keys["rsa"], "rsa", nil), 401},
		"EdDSA, not asked for":        {token(t, jose.EdDSA, keys["ed"], "ed", nil), 401},
		"HS256 by the public key":     {token(t, jose.HS256, secret, "rsa", nil), 401},
		"HS256 by its DER":            {token(t, jose.HS256, pub, "rsa", nil), 401},
		"none":                        {encode([]byte(`{"alg":"none","kid":"rsa"}`)) + "." + parts[1] + ".", 401},
		"None":                        {encode([]byte(`{"alg":"None","kid":"rsa"}`)) + "." + parts[1] + ".", 401},
		"no algorithm":                {encode([]byte(`{"kid":"rsa"}`)) + "." + parts[1] + "." + parts[2], 401},
		"a signature of another body": {parts[0] + "." + encode([]byte(`{"iss":"https://issuer.example","aud":"verdict","sub":"a","exp":9999999999,"scope":"decide"}`)) + "." + parts[2], 401},
		"no signature":                {parts[0] + "." + parts[1] + ".", 401},
		"the key in its header":       {tokenWithOwnKey(t), 401},
		"no token":                    {"abc", 401},
	}
	for name, test := range tests {
		w, i := newWorld(), newIssuer("rsa", "ec", "ed")
		w.cfg.Access.Tokens = tokensOf(t, keySet(w, i))
		if got := statusOf(httpapi.New(w.cfg), test.token); got != test.status {
			t.Errorf("%s: status %d, want %d", name, got, test.status)
		}
	}
}

// tokenWithOwnKey is signed by a key that stands in its own header.
func tokenWithOwnKey(t testing.TB) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: issuerKeys()["other"]}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims(nil)).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestClaimsMayHaveOtherNames(t *testing.T) {
	w, i := newWorld(), newIssuer("ec")
	w.cfg.Access.Tokens = tokensOf(t, keySet(w, i), func(c *httpapi.TokenConfig) { c.ScopeClaim, c.CallerClaim = "scp", "azp" })
	api := httpapi.New(w.cfg)
	key := issuerKeys()["ec"]
	if got := statusOf(api, token(t, jose.ES256, key, "", map[string]any{"sub": nil, "scope": nil, "azp": "shop", "scp": "decide"})); got != 200 {
		t.Errorf("status %d", got)
	}
	if got := statusOf(api, token(t, jose.ES256, key, "", nil)); got != 401 {
		t.Errorf("with the usual names: status %d", got)
	}
}

func TestATokenEndsAlthoughItWasGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, i := newWorld(), newIssuer("ec")
		w.cfg.Access.Tokens = tokensOf(t, keySet(w, i))
		api := httpapi.New(w.cfg)
		text := token(t, jose.ES256, issuerKeys()["ec"], "ec", map[string]any{"exp": time.Now().Add(10 * time.Second).Unix()})
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 200}, {9 * time.Second, 200}, {30 * time.Second, 200}, {2 * time.Second, 401}} { // 30 s are for clocks that differ
			time.Sleep(step.after)
			if got := statusOf(api, text); got != step.want {
				t.Errorf("at %v: status %d, want %d", time.Now(), got, step.want)
			}
		}
	})
}

func TestKeysOfTokensChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, i := newWorld(), newIssuer("ec")
		set := keySet(w, i)
		w.cfg.Access.Tokens = tokensOf(t, set)
		api := httpapi.New(w.cfg)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { set.Run(ctx); close(over) }()
		defer func() { stop(); <-over }()
		time.Sleep(time.Second)
		first := token(t, jose.ES256, issuerKeys()["ec"], "ec", nil)
		if got := statusOf(api, first); got != 200 {
			t.Fatalf("status %d", got)
		}
		// A new key is fetched when the first token with it comes; the old one's tokens end within the time that a good one is remembered.
		i.publish("other")
		if got := statusOf(api, token(t, jose.ES256, issuerKeys()["other"], "other", nil)); got != 200 {
			t.Errorf("with a new key: status %d", got)
		}
		time.Sleep(61 * time.Second)
		if got := statusOf(api, first); got != 401 {
			t.Errorf("with a key that was withdrawn: status %d", got)
		}
		// Without any token of another key the withdrawal is seen after five minutes.
		i.publish("ec")
		second := token(t, jose.ES256, issuerKeys()["other"], "other", nil)
		time.Sleep(5*time.Minute + time.Second)
		if got := statusOf(api, second); got != 401 {
			t.Errorf("with a key that was withdrawn silently: status %d", got)
		}
	})
}

func TestTheIssuerIsNotAskedForEachForgedToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, i := newWorld(), newIssuer("ec")
		set := keySet(w, i)
		if err := set.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.cfg.Access.Tokens = tokensOf(t, set)
		api := httpapi.New(w.cfg)
		forged := token(t, jose.ES256, issuerKeys()["other"], "forged", nil)
		for range 600 {
			statusOf(api, forged)
			time.Sleep(100 * time.Millisecond)
		}
		if got := i.fetched(); got > 1+2+6 { // the first, two at once, and one each ten seconds of a minute
			t.Errorf("the issuer was asked %d times", got)
		}
	})
}

func TestKnownKeysGoOnWhileTheIssuerIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, i := newWorld(), newIssuer("ec")
		i.goAway(true)
		set := keySet(w, i)
		w.cfg.Access.Tokens = tokensOf(t, set)
		api := httpapi.New(w.cfg)
		good := token(t, jose.ES256, issuerKeys()["ec"], "ec", nil)
		answer := post(api, orderJSON("o1", 5), "Authorization: Bearer "+good)
		wantStatus(t, answer, 503)
		if p := problemIn(t, answer); p.Code != "identity_away" || answer.Header().Get("Retry-After") == "" {
			t.Errorf("problem %+v", p)
		}
		i.goAway(false)
		if err := set.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		i.goAway(true)
		time.Sleep(10 * time.Minute)
		if err := set.Refresh(t.Context()); err == nil {
			t.Error("the issuer is away, and its keys were fetched")
		}
		if got := statusOf(api, good); got != 200 {
			t.Errorf("with a known key: status %d", got)
		}
		if got := statusOf(api, token(t, jose.ES256, issuerKeys()["other"], "other", nil)); got != 503 {
			t.Errorf("with a key that may be the issuer's: status %d", got)
		}
		if log := w.log.String(); strings.Count(log, "cannot be fetched") != 2 || strings.Count(log, "fetched again") != 1 {
			t.Errorf("the log does not tell it once each time:\n%s", log)
		}
	})
}

// All that come while the keys are fetched wait for that one fetch.
func TestManyTokensOfANewKeyWaitForOneFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, i := newWorld(), newIssuer("ec")
		set := httpapi.NewKeySet(httpapi.KeySetConfig{Log: w.cfg.Log, Fetch: func(ctx context.Context) ([]byte, error) {
			time.Sleep(time.Second)
			return i.fetch(ctx)
		}})
		w.cfg.Access.Tokens = tokensOf(t, set)
		api := httpapi.New(w.cfg)
		text := token(t, jose.ES256, issuerKeys()["ec"], "ec", nil)
		statuses := make(chan int, 50)
		for range cap(statuses) {
			go func() { statuses <- statusOf(api, text) }()
		}
		for range cap(statuses) {
			if got := <-statuses; got != 200 {
				t.Errorf("status %d", got)
			}
		}
		if got := i.fetched(); got != 1 {
			t.Errorf("%d fetches", got)
		}
	})
}

func TestKeySetsThatCannotBeUsedAreRefused(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	marshal := func(keys ...jose.JSONWebKey) string {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ec := issuerKeys()["ec"]
	for name, text := range map[string]string{
		"not JSON":         "{",
		"no set":           "[]",
		"empty":            `{"keys":[]}`,
		"a secret":         marshal(jose.JSONWebKey{Key: []byte("a secret that is long enough to be one"), KeyID: "a"}),
		"a private key":    marshal(jose.JSONWebKey{Key: ec, KeyID: "a"}),
		"for encryption":   marshal(jose.JSONWebKey{Key: ec.Public(), KeyID: "a", Use: "enc"}),
		"1024 bits of RSA": marshal(jose.JSONWebKey{Key: weak.Public(), KeyID: "a"}),
		"an unknown kind":  `{"keys":[{"kty":"AKP","kid":"a"}]}`,
		"too many":         `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"AKP"},`, 101), ",") + `]}`,
	} {
		set := httpapi.NewKeySet(httpapi.KeySetConfig{})
		if err := set.Replace([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// One bad key does not take the good ones with it.
	good := marshal(jose.JSONWebKey{Key: ec.Public(), KeyID: "a"})
	mixed := strings.Replace(good, `{"keys":[`, `{"keys":[{"kty":"AKP"},{"kty":"oct","k":"AAAA"},`, 1)
	if err := httpapi.NewKeySet(httpapi.KeySetConfig{}).Replace([]byte(mixed)); err != nil {
		t.Error(err)
	}
}

func TestAlgorithmsOfSecretsAreRefused(t *testing.T) {
	for _, names := range [][]string{nil, {"HS256"}, {"none"}, {"RS256", "HS512"}, {"rs256"}, {""}} {
		if httpapi.CheckAlgorithms(names) == nil {
			t.Errorf("%q are taken", names)
		}
	}
	if _, err := httpapi.NewTokens(httpapi.TokenConfig{Issuer: "a", Algorithms: []string{"RS256"}, Keys: httpapi.NewKeySet(httpapi.KeySetConfig{})}); err == nil {
		t.Error("tokens for any audience are taken")
	}
}
