package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// openAPI is the OpenAPI 3.1 document, rendered once from the table of routes.
type openAPI struct{ body []byte }

func (o *openAPI) serve(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, o.body) }

func (o *openAPI) render(all []route, orderSchema json.RawMessage) {
	shapes := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Shape")
	})
	for _, shape := range []any{decisionShape{}, pendingShape{}, labelShape{}, acceptedShape{}, statusShape{}, problem{}} {
		shapes.Schema(reflect.TypeOf(shape), true, "")
	}
	for _, s := range shapes.Map() {
		s.AdditionalProperties = nil // huma forbids unknown members; ours may get more, and clients must bear with them
	}
	for _, version := range []string{"model", "features", "policy"} { // huma itself has no null for what is a shape of its own
		whole := shapes.Map()["Decision"].Properties
		whole[version] = &huma.Schema{OneOf: []*huma.Schema{whole[version], {Type: "null"}}, Description: "Null when none took part."}
	}
	shapes.Map()["Order"] = orderShape(orderSchema)
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "verdict", Version: "1",
			Description: "Fraud decisions on orders. Errors are RFC 9457 problems; one with a 4xx or 5xx status left nothing behind, but for a 503 of code kafka_away, whose order may have been on its way to Kafka: send it again, and it has one decision all the same.",
		},
		Components: &huma.Components{Schemas: shapes},
	}
	for i := range all {
		doc.AddOperation(&all[i].Operation)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		panic("httpapi: " + err.Error()) // unreachable: plain data, and an order schema that was read before
	}
	o.body = body
}

// orderShape is the user's own JSON Schema. It gets an $id where it has none, so that its own references (#/$defs/…) go on pointing into itself.
func orderShape(text json.RawMessage) *huma.Schema {
	if len(text) == 0 {
		return &huma.Schema{Type: huma.TypeObject, Description: "The order."}
	}
	var members map[string]jsontext.Value
	if err := strict.Unmarshal(text, &members); err != nil || members == nil {
		panic(fmt.Sprint("httpapi: Config.OrderSchema is not a JSON object: ", err))
	}
	if members["$id"] == nil {
		members["$id"] = jsontext.Value(`"urn:verdict:order"`)
	}
	s := &huma.Schema{Extensions: make(map[string]any, len(members))}
	for name, value := range members {
		s.Extensions[name] = json.RawMessage(value)
	}
	return s
}

// The shapes below are the API's documents as the contract has them. They are only described here: decisions are written by schemas.AppendPublic.

type versionShape struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash" doc:"Of its content: the first 16 hex digits of the SHA-256."`
}

type policyShape struct {
	versionShape
	Rule *string `json:"rule" doc:"The rule that decided, null when a threshold did."`
}

type reasonShape struct {
	Feature      string   `json:"feature"`
	Value        *float64 `json:"value" doc:"Null when the feature is missing."`
	Contribution float64  `json:"contribution" doc:"To the model's raw score."`
}

type challengerShape struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Score   *float64 `json:"score"`
}

type decisionShape struct {
	OrderID     string            `json:"order_id"`
	Action      string            `json:"action" enum:"approve,review,reject"`
	Score       *float64          `json:"score" doc:"Null when no model could be asked."`
	OccurredAt  time.Time         `json:"occurred_at"`
	DecidedAt   time.Time         `json:"decided_at"`
	Model       versionShape      `json:"model"`
	Features    versionShape      `json:"features"`
	Policy      policyShape       `json:"policy"`
	Reasons     []reasonShape     `json:"reasons" nullable:"false" doc:"What moved the score most."`
	Degraded    []string          `json:"degraded" nullable:"false" doc:"What could not be had: features, model, cost. Empty for a whole decision."`
	Challengers []challengerShape `json:"challengers" nullable:"false" doc:"Scores that were only recorded."`
}

type pendingShape struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status" enum:"pending"`
}

type labelShape struct {
	OrderID string    `json:"order_id" minLength:"1" maxLength:"128" pattern:"^[A-Za-z0-9._:-]+$"`
	Fraud   bool      `json:"fraud"`
	KnownAt time.Time `json:"known_at" doc:"When it became known."`
}

type acceptedShape struct {
	Accepted int `json:"accepted" doc:"How many labels Kafka has taken."`
}

type statusShape struct {
	Status string `json:"status" enum:"ok"`
}

func describeDecide() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: "/v1/decisions", OperationID: "decide",
		Summary:     "Decide an order",
		Description: "Waits for the decision. An order that comes again, in flight or decided, gets its one decision.",
		Parameters: []*huma.Param{
			{
				Name: "Prefer", In: "header", Schema: text(),
				Description: "RFC 7240. `wait=0.05`: how many seconds to wait at most. `respond-async`: do not wait.",
			},
			{Name: "traceparent", In: "header", Schema: text(), Description: "W3C Trace Context; carried through Kafka to the decision."},
		},
		RequestBody: jsonBody(ref("Order")),
		Responses: responses(map[int]*huma.Response{
			http.StatusOK: jsonResponse("The decision.", ref("Decision"), map[string]string{
				"Verdict-Repeat": "true when the order had been decided before.", "Preference-Applied": "What was done of Prefer.",
			}),
			http.StatusAccepted: jsonResponse("Kafka has the order; the wait is over.", ref("Pending"), map[string]string{
				"Location": "Where the decision will be.", "Preference-Applied": "What was done of Prefer.",
			}),
		}, 400, 408, 409, 413, 415, 422, 503),
	}
}

func describeRead() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: "/v1/decisions/{order_id}", OperationID: "read-decision",
		Summary:    "Read a decision",
		Parameters: []*huma.Param{{Name: "order_id", In: "path", Required: true, Schema: text()}},
		Responses: responses(map[int]*huma.Response{
			http.StatusOK: jsonResponse("The decision.", ref("Decision"), nil),
		}, 404, 500, 503),
	}
}

func describeLabels() huma.Operation {
	one := ref("Label")
	return huma.Operation{
		Method: http.MethodPost, Path: "/v1/labels", OperationID: "learn",
		Summary:     "Tell what became known of orders",
		Description: "One label or an array; all are taken or none. A later label for the same order replaces the earlier.",
		RequestBody: jsonBody(&huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}),
		Responses: responses(map[int]*huma.Response{
			http.StatusAccepted: jsonResponse("Kafka has the labels.", ref("Accepted"), nil),
		}, 400, 408, 413, 415, 422, 503),
	}
}

func describeHealth(id, path, summary string) huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: path, OperationID: id, Summary: summary,
		Responses: responses(map[int]*huma.Response{http.StatusOK: jsonResponse("Yes.", ref("Status"), nil)}, 503),
	}
}

func describeMetrics() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: "/metrics", OperationID: "metrics", Summary: "Metrics for Prometheus",
		Responses: map[string]*huma.Response{"200": {
			Description: "The metrics.", Content: map[string]*huma.MediaType{"text/plain": {Schema: text()}},
		}},
	}
}

func describeOpenAPI() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: "/openapi.json", OperationID: "openapi", Summary: "This document",
		Responses: responses(map[int]*huma.Response{
			http.StatusOK: jsonResponse("The document.", &huma.Schema{Type: huma.TypeObject}, nil),
		}),
	}
}

func ref(shape string) *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/" + shape} }

func text() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

func jsonBody(s *huma.Schema) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: s}}}
}

func jsonResponse(description string, s *huma.Schema, headers map[string]string) *huma.Response {
	r := &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: s}}}
	for name, about := range headers {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers[name] = &huma.Param{Description: about, Schema: text()}
	}
	return r
}

// responses adds to the good answers the problems with these statuses.
func responses(good map[int]*huma.Response, problems ...int) map[string]*huma.Response {
	all := make(map[string]*huma.Response, len(good)+len(problems))
	for status, r := range good {
		all[strconv.Itoa(status)] = r
	}
	for _, status := range problems {
		r := &huma.Response{
			Description: http.StatusText(status) + ".",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: ref("Problem")}},
		}
		if status == http.StatusServiceUnavailable {
			r.Headers = map[string]*huma.Param{"Retry-After": {Description: "Seconds.", Schema: &huma.Schema{Type: huma.TypeInteger}}}
		}
		all[strconv.Itoa(status)] = r
	}
	return all
}
