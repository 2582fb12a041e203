package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// The operations as the OpenAPI document has them, one for each entry of the table of routes.

// waitParameters are those of an operation that waits for decisions.
func waitParameters() []*huma.Param {
	return []*huma.Param{
		{
			Name: "Prefer", In: "header", Schema: text(), Example: "wait=0.05",
			Description: "RFC 7240. `wait=0.05`: how many seconds to wait at most. `respond-async`: do not wait.",
		},
		{Name: "traceparent", In: "header", Schema: text(), Description: "W3C Trace Context; carried through Kafka to the decision."},
		{Name: "tracestate", In: "header", Schema: text(), Description: "With traceparent; its first 32 members within 512 bytes are carried."},
	}
}

func describeDecide() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: "/v1/decisions", OperationID: "decide",
		Summary:     "Decide an order",
		Description: "Waits for the decision. An order that comes again, in flight or decided, gets its one decision.",
		Parameters:  waitParameters(),
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

func describeBatch() huma.Operation {
	body := jsonBody(&huma.Schema{Type: huma.TypeArray, Items: ref("Order")})
	body.Content["application/x-ndjson"] = &huma.MediaType{Schema: ref("Order")}
	answer := jsonResponse("An outcome for each order, in their order; JSON lines for JSON lines.", &huma.Schema{Type: huma.TypeArray, Items: ref("Outcome")},
		map[string]string{"Preference-Applied": "What was done of Prefer."})
	answer.Content["application/x-ndjson"] = &huma.MediaType{Schema: ref("Outcome")}
	return huma.Operation{
		Method: http.MethodPost, Path: batchPath, OperationID: "decide-batch",
		Summary: "Decide several orders",
		Description: "Each has an outcome of its own, and all share one wait. An order that is not usable takes nothing from the others; a body that is no JSON array, " +
			"or has too many orders, is refused as a whole.",
		Parameters:  waitParameters(),
		RequestBody: body,
		Responses:   responses(map[int]*huma.Response{http.StatusOK: answer}, 400, 408, 413, 415),
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

func describePreview() huma.Operation {
	return huma.Operation{
		Method: http.MethodPost, Path: "/v1/preview", OperationID: "preview",
		Summary: "What would be decided",
		Description: "What the decision would be if the order came now, as at its event time, with all features and what each contributed to the model's raw score. Nothing is written; " +
			"an order that was decided is previewed as if it were new. Challengers are not asked.",
		RequestBody: jsonBody(ref("Order")),
		Responses: responses(map[int]*huma.Response{
			http.StatusOK: jsonResponse("The preview.", ref("Preview"), nil),
		}, 400, 408, 413, 415, 422, 503),
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

func describeDocs() huma.Operation {
	return huma.Operation{
		Method: http.MethodGet, Path: "/docs", OperationID: "docs", Summary: "This document, for people",
		Responses: map[string]*huma.Response{"200": {
			Description: "A page without scripts.", Content: map[string]*huma.MediaType{"text/html": {Schema: text()}},
		}},
	}
}
