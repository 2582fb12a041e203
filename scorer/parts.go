package scorer

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"verdict/schemas"
)

// Part is one of the things that a scorer decides with.
type Part struct {
	Role    string // features, champion, challenger or policy
	Version schemas.Version
}

// Serves returns what the scorer decides with; a model that is champion of some orders and challenges on others stands there twice.
func (s *Scorer) Serves() []Part {
	d := s.now.Load()
	all := []Part{{Role: "features", Version: d.layout.Features}}
	add := func(role string, v schemas.Version) {
		if part := (Part{Role: role, Version: v}); !slices.Contains(all, part) {
			all = append(all, part)
		}
	}
	for _, b := range d.champions {
		if b != nil {
			add("champion", b.version)
		}
	}
	for _, c := range d.challengers {
		add("challenger", c.bundle.version)
	}
	if d.policy != nil {
		add("policy", d.policy.version)
	}
	return all
}

// Files returns every file that what the scorer decides with was read from.
func (s *Scorer) Files() []string { return s.now.Load().files }

// read returns the files of bundles and policy.
func (d *served) read() []string {
	var files []string
	for _, b := range d.bundles() {
		files = append(files, b.files...)
	}
	if d.policy != nil {
		files = append(files, d.policy.files...)
	}
	return files
}

// Parts says what the scorer decides with, a line for each part.
func (s *Scorer) Parts() []string {
	d := s.now.Load()
	var parts []string
	for i, b := range d.champions {
		if b == nil {
			continue
		}
		line := "model " + b.describe()
		if i > 0 {
			line += ", for " + d.routes[i-1].describe()
		} else if len(d.routes) > 0 {
			line += ", for all other orders"
		}
		parts = append(append(parts, line), b.remarks()...)
	}
	for _, c := range d.challengers {
		parts = append(append(parts, "challenger "+c.bundle.describe()+", on "+c.describe()), c.bundle.remarks()...)
	}
	for _, r := range d.away {
		parts = append(parts, "challenger "+r.away.Version.String()+": left out, its server is away, on "+r.describe())
	}
	if len(d.challengers) > 0 && d.patience > 0 {
		parts = append(parts, fmt.Sprintf("  decisions wait for challengers up to %s", d.patience))
	}
	if p := d.policy; p != nil {
		parts = append(parts, p.describe())
		parts = append(parts, d.uncalibrated()...)
	}
	return parts
}

// describe says what a bundle is.
func (b *Bundle) describe() string {
	of := b.features
	if of == "" {
		of = "any feature set"
	}
	return fmt.Sprintf("%s (%s): %d inputs of %s", b.version, b.version.Hash, len(b.layout.Names), of)
}

// remarks returns the notes as lines below what they are of.
func (b *Bundle) remarks() []string {
	var lines []string
	for _, note := range b.notes {
		lines = append(lines, "  "+note)
	}
	return lines
}

// describe says which orders a route is for.
func (r *route) describe() string {
	var parts []string
	if r.when != nil {
		parts = append(parts, "orders where "+r.when.Text())
	}
	if r.share > 0 {
		parts = append(parts, fmt.Sprintf("%.4g %% of all %s keys", 100*r.share, r.entity))
	}
	if len(parts) == 0 {
		return "all orders"
	}
	return strings.Join(parts, ", ")
}

// describe says what a policy is.
func (p *Policy) describe() string {
	head := fmt.Sprintf("policy %s (%s): %d rules", p.version, p.version.Hash, len(p.rules))
	if p.cost != nil {
		return head + ", then the action of least expected cost"
	}
	return head + fmt.Sprintf(", review from %s, reject from %s", levelText(p.review), levelText(p.reject))
}

// uncalibrated says which models' scores costs take for probabilities that no calibration of the bundle has made such.
func (d *served) uncalibrated() []string {
	var lines []string
	for _, b := range d.bundles() {
		if d.policy.cost != nil && !b.Calibrated() {
			lines = append(lines, fmt.Sprintf("  model %s has no calibration: the costs take what it predicts for the probability of fraud", b.version))
		}
	}
	return lines
}

// levelText returns a threshold as texts say it.
func levelText(threshold float64) string {
	if math.IsInf(threshold, 1) {
		return "no score"
	}
	return fmt.Sprint(threshold)
}
