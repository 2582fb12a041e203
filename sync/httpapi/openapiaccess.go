package httpapi

import (
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// describe says in the OpenAPI document what the guard asks of a route's callers.
func (g *guard) describe(r *route, components *huma.Components) {
	if r.scope == 0 {
		return
	}
	var refusals []int
	if g.closed() {
		components.SecuritySchemes = g.schemes()
		for _, name := range g.schemeNames() {
			r.Security = append(r.Security, map[string][]string{name: {r.scope.String()}})
		}
		refusals = append(refusals, http.StatusUnauthorized, http.StatusForbidden)
	}
	if g.closed() || (g.Rate.PerSecond > 0 && r.scope != ScopeAdmin) {
		refusals = append(refusals, http.StatusTooManyRequests)
	}
	if g.Tokens != nil {
		refusals = append(refusals, http.StatusServiceUnavailable)
	}
	maps.Copy(r.Responses, responses(nil, refusals...))
}

// schemeNames are the ways to say who calls, of which any one will do.
func (g *guard) schemeNames() []string {
	names := []string{"bearer"}
	if g.Keys != nil {
		names = append(names, "key", "certificate")
	}
	return names
}

func (g *guard) schemes() map[string]*huma.SecurityScheme {
	all := map[string]*huma.SecurityScheme{
		"bearer":      {Type: "http", Scheme: "bearer", Description: "An API key, or a JSON Web Token where the service takes them."},
		"key":         {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key."},
		"certificate": {Type: "mutualTLS", Description: "A client certificate that the service knows."},
	}
	if g.Keys == nil {
		delete(all, "key")
		delete(all, "certificate")
	}
	return all
}
