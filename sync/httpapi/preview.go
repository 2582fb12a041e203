package httpapi

import (
	"net/http"

	"verdict/schemas"
)

// previewLane is how many previews are made at once: each takes the store and a processor as much as an order does, and nobody pays while it waits.
const previewLane = 16

// preview answers POST /v1/preview: what would be decided now, with features and contributions. Nothing is written.
func (a *api) preview(w http.ResponseWriter, r *http.Request) {
	raw, fault := a.readJSON(w, r)
	if fault != nil {
		writeProblem(w, *fault)
		return
	}
	order, content, err := a.Decode(raw)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	select {
	case a.previewing <- struct{}{}:
		defer func() { <-a.previewing }()
	default:
		writeProblem(w, unavailable("overloaded", "too many previews are being made already"))
		return
	}
	p, err := a.Preview(r.Context(), order, content)
	if err != nil && r.Context().Err() != nil {
		return // the caller has gone: that says nothing of the store
	}
	a.previews.saw(err)
	if err != nil {
		writeProblem(w, unavailable("store_away", "features cannot be read at the moment"))
		return
	}
	writeJSON(w, http.StatusOK, schemas.AppendPreview(nil, &p))
}
