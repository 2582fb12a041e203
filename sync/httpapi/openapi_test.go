package httpapi_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"verdict/schemas"
	"verdict/sync/httpapi"
)

const orderSchema = `{"type":"object","required":["order_id","amount"],"properties":{"order_id":{"$ref":"#/$defs/id"},"amount":{"type":"number","exclusiveMinimum":0}},
	"$defs":{"id":{"type":"string","maxLength":128}}}`

// document returns the OpenAPI document of an API with every route.
func document(t *testing.T) (http.Handler, []byte) {
	t.Helper()
	w := newWorld()
	w.cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	w.cfg.OrderSchema = json.RawMessage(orderSchema)
	w.previews(t, 0)
	api := httpapi.New(w.cfg)
	answer := call(api, http.MethodGet, "/openapi.json", "")
	wantStatus(t, answer, 200)
	return api, answer.Body.Bytes()
}

func TestOpenAPIListsExactlyTheRoutes(t *testing.T) {
	api, text := document(t)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	var listed []string
	for path, methods := range doc.Paths {
		for method := range methods {
			listed = append(listed, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(listed)
	want := []string{
		"GET /docs", "GET /livez", "GET /metrics", "GET /openapi.json", "GET /readyz", "GET /v1/decisions/{order_id}",
		"POST /v1/decisions", "POST /v1/decisions/batch", "POST /v1/labels", "POST /v1/preview",
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	// What the document lists is routed and nothing else is: any other method is refused, and so is any other path that one might guess.
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
	guesses := []string{"/", "/docs/x", "/schemas", "/schemas/Order.json", "/openapi", "/openapi.yaml", "/openapi-3.0.json", "/v1", "/v1/previews", "/v1/decisions/o1/x", "/debug/pprof/", "/healthz"}
	for _, path := range slices.Concat(slices.Collect(maps.Keys(doc.Paths)), guesses) {
		for _, method := range methods {
			status := call(api, method, strings.Replace(path, "{order_id}", "o1", 1), "").Code
			refused := status == 405 || status == 404 && (doc.Paths[path] == nil)
			if method == "GET" && path == "/v1/decisions/batch" {
				continue // the decision of the order called batch
			}
			if routed := slices.Contains(listed, method+" "+path); routed == refused {
				t.Errorf("%s %s: listed %v, status %d", method, path, routed, status)
			}
		}
	}
}

// The document is one, by the schema that the OpenAPI Initiative publishes (testdata/openapi-3.1.json).
func TestOpenAPIIsValid(t *testing.T) {
	_, text := document(t)
	published, err := os.ReadFile("testdata/openapi-3.1.json")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for name, text := range map[string][]byte{"published.json": published} {
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("published.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	if schema.Validate(map[string]any{"openapi": "3.1.0"}) == nil {
		t.Error("a document without anything is valid")
	}
}

func TestTheDocsPageListsEachRouteAndNeedsNothingFromElsewhere(t *testing.T) {
	api, text := document(t)
	page := call(api, http.MethodGet, "/docs", "")
	wantStatus(t, page, 200)
	var doc struct{ Paths map[string]any }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	html := page.Body.String()
	for path := range doc.Paths {
		if !strings.Contains(html, " "+path+"</code>") {
			t.Errorf("%s is not on the page", path)
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, "http://") || strings.Contains(html, "https://") || strings.Contains(html, "ZgotmplZ") {
		t.Errorf("%s", html)
	}
	if got := page.Header().Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%v", page.Header())
	}
}

func TestMetricsAreNotListedWhenNotServed(t *testing.T) {
	api := httpapi.New(newWorld().cfg)
	wantStatus(t, call(api, http.MethodGet, "/metrics", ""), 404)
	if doc := call(api, http.MethodGet, "/openapi.json", ""); strings.Contains(doc.Body.String(), "/metrics") {
		t.Error("the document lists /metrics")
	}
}

// The document's schemas fit what the API really says, and the user's own schema works inside it.
func TestOpenAPISchemasFitTheAnswers(t *testing.T) {
	_, text := document(t)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	check := func(name, document string, fits bool) {
		t.Helper()
		s, err := compiler.Compile("openapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != fits {
			t.Errorf("%s: %s\nfits: %v, want %v", name, document, err, fits)
		}
	}
	check("Order", `{"order_id":"o1","amount":5,"more":1}`, true)
	check("Order", `{"order_id":"o1","amount":0}`, false)
	check("Order", `{"order_id":1,"amount":5}`, false) // by way of its own #/$defs/id

	w := newWorld()
	w.previews(t, 0)
	api := httpapi.New(w.cfg)
	check("Preview", call(api, http.MethodPost, "/v1/preview", orderJSON("o9", 5)).Body.String(), true)
	check("Preview", `{}`, false)
	outcomes := batch(api, orderJSON("o8", 5)+"\n"+orderJSON("o8", 6)+"\n{}\n"+orderJSON("o8", 5), "Content-Type: application/x-ndjson").Body.String()
	for line := range strings.Lines(outcomes) {
		check("Outcome", line, true)
	}
	check("Outcome", `{"status":202,"order_id":"o1","location":"/v1/decisions/o1"}`, true)
	check("Outcome", `{"status":202,"order_id":"o1"}`, false)
	check("Outcome", `{"status":200,"order_id":"o1"}`, false)
	check("Decision", post(api, orderJSON("o1", 5)).Body.String(), true)
	check("Decision", `{}`, false)
	version := schemas.Version{Name: "card", Version: "1", Hash: "0123456789abcdef"}
	full := schemas.Decision{
		OrderID: "o1", Action: schemas.Reject, Score: math.NaN(), Degraded: []string{"model"},
		Model: version, Features: version, Policy: schemas.PolicyVersion{Version: version, Rule: "very_large"},
		Reasons: []schemas.Reason{{Feature: "amount", Value: math.NaN(), Contribution: 1}}, Challengers: []schemas.Challenger{{Name: "card", Version: "2", Score: 0.3}},
	}
	check("Decision", string(schemas.AppendPublic(nil, &full)), true)
	check("Problem", post(api, `{"order_id":"o1"}`).Body.String(), true)
	check("Problem", call(api, http.MethodGet, "/nothing", "").Body.String(), true)
	check("Label", `{"order_id":"o1","fraud":true,"known_at":"2026-02-28T00:00:00Z","case":7}`, true)
	check("Label", `{"order_id":"o1","fraud":"yes","known_at":"2026-02-28T00:00:00Z"}`, false)
	check("Accepted", call(api, http.MethodPost, "/v1/labels", "[]").Body.String(), true)
	check("Status", call(api, http.MethodGet, "/livez", "").Body.String(), true)
	w.scorer = silent
	check("Pending", post(api, orderJSON("o2", 5), "Prefer: respond-async").Body.String(), true)
}
