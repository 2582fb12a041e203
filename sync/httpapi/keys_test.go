package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"verdict/sync/httpapi"
)

const (
	someID     = "0123456789ab"
	someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func TestKeysFilesThatAreTaken(t *testing.T) {
	text := "\ufeff# who calls\n\n" +
		"key\tshop  " + someID + " " + someDigest + " decide,read rate=0.5/s burst=3 # until June\r\n" +
		"key shop 0123456789ac " + someDigest + " decide,read burst=3 rate=0.5/s\n" +
		"cert billing cn:billing.internal label\n" +
		"cert billing uri:spiffe://verdict.example/billing label"
	keys, err := httpapi.ParseKeys("keys.txt", []byte(text))
	if err != nil || keys.Len() != 4 {
		t.Fatalf("%v", err)
	}
}

func TestKeysFilesThatAreRefused(t *testing.T) {
	good := "key shop " + someID + " " + someDigest + " decide"
	for _, test := range []struct{ text, want string }{
		{"kye shop x", "keys.txt:1: a line begins with key or cert"},
		{"\n\nkey shop", "keys.txt:3: a key's line is"},
		{"cert shop", "a certificate's line is"},
		{strings.Replace(good, someID, "0123456789AB", 1), "a key's id has 12"},
		{strings.Replace(good, someID, "0123", 1), "a key's id has 12"},
		{strings.Replace(good, "sha256:", "md5:", 1), "sha256: and 64"},
		{strings.Replace(good, "abcdef", "ABCDEF", 1), "sha256: and 64"},
		{strings.Replace(good, "decide", "decde", 1), `unknown scope "decde"; did you mean decide?`},
		{strings.Replace(good, "decide", "decide,", 1), `unknown scope ""`},
		{good + "\n" + good, "keys.txt:2: another line has this key's id"},
		{good + " rate=5", "a rate is rate=N/s"},
		{good + " rate=0/s", "a rate is rate=N/s"},
		{good + " rate=-1/s", "a rate is rate=N/s"},
		{good + " rate=NaN/s", "a rate is rate=N/s"},
		{good + " rate=Inf/s", "up to a million"},
		{good + " burst=5", "a burst needs a rate"},
		{good + " rate=5/s burst=0", "a burst is burst=N"},
		{good + " rate=5/s rate=6/s", "each once"},
		{good + " tenant=x", "may stand rate=N/s and burst=N"},
		{good + " rate=5/s\nkey shop 0123456789ac " + someDigest + " read rate=6/s", "keys.txt:2: another line gives shop another rate"},
		{strings.Replace(good, "shop", strings.Repeat("s", 65), 1), "up to 64 letters"},
		{strings.Replace(good, "shop", "sh/op", 1), "up to 64 letters"},
		{"cert shop billing.internal decide", "cn:NAME or uri:URI"},
		{"cert shop cn: decide", "cn:NAME or uri:URI"},
		{"cert a cn:x decide\ncert b cn:x decide", "keys.txt:2: another line has this subject"},
		{strings.Repeat("x", 5000), "keys.txt:1: bufio.Scanner: token too long"},
	} {
		_, err := httpapi.ParseKeys("keys.txt", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %q", test.text, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), someID) || strings.Contains(err.Error(), "0123456789abcdef0")) {
			t.Errorf("%q: the error quotes id or digest: %v", test.text, err)
		}
	}
}

// Whoever pastes a key where its line should be does not find it in the log.
func TestAKeyInTheClearIsNotQuoted(t *testing.T) {
	key := httpapi.NewKey()
	for _, text := range []string{key, "key shop " + key + " " + someDigest + " decide", "key shop " + someID + " " + key + " decide", "key shop " + someID + " sha256:" + key + " decide"} {
		_, err := httpapi.ParseKeys("keys.txt", []byte(text))
		if err == nil || strings.Contains(err.Error(), key[4:]) {
			t.Errorf("error %v", err)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	if a, b := httpapi.NewKey(), httpapi.NewKey(); a == b || len(a) != len(b) || len(a) != 81 {
		t.Errorf("%d and %d characters, alike: %v", len(a), len(b), a == b)
	}
}

func FuzzParseKeys(f *testing.F) {
	_, line := keyFor(f, "shop", httpapi.ScopeDecide|httpapi.ScopeRead, httpapi.Rate{PerSecond: 0.5, Burst: 3})
	f.Add([]byte(line))
	f.Add([]byte("cert billing uri:spiffe://a/b label # x\n\nkey"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := httpapi.ParseKeys("keys.txt", text)
		if (keys == nil) == (err == nil) {
			t.Fatalf("keys %v, error %v", keys, err)
		}
		if err == nil && keys.Len() > strings.Count(string(text), "\n")+1 {
			t.Fatalf("%d keys", keys.Len())
		}
	})
}

// No header lets anybody in but the key itself.
func FuzzAuthorization(f *testing.F) {
	key, line := keyFor(f, "shop", httpapi.ScopeRead, httpapi.Rate{})
	w := newWorld()
	set := httpapi.NewKeySet(httpapi.KeySetConfig{Log: w.cfg.Log})
	text, err := newIssuer("ec").fetch(f.Context())
	if err == nil {
		err = set.Replace(text)
	}
	if err != nil {
		f.Fatal(err)
	}
	w.cfg.Access = httpapi.Access{Keys: ringOf(f, line), Tokens: tokensOf(f, set)}
	api := httpapi.New(w.cfg)
	f.Add("Bearer " + httpapi.NewKey())
	f.Add("Bearer " + token(f, jose.ES256, issuerKeys()["other"], "ec", map[string]any{"scope": "read"}))
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Add("Basic Og==")
	var calls atomic.Uint32
	f.Fuzz(func(t *testing.T, header string) {
		from := calls.Add(1) // another address each time: one that fails often is sent away unread
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/decisions/o1", nil)
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", byte(from>>16), byte(from>>8), byte(from))
		r.Header["Authorization"] = []string{header}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		if answer.Code != 401 && answer.Code != 429 && !strings.Contains(header, key) {
			t.Fatalf("%q: status %d", header, answer.Code)
		}
	})
}

// nothingWritten is an answer that goes nowhere.
type nothingWritten struct{ header http.Header }

func (n nothingWritten) Header() http.Header         { return n.header }
func (n nothingWritten) Write(p []byte) (int, error) { return len(p), nil }
func (n nothingWritten) WriteHeader(int)             {}

func BenchmarkAccess(b *testing.B) {
	w := newWorld()
	key, line := keyFor(b, "shop", httpapi.ScopeRead, httpapi.Rate{})
	lines := []string{line}
	for i := range 1000 {
		_, more := keyFor(b, fmt.Sprint("shop", i), httpapi.ScopeRead, httpapi.Rate{})
		lines = append(lines, more)
	}
	i := newIssuer("ec")
	good := token(b, jose.ES256, issuerKeys()["ec"], "ec", map[string]any{"scope": "read"})
	for name, test := range map[string]struct {
		access     httpapi.Access
		credential string
	}{
		"open":          {},
		"key":           {httpapi.Access{Keys: ringOf(b, lines...)}, key},
		"key, rate":     {httpapi.Access{Keys: ringOf(b, lines...), Rate: httpapi.Rate{PerSecond: 1e6}}, key},
		"token, known":  {httpapi.Access{Tokens: tokensOf(b, keySet(w, i))}, good},
		"unknown key":   {httpapi.Access{Keys: ringOf(b, lines...)}, httpapi.NewKey()},
		"unknown token": {httpapi.Access{Tokens: tokensOf(b, keySet(w, i))}, good[:len(good)-8] + "AAAAAAAA"},
	} {
		b.Run(name, func(b *testing.B) {
			h := httpapi.Guarded(test.access, httpapi.ScopeRead, func(http.ResponseWriter, *http.Request) {})
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/decisions/o1", nil)
			if test.credential != "" {
				r.Header.Set("Authorization", "Bearer "+test.credential)
			}
			answer := nothingWritten{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h(answer, r)
			}
		})
	}
}

// The way of a key that is good costs a request no memory.
func TestAGoodKeyAllocatesNothing(t *testing.T) {
	key, line := keyFor(t, "shop", httpapi.ScopeRead, httpapi.Rate{})
	h := httpapi.Guarded(httpapi.Access{Keys: ringOf(t, line)}, httpapi.ScopeRead, func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/decisions/o1", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	answer := nothingWritten{http.Header{}}
	if got := testing.AllocsPerRun(100, func() { h(answer, r) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
