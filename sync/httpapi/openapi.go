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

// aboutAPI is what the document and the page say of all routes.
const aboutAPI = "Fraud decisions on orders. " +
	"Errors are RFC 9457 problems; one with a 4xx or 5xx status left nothing behind, " +
	"but for a 503 of code kafka_away, whose order may have been on its way to Kafka: send it again, and it has one decision all the same."

// openAPI is the OpenAPI 3.1 document, rendered once from the table of routes.
type openAPI struct{ body []byte }

func (o *openAPI) serve(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, o.body) }

func (o *openAPI) render(all []route, orderSchema json.RawMessage, guard *guard) {
	shapes := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Shape")
	})
	for _, shape := range []any{decisionShape{}, previewShape{}, pendingShape{}, labelShape{}, acceptedShape{}, statusShape{}, problem{}} {
		shapes.Schema(reflect.TypeOf(shape), true, "")
	}
	for _, s := range shapes.Map() {
		s.AdditionalProperties = nil // huma forbids unknown members; ours may get more, and clients must bear with them
	}
	for _, version := range []string{"model", "features", "policy"} { // huma itself has no null for what is a shape of its own
		whole := shapes.Map()["Decision"].Properties
		whole[version] = &huma.Schema{OneOf: []*huma.Schema{whole[version], {Type: "null"}}, Description: "Null when none took part."}
	}
	shapes.Map()["Preview"].AllOf = []*huma.Schema{ref("Decision")}
	shapes.Map()["Order"] = orderShape(orderSchema)
	shapes.Map()["Outcome"] = outcomeShape()
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "verdict", Version: "1",
			Description: aboutAPI,
		},
		Components: &huma.Components{Schemas: shapes},
	}
	for i := range all {
		guard.describe(&all[i], doc.Components)
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
	Degraded    []string          `json:"degraded" nullable:"false" doc:"What could not be had: features, model, cost, policy (a rule could not be evaluated), routing. Empty for a whole decision."`
	Challengers []challengerShape `json:"challengers" nullable:"false" doc:"Scores that were only recorded."`
}

// previewShape is what a preview has beside the decision.
type previewShape struct {
	Inputs        map[string]*float64 `json:"inputs" doc:"All features by name, null when missing."`
	Base          *float64            `json:"base" doc:"The model's raw score before it looks at an order. Null when the model cannot tell."`
	Contributions []reasonShape       `json:"contributions" nullable:"false" doc:"Of all inputs of the model, the largest first. They and base add up to the raw score."`
}

type pendingShape struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status" enum:"pending"`
}

// outcomeShape is one of a batch.
func outcomeShape() *huma.Schema {
	status := func(s *huma.Schema) map[string]*huma.Schema { return map[string]*huma.Schema{"status": s} }
	integer := func(s huma.Schema) *huma.Schema { s.Type = huma.TypeInteger; return &s }
	return &huma.Schema{
		Description: "What POST /v1/decisions would have said, in one object.",
		OneOf: []*huma.Schema{
			{
				Title: "Decided", AllOf: []*huma.Schema{ref("Decision")}, Required: []string{"status"},
				Properties: map[string]*huma.Schema{"status": integer(huma.Schema{Enum: []any{200}}), "repeat": {Type: huma.TypeBoolean, Description: "True when the order had been decided before."}},
			},
			{
				Title: "Pending", Type: huma.TypeObject, Required: []string{"status", "order_id", "location"},
				Properties: map[string]*huma.Schema{"status": integer(huma.Schema{Enum: []any{202}}), "order_id": text(), "location": text()},
			},
			{
				Title: "Refused", AllOf: []*huma.Schema{ref("Problem")},
				Properties: status(integer(huma.Schema{Minimum: new(400.0)})),
			},
		},
	}
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
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			r.Headers = map[string]*huma.Param{"Retry-After": {Description: "Seconds.", Schema: &huma.Schema{Type: huma.TypeInteger}}}
		}
		all[strconv.Itoa(status)] = r
	}
	return all
}
