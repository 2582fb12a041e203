package httpapi

import (
	"net/http"

	"verdict/schemas"
)

// read answers GET /v1/decisions/{order_id}.
func (a *api) read(w http.ResponseWriter, r *http.Request) {
	unknown := problem{Status: http.StatusNotFound, Code: "decision_unknown", Detail: "there is no decision for this order, or not yet"}
	id := schemas.OrderID(r.PathValue("order_id"))
	if !id.Valid() {
		writeProblem(w, unknown)
		return
	}
	record, err := a.lookup(r.Context(), id)
	if err != nil {
		writeProblem(w, unavailable("store_away", "decisions cannot be read at the moment"))
		return
	}
	if record == nil {
		writeProblem(w, unknown)
		return
	}
	body, err := schemas.PublicDecision(record)
	if err != nil {
		a.lookups.saw(err)
		writeProblem(w, problem{Status: http.StatusInternalServerError, Code: "decision_unreadable", Detail: "the kept decision cannot be read"})
		return
	}
	writeJSON(w, http.StatusOK, body)
}
