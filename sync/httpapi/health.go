package httpapi

import "net/http"

func (a *api) live(w http.ResponseWriter, _ *http.Request)  { report(w, a.Live, "not_live") }
func (a *api) ready(w http.ResponseWriter, _ *http.Request) { report(w, a.Ready, "not_ready") }

// report answers a probe; the reason of a 503 is for the people who look into it.
func report(w http.ResponseWriter, probe func() error, code string) {
	if probe != nil {
		if err := probe(); err != nil {
			writeProblem(w, unavailable(code, err.Error()))
			return
		}
	}
	writeJSON(w, http.StatusOK, []byte(`{"status":"ok"}`))
}
