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

// readJSON returns the body of a request that says it is JSON. The bytes are the caller's to keep.
func (a *api) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: "content_type", Detail: "the body must be application/json or application/…+json, in UTF-8"}
	}
	// A packed body could be a thousand times MaxBytes.
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: "content_encoding", Detail: "the body must not be compressed"}
	}
	if r.ContentLength > a.MaxBytes {
		return nil, a.tooLarge(w)
	}
	// net/http takes this limit off at the body's end, so the wait may be longer. Not every ResponseWriter knows limits; then the server's ReadTimeout
	// stands alone.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.BodyTimeout))
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead) // what ReadFrom wants to see free at the end
	}
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, a.MaxBytes)); err != nil {
		return nil, a.unread(w, err)
	}
	return body.Bytes(), nil
}

// unread says why a body could not be read. What is left of it makes the connection useless for another request.
func (a *api) unread(w http.ResponseWriter, err error) *problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return a.tooLarge(w)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return &problem{Status: http.StatusRequestTimeout, Code: "body_slow", Detail: fmt.Sprintf("the body did not come within %s", a.BodyTimeout)}
	default:
		w.Header().Set("Connection", "close")
		return &problem{Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "the body ended early"}
	}
}

func (a *api) tooLarge(w http.ResponseWriter) *problem {
	w.Header().Set("Connection", "close")
	return &problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("the body must not be over %d bytes", a.MaxBytes)}
}

// isJSON says whether a content type is JSON (RFC 8259) or built on it (RFC 6839), and in no other charset than JSON's own.
func isJSON(contentType string) bool {
	if contentType == "application/json" { // as nearly all callers write it
		return true
	}
	name, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	subtype, ok := strings.CutPrefix(name, "application/")
	return ok && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}
