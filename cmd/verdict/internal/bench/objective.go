package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Objective is what a stage is to hold: that the share Quantile of all orders that were due has its decision within Limit.
type Objective struct {
	Quantile float64
	Limit    time.Duration
}

// ParseObjectives reads p99=80ms,p99.9=10ms.
func ParseObjectives(text string) ([]Objective, error) {
	var all []Objective
	for part := range strings.SplitSeq(text, ",") {
		percent, limit, ok := strings.Cut(strings.TrimSpace(part), "=")
		digits, p := strings.CutPrefix(percent, "p")
		v, err := strconv.ParseFloat(digits, 64)
		d, bad := time.ParseDuration(limit)
		if !ok || !p || err != nil || bad != nil || !(v > 0 && v <= 100) || d <= 0 {
			return nil, fmt.Errorf("%q is not an objective such as p99=80ms", part)
		}
		all = append(all, Objective{Quantile: v / 100, Limit: d})
	}
	return all, nil
}

// String returns the objective as it is written.
func (o Objective) String() string {
	return "p" + strconv.FormatFloat(100*o.Quantile, 'g', 6, 64) + "=" + o.Limit.String()
}

// Holds says whether the stage held the objective, at the rate that it was meant to have.
func (r *Result) Holds(o Objective) bool { return r.Fault() == "" && r.Quantile(o.Quantile) <= o.Limit }
