package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"verdict/schemas"
)

// codeConflict is also what the scorer's error replies carry.
const codeConflict = "order_conflict"

// problem is an error as RFC 9457 has it. There is no type member: it is about:blank, and code tells what the status leaves open.
type problem struct {
	Title  string          `json:"title" doc:"The status in words."`
	Status int             `json:"status" doc:"The HTTP status."`
	Code   string          `json:"code" doc:"What is wrong, stable, for programs." example:"order_conflict"`
	Detail string          `json:"detail,omitempty" doc:"What is wrong, for people. It names fields, never what they hold."`
	Errors []schemas.Fault `json:"errors,omitempty" nullable:"false" doc:"Each fault by its place in the body."`

	retryAfter time.Duration // of a 503, when it is known better than a second
}

// statusOf says what an order or a label that was refused with this code is in HTTP. Here alone.
func statusOf(code string) int {
	switch code {
	case "json_syntax", "json_duplicate", "json_depth", "empty":
		return http.StatusBadRequest
	case codeConflict:
		return http.StatusConflict
	case "too_large", "too_many":
		return http.StatusRequestEntityTooLarge
	default: // readable, and not what the schema asks for
		return http.StatusUnprocessableEntity
	}
}

// problemOf is the answer to a body that could not be taken.
func problemOf(err error) problem {
	var wrong *schemas.Malformed
	if !errors.As(err, &wrong) {
		return unavailable("schema_unavailable", "the order schema cannot be had at the moment")
	}
	return problem{Status: statusOf(wrong.Code), Code: wrong.Code, Detail: wrong.Detail, Errors: wrong.Faults}
}

func unavailable(code, detail string) problem {
	return problem{Status: http.StatusServiceUnavailable, Code: code, Detail: detail}
}

// retryAfter is how many seconds a 503 asks to wait: Kafka's own failovers take seconds, and an overload is over sooner when fewer ask.
const retryAfter = time.Second

func writeProblem(w http.ResponseWriter, p problem) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic("httpapi: " + err.Error()) // unreachable: strings and a number
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", inSeconds(max(p.retryAfter, retryAfter)))
	}
	write(w, p.Status, "application/problem+json", body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // G705: JSON, which harden keeps from being shown as a page. It fails only when the caller has gone, who need not be told
}
