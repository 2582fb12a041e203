package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// route is one operation: what the mux serves and what the OpenAPI document says of it. One table makes both, so they cannot differ.
type route struct {
	huma.Operation
	scope  Scope // what a caller needs; 0: the route is open to all
	handle http.HandlerFunc
}

// batchPath lies where an order's decision would, if its id were "batch".
const batchPath = "/v1/decisions/batch"

func (a *api) routes() []route {
	all := []route{
		{describeDecide(), ScopeDecide, a.decide},
		{describeBatch(), ScopeDecide, a.decideBatch},
		{describeRead(), ScopeRead, a.read},
		{describeLabels(), ScopeLabel, a.learn},
		{describeHealth("live", "/livez", "Is the process alive"), 0, a.live},
		{describeHealth("ready", "/readyz", "Can the process take orders: the reply partition is assigned and read to its end"), 0, a.ready},
	}
	if a.Preview != nil {
		all = append(all, route{describePreview(), ScopePreview, a.preview})
	}
	if a.Metrics != nil {
		all = append(all, route{describeMetrics(), ScopeAdmin, a.Metrics.ServeHTTP})
	}
	for i := range a.Legacy {
		all = append(all, route{a.Legacy[i].describe(), ScopeDecide, a.decideAs(&a.Legacy[i])})
	}
	document, page := &openAPI{}, &docs{}
	all = append(all, route{describeOpenAPI(), 0, document.serve}, route{describeDocs(), 0, page.serve})
	document.render(all, a.OrderSchema, a.guard)
	page.render(aboutAPI, all)
	return all
}

// mux serves the routes, and problem+json where there is none.
func (a *api) mux(all []route) *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{} // :: path → what is allowed there
	for _, r := range all {
		r.handle = a.traced(&r) // inside of what turns requests away: they make no spans
		mux.HandleFunc(r.Method+" "+r.Path, a.metrics.observe(r.Path, a.guard.protect(r.scope, a.bound(&r))))
		methods[r.Path] = append(methods[r.Path], r.Method)
		if r.Method == http.MethodGet {
			methods[r.Path] = append(methods[r.Path], http.MethodHead)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		if path == batchPath {
			continue // what is not POST there is of the order with the id "batch"
		}
		mux.HandleFunc(path, a.metrics.observe(path, func(w http.ResponseWriter, r *http.Request) {
			allowed := methods[path]
			if r.URL.Path == batchPath {
				allowed = slices.Concat(methods[batchPath], allowed)
			}
			allow := strings.Join(allowed, ", ")
			w.Header().Set("Allow", allow)
			writeProblem(w, problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "here is only " + allow})
		}))
	}
	mux.HandleFunc("/", a.metrics.observe("other", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, problem{Status: http.StatusNotFound, Code: "route_unknown", Detail: "there is no such resource: see /openapi.json"})
	}))
	return mux
}
