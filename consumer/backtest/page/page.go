// Package page makes report.html of a backtest's report: one file that needs nothing but itself. Tables and charts are complete without a script; the script
// adds read-outs, the switch of candidate and segment, sorting, and the thresholds that can be moved. The file asks the network for nothing, and its content
// security policy forbids everything but its own style and script, by their hashes. What comes of orders and files (ids, values of segments, names) is hostile
// text: it is escaped by html/template where it stands, isolated from what is around it, and cut to a bounded length.
package page

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"verdict/consumer/backtest"
)

//go:embed templates style.css script.js
var files embed.FS

// Write writes the page of a report. It changes nothing in it, and needs nothing but the report: one that was read from report.json gives the same page.
func Write(w io.Writer, r *backtest.Report) error {
	style, err := text("style.css")
	if err != nil {
		return err
	}
	script, err := text("script.js")
	if err != nil {
		return err
	}
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"chartWidth":  func() int { return chartWidth },
		"chartHeight": func() int { return chartHeight },
		"plot":        func() [4]int { return [4]int{plotLeft, plotRight, plotTop, plotBottom} },
		"spark":       func() [2]int { return [2]int{sparkWidth, sparkHeight} },
		"count":       count[int],
		"stamp":       stamp,
	}).ParseFS(files, "templates/*.html")
	if err != nil {
		return fmt.Errorf("reading the page's templates: %w", err)
	}
	buffered := bufio.NewWriter(w)
	if err := t.Execute(buffered, struct {
		*view
		Style  template.CSS
		Script template.JS
		Policy string
	}{
		view:   newView(r),
		Style:  template.CSS(style), // our own file
		Script: template.JS(script), // our own file
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + hash(style) + "; script-src " + hash(script),
	}); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

func text(name string) (string, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("reading the page's %s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// hash is how a content security policy names what may stand in the page.
func hash(of string) string {
	sum := sha256.Sum256([]byte(of))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
