package pagetest

import (
	"math"
	"strings"

	"verdict/consumer/backtest"
)

// Hostiles are texts that must come out as text wherever they stand: markup, quotes, ends of scripts, templates, right-to-left and control characters.
func Hostiles() []string {
	return []string{
		`<script>alert("xss")</script>`, `</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `<!--`, `]]>`, `</style>`, `</title><b>`,
		`{{.Style}}`, "${alert(1)}", "`", `javascript:alert(1)`, `&lt;b&gt;`, "مرحبا بالعالم", "abc\u202Efdp.exe", "\u2066left", "zero\x00byte", "line\nbreak\u2028", "bad\xffutf8", `\u003cscript\u003e`,
		strings.Repeat("long", 5000),
	}
}

// Hostile is a report in which ids, values of segments, names of candidates, features and files are hostile.
func Hostile() Config {
	texts := Hostiles()
	return Config{
		Days: 30, Orders: 200, Candidates: 2, Features: 3, Live: true,
		Segments: [][]string{texts[:min(12, len(texts))], texts[8:]},
		ID:       func(n int) string { return texts[n%len(texts)] },
		Name:     func(i int) string { return texts[i] + "@1" },
		Change: func(cfg *backtest.Config) {
			cfg.Segments = []string{texts[0], texts[13]}
			cfg.Amount, cfg.Customer = texts[2], texts[1]
			for i := range cfg.Features {
				cfg.Features[i] = texts[i] + cfg.Features[i]
			}
			for i := range cfg.Candidates {
				cfg.Candidates[i].Model.Name, cfg.Candidates[i].Policy.Version, cfg.Candidates[i].Features.Hash = texts[3], texts[0], texts[6]
			}
		},
		Row: func(n int, r *backtest.Row) {
			for i := range r.Reasons {
				for j := range r.Reasons[i] {
					r.Reasons[i][j].Feature = texts[(n+i+j)%len(texts)]
				}
			}
		},
		Provenance: func(p *backtest.Provenance) {
			p.Program, p.Digest, p.Partial, p.Require, p.Met = texts[0], texts[1], true, texts[2], false
			p.Orders, p.Labels, p.Live = texts, texts[:1], texts[1:2]
		},
	}
}

// Bare is a report of little: no policy, no amounts, no customers, no segments, no features, nothing to compare with, scores that are no probabilities.
func Bare() Config {
	return Config{
		Days: 9, Orders: 50, Candidates: 1,
		Change: func(cfg *backtest.Config) {
			cfg.Amount, cfg.Customer, cfg.Bootstrap = "", "", -1
			cfg.Candidates[0].Review, cfg.Candidates[0].Reject = nil, nil
		},
		Row: func(_ int, r *backtest.Row) {
			r.Amount, r.Customer, r.Actions, r.Reasons, r.Contributions = math.NaN(), 0, nil, nil, nil
			r.Scores[0] = 20*r.Scores[0] - 7
		},
		Provenance: func(p *backtest.Provenance) { *p = backtest.Provenance{} },
	}
}
