package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"verdict/schemas/expr"
	"verdict/schemas/strictyaml"
)

// What expressions of a route may name, beside body.
var (
	answerNames  = []string{"decision", "order_id", "action", "score", "occurred_at", "decided_at", "model", "features", "policy", "reasons", "degraded", "challengers", "repeat"} //nolint:gochecknoglobals // constant
	pendingNames = []string{"order_id", "location"}                                                                                                                                //nolint:gochecknoglobals // constant
	errorNames   = []string{"status", "code", "title", "detail", "errors", "order_id"}                                                                                             //nolint:gochecknoglobals // constant
)

// maxRoutes is how many routes there may be.
const maxRoutes = 100

// LoadLegacy reads the routes of other APIs from a file of YAML, under the keys that lead to them; none: the file is the list. Its error joins all that is
// wrong, each with file and line.
func LoadLegacy(file string, text []byte, under ...string) ([]Legacy, error) {
	d := &legacyReader{strictyaml.Document{File: file}}
	n := d.Root(text)
	for _, key := range under {
		if n == nil {
			break
		}
		at := slices.IndexFunc(d.Entries(n, ""), func(e strictyaml.Entry) bool { return e.Name == key })
		if at < 0 {
			d.Fault(n, "%s is missing", key)
			return nil, d.Err()
		}
		n = d.Entries(n, "")[at].Value
	}
	if n == nil {
		return nil, d.Err()
	}
	var all []Legacy
	items := d.Items(n, "routes")
	if len(items) > maxRoutes {
		d.Fault(n, "routes: %d of them, more than %d", len(items), maxRoutes)
		return nil, d.Err()
	}
	for _, item := range items {
		l := d.route(item)
		if slices.ContainsFunc(all, func(other Legacy) bool { return l.path != "" && other.path == l.path }) {
			d.Fault(item, "path: %s is the path of another route", l.path)
		}
		all = append(all, l)
	}
	return all, d.Err()
}

// legacyReader is a list of routes being read.
type legacyReader struct{ strictyaml.Document }

func (d *legacyReader) route(n *yaml.Node) Legacy {
	var l Legacy
	found := d.Only(n, "route", "path", "order", "fields", "wait", "answer", "pending", "error")
	if at := found["path"]; d.Need(n, "route", found, "path") {
		l.path = d.path(at)
	}
	if at := found["order"]; at != nil {
		l.order = d.shape(at, "order", nil)
	}
	if at := found["fields"]; at != nil {
		for _, e := range d.Entries(at, "fields") {
			l.fields = append(l.fields, legacyField{path: strings.Split(e.Name, "."), value: d.shape(e.Value, "fields: "+e.Name, nil)})
		}
	}
	if at := found["wait"]; at != nil {
		text := d.Text(at, "wait")
		wait, err := time.ParseDuration(text)
		if text != "" && (err != nil || wait <= 0) {
			d.Fault(at, "wait: %q is no duration above 0, such as 200ms", text)
		}
		l.wait = wait
	}
	l.answer = d.reply(found["answer"], "answer", answerNames, http.StatusOK)
	l.pending = d.reply(found["pending"], "pending", pendingNames, http.StatusAccepted)
	l.fault = d.reply(found["error"], "error", errorNames, 0)
	return l
}

// ownPaths are this API's, under which no route may lie.
func ownPaths() []string {
	return []string{"/v1", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}
}

func (d *legacyReader) path(n *yaml.Node) string {
	path, ok := d.String(n, "path")
	if !ok {
		return ""
	}
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("{}%?#\\\"", c) }) || !strings.HasPrefix(path, "/") ||
		strings.Contains(path+"/", "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") {
		d.Fault(n, "path: %q is no path such as /fraud/check, without variables and without a slash at its end", path)
		return ""
	}
	for _, own := range ownPaths() {
		if path == own || strings.HasPrefix(path, own+"/") {
			d.Fault(n, "path: %s is this API's own", path)
			return ""
		}
	}
	return path
}

// reply reads what is said; nil: what this API says.
func (d *legacyReader) reply(n *yaml.Node, what string, names []string, status int) *legacyReply {
	if n == nil {
		return nil
	}
	found := d.Only(n, what, "status", "body", "content_type", "headers", "spaced")
	r := &legacyReply{contentType: "application/json", status: status}
	if at := found["body"]; d.Need(n, what, found, "body") {
		r.body = d.shape(at, what+": body", names)
	}
	switch at := found["status"]; {
	case at == nil:
	case at.Tag == "!!int":
		f, _ := d.Number(at, what+": status")
		if r.status = int(f); f < 200 || f > 599 || f == http.StatusNoContent || f == http.StatusNotModified {
			d.Fault(at, "%s: status: %v is no status of an answer with a body", what, f)
		}
	default:
		r.statusOf = d.shape(at, what+": status", names)
	}
	if at := found["content_type"]; at != nil {
		if r.contentType, _ = d.String(at, what+": content_type"); strings.ContainsFunc(r.contentType, func(c rune) bool { return c < ' ' || c > '~' }) {
			d.Fault(at, "%s: content_type: it cannot be sent", what)
		}
	}
	if at := found["spaced"]; at != nil {
		r.spaced, _ = d.Bool(at, what+": spaced")
	}
	if at := found["headers"]; at != nil {
		for _, e := range d.Entries(at, what+": headers") {
			if _, rest := token(e.Name); rest != "" || slices.Contains([]string{"Content-Type", "Content-Length", "Connection", "Transfer-Encoding"}, http.CanonicalHeaderKey(e.Name)) {
				d.Fault(e.Key, "%s: headers: %s is not for a route to set", what, e.Name)
			}
			r.headers = append(r.headers, legacyHeader{name: http.CanonicalHeaderKey(e.Name), value: d.shape(e.Value, what+": headers: "+e.Name, names)})
		}
	}
	return r
}

func (d *legacyReader) shape(n *yaml.Node, what string, names []string) *expr.Shape {
	text, ok := d.String(n, what)
	if !ok {
		return nil
	}
	s, err := expr.CompileShape(text, append([]string{"body"}, names...))
	var several interface{ Unwrap() []error }
	switch {
	case err == nil:
	case errors.As(err, &several):
		for _, one := range several.Unwrap() {
			d.Fault(n, "%s: %v", what, one)
		}
	default:
		d.Fault(n, "%s: %v", what, err)
	}
	return s
}
