package page_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/backtest"
	"verdict/consumer/backtest/page"
	"verdict/consumer/backtest/page/pagetest"
)

var rewrite = flag.Bool("rewrite", false, "write what the page is made of now into testdata")

func report(t *testing.T, cfg pagetest.Config) *backtest.Report {
	t.Helper()
	r, err := cfg.Report()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func written(t *testing.T, r *backtest.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// inside returns what stands between the tags of the first element that begins with open.
func inside(t *testing.T, text, open, end string) string {
	t.Helper()
	_, text, found := strings.Cut(text, open)
	text, _, ended := strings.Cut(text, end)
	if !found || !ended {
		t.Fatalf("the page has no %s…%s", open, end)
	}
	return text
}

// part is one of the page's skeleton: a section's id, or what kind of thing it is and its text.
var part = regexp.MustCompile(`(?s)<section id="([^"]*)"|<(h[1-4]|caption|th scope="col"|figcaption|li class="\w+"[^>]*><svg)[^>]*>(.*?)(?:</h\d>|</caption>|</th>|</figcaption>|<output>|</li>)`)

// TestPageHasItsPartsInOrder holds the page's skeleton against testdata: sections, headings, tables with their heads, charts with their curves.
func TestPageHasItsPartsInOrder(t *testing.T) {
	for name, cfg := range map[string]pagetest.Config{"fortnight": pagetest.Fortnight(), "bare": pagetest.Bare()} {
		t.Run(name, func(t *testing.T) {
			text := written(t, report(t, cfg))
			var parts []string
			for _, m := range part.FindAllStringSubmatch(text, -1) {
				words := strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[3], " "))), " ")
				switch kind := m[2]; {
				case m[1] != "":
					parts = append(parts, "section "+m[1])
				case strings.HasPrefix(kind, "h"):
					parts = append(parts, strings.Repeat("  ", int(kind[1]-'1'))+kind+" "+words)
				case kind == `th scope="col"`:
					parts[len(parts)-1] += " | " + words
				default:
					parts = append(parts, "        "+strings.Fields(kind)[0]+" "+words)
				}
			}
			file := filepath.Join("testdata", name+".txt")
			got := strings.Join(parts, "\n") + "\n"
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the page's parts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPageEscapesHostileText(t *testing.T) {
	text := written(t, report(t, pagetest.Hostile()))
	if n := strings.Count(text, "<script"); n != 2 { // the data and ours
		t.Errorf("the page has %d scripts", n)
	}
	ours := strings.Fields("html head meta title style body a header p h1 h2 h3 h4 strong main section nav ul ol li form label select option dl div dt dd bdi " +
		"table caption thead tbody tr th td b i small svg path details summary figure figcaption g text circle desc output input span")
	markup := regexp.MustCompile(`(?s)<script.*?</script>|<style.*?</style>`).ReplaceAllString(text, "")
	for _, tag := range regexp.MustCompile(`<[a-zA-Z/!][^>]*>?`).FindAllString(markup, -1) {
		name := regexp.MustCompile(`^</?([a-zA-Z0-9]+)`).FindStringSubmatch(tag)
		switch {
		case name == nil && tag != "<!DOCTYPE html>":
			t.Errorf("markup that is not ours: %.80s", tag)
		case name != nil && !slices.Contains(ours, name[1]):
			t.Errorf("an element that is not ours: %.80s", tag)
		case regexp.MustCompile(`(?i)\s(on\w+|style|srcdoc|src|action|formaction)\s*=`).MatchString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`)):
			t.Errorf("an attribute that is not ours: %.80s", tag)
		}
	}
	for _, c := range []string{"\x00", "\u202e", "\u2066", "\u2028", "\xff"} {
		if strings.Contains(text, c) {
			t.Errorf("the page has the character %q", c)
		}
	}
	if strings.Contains(text, strings.Repeat("long", 50)) {
		t.Error("a value of 20,000 characters was not cut")
	}
	for _, s := range []string{`<script>alert("xss")</script>`, `"><img src=x onerror=alert(1)>`, "مرحبا بالعالم", `&lt;b&gt;`, "${alert(1)}", "{{.Style}}"} {
		if !strings.Contains(html.UnescapeString(markup), s) {
			t.Errorf("%s is not shown as it is", s)
		}
	}
}

func TestPageAsksTheNetworkForNothing(t *testing.T) {
	for name, cfg := range map[string]pagetest.Config{"fortnight": pagetest.Fortnight(), "hostile": pagetest.Hostile()} {
		text := written(t, report(t, cfg))
		for _, m := range regexp.MustCompile(`(?i)\s(href|src|srcset|xlink:href|data|poster|background|ping)\s*=\s*"([^"]*)"`).FindAllStringSubmatch(regexp.MustCompile(`(?s)<script.*?</script>`).ReplaceAllString(text, ""), -1) {
			if !strings.HasPrefix(m[2], "#") {
				t.Errorf("%s: the page refers to %s", name, m[0])
			}
		}
		style, script := inside(t, text, "<style>", "</style>"), inside(t, text, "<script>", "</script>")
		if m := regexp.MustCompile(`(?i)url\(|@import|@font-face|image-set`).FindString(style); m != "" {
			t.Errorf("%s: the style has %s", name, m)
		}
		if m := regexp.MustCompile(`\b(fetch|XMLHttpRequest|import|WebSocket|EventSource|sendBeacon|innerHTML|outerHTML|insertAdjacentHTML|eval|Function|localStorage)\b`).FindString(script); m != "" {
			t.Errorf("%s: the script uses %s", name, m)
		}
		policy := html.UnescapeString(inside(t, text, `<meta http-equiv="Content-Security-Policy" content="`, `"`))
		for kind, of := range map[string]string{"style-src": style, "script-src": script} {
			sum := sha256.Sum256([]byte(of))
			if want := kind + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q has no %s", name, policy, want)
			}
		}
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", name, policy)
		}
	}
}

func TestPageOfAYearIsBelowAMegabyte(t *testing.T) {
	if n := len(written(t, report(t, pagetest.Year()))); n > 1_000_000 {
		t.Errorf("the page of a year of three candidates is %d bytes", n)
	}
}

func TestPageOfManyCandidatesAndSegmentsIsBounded(t *testing.T) {
	cfg := pagetest.Year()
	cfg.Candidates, cfg.Orders, cfg.Features = 8, 20, 300
	cfg.Segments = nil
	for range 3 {
		var values []string
		for v := range 40 {
			values = append(values, strings.Repeat("v", v+1))
		}
		cfg.Segments = append(cfg.Segments, values)
	}
	if n := len(written(t, report(t, cfg))); n > 4_000_000 {
		t.Errorf("the page is %d bytes", n)
	}
}

// TestPageNeedsReportJSONAlone writes the page of a report that was read from its JSON.
func TestPageNeedsReportJSONAlone(t *testing.T) {
	r := report(t, pagetest.Fortnight())
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var read backtest.Report
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written(t, r), written(t, &read)); diff != "" {
		t.Errorf("the page of report.json is another (-report +json):\n%s", diff)
	}
}

func TestPageSaysWhatCouldNotBeHad(t *testing.T) {
	nan := backtest.Number(math.NaN())
	empty := backtest.Report{Drift: backtest.Drift{Base: -1}}
	hollow := report(t, pagetest.Bare())
	f := &hollow.Candidates[0]
	f.AUC, f.AveragePrecision, f.Thresholds, f.Scores, f.ROC, f.PR, f.Days = nan, nan, nil, nil, nil, nil, nil
	f.Review = new(float64)
	*f.Review = math.NaN()
	for name, r := range map[string]*backtest.Report{"zero": {}, "empty": &empty, "bare": report(t, pagetest.Bare()), "hollow": hollow} {
		text := regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(written(t, r), "")
		if m := regexp.MustCompile(`.{0,60}(NaN|\bInf\b|<nil>|%!).{0,60}`).FindString(text); m != "" {
			t.Errorf("%s: the page says %s", name, m)
		}
	}
}

func TestPageSaysWhetherWhatWasRequiredIsMet(t *testing.T) {
	for want, p := range map[string]backtest.Provenance{
		"Required: auc > 0.9 && flips < 0.1 met":     {Require: "auc > 0.9 && flips < 0.1", Met: true},
		"Required: auc > 0.9 && flips < 0.1 not met": {Require: "auc > 0.9 && flips < 0.1"},
	} {
		text := inside(t, written(t, &backtest.Report{Provenance: p}), `<p class="gate">`, `</p>`)
		if got := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(text, "")); got != want {
			t.Errorf("the page says %q, want %q", got, want)
		}
	}
	if text := written(t, &backtest.Report{}); strings.Contains(text, `class="gate"`) {
		t.Error("the page tells of a gate where nothing was required")
	}
}

func TestVerdictFollowsTheIntervalOfTheGain(t *testing.T) {
	gain := func(low, by, high backtest.Number) backtest.Gain {
		return backtest.Gain{From: 0.5, To: 0.5 + by, Gain: by, Interval: &backtest.Interval{Low: low, High: high}}
	}
	nan := backtest.Number(math.NaN())
	for want, c := range map[string]backtest.Comparison{
		"Better than what was decided live":              {From: "live", To: "new@2", AP: gain(0.01, 0.1, 0.2)},
		"Worse than what was decided live":               {From: "live", To: "new@2", AP: gain(-0.2, -0.1, -0.01)},
		"No clear difference from what was decided live": {From: "live", To: "new@2", AP: gain(-0.01, 0.1, 0.2)},
		"Not comparable with what was decided live":      {From: "live", To: "new@2", AP: backtest.Gain{From: nan, To: nan, Gain: nan}},
		"No clear difference from old@1":                 {From: "old@1", To: "new@2", AP: backtest.Gain{From: 0.5, To: 0.6, Gain: 0.1}},
		"Worse than old@1":                               {From: "new@2", To: "old@1", AP: gain(0.01, 0.1, 0.2)}, // the other way round
		"Not compared":                                   {From: "old@1", To: "older@1", AP: gain(0.01, 0.1, 0.2)},
	} {
		r := &backtest.Report{Candidates: []backtest.Figures{{Name: "new@2"}}, Comparisons: []backtest.Comparison{c}, Period: backtest.Period{Orders: 10, Counted: 10}}
		heading := inside(t, written(t, r), `<h2 id="h-verdict">`, `</h2>`)
		if got := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(heading, ""); got != want {
			t.Errorf("the verdict is %q, want %q", got, want)
		}
	}
}
