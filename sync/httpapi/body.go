package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
)

// contentTypes are those that a route takes.
type contentTypes struct {
	takes func(contentType string) bool
	words string // for who sent another
}

var (
	jsonTypes  = contentTypes{isJSON, "the body must be application/json or application/…+json, in UTF-8"}                                                   //nolint:gochecknoglobals // constant
	batchTypes = contentTypes{func(t string) bool { return isJSON(t) || isLines(t) }, "the body must be application/json or application/x-ndjson, in UTF-8"} //nolint:gochecknoglobals // constant
)

// readJSON returns the body of a request that says it is JSON. The bytes are the caller's to keep.
func (a *api) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	return a.readBody(w, r, jsonTypes, a.MaxBytes)
}

// readBody is readJSON with the types and the size that a route allows.
func (a *api) readBody(w http.ResponseWriter, r *http.Request, types contentTypes, most int64) ([]byte, *problem) {
	if !types.takes(r.Header.Get("Content-Type")) {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: "content_type", Detail: types.words}
	}
	// A packed body could be a thousand times as large.
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: "content_encoding", Detail: "the body must not be compressed"}
	}
	if r.ContentLength > most {
		return nil, a.unread(w, &http.MaxBytesError{Limit: most})
	}
	// net/http takes this limit off at the body's end, so the wait may be longer. Not every ResponseWriter knows limits; then the server's ReadTimeout
	// stands alone.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.BodyTimeout))
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead) // what ReadFrom wants to see free at the end
	}
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, most)); err != nil {
		return nil, a.unread(w, err)
	}
	return body.Bytes(), nil
}

// unread says why a body could not be read. What is left of it makes the connection useless for another request.
func (a *api) unread(w http.ResponseWriter, err error) *problem {
	w.Header().Set("Connection", "close")
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		p := tooLarge(over.Limit)
		return &p
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{Status: http.StatusRequestTimeout, Code: "body_slow", Detail: fmt.Sprintf("the body did not come within %s", a.BodyTimeout)}
	default:
		return &problem{Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "the body ended early"}
	}
}

func tooLarge(most int64) problem {
	return problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("it must not be over %d bytes", most)}
}

// isJSON says whether a content type is JSON (RFC 8259) or built on it (RFC 6839), and in no other charset than JSON's own.
func isJSON(contentType string) bool {
	if contentType == "application/json" { // as nearly all callers write it
		return true
	}
	name, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !inUTF8(parameters) {
		return false
	}
	subtype, ok := strings.CutPrefix(name, "application/")
	return ok && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// inUTF8 says whether a content type names no other charset than JSON's own.
func inUTF8(parameters map[string]string) bool {
	charset := parameters["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8")
}
