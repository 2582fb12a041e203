package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"verdict/sync/httpapi"
)

func FuzzKeySet(f *testing.F) {
	text, err := newIssuer("rsa", "ec", "ed").fetch(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}],"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("A", 5000) + `","e":"AQAB","x5c":["AA"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := httpapi.NewKeySet(httpapi.KeySetConfig{}).Replace(text)
		if err != nil && !strings.HasPrefix(err.Error(), "reading the key set: ") || err != nil && len(err.Error()) > 200 {
			t.Fatalf("%v", err) // it might quote what the issuer wrote
		}
	})
}

// FuzzRoutes reads routes of other APIs; those that are taken are asked with a body that they were not made for.
func FuzzRoutes(f *testing.F) {
	f.Add(checkout, checkoutRequest)
	f.Add("- path: /a\n  order: body.x\n  answer: {body: 'body', status: 'score'}\n  error: {body: '1 / 0', status: '\"x\"'}\n", `{"x":[]}`)
	f.Add("- {path: /a, fields: {a.b: 'body.c', a: '[1]'}}\n- {path: /a/b, wait: 1ns}\n", `{"c":null}`)
	f.Fuzz(func(t *testing.T, text, body string) {
		routes, err := httpapi.LoadLegacy("routes.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "routes.yaml:") {
				t.Fatalf("%v does not say where", err)
			}
			return
		}
		w := newWorld()
		w.cfg.Legacy = routes
		api := httpapi.New(w.cfg)
		for _, path := range []string{"/a", "/fraud/check", "/score"} {
			if answer := call(api, http.MethodPost, path, body); answer.Code < 200 || answer.Code > 599 {
				t.Fatalf("status %d", answer.Code)
			}
		}
	})
}
