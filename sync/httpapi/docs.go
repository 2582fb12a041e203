package httpapi

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// docsPage is the OpenAPI document for people: one page without a script, and with nothing from elsewhere.
const docsPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>verdict</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
h2{border-top:1px solid #ccc;padding-top:1em;font-size:1.1em}code,pre{font-family:ui-monospace,monospace;background:#f4f4f4}
pre{padding:.7em;overflow:auto}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}
</style></head><body>
<h1>verdict</h1><p>{{.About}}</p><p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1), with the shapes of all that is sent and answered.</p>
{{range .Operations}}<h2 id="{{.ID}}"><code>{{.Method}} {{.Path}}</code> {{.Summary}}</h2>
{{with .About}}<p>{{.}}</p>{{end}}{{with .Scope}}<p>Needs the scope <code>{{.}}</code> where callers are known by keys, tokens or certificates.</p>{{end}}
{{if .Takes}}<p>Takes {{range $i, $t := .Takes}}{{if $i}}, {{end}}<code>{{$t}}</code>{{end}}.</p>{{end}}
{{if .Parameters}}<table>{{range .Parameters}}<tr><td><code>{{.Name}}</code><td>{{.About}}</tr>{{end}}</table>{{end}}
<table>{{range .Answers}}<tr><th>{{.Status}}<td>{{.About}}{{range .Headers}}<br><code>{{.Name}}</code>: {{.About}}{{end}}</tr>{{end}}</table>
{{end}}</body></html>
`

type docsOperation struct {
	ID, Method, Path, Summary, About, Scope string

	Takes      []string
	Parameters []docsTerm
	Answers    []docsAnswer
}

type docsTerm struct{ Name, About string }

type docsAnswer struct {
	Status, About string

	Headers []docsTerm
}

// docs answers GET /docs. The page is written once.
type docs struct{ body []byte }

func (d *docs) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'") // the page's one style stands in it
	write(w, http.StatusOK, "text/html; charset=utf-8", d.body)
}

func (d *docs) render(about string, all []route) {
	page := struct {
		About      string
		Operations []docsOperation
	}{About: about}
	for i := range all {
		page.Operations = append(page.Operations, all[i].docs())
	}
	var out bytes.Buffer
	if err := template.Must(template.New("docs").Parse(docsPage)).Execute(&out, page); err != nil {
		panic("httpapi: " + err.Error()) // unreachable: plain data
	}
	d.body = out.Bytes()
}

// docs is what the page says of a route.
func (r *route) docs() docsOperation {
	o := docsOperation{ID: r.OperationID, Method: r.Method, Path: r.Path, Summary: r.Summary, About: strings.ReplaceAll(r.Description, "`", "")}
	if r.scope != 0 {
		o.Scope = r.scope.String()
	}
	for _, p := range r.Parameters {
		o.Parameters = append(o.Parameters, docsTerm{p.Name, strings.ReplaceAll(p.Description, "`", "")})
	}
	if r.RequestBody != nil {
		for name := range r.RequestBody.Content {
			o.Takes = append(o.Takes, name)
		}
		slices.Sort(o.Takes)
	}
	for status, response := range r.Responses {
		a := docsAnswer{Status: status, About: response.Description}
		for name, header := range response.Headers {
			a.Headers = append(a.Headers, docsTerm{name, header.Description})
		}
		slices.SortFunc(a.Headers, func(x, y docsTerm) int { return strings.Compare(x.Name, y.Name) })
		o.Answers = append(o.Answers, a)
	}
	slices.SortFunc(o.Answers, func(x, y docsAnswer) int { return strings.Compare(x.Status, y.Status) })
	return o
}
