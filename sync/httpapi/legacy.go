package httpapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"verdict/schemas/expr"
)

// Legacy is a route of another API that is answered by this one: where the order lies in its requests, and what its answers look like. LoadLegacy makes it.
// It is immutable.
type Legacy struct {
	path    string
	order   *expr.Shape // nil: the body is the order
	fields  []legacyField
	wait    time.Duration // 0: the API's
	answer  *legacyReply  // nil, as the next two: what this API says
	pending *legacyReply
	fault   *legacyReply
}

// legacyField is a field that an order is given.
type legacyField struct {
	path  []string
	value *expr.Shape
}

var errStatus = errors.New("the status is no whole number from 200 to 599")

// legacyReply is one kind of answer.
type legacyReply struct {
	status      int
	statusOf    *expr.Shape // nil: it is status; which is 0 for that of the problem
	body        *expr.Shape // a string is written as it is, all else as JSON
	contentType string
	spaced      bool
	headers     []legacyHeader
}

type legacyHeader struct {
	name  string
	value *expr.Shape
}

// anyTypes takes what clients of old send, who may not say that it is JSON.
var anyTypes = contentTypes{takes: func(string) bool { return true }} //nolint:gochecknoglobals // constant

// decideAs answers a route of another API.
func (a *api) decideAs(l *Legacy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := map[string]expr.Document{}
		ans, t := a.askAs(w, r, l, in)
		if ans.status == 0 {
			return
		}
		if reply := l.replyTo(&ans); reply == nil {
			t.tell(w.Header(), ans.status)
			ans.write(w)
		} else if err := reply.write(w, &ans, in, r.Header.Get); err != nil {
			a.Log.Error("an answer could not be put into the words of its route", "route", l.path, "error", err)
			writeProblem(w, problem{Status: http.StatusInternalServerError, Code: "answer_unshaped", Detail: "the answer could not be put into the words of this route: read the decision, or send the order again"})
		}
	}
}

// askAs takes the order out of a request and has it decided. What its answer may name of the request is put into in.
func (a *api) askAs(w http.ResponseWriter, r *http.Request, l *Legacy, in map[string]expr.Document) (answer, terms) {
	raw, fault := a.readBody(w, r, anyTypes, a.MaxBytes)
	if fault != nil {
		return refusal("", *fault), terms{}
	}
	body, err := expr.ParseDocument(raw)
	if err != nil {
		return refusal("", problemOf(err)), terms{}
	}
	in["body"] = body
	order, fault := l.orderIn(raw, in, r.Header.Get)
	if fault != nil {
		return refusal("", *fault), terms{}
	}
	t := a.termsOf(r.Header)
	if l.wait > 0 && r.Header["Prefer"] == nil {
		t.patience = min(l.wait, a.MaxWait)
		t.deadline, t.ackBy = time.Now().Add(t.patience), time.Now().Add(a.ackWait(t.patience))
	}
	return a.decideOne(r.Context(), order, &t), t
}

// orderIn is the order of a request. A field that has no value is left out: whether the order can be without is for its schema to say.
func (l *Legacy) orderIn(raw []byte, in map[string]expr.Document, header expr.Header) ([]byte, *problem) {
	if l.order == nil && len(l.fields) == 0 {
		return raw, nil
	}
	missing := &problem{Status: http.StatusUnprocessableEntity, Code: "order_missing", Detail: "the request has no order where this route looks for it"}
	order := in["body"]
	if l.order != nil {
		var err error
		if order, err = l.order.Run(in, header); err != nil {
			return nil, missing
		}
	}
	if !order.Object() {
		return nil, missing
	}
	for _, f := range l.fields {
		v, err := f.value.Run(in, header)
		if err != nil {
			continue
		}
		var ok bool
		if order, ok = order.With(f.path, v); !ok {
			return nil, missing
		}
	}
	text, err := order.AppendJSON(nil, false)
	if err != nil {
		return nil, missing
	}
	return text, nil
}

// replyTo is what is said of an answer; nil: what this API says.
func (l *Legacy) replyTo(ans *answer) *legacyReply {
	switch {
	case ans.fault != nil:
		return l.fault
	case ans.status == http.StatusAccepted:
		return l.pending
	default:
		return l.answer
	}
}

// write says an answer in the words of the route.
func (r *legacyReply) write(w http.ResponseWriter, ans *answer, in map[string]expr.Document, header expr.Header) error {
	if err := ans.name(in); err != nil {
		return err
	}
	status := r.status
	switch {
	case r.statusOf != nil:
		d, err := r.statusOf.Run(in, header)
		n, whole := d.Whole()
		if err != nil || !whole || n < 200 || n > 599 {
			return errStatus
		}
		status = int(n)
	case status == 0:
		status = ans.status
	}
	d, err := r.body.Run(in, header)
	if err != nil {
		return err
	}
	text, isText := d.Text()
	body := []byte(text)
	if !isText {
		if body, err = d.AppendJSON(nil, r.spaced); err != nil {
			return err
		}
	}
	for _, h := range r.headers {
		v, err := h.value.Run(in, header)
		if err != nil {
			return err
		}
		if text, isText := v.Text(); isText && text != "" {
			w.Header().Set(h.name, text)
		}
	}
	if ans.fault != nil && ans.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", inSeconds(max(ans.fault.retryAfter, retryAfter)))
	}
	write(w, status, r.contentType, body)
	return nil
}

// name puts into in what expressions may name of an answer.
func (ans *answer) name(in map[string]expr.Document) error {
	text := ans.body
	switch {
	case ans.fault != nil:
		p := ans.fault
		said := map[string]any{"status": p.Status, "code": p.Code, "title": http.StatusText(p.Status), "detail": p.Detail, "errors": p.Errors, "order_id": ans.order}
		text, _ = json.Marshal(said) //nolint:errchkjson // strings and numbers
	case ans.status == http.StatusAccepted:
		text = []byte(`{"order_id":"` + string(ans.order) + `","location":"` + locationOf(ans.order) + `"}`)
	}
	whole, err := expr.ParseDocument(text)
	if err != nil {
		return err
	}
	maps.Insert(in, whole.Members())
	in["decision"], in["repeat"] = whole, expr.Truth(ans.repeat)
	return nil
}

func (l *Legacy) describe() huma.Operation {
	anything := func() map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Description: "As the configuration of this route has it."}}}
	}
	return huma.Operation{
		Method: http.MethodPost, Path: l.path, OperationID: "decide-as" + l.path,
		Summary:     "Decide an order, in the words of another API",
		Description: "A route of the configuration (sync.routes): it takes the order out of the request and puts the decision, or what is wrong, into the words that its clients know.",
		RequestBody: &huma.RequestBody{Required: true, Content: anything()},
		Responses:   map[string]*huma.Response{"default": {Description: "The decision, where it will be, or what is wrong.", Content: anything()}},
	}
}
